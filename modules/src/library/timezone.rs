//! `timezone`: the time zone of the node.

use std::path::{Path, PathBuf};

use cm_wire::{Change, Value};

use super::{making::making, own_file::OwnFile};
use crate::{
    Class, Context, Doing, Effect, Kind, Module, Node, Param, ParamError, Params, Problem, Resource, Seen,
    Thing, Touches, nearest_name::nearest_name, node::FileKind, params,
};

/// The link that the C library reads (localtime(5)).
const LINK: &str = "/etc/localtime";
/// The zone's name, as Debian keeps it beside the link.
const NAME_FILE: &str = "/etc/timezone";
/// Where the zones are.
const ZONES: &str = "/usr/share/zoneinfo";

params! {
    /// The node's time zone: the link /etc/localtime, and the name in /etc/timezone where there is such a
    /// file or the node runs Debian. Running services keep the zone they were started with.
    pub struct TimezoneTask = "timezone" {
        /// The zone by its name in the tz database, such as `Europe/Berlin` or `UTC`.
        subject zone: Zone,
    }
}

/// A zone's name that can be a path under the zones' folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub String);

impl Param for Zone {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let zone = String::read(value)?;
        let wrong = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '_' | '-' | '+');
        if let Some(wrong) = zone.chars().find(|&c| wrong(c)) {
            return Err(format!(
                "{zone:?} holds {wrong:?}; a zone is named as in the tz database: `Europe/Berlin`"
            ));
        }
        if zone.len() > 255 || zone.split('/').any(str::is_empty) {
            return Err(format!("{zone:?} is not the name of a zone, such as `Europe/Berlin` or `UTC`"));
        }
        Ok(Self(zone))
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &TimezoneTask::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let zone = TimezoneTask::from_params(params)?.zone.0;
    let name = OwnFile::new(NAME_FILE.into(), Some(format!("{zone}\n")));
    Ok(Box::new(Wanted { zone, name }))
}

struct Wanted {
    zone: String,
    name: OwnFile,
}

/// What /etc/localtime is now.
enum Localtime {
    Missing,
    /// A link to this target.
    Link(PathBuf),
    Other(FileKind),
}

impl Wanted {
    fn localtime(&self, context: &Context<'_>) -> Result<Localtime, Problem> {
        let link = Path::new(LINK);
        let stat = context.node.stat(link).doing(format_args!("looking at {LINK}"))?;
        Ok(match stat.map(|stat| stat.kind) {
            None => Localtime::Missing,
            Some(FileKind::Link) => {
                Localtime::Link(context.node.read_link(link).doing(format_args!("reading {LINK}"))?)
            }
            Some(kind) => Localtime::Other(kind),
        })
    }

    /// Whether /etc/timezone has a say on this node.
    fn names_file(&self, context: &Context<'_>) -> Result<bool, Problem> {
        for path in [NAME_FILE, "/etc/debian_version"] {
            let there = context.node.stat(Path::new(path)).doing(format_args!("looking at {path}"))?;
            if there.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses a zone that the node does not know.
    fn check(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = Path::new(ZONES).join(&self.zone);
        let stat = context.node.stat(&path).doing(format_args!("looking at {}", path.display()))?;
        let zone = &self.zone;
        match stat.map(|stat| stat.kind) {
            Some(FileKind::File | FileKind::Link) => Ok(()),
            None if context.node.may_appear() => Ok(()),
            None if context.node.stat(Path::new(ZONES)).is_ok_and(|stat| stat.is_none()) => {
                Err(Problem::new(format!("there is no time zone {zone}: {ZONES} is not there"))
                    .hint("a task `- package: tzdata` brings the time zones"))
            }
            Some(_) => {
                let zones = known_zones(context.node, Path::new(zone));
                let some = zones.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(Problem::new(format!("{zone} is an area, not a time zone"))
                    .hint(format!("zones in it: {some}, …")))
            }
            None => {
                let problem = Problem::new(format!("there is no time zone {zone} on the node"));
                let zones = known_zones(context.node, Path::new(""));
                Err(match near(zone, &zones) {
                    near if near.is_empty() => problem.hint(format!("the zones are the files under {ZONES}")),
                    near => problem.hint(format!("did you mean {}?", near.join(" or "))),
                })
            }
        }
    }
}

/// The zone that a link of /etc/localtime names; none where it leads elsewhere.
fn zone_of(target: &Path) -> Option<String> {
    let text = target.to_str()?;
    let rest = text.strip_prefix('/').or_else(|| text.strip_prefix("../"))?;
    rest.strip_prefix("usr/share/zoneinfo/").map(str::to_owned)
}

/// The names of all zones in an area.
fn known_zones(node: &dyn Node, area: &Path) -> Vec<String> {
    let mut zones = Vec::new();
    let mut areas = vec![area.to_owned()];
    while let Some(area) = areas.pop() {
        for name in node.list(&Path::new(ZONES).join(&area)).unwrap_or_default() {
            let zone = area.join(&name);
            let kind = node.stat(&Path::new(ZONES).join(&zone)).ok().flatten().map(|stat| stat.kind);
            // The same zones again, counted otherwise (leap seconds); and tables.
            let copy = area.as_os_str().is_empty() && (name == "posix" || name == "right");
            match kind {
                Some(FileKind::Directory) if !copy => areas.push(zone),
                Some(FileKind::File | FileKind::Link) => {
                    zones.extend(zone.to_str().filter(|zone| !zone.contains('.')).map(str::to_owned));
                }
                _ => {}
            }
        }
    }
    crate::in_order::sort(&mut zones);
    zones
}

/// The zones that a wrong name may stand for: the nearest name, and zones whose last part it is.
fn near(wrong: &str, zones: &[String]) -> Vec<String> {
    let last = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_lowercase();
    let fold = |text: &str| text.to_lowercase();
    let mut found: Vec<String> = zones.iter().filter(|zone| fold(zone) == fold(wrong)).cloned().collect();
    if found.is_empty() {
        found.extend(nearest_name(wrong, zones.iter().map(String::as_str)).map(str::to_owned));
    }
    found.extend(zones.iter().filter(|zone| last(zone) == last(wrong)).cloned());
    found.dedup();
    if found.is_empty() {
        let lasts: Vec<String> = zones.iter().map(|zone| last(zone)).collect();
        let nearest = nearest_name(&last(wrong), lasts.iter().map(String::as_str)).map(str::to_owned);
        found.extend(zones.iter().filter(|zone| Some(last(zone)) == nearest).cloned());
    }
    found.truncate(3);
    found
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(LINK.into()))
            .makes(Thing::Path(NAME_FILE.into()))
            .needs(Thing::Package("tzdata".into()))
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = self.name.keeps();
        things.push(Thing::Path(LINK.into()));
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let mut changes = Vec::new();
        let found = match self.localtime(context)? {
            Localtime::Link(target) => {
                Some(zone_of(&target).unwrap_or_else(|| target.to_string_lossy().into_owned()))
            }
            Localtime::Missing => None,
            Localtime::Other(kind) => Some(format!("a {}", kind.word())),
        };
        if found.as_deref() != Some(self.zone.as_str()) {
            changes.push(Change::new("zone", found, Some(self.zone.clone())));
        }
        if self.names_file(context)? {
            changes.extend(self.name.look(context, NAME_FILE)?);
        }
        if context.sensitive {
            for change in &mut changes {
                change.before = change.before.take().map(|_| "[secret]".into());
                change.after = change.after.take().map(|_| "[secret]".into());
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.check(context)?;
        let now = self.localtime(context)?;
        if let Localtime::Other(kind @ (FileKind::Directory | FileKind::Other)) = now {
            return Err(Problem::new(format!("{LINK} is a {}, not a link", kind.word()))
                .hint("move it away: this task makes a link there"));
        }
        let (right, relative) = match &now {
            Localtime::Link(target) => {
                (zone_of(target).as_ref() == Some(&self.zone), target.starts_with(".."))
            }
            _ => (false, false),
        };
        if !right {
            let zones = if relative { &format!("..{ZONES}") } else { ZONES };
            let target = Path::new(zones).join(&self.zone);
            let link = Path::new(LINK);
            making(context, link, "making the link", context.node.make_link(link, &target))?;
        }
        if self.names_file(context)? {
            self.name.change(context)?;
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
