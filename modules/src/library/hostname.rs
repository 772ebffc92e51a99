//! `hostname`: the name of the host, kept for the next boot and of the running kernel.

use std::path::Path;

use cm_wire::{Change, Value};

use super::own_file::OwnFile;
use crate::{
    Class, Context, Doing, Effect, Kind, Module, Param, ParamError, Params, Problem, Resource, Seen, Thing,
    Touches,
    node::{FileKind, SettingKind},
    params,
};

/// Where the name is kept (hostname(5)).
const FILE: &str = "/etc/hostname";
/// The key of the running name.
const KERNEL: &str = "kernel";
/// The kernel takes no longer ones (HOST_NAME_MAX).
const LONGEST: usize = 64;

params! {
    /// The host's name: in /etc/hostname for the next boot, and at once in the running kernel. The line of
    /// /etc/hosts that Debian keeps for it is a task of its own (`hosts_entry`).
    pub struct HostnameTask = "hostname" {
        /// The name: letters, digits and hyphens, in labels parted by dots; 64 characters at most.
        subject name: HostName,
    }
}

/// A valid name of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub String);

impl Param for HostName {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        check(&name).map(|()| Self(name))
    }
}

/// What systemd and the kernel take as a static name (hostname(5)).
fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("wants a name, and it is empty".into());
    }
    if name.len() > LONGEST {
        return Err(format!("is {} characters long; a host's name has {LONGEST} at most", name.len()));
    }
    if let Some(wrong) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')) {
        return Err(format!("{name:?} holds {wrong:?}; a host's name has letters, digits, hyphens and dots"));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(format!("{name:?} has an empty part: a dot stands between two parts only"));
        }
        if label.len() > 63 {
            return Err(format!("the part {label:?} is longer than 63 characters"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!("the part {label:?} begins or ends with a hyphen"));
        }
    }
    Ok(())
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &HostnameTask::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = HostnameTask::from_params(params)?;
    let file = OwnFile::new(FILE.into(), Some(format!("{}\n", task.name.0)));
    Ok(Box::new(Wanted { name: task.name.0, file }))
}

struct Wanted {
    name: String,
    file: OwnFile,
}

impl Wanted {
    /// The name that the file gives: comments and blanks do not count. None where it gives none.
    fn kept(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        let path = Path::new(FILE);
        let stat = context.node.stat(path).doing(format_args!("looking at {FILE}"))?;
        if stat.is_none_or(|stat| stat.kind != FileKind::File) {
            return Ok(None);
        }
        let text = context.node.read(path, 64 * 1024).doing(format_args!("reading {FILE}"))?;
        let text = String::from_utf8_lossy(&text);
        let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(name.map(str::to_owned))
    }

    fn running(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        context.node.setting(SettingKind::Hostname, KERNEL)
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Setting(SettingKind::Hostname, KERNEL.into()))
            .makes(Thing::Path(FILE.into()))
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = self.file.keeps();
        things.push(Thing::Setting(SettingKind::Hostname, KERNEL.into()));
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let found = [("file", self.kept(context)?), ("kernel", self.running(context)?)];
        let wanted = Some(self.name.as_str());
        let hidden = |text: String| if context.sensitive { "[secret]".to_owned() } else { text };
        let changes = found
            .into_iter()
            .filter(|(_, name)| name.as_deref() != wanted)
            .map(|(place, name)| Change::new(place, name.map(hidden), Some(hidden(self.name.clone()))));
        Ok(Seen::from_changes(changes.collect()))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        if self.kept(context)?.as_ref() != Some(&self.name) {
            // Folders that are missing above it are noted by the look at the file.
            self.file.change(context)?;
        }
        if self.running(context)?.as_ref() != Some(&self.name) {
            context.node.set(SettingKind::Hostname, KERNEL, Some(&self.name), context.deadline)?;
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
