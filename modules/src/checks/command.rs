//! `command`: whether a command that only asks gives the answer it should.

use std::time::{Duration, Instant};

use super::{Check, Miss, ONE_LOOK, Probe, Seeing, seconds};
use crate::{
    AbsolutePath, Context, Int, Module, ParamError, Params, Problem, Resource, node::Command, params,
};

/// How much of an output a message shows, in characters.
const SHOWN: usize = 200;

params! {
    /// A command line, run by /bin/sh, ends and prints as it should. It must change nothing.
    pub struct CommandCheck = "command" {
        /// The command line.
        subject command: String,
        /// The exit statuses wanted.
        status: Vec<Int<0, 255>> = vec![Int(0)],
        /// Text its standard output must hold; of several, all.
        contains: Option<Vec<String>>,
        /// Its whole standard output, blanks and newlines at the end aside.
        stdout: Option<String>,
        /// Its whole standard error, blanks and newlines at the end aside.
        stderr: Option<String>,
        /// The directory it runs in; `/` otherwise.
        cwd: Option<AbsolutePath>,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &CommandCheck::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let check = CommandCheck::from_params(params)?;
    let within = check.within;
    Ok(Box::new(Check { probe: CommandProbe::new(check)?, within }))
}

/// Runs the command and judges its result.
#[derive(Clone, Debug)]
pub struct CommandProbe(CommandCheck);

impl CommandProbe {
    fn new(check: CommandCheck) -> Result<Self, ParamError> {
        if check.command.trim().is_empty() || check.command.contains('\0') {
            return Err(ParamError::new("command", "is no command line"));
        }
        Ok(Self(check))
    }

    /// A command line that must succeed.
    ///
    /// # Errors
    /// When it is empty.
    pub fn succeeds(line: String) -> Result<Self, ParamError> {
        Self::new(CommandCheck {
            command: line,
            status: vec![Int(0)],
            contains: None,
            stdout: None,
            stderr: None,
            cwd: None,
            within: None,
        })
    }
}

impl Probe for CommandProbe {
    fn subject(&self) -> String {
        format!("`{}`", self.0.command)
    }

    fn look(&self, context: &Context<'_>, limit: Duration) -> Result<Seeing, Problem> {
        let check = &self.0;
        // To be run again and again but never to its end would help nobody.
        let limit = limit.max(ONE_LOOK).min(context.remaining());
        let command = Command {
            cwd: check.cwd.as_ref().map(|cwd| cwd.0.clone()),
            run_as: context.run_as.map(str::to_owned),
            deadline: Instant::now() + limit,
            ..Command::query(&["/bin/sh", "-c", &check.command])
        };
        let finished = match context.node.run(&command) {
            Ok(finished) => finished,
            // Its directory or user may be yet to come.
            Err(error) => return Ok(Err(Miss::new("status", statuses(check), format!("not run ({error})")))),
        };
        let output = finished.output;
        let hidden = |text: String| if context.sensitive { "[secret]".to_owned() } else { text };
        if finished.timed_out {
            return Ok(Err(Miss::new(
                "status",
                statuses(check),
                format!("no end within {}", seconds(limit)),
            )));
        }
        if !check.status.iter().any(|status| status.0 == i64::from(output.status)) {
            let said = [&output.stderr, &output.stdout].into_iter().find(|text| !text.trim().is_empty());
            let said = said.map(|text| format!(" ({})", hidden(shorten(text)))).unwrap_or_default();
            return Ok(Err(Miss::new("status", statuses(check), format!("{}{said}", output.status))));
        }
        if let Some(text) =
            check.contains.iter().flatten().find(|text| !output.stdout.contains(text.as_str()))
        {
            let wanted = format!("something with {}", hidden(format!("{text:?}")));
            return Ok(Err(Miss::new("stdout", wanted, hidden(shorten(&output.stdout)))));
        }
        for (name, wanted, got) in
            [("stdout", &check.stdout, &output.stdout), ("stderr", &check.stderr, &output.stderr)]
        {
            if let Some(wanted) = wanted
                && wanted.trim_end() != got.trim_end()
            {
                return Ok(Err(Miss::new(name, hidden(shorten(wanted)), hidden(shorten(got)))));
            }
        }
        Ok(Ok(()))
    }
}

fn statuses(check: &CommandCheck) -> String {
    check.status.iter().map(|status| status.0.to_string()).collect::<Vec<_>>().join(" or ")
}

/// The beginning of an output, quoted.
fn shorten(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use cm_wire::{Mode, Value};

    use super::*;
    use crate::{Real, Seen, bench::context};

    fn look(line: &str, more: &[(&str, Value)]) -> Option<(String, String, String)> {
        let mut params: Params =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("command".into(), line.into());
        let real = Real::new();
        match compile(&params).unwrap().look(&context(&real, Mode::Verify)).unwrap() {
            Seen::AsWanted => None,
            Seen::Differs(changes) => {
                let change = changes.into_iter().next().unwrap();
                Some((change.attribute, change.before.unwrap(), change.after.unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn results_are_judged() {
        assert_eq!(look("true", &[]), None);
        assert_eq!(look("exit 3", &[("status", Value::List(vec![Value::Int(1), Value::Int(3)]))]), None);
        assert_eq!(look("echo a b", &[("contains", "b".into()), ("stdout", "a b".into())]), None);
        let three = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(look("echo no >&2; exit 1", &[]), three("status", "1 (\"no\")", "0"));
        assert_eq!(
            look("echo a", &[("contains", "b".into())]),
            three("stdout", "\"a\"", "something with \"b\"")
        );
        assert_eq!(look("echo a", &[("stdout", "b\n".into())]), three("stdout", "\"a\"", "\"b\""));
        assert_eq!(look("echo a >&2", &[("stderr", "".into())]), three("stderr", "\"a\"", "\"\""));
        let missing = look("true", &[("cwd", "/no/such/place".into())]);
        assert_eq!(
            missing,
            three("status", "not run (its working directory /no/such/place is not there)", "0")
        );
    }
}
