//! `command`: something only a program can do, with guards that say whether it has to be done.

mod condition;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use cm_wire::{Change, Mode, Output, Value};

use self::condition::Condition;
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Int, Kind, Module, Param, ParamError, Params, Problem,
    Resource, Seen, Thing, Touches,
    node::{Command, Finished},
    params,
};

params! {
    /// Runs a command line by /bin/sh, unless its guards say that there is nothing to do.
    ///
    /// It is ordered with everything written before and after it in its role, since nobody can see what
    /// it touches; `parallel: true` takes that back. Of several guards, every one must let it run.
    /// A command that only asks says `changed_when: false`.
    pub struct CommandTask = "command" {
        /// The command line; with `argv`, only a name for it.
        subject command: String,
        /// Program and arguments, run without a shell in place of the command line.
        argv: Option<Vec<String>>,
        /// Does not run when this path is there; of several paths, when all are.
        creates: Option<Vec<AbsolutePath>>,
        /// Runs only when this path is there; of several paths, when one of them is.
        removes: Option<Vec<AbsolutePath>>,
        /// Does not run when this command succeeds; of several, when one of them does. It must only ask.
        unless: Option<Vec<String>>,
        /// Runs only when this command succeeds; of several, when all do. It must only ask.
        only_if: Option<Vec<String>>,
        /// Whether it changed something when it ran: true, false, or a condition on its result such as
        /// `'created' in stdout` or `status == 2` (names: status, stdout, stderr; operators: == != < <=
        /// > >= in, not in, and, or, not).
        changed_when: Option<Verdict>,
        /// When it has failed, like `changed_when`; then `status` does not count.
        failed_when: Option<Verdict>,
        /// The exit statuses that are success.
        status: Vec<Int<0, 255>> = vec![Int(0)],
        /// The directory it runs in; `/` otherwise.
        cwd: Option<AbsolutePath>,
        /// Added to the environment.
        env: BTreeMap<String, Word> = BTreeMap::new(),
        /// Its standard input.
        stdin: Option<String>,
        /// It may run beside the other tasks of its role; `needs` alone orders it.
        parallel: bool = false,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &CommandTask::SCHEMA, compile };

/// `true`, `false`, or a condition on the result of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict(Condition);

impl Param for Verdict {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(value) => Ok(Self(Condition::Constant(*value))),
            Value::Text(text) => {
                Condition::parse(text).map(Self).map_err(|error| format!("{error} (in {text:?})"))
            }
            other => Err(format!(
                "wants true, false or a condition such as \"'x' in stdout\", not {}",
                other.kind()
            )),
        }
    }
}

impl Verdict {
    /// What it says without any result, where it does.
    fn constant(&self) -> Option<bool> {
        if let Condition::Constant(value) = self.0 { Some(value) } else { None }
    }
}

/// A text, or a number that is written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl Param for Word {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text.contains('\0') => Err("cannot hold a NUL byte".into()),
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(number) => Ok(Self(number.to_string())),
            Value::Float(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => {
                Err(format!("wants a string, not {flag}; quote it the way the program reads it: \"{flag}\""))
            }
            other => Err(format!("wants a string, not {}", other.kind())),
        }
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = CommandTask::from_params(params)?;
    if task.command.trim().is_empty() {
        return Err(ParamError::new("command", "is empty"));
    }
    let words = task.argv.iter().flatten().chain([&task.command]);
    if words
        .chain(task.unless.iter().flatten())
        .chain(task.only_if.iter().flatten())
        .any(|word| word.contains('\0'))
    {
        return Err(ParamError::new("command", "cannot hold a NUL byte"));
    }
    if task.argv.as_ref().is_some_and(Vec::is_empty) {
        return Err(ParamError::new("argv", "wants at least the program"));
    }
    for name in task.env.keys() {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(ParamError::new("env", format!("{name:?} cannot be the name of a variable")));
        }
    }
    Ok(Box::new(task))
}

/// What the guards say.
enum Guards {
    Run,
    Skip,
    /// Only the machine as it will be knows.
    Unknown,
}

impl Resource for CommandTask {
    fn touches(&self) -> Touches {
        let class = if self.parallel { Class::Free } else { Class::Opaque };
        let mut touches = Touches::new(class).part();
        if let Some(cwd) = &self.cwd {
            touches = touches.needs(Thing::Path(cwd.0.clone()));
        }
        touches
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let changes = self.changed_when.as_ref().map_or(Some(true), Verdict::constant);
        if context.at_start && (self.guarded() || changes.is_none()) {
            // What runs before it may decide it.
            return Ok(Seen::Later);
        }
        match (context.mode, self.guards(context)?, changes) {
            (_, Guards::Skip, _) => Ok(Seen::AsWanted),
            // It would run, and that is no change.
            (Mode::Plan | Mode::Verify, _, Some(false)) => Ok(Seen::AsWanted),
            (_, Guards::Unknown, _) | (Mode::Plan, _, None) => {
                // Whether it runs or not, what comes after it must be ready for both.
                context.node.things_may_appear();
                Ok(Seen::Unknown)
            }
            // Without a guard there is no state that could have drifted.
            (Mode::Verify, ..) if !self.guarded() => Ok(Seen::AsWanted),
            _ => Ok(Seen::Differs(vec![Change::new("run", None, Some(self.shown(context)))])),
        }
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let argv = match &self.argv {
            Some(argv) => argv.clone(),
            None => shell(&self.command),
        };
        let command = Command {
            stdin: self.stdin.clone().map(String::into_bytes),
            live: if context.sensitive { None } else { Some(context.live) },
            changes: true,
            ..self.command(argv, context)
        };
        let finished = context.node.run(&command).doing(format_args!("running `{}`", self.shown(context)))?;
        if context.planning() {
            return Ok(Effect { final_: true, ..Effect::default() });
        }
        self.judge(finished, context)
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        // Nobody knows what it will touch, so nothing of it can be kept.
        Vec::new()
    }
}

impl CommandTask {
    fn guarded(&self) -> bool {
        self.creates.is_some() || self.removes.is_some() || self.unless.is_some() || self.only_if.is_some()
    }

    /// Whether the command has to run.
    fn guards(&self, context: &Context<'_>) -> Result<Guards, Problem> {
        // Paths first: looking at them costs nothing, and a plan can look at those that are to come.
        let mut unknown = false;
        if let Some(paths) = &self.creates {
            if self.count(paths, context)? == paths.len() {
                return Ok(Guards::Skip);
            }
            // What the command creates is not what a package ships: only an earlier command may have made it.
            unknown |= context.node.commands_may_leave();
        }
        if let Some(paths) = &self.removes
            && self.count(paths, context)? == 0
        {
            if !context.node.may_appear() {
                return Ok(Guards::Skip);
            }
            unknown = true;
        }
        let commands = self.unless.iter().flatten().map(|line| (line, true));
        for (line, skips_on) in commands.chain(self.only_if.iter().flatten().map(|line| (line, false))) {
            if context.planning() && context.disturbed {
                // It would be asked on the machine as it is, not as it will be.
                unknown = true;
            } else if self.ask(line, context)? == skips_on {
                return Ok(Guards::Skip);
            }
        }
        Ok(if unknown { Guards::Unknown } else { Guards::Run })
    }

    /// How many of these are there.
    fn count(&self, paths: &[AbsolutePath], context: &Context<'_>) -> Result<usize, Problem> {
        let mut count = 0;
        for AbsolutePath(path) in paths {
            let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
            count += usize::from(stat.is_some());
        }
        Ok(count)
    }

    /// Whether a guard's command succeeds. One that cannot be started does not: its directory or user may
    /// be made by a task before this one.
    fn ask(&self, line: &str, context: &Context<'_>) -> Result<bool, Problem> {
        match context.node.run(&self.command(shell(line), context)) {
            Ok(finished) if finished.timed_out => {
                Err(Problem::new(format!("the guard `{line}` did not end in time and was killed"))
                    .hint("`timeout` on the task gives it more time")
                    .output(self.printed(finished.output, context)))
            }
            Ok(finished) => Ok(finished.success()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).doing(format_args!("running the guard `{line}`")),
        }
    }

    /// What the command and its guards have in common.
    fn command(&self, argv: Vec<String>, context: &Context<'_>) -> Command<'_> {
        Command {
            argv,
            cwd: self.cwd.as_ref().map(|cwd| cwd.0.clone()),
            env: crate::in_order::map(self.env.iter().map(|(name, value)| (name.clone(), value.0.clone()))),
            run_as: context.run_as.map(str::to_owned),
            deadline: context.deadline,
            ..Command::query(&[])
        }
    }

    fn judge(&self, finished: Finished, context: &Context<'_>) -> Result<Effect, Problem> {
        let shown = self.shown(context);
        if finished.timed_out {
            return Err(Problem::new(format!("`{shown}` did not end in time and was killed"))
                .hint("`timeout` on the task gives it more time")
                .output(self.printed(finished.output, context)));
        }
        let status = finished.output.status;
        let refused = match &self.failed_when {
            Some(Verdict(condition)) => condition
                .holds(&finished.output)
                .then(|| format!("`{shown}` failed by its `failed_when` (status {status})")),
            None => {
                let accepted = self.status.iter().any(|accepted| accepted.0 == i64::from(status));
                (!accepted).then(|| format!("`{shown}` exited with status {status}"))
            }
        };
        if let Some(message) = refused {
            let problem = Problem::new(message);
            let problem = match status {
                126 | 127 if self.argv.is_none() => problem.hint(
                    "the shell found no such program, or one it may not execute; the PATH is the system's",
                ),
                _ => problem,
            };
            return Err(problem.output(self.printed(finished.output, context)));
        }
        let changed = self.changed_when.as_ref().is_none_or(|verdict| verdict.0.holds(&finished.output));
        let output = (!context.sensitive).then_some(finished.output);
        Ok(Effect { changed: Some(changed), output, final_: true, ..Effect::default() })
    }

    fn shown(&self, context: &Context<'_>) -> String {
        if context.sensitive { "[secret]".to_owned() } else { self.command.trim_end().to_owned() }
    }

    fn printed(&self, output: Output, context: &Context<'_>) -> Output {
        if context.sensitive { Output { status: output.status, ..Output::default() } } else { output }
    }
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}
