//! A task of a module of the user's repository.

use std::path::{Path, PathBuf};

use cm_wire::{Change, Value};

use super::{Answer, Asking, Call, Declaration, Pattern, Undo, Verb, ask};
use crate::{
    Class, Context, Doing as _, Effect, ParamError, Params, Problem, Resource, Seen, Thing, Touches, json,
    node::SettingKind,
};

/// Where programs are looked for (the PATH that commands get).
const PROGRAM_FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Whether a task of these parameters is one of a repository's own module.
pub(crate) fn is_custom(params: &Params) -> bool {
    Declaration::is_in(params)
}

/// Makes the resource of a task.
pub(crate) fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let (declaration, params) = Declaration::take(params)?;
    let subject = params.get(&declaration.subject).map(shown).unwrap_or_default();
    if subject.is_empty() {
        return Err(ParamError::new(&declaration.subject, "is empty"));
    }
    let mut key = format!("{}:{subject}", declaration.name);
    for name in &declaration.identity {
        if let Some(value) = params.get(name) {
            key.push_str(&format!(" {name}={}", json::write(value)));
        }
    }
    let things = |patterns: &[String], kinds| -> Result<Vec<Thing>, ParamError> {
        let mut things = Vec::new();
        for pattern in patterns {
            let unreadable = |error: String| ParamError::new(&declaration.subject, error);
            let pattern = Pattern::parse(pattern, kinds).map_err(unreadable)?;
            things.extend(pattern.things(&params).map_err(|(param, error)| {
                ParamError::new(if param.is_empty() { &declaration.subject } else { &param }, error)
            })?);
        }
        Ok(things)
    };
    let makes = things(&declaration.makes, Pattern::MADE)?;
    let edits = things(&declaration.edits, Pattern::MADE)?;
    let needs = things(&declaration.needs, Pattern::NEEDED)?;
    let removes = declaration.absent.as_ref().is_some_and(|(name, value)| params.get(name) == Some(value));
    Ok(Box::new(CustomTask { key, makes, edits, needs, removes, declaration, params }))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => json::write(other),
    }
}

struct CustomTask {
    /// Which thing it is: `kv:port file="/etc/app.conf"`.
    key: String,
    makes: Vec<Thing>,
    edits: Vec<Thing>,
    needs: Vec<Thing>,
    removes: bool,
    declaration: Declaration,
    params: Params,
}

impl Resource for CustomTask {
    fn touches(&self) -> Touches {
        let class = if self.declaration.parallel { Class::Free } else { Class::Opaque };
        let mut touches = Touches::new(class).makes(self.thing()).removes(self.removes);
        touches.makes.extend(self.makes.iter().chain(&self.edits).cloned());
        touches.needs.extend(self.needs.iter().cloned());
        let packages = self.declaration.programs.values().filter(|package| !package.is_empty());
        touches.needs.extend(packages.cloned().map(Thing::Package));
        if self.edits.is_empty() { touches } else { touches.part() }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        if context.planning() && context.disturbed {
            // The program would see the machine as it is, not as it will be.
            context.node.things_may_appear();
            return Ok(Seen::Unknown);
        }
        match self.asked(Verb::Look, context) {
            Ok((call, answer)) => {
                if self.declaration.undo == Undo::Verb && answer.state.is_none() {
                    return Err(Problem::new(format!(
                        "the answer of `look` of module `{}` has no `state`, so `undo` would have nothing to bring back",
                        self.declaration.name
                    ))
                    .hint("answer with the state as it is now, or write `undo: none` in the declaration"));
                }
                context.node.learn(&self.key, &call, answer.state);
                Ok(Seen::from_changes(self.told(answer.changes, context)))
            }
            Err(_) if context.planning() && !context.at_start && context.node.may_appear() => {
                context.node.things_may_appear();
                Ok(Seen::Unknown)
            }
            Err(problem) => Err(problem),
        }
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        if context.planning() {
            // What it leaves is what the look wanted, and perhaps more.
            context.node.things_may_appear();
            return Ok(Effect { final_: true, ..Effect::default() });
        }
        let (_, answer) = self.asked(Verb::Change, context)?;
        let notes = answer.message.filter(|_| !context.sensitive).into_iter().collect();
        Ok(Effect { notes, ..Effect::default() })
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        match self.declaration.undo {
            // Of what cannot be taken back it is kept that it was changed.
            Undo::Verb | Undo::None => vec![self.thing()],
            Undo::Makes => self.makes.iter().chain(&self.edits).cloned().collect(),
        }
    }
}

impl CustomTask {
    fn thing(&self) -> Thing {
        Thing::Setting(SettingKind::Custom, self.key.clone())
    }

    fn asked(&self, verb: Verb, context: &Context<'_>) -> Result<(Call, Answer), Problem> {
        self.check_programs(context)?;
        let program = self.declaration.program;
        let path: PathBuf = context.contents.program(&program.digest, program.size)?;
        let call = Call {
            module: self.declaration.name.clone(),
            program: path.to_string_lossy().into_owned(),
            digest: program.digest,
            params: self.params.clone(),
            timeout: self.declaration.timeout,
            run_as: context.run_as.map(str::to_owned),
            removes: self.removes,
            has_undo: self.declaration.undo == Undo::Verb,
            hidden: context.sensitive || !self.declaration.secrets.is_empty(),
        };
        if verb != Verb::Look {
            // What was seen before is not so any more, whatever comes of it.
            context.node.learn(&self.key, &call, None);
        }
        let asking = Asking {
            verb,
            mode: context.mode,
            state: None,
            deadline: context.deadline,
            live: (verb != Verb::Look && !context.sensitive).then_some(context.live),
            hidden: context.sensitive,
        };
        let answer = ask(context.node, &call, &asking)?;
        Ok((call, answer))
    }

    /// Programs that the declaration names must be there.
    fn check_programs(&self, context: &Context<'_>) -> Result<(), Problem> {
        for (program, package) in &self.declaration.programs {
            let there = |path: &Path| -> Result<bool, Problem> {
                let doing = format_args!("looking at {}", path.display());
                Ok(context.node.stat(path).doing(doing)?.is_some())
            };
            let mut found = false;
            if program.starts_with('/') {
                found = there(Path::new(program))?;
            } else {
                for folder in PROGRAM_FOLDERS {
                    found = found || there(&Path::new(folder).join(program))?;
                }
            }
            if !found {
                let name = &self.declaration.name;
                let hint = match package.as_str() {
                    "" => "a task that installs it must come before this one".to_owned(),
                    package => format!("a task `- package: {package}` brings it"),
                };
                return Err(Problem::new(format!(
                    "module `{name}` needs the program `{program}`, which is not on the node"
                ))
                .hint(hint));
            }
        }
        Ok(())
    }

    /// The changes as they may be shown.
    fn told(&self, changes: Vec<Change>, context: &Context<'_>) -> Vec<Change> {
        let hide = |change: Change| {
            let secret = |value: Option<String>| value.map(|_| "[secret]".to_owned());
            Change { before: secret(change.before), after: secret(change.after), diff: None, ..change }
        };
        changes
            .into_iter()
            .map(|change| {
                if context.sensitive || self.declaration.secrets.contains(&change.attribute) {
                    hide(change)
                } else if context.diff {
                    change
                } else {
                    Change { diff: None, ..change }
                }
            })
            .collect()
    }
}
