//! One call of a module's program: the request on its standard input, the answer on its standard output.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cm_wire::{Digest, Mode, Output, Stream, Value};
use serde::{Deserialize, Serialize};

use super::{Answer, PROTOCOL, Verb, read_answer};
use crate::{
    Doing, Node, Problem, json,
    node::{Command, FileKind, Finished, Live},
};

/// How often a program that is still open for writing is tried again. It was written by this process and
/// closed, but a child that another thread has just forked may hold it open until it becomes its own program.
const BUSY_TRIES: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of an interpreter's line (`#!`).
const INTERPRETER_LIMIT: usize = 256;
/// Characters of an answer that is no JSON, as it is shown.
const SHOWN: usize = 200;

/// All that is needed to ask a module about one thing: kept in the journal, so that what a run has changed can
/// be taken back when the repository knows the module no more. New fields are added at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The module's name.
    pub module: String,
    /// Where its program is on the node.
    pub program: String,
    /// The program's digest.
    pub digest: Digest,
    /// The task's parameters with their defaults.
    pub params: BTreeMap<String, Value>,
    /// Seconds that a call may take; 0: ten minutes.
    pub timeout: u32,
    /// Whose rights it runs with; none: the agent's own.
    pub run_as: Option<String>,
    /// It takes the thing away: to bring it back, what it rests on must be there again.
    pub removes: bool,
    /// Whether the program has the verb `undo`.
    pub has_undo: bool,
    /// Its state is not shown.
    pub hidden: bool,
}

impl Call {
    /// When a call that begins now must have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let seconds = if self.timeout == 0 { 600 } else { self.timeout };
        Instant::now() + Duration::from_secs(seconds.into())
    }
}

/// What is asked.
pub(crate) struct Asking<'a> {
    pub verb: Verb,
    pub mode: Mode,
    /// What `undo` brings back, as JSON.
    pub state: Option<&'a str>,
    pub deadline: Instant,
    /// Takes what the program says on its standard error.
    pub live: Option<Live<'a>>,
    /// What the program prints is not shown.
    pub hidden: bool,
}

/// Asks a module's program.
///
/// # Errors
/// Whatever keeps it from giving an answer, or the error it answers with.
pub(crate) fn ask(node: &dyn Node, call: &Call, asking: &Asking<'_>) -> Result<Answer, Problem> {
    let what = format!("`{}` of module `{}`", asking.verb.word(), call.module);
    check_program(node, call)?;
    let request = request(call, asking)?;
    let only_errors = |stream: Stream, text: &str| {
        if let (Stream::Stderr, Some(live)) = (stream, asking.live) {
            live(stream, text);
        }
    };
    let command = Command {
        stdin: Some(request.into_bytes()),
        run_as: call.run_as.clone(),
        live: asking.live.is_some().then_some(&only_errors),
        changes: asking.verb != Verb::Look,
        foreign: true,
        deadline: asking.deadline,
        ..Command::query(&[&call.program])
    };
    let finished = run(node, &command).map_err(|error| not_started(node, call, &what, &error))?;
    judge(finished, asking, &what)
}

/// The program must be the one that the controller sent, whoever else could reach it since.
fn check_program(node: &dyn Node, call: &Call) -> Result<(), Problem> {
    let path = Path::new(&call.program);
    let doing = || format!("reading the program of module `{}` at {}", call.module, call.program);
    let wrong = |how: &str| {
        Err(Problem::new(format!("the program of module `{}` at {} {how}", call.module, call.program)).hint(
            "nothing was run; remove the file, and the next run sends it again (what an earlier version changed \
             may have to be taken back by hand)",
        ))
    };
    let Some(stat) = node.stat(path).doing(doing())? else { return wrong("is gone") };
    if stat.kind != FileKind::File || stat.uid != node.own_ids().0 || stat.mode & 0o022 != 0 {
        return wrong("is not a file that only this user can write");
    }
    if node.digest(path).doing(doing())? != call.digest {
        return wrong("is not what was sent");
    }
    Ok(())
}

fn run(node: &dyn Node, command: &Command<'_>) -> io::Result<Finished> {
    let mut tries = 0;
    loop {
        match node.run(command) {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// One value a line, each parameter on a line of its own: a shell can take it apart with sed(1).
fn request(call: &Call, asking: &Asking<'_>) -> Result<String, Problem> {
    let mode = match asking.mode {
        Mode::Plan => "plan",
        Mode::Apply => "apply",
        Mode::Verify => "verify",
    };
    let mut text = format!(
        "{{\n  \"protocol\": {PROTOCOL},\n  \"verb\": \"{}\",\n  \"module\": {},\n  \"mode\": \"{mode}\",\n  \"params\": {{",
        asking.verb.word(),
        json::write(&Value::Text(call.module.clone())),
    );
    for (place, (name, value)) in call.params.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\n    \"{name}\": {}", json::write(value)));
    }
    text.push_str("\n  }");
    if let Some(state) = asking.state {
        // It is in the journal as it was written by `json::write`.
        let state = json::read(state).map_err(|_| {
            Problem::new(format!("the former state of module `{}` in the journal is no JSON", call.module))
        })?;
        text.push_str(&format!(",\n  \"state\": {}", json::write(&state)));
    }
    text.push_str("\n}\n");
    Ok(text)
}

fn not_started(node: &dyn Node, call: &Call, what: &str, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("{what} cannot be started: {error}"));
    match error.kind() {
        ErrorKind::NotFound => match interpreter(node, call) {
            Some(interpreter) if !node.stat(&interpreter).is_ok_and(|stat| stat.is_some()) => {
                let shown = interpreter.display();
                Problem::new(format!("{what} cannot be started: its interpreter {shown} is not on the node")).hint(
                    "a task that installs it must come before this one; `programs` in the module's declaration \
                     says so for all tasks",
                )
            }
            _ => problem,
        },
        ErrorKind::PermissionDenied => problem.hint(format!(
            "{} must be on a file system that is not mounted `noexec`",
            Path::new(&call.program).parent().unwrap_or(Path::new("/")).display()
        )),
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => problem
            .hint("it is a program for another kind of machine, or a script without `#!` in its first line"),
        _ => problem,
    }
}

/// What the program's first line names.
fn interpreter(node: &dyn Node, call: &Call) -> Option<PathBuf> {
    let bytes = node.read(Path::new(&call.program), 1 << 20).ok()?;
    let line = bytes.strip_prefix(b"#!")?;
    let line = line.split(|&byte| byte == b'\n').next().filter(|line| line.len() < INTERPRETER_LIMIT)?;
    let line = String::from_utf8_lossy(line);
    Some(PathBuf::from(line.split_whitespace().next()?))
}

fn judge(finished: Finished, asking: &Asking<'_>, what: &str) -> Result<Answer, Problem> {
    let Finished { output, timed_out } = finished;
    let told = Output {
        status: output.status,
        stdout: String::new(),
        stderr: if asking.hidden { String::new() } else { output.stderr },
    };
    if timed_out {
        return Err(Problem::new(format!("{what} did not end in time and was killed"))
            .hint("`timeout` on the task, or in the module's declaration, gives it more time")
            .output(told));
    }
    let answer = read_answer(asking.verb, &output.stdout);
    match (output.status, answer) {
        (_, Ok(Err(refused))) => {
            let problem = match refused.hint {
                Some(hint) => Problem::new(refused.error).hint(hint),
                None => Problem::new(refused.error),
            };
            let told = if told.stderr.is_empty() { None } else { Some(Box::new(told)) };
            Err(Problem { output: told, ..problem })
        }
        (0, Ok(Ok(answer))) => Ok(answer),
        (status, _) if (129..=128 + 64).contains(&status) => {
            Err(Problem::new(format!("{what} ended with status {status}: killed by signal {}", status - 128))
                .output(told))
        }
        (0, Err(wrong)) => {
            let mut problem = Problem::new(format!("the answer of {what} {wrong}"));
            if !asking.hidden && !output.stdout.trim().is_empty() {
                let begin: String = output.stdout.trim().chars().take(SHOWN).collect();
                problem = problem.hint(format!(
                    "it begins: {begin:?}; whatever else a program prints belongs on standard error"
                ));
            }
            Err(problem.output(told))
        }
        (status, _) => Err(Problem::new(format!("{what} exited with status {status}"))
            .hint("a program says what is wrong with {\"error\": …, \"hint\": …} as its answer")
            .output(told)),
    }
}
