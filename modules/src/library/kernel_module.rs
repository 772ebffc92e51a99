//! `kernel_module`: a module of the kernel, now and at boot.

use std::collections::BTreeMap;

use cm_wire::{Change, Value};

use super::own_file::OwnFile;
use crate::{
    Class, Context, Effect, Kind, Module, Param, ParamError, Params, Problem, Resource, Seen, Thing, Touches,
    choice, node::SettingKind, params,
};

choice! {
    /// What is wanted of a module.
    pub enum ModuleState {
        /// Loaded now and at boot.
        Loaded = "loaded",
        /// Not loaded, and never loaded by itself.
        Blacklisted = "blacklisted",
        /// Not loaded, and nothing of `cm` is left that would load it.
        Absent = "absent",
    }
}

params! {
    /// A module of the kernel: loaded now and, by /etc/modules-load.d/cm-NAME.conf, at every boot. What is
    /// built into the kernel counts as loaded. Its parameters and a blacklist entry are in
    /// /etc/modprobe.d/cm-NAME.conf.
    pub struct KernelModule = "kernel_module" {
        /// Its name, such as `br_netfilter`; hyphens are underscores to the kernel.
        subject name: ModuleName,
        /// `loaded`, `blacklisted` (unloaded, and loaded by nothing but its own name) or `absent`
        /// (unloaded, and without the files that this task makes).
        state: ModuleState = ModuleState::Loaded,
        /// Load it at boot, too.
        boot: bool = true,
        /// Its parameters. They take effect when it is loaded: one that is loaded already keeps those it has.
        params: BTreeMap<String, Value> = BTreeMap::new(),
    }
}

/// A module's name as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleName(pub String);

impl Param for ModuleName {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        if name.is_empty() || name.len() > 55 || name.starts_with('-') {
            return Err(format!("{name:?} is not the name of a kernel module"));
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')) {
            Some(wrong) => Err(format!(
                "{name:?} holds {wrong:?}; a module is named as `lsmod` shows it, without a path"
            )),
            None => Ok(Self(name.replace('-', "_"))),
        }
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &KernelModule::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = KernelModule::from_params(params)?;
    let name = task.name.0;
    if task.state != ModuleState::Loaded && !task.params.is_empty() {
        let message = format!("cannot be given for a module that is to be {}", task.state.word());
        return Err(ParamError::new("params", message));
    }
    let options =
        task.params.iter().map(|(name, value)| option(name, value)).collect::<Result<Vec<_>, _>>()?;
    let boot = (task.state == ModuleState::Loaded && task.boot).then(|| format!("{name}\n"));
    let modprobe = match task.state {
        ModuleState::Loaded if options.is_empty() => None,
        ModuleState::Loaded => Some(format!("options {name} {}\n", options.join(" "))),
        ModuleState::Blacklisted => Some(format!("blacklist {name}\n")),
        ModuleState::Absent => None,
    };
    Ok(Box::new(Wanted {
        boot: OwnFile::new(format!("/etc/modules-load.d/cm-{name}.conf").into(), boot),
        modprobe: OwnFile::new(format!("/etc/modprobe.d/cm-{name}.conf").into(), modprobe),
        name,
        loaded: task.state == ModuleState::Loaded,
        options: !options.is_empty(),
        removes: task.state == ModuleState::Absent,
    }))
}

/// One parameter as modprobe.d(5) has it.
fn option(name: &str, value: &Value) -> Result<String, ParamError> {
    let refuse = |message: String| ParamError::new("params", message);
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    {
        return Err(refuse(format!("{name:?} is not the name of a parameter")));
    }
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => {
            return Err(refuse(format!(
                "`{name}`: wants a string, a number or true or false, not {}",
                other.kind()
            )));
        }
    };
    if text.chars().any(|c| c.is_control() || matches!(c, '"' | '#')) {
        return Err(refuse(format!("`{name}`: {text:?} cannot be written into a line of modprobe.d(5)")));
    }
    Ok(if text.contains(' ') { format!("{name}=\"{text}\"") } else { format!("{name}={text}") })
}

struct Wanted {
    name: String,
    loaded: bool,
    /// It has parameters.
    options: bool,
    removes: bool,
    boot: OwnFile,
    modprobe: OwnFile,
}

impl Wanted {
    fn setting(&self) -> Thing {
        Thing::Setting(SettingKind::KernelModule, self.name.clone())
    }

    fn found(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        context.node.setting(SettingKind::KernelModule, &self.name)
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(self.setting())
            .makes(Thing::Path(self.boot.path().to_owned()))
            .makes(Thing::Path(self.modprobe.path().to_owned()))
            .needs(Thing::Package("kmod".into()))
            .removes(self.removes)
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = self.modprobe.keeps();
        things.extend(self.boot.keeps());
        things.push(self.setting());
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let mut changes = Vec::new();
        let found = self.found(context)?;
        if found.is_some() != self.loaded {
            changes.push(Change::new("module", found, self.loaded.then(|| "loaded".into())));
        }
        changes.extend(self.boot.look(context, "at boot")?);
        changes.extend(self.modprobe.look(context, "modprobe")?);
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let loaded = self.found(context)?.is_some();
        let mut effect = Effect::default();
        // First the file: modprobe reads the parameters from there, and a blacklisted module would come back.
        if self.modprobe.look(context, "modprobe")?.is_some() {
            self.modprobe.change(context)?;
            if loaded && self.options {
                effect.notes.push(format!(
                    "the parameters of the kernel module {} take effect when it is loaded again",
                    self.name
                ));
            }
        }
        if loaded != self.loaded {
            let value = self.loaded.then_some("loaded");
            context.node.set(SettingKind::KernelModule, &self.name, value, context.deadline)?;
        }
        self.boot.change(context)?;
        Ok(effect)
    }
}

#[cfg(test)]
mod tests;
