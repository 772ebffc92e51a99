//! `sysctl`: a parameter of the kernel, now and after each boot.

mod key;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use cm_wire::Change;

use self::key::Key;
use super::presence::State;
use super::{scalar::Scalar, whole_file::WholeFile};
use crate::{
    Class, Context, Doing, Effect, Module, ParamError, Params, Problem, Resource, Seen, Thing, Touches,
    node::{FileKind, SettingKind},
    params,
};

/// Where sysctl.d(5) looks for files that the administrator writes.
const FOLDER: &str = "/etc/sysctl.d";

params! {
    /// A parameter of the kernel (sysctl(8)): set in the running kernel, and in a file of its own,
    /// /etc/sysctl.d/60-cm-KEY.conf, for each boot. Values are compared with single blanks between their
    /// parts.
    ///
    /// A file that comes later by name (99-sysctl.conf) may set the parameter at boot once more; the run tells
    /// of it where it does.
    pub struct Sysctl = "sysctl" {
        /// Its name: `net.ipv4.ip_forward`. A dot within a part is written as a slash, as in sysctl.d(5):
        /// `net.ipv4.conf.eth0/100.forwarding`, which may also be `net/ipv4/conf/eth0.100/forwarding`.
        subject key: Key,
        /// `present` or `absent`. Absent removes the file; what the running kernel has stays until the next
        /// boot.
        state: State = State::Present,
        /// The value: a string or number.
        value: Option<Scalar>,
        /// Write the file that sets it at each boot.
        persist: bool = true,
        /// Set it in the running kernel.
        apply: bool = true,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Sysctl::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Sysctl::from_params(params)?;
    let path = PathBuf::from(FOLDER).join(format!("60-cm-{}.conf", given.key.file_part()));
    let value = match (given.state, given.value) {
        (State::Absent, Some(_)) => {
            return Err(ParamError::new("value", "cannot be given for a parameter that is to be absent"));
        }
        (State::Absent, None) => None,
        (State::Present, None) => {
            return Err(ParamError::new("value", "is required (a string or a number)"));
        }
        (State::Present, Some(value)) => Some(check_value(&value.0)?),
    };
    match (given.state, given.persist, given.apply) {
        (State::Present, false, false) => {
            return Err(ParamError::new("apply", "and `persist` are both false: nothing would be set"));
        }
        (State::Absent, false, _) => {
            return Err(ParamError::new("persist", "belongs to a parameter that is to be present"));
        }
        _ => {}
    }
    let text = value.as_ref().map(|value| format!("# Managed by cm.\n{} = {value}\n", given.key.dotted));
    Ok(Box::new(Wanted { key: given.key, path, value, text, persist: given.persist, apply: given.apply }))
}

/// The value with single blanks.
fn check_value(value: &str) -> Result<String, ParamError> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(ParamError::new("value", "is one line and cannot hold a line break"));
    }
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if value.is_empty() {
        return Err(ParamError::new("value", "is empty"));
    }
    Ok(value)
}

struct Wanted {
    key: Key,
    path: PathBuf,
    /// None: absent.
    value: Option<String>,
    /// What the file holds; none: absent.
    text: Option<String>,
    persist: bool,
    apply: bool,
}

impl Wanted {
    fn file(&self) -> WholeFile<'_> {
        WholeFile { path: &self.path, text: self.text.as_deref() }
    }

    /// The value that the running kernel is to have.
    fn running(&self) -> Option<&str> {
        self.value.as_deref().filter(|_| self.apply)
    }

    fn setting(&self) -> Thing {
        Thing::Setting(SettingKind::Sysctl, self.key.dotted.clone())
    }

    fn set(&self, context: &Context<'_>, value: &str) -> Result<(), Problem> {
        let key = &self.key.dotted;
        match context.node.setting(SettingKind::Sysctl, key)? {
            Some(now) if now == value => return Ok(()),
            Some(_) => {}
            None if self.may_come(context)? => {}
            None => {
                let hint = match self.key.module() {
                    Some(module) => format!("it comes with a kernel module: `- kernel_module: {module}` loads it"),
                    None => "`sysctl -a` on the node lists them all; some come with a kernel module, which a task \
                             `- kernel_module: NAME` loads"
                        .to_owned(),
                };
                return Err(Problem::new(format!("the kernel has no parameter {key}")).hint(hint));
            }
        }
        context.node.set(SettingKind::Sysctl, key, Some(value), context.deadline)
    }

    /// In a plan: whether something before this task may bring the parameter.
    fn may_come(&self, context: &Context<'_>) -> Result<bool, Problem> {
        if !context.planning() {
            return Ok(false);
        }
        let loaded = match self.key.module() {
            Some(module) => context.node.setting(SettingKind::KernelModule, module)?.is_some(),
            None => false,
        };
        Ok(loaded || context.disturbed || context.node.may_appear())
    }

    /// A file that sets the parameter after this one's, at the next boot, to something else.
    fn overruled(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        let (Some(value), Some(own)) = (&self.value, self.path.file_name()) else { return Ok(None) };
        let folder = Path::new(FOLDER);
        let listing = format_args!("reading {FOLDER}");
        let is_directory =
            context.node.stat(folder).doing(listing)?.is_some_and(|stat| stat.kind == FileKind::Directory);
        let names = if is_directory { context.node.list(folder).doing(listing)? } else { Vec::new() };
        let later =
            names.into_iter().filter(|name| *name > *own && name.as_encoded_bytes().ends_with(b".conf"));
        let mut found = None;
        for path in later.map(|name| folder.join(name)).chain([PathBuf::from("/etc/sysctl.conf")]) {
            // 99-sysctl.conf is a link to /etc/sysctl.conf on Debian; links are not followed here.
            let is_file = context.node.stat(&path).is_ok_and(|stat| {
                stat.is_some_and(|stat| stat.kind == FileKind::File && stat.size <= CONF_LIMIT)
            });
            if !is_file {
                continue;
            }
            let Ok(text) = context.node.read(&path, CONF_LIMIT) else { continue };
            let set = String::from_utf8_lossy(&text).lines().rev().find_map(|line| self.key.set_by(line));
            if let Some(set) = set.filter(|set| set != value) {
                found =
                    Some(format!("{} sets {} to {set:?} at the next boot", path.display(), self.key.dotted));
            }
        }
        Ok(found)
    }
}

/// Larger files are not searched.
const CONF_LIMIT: u64 = 256 * 1024;

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let mut touches = Touches::new(Class::File).makes(self.setting()).removes(self.value.is_none());
        if self.persist {
            touches = touches.makes(Thing::Path(self.path.clone()));
        }
        if let Some(module) = self.key.module() {
            touches = touches.needs(Thing::Setting(SettingKind::KernelModule, module.to_owned()));
        }
        touches
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let file = self.persist.then(|| Thing::Path(self.path.clone()));
        file.into_iter().chain(self.running().map(|_| self.setting())).collect()
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let mut changes = if self.persist { self.file().look(context)? } else { Vec::new() };
        if let Some(value) = self.running() {
            let now = context.node.setting(SettingKind::Sysctl, &self.key.dotted)?;
            if now.as_deref() != Some(value) {
                let hide = |value: String| if context.sensitive { "[secret]".to_owned() } else { value };
                changes.push(Change::new("value", now.map(hide), Some(hide(value.to_owned()))));
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        // First what the kernel may refuse, so that no boot is given what it does not take.
        if let Some(value) = self.running() {
            self.set(context, value)?;
        }
        let mut notes = Vec::new();
        if self.persist {
            self.file().change(context)?;
            if !context.sensitive {
                notes.extend(self.overruled(context)?);
            }
        }
        Ok(Effect { notes, ..Effect::default() })
    }
}
