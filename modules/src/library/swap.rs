//! `swap`: a swap file or device, in use now and at boot.

use std::path::{Path, PathBuf};

use cm_wire::{Change, Value};

use super::{
    fstab::{Entry, FSTAB, Managed},
    making::make_parents,
    presence::State,
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Int, Kind, Module, Param, ParamError, Params,
    Problem, Resource, Seen, Sign, Thing, Touches,
    node::{FileKind, SettingKind, Stat},
    params,
    swap_value::SwapArea,
};

/// Sizes are whole pages of the largest kind that machines have.
const PAGE: u64 = 64 * 1024;

params! {
    /// A swap area: its line in /etc/fstab, and in use. With `size` it is a file, made whole and without
    /// holes, with mode 0600 and a header of its own; without, it is a device. A device that holds something
    /// else than swap space is refused, an empty one gets a header. A swap file of another size is replaced.
    pub struct SwapTask = "swap" {
        /// The swap file or the device.
        subject path: AbsolutePath,
        /// `present` or `absent`. Absent: not in use, not in /etc/fstab, and a swap file is removed.
        state: State = State::Present,
        /// The size of a swap file, such as `512M` or `2G` (powers of 1024).
        size: Option<Size>,
        /// Areas of a higher priority are used first. Without one, the kernel counts down as areas come.
        priority: Option<Int<0, 32_767>>,
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Param for Size {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            other => return Err(format!("wants a size such as 512M or 2G, not {}", other.kind())),
        };
        let size =
            parse_size(&text).ok_or_else(|| format!("wants a size such as 512M or 2G, not {text:?}"))?;
        if size < 1024 * 1024 {
            return Err(format!("{text:?} is less than 1M; did you mean `{text}M`?"));
        }
        if !size.is_multiple_of(PAGE) {
            return Err(format!("{text:?} is no multiple of 64K"));
        }
        Ok(Self(size))
    }
}

/// Reads `1048576`, `1024K`, `1M`, `1.5G` or `1GiB`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let unit = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
    let factor: u64 = match unit {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    // Far below what a float holds exactly.
    (bytes >= 0.0 && bytes <= (1u64 << 44) as f64 && bytes.fract() == 0.0).then_some(bytes as u64)
}

/// As a person writes it.
fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if bytes.is_multiple_of(1 << shift) && bytes > 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &SwapTask::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = SwapTask::from_params(params)?;
    let path = task.path.0;
    let Some(shown) = path.to_str().map(str::to_owned) else {
        return Err(ParamError::new("path", "cannot be written into /etc/fstab: it is no UTF-8"));
    };
    let device = path.starts_with("/dev");
    if task.state == State::Absent {
        for (name, given) in [("size", task.size.is_some()), ("priority", task.priority.is_some())] {
            if given {
                return Err(ParamError::new(name, "cannot be given for swap that is to be absent"));
            }
        }
        return Ok(Box::new(Wanted { path, shown, device, area: None, entry: None }));
    }
    match (device, task.size) {
        (true, Some(_)) => return Err(ParamError::new("size", "is for swap files; a device has its own")),
        (false, None) => return Err(ParamError::new("size", "is required for a swap file (such as 1G)")),
        _ => {}
    }
    // Int keeps it within 15 bits.
    let priority = task.priority.and_then(|priority| u16::try_from(priority.0).ok());
    let options = match priority {
        Some(priority) => format!("sw,pri={priority}"),
        None => "sw".into(),
    };
    let entry = Entry {
        device: shown.clone(),
        path: "none".into(),
        fstype: "swap".into(),
        options,
        dump: 0,
        pass: 0,
    };
    let area = SwapArea { on: true, size: task.size.map(|size| size.0), priority };
    Ok(Box::new(Wanted { path, shown, device, area: Some(area), entry: Some(entry) }))
}

struct Wanted {
    path: PathBuf,
    /// The path as text.
    shown: String,
    device: bool,
    /// None: absent.
    area: Option<SwapArea>,
    entry: Option<Entry>,
}

impl Wanted {
    fn setting(&self) -> Thing {
        Thing::Setting(SettingKind::Swap, self.shown.clone())
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        entry.fstype == "swap" && Path::new(&entry.device) == self.path
    }

    fn found(&self, context: &Context<'_>) -> Result<Option<SwapArea>, Problem> {
        let value = context.node.setting(SettingKind::Swap, &self.shown)?;
        Ok(value.and_then(|value| SwapArea::parse(&value)))
    }

    fn stat(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        context.node.stat(&self.path).doing(format_args!("looking at {}", self.shown))
    }

    /// The stat of the swap file, where others could read what was in memory.
    fn open_to_others(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        let stat = self.stat(context)?.filter(|stat| stat.kind == FileKind::File && !self.device);
        Ok(stat.filter(|stat| stat.mode != 0o600 || stat.uid != 0))
    }

    fn area_changes(&self, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let found = self.found(context)?;
        let word = |on: bool| if on { "in use" } else { "not in use" };
        let show = |text: &str| Some(text.to_owned());
        let Some(wanted) = self.area else {
            return Ok(found
                .map(|found| Change::new("swap", show(word(found.on)), None))
                .into_iter()
                .collect());
        };
        let mut changes = Vec::new();
        if !found.is_some_and(|found| found.on) {
            changes.push(Change::new("swap", found.and_then(|found| show(word(found.on))), show("in use")));
        }
        if let Some(size) = wanted.size.filter(|size| found.and_then(|found| found.size) != Some(*size)) {
            let before = found.and_then(|found| found.size).map(show_size);
            changes.push(Change::new("size", before, Some(show_size(size))));
        }
        if let Some(found) = found.filter(|found| found.on && found.priority != wanted.priority) {
            let show = |priority: Option<u16>| {
                Some(priority.map_or("automatic".into(), |number| number.to_string()))
            };
            changes.push(Change::new("priority", show(found.priority), show(wanted.priority)));
        }
        if let Some(stat) = self.open_to_others(context)? {
            if stat.mode != 0o600 {
                changes.push(Change::new("mode", Some(FileMode(stat.mode).show()), show("0600")));
            }
            if stat.uid != 0 {
                changes.push(Change::new("owner", Some(context.node.user_name(stat.uid)), show("root")));
            }
        }
        Ok(changes)
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches = Touches::new(Class::File)
            .makes(self.setting())
            .needs(Thing::Path(FSTAB.into()))
            .removes(self.area.is_none());
        if self.device { touches } else { touches.makes(Thing::Path(self.path.clone())) }
    }

    /// Not the file itself: what is in it is what was in memory, and it comes and goes with the setting.
    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        vec![self.setting(), Thing::Path(FSTAB.into())]
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        let mut signs = Sign::of_touches(&self.touches());
        signs.push(Sign::Path(FSTAB.into()));
        signs
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let is = |entry: &Entry| self.is_ours(entry);
        let mut changes = self.area_changes(context)?;
        changes.extend(Managed { is: &is, wanted: self.entry.as_ref() }.look(context)?);
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let (node, found) = (context.node, self.found(context)?);
        let is = |entry: &Entry| self.is_ours(entry);
        let fstab = Managed { is: &is, wanted: self.entry.as_ref() };
        let set = |area: Option<SwapArea>| {
            let value = area.map(|area| area.to_string());
            node.set(SettingKind::Swap, &self.shown, value.as_deref(), context.deadline)
        };
        let Some(wanted) = self.area else {
            if found.is_some() {
                set(None)?;
            }
            fstab.change(context)?;
            return Ok(Effect::default());
        };
        if let (Some(stat), None, false) = (self.stat(context)?, found, self.device) {
            return Err(Problem::new(format!(
                "{} is a {} that is no swap area",
                self.shown,
                stat.kind.word()
            ))
            .hint("move it away, or choose another path for the swap file"));
        }
        if let Some(stat) = self.open_to_others(context)? {
            let doing = format!("closing {} to others", self.shown);
            if stat.uid != 0 {
                node.set_owner(&self.path, 0, stat.gid).doing(&doing)?;
            }
            node.set_mode(&self.path, 0o600).doing(&doing)?;
        }
        if found != Some(wanted) {
            if !self.device {
                make_parents(context, &self.path)?;
            }
            set(Some(wanted))?;
        }
        fstab.change(context)?;
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
