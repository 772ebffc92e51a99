//! Runs tasks on this machine, one after the other, as the agent would: to try a module by hand on a host
//! of the lab.
//!
//! `try_tasks plan|apply|look TASK [-- TASK]…` where a task is `MODULE SUBJECT [KEY=VALUE]…`; a value `@FILE` is
//! a content, `true` and `false` are bools, `notice=restart:ID` asks a service for a restart. Tasks of one
//! batch that follow each other are changed together. TRY_SECONDS is the time limit of each (300).
#![expect(clippy::print_stdout, reason = "a command speaks to its user")]
#![expect(clippy::disallowed_methods, reason = "reads the contents that its user names")]

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use cm_modules::{
    Contents, Context, Effect, Node, Overlay, Params, Prefetch, Problem, Real, Resource, Seen, node::Content,
    registry,
};
use cm_wire::{ContentRef, Digest, Mode, Notice, Value};

/// Contents read from the files that were named.
#[derive(Default)]
struct Files(BTreeMap<Digest, Vec<u8>>);

impl Contents for Files {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        self.0
            .get(digest)
            .map(|bytes| Content::Bytes(bytes.clone()))
            .ok_or_else(|| Problem::new("there is no such content"))
    }
}

struct Task {
    id: String,
    resource: Box<dyn Resource>,
    notices: Vec<(Notice, String)>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((mode, words)) = words.split_first() else {
        println!("usage: try_tasks plan|apply|look MODULE SUBJECT [KEY=VALUE]… [-- MODULE …]");
        return ExitCode::FAILURE;
    };
    let mut files = Files::default();
    let mut tasks = Vec::new();
    for words in words.split(|word| word == "--") {
        match read_task(words, &mut files) {
            Ok(task) => tasks.push(task),
            Err(error) => {
                println!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let real = Real::new();
    let overlay = Overlay::new(&real);
    let (node, mode): (&dyn Node, Mode) = match mode.as_str() {
        "plan" => (&overlay, Mode::Plan),
        "apply" => (&real, Mode::Apply),
        _ => (&real, Mode::Verify),
    };
    if run(node, mode, &tasks, &files) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read_task(words: &[String], files: &mut Files) -> Result<Task, String> {
    let [module, subject, rest @ ..] = words else { return Err("a task is MODULE SUBJECT".into()) };
    let found = registry::find(module).ok_or_else(|| format!("no module `{module}`"))?;
    let mut params = Params::from([(found.schema.subject.name.to_owned(), Value::Text(subject.clone()))]);
    let mut notices = Vec::new();
    for word in rest {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not KEY=VALUE"))?;
        if key == "notice" {
            let (kind, because) = value.split_once(':').unwrap_or((value, "hand"));
            let notice = if kind == "restart" { Notice::Restart } else { Notice::Reload };
            notices.push((notice, because.to_owned()));
            continue;
        }
        let value = match value.strip_prefix('@') {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
                let content = ContentRef { digest: Digest::of(&bytes), size: bytes.len() as u64 };
                files.0.insert(content.digest, bytes);
                Value::Content(content)
            }
            None => match value {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => Value::Text(text.to_owned()),
            },
        };
        params.insert(key.to_owned(), value);
    }
    let resource = registry::compile(module, &params).map_err(|error| error.to_string())?;
    Ok(Task { id: format!("{module}:{subject}"), resource, notices })
}

fn run(node: &dyn Node, mode: Mode, tasks: &[Task], files: &Files) -> bool {
    let limit = std::env::var("TRY_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let limit = Duration::from_secs(limit);
    let context = |task: &Task, notices: bool, at_start: bool| Context {
        node,
        mode,
        contents: files,
        diff: true,
        sensitive: false,
        at_start,
        disturbed: false,
        notices: if notices { Box::leak(task.notices.clone().into_boxed_slice()) } else { &[] },
        edits: &[],
        deadline: Instant::now() + limit,
        run_as: None,
        live: &|_, _| {},
        stopping: &|| false,
    };
    let started = Instant::now();
    let mut wants = Prefetch::default();
    tasks.iter().for_each(|task| task.resource.prefetch(&mut wants));
    node.prefetch(&wants);
    let mut differing = Vec::new();
    let mut good = true;
    for task in tasks {
        let seen = task.resource.look(&context(task, true, true));
        good &= tell(&task.id, "", &seen);
        if seen.is_ok_and(|seen| seen != Seen::AsWanted) {
            differing.push(task);
        }
    }
    println!("looked at {} tasks in {:?}", tasks.len(), started.elapsed());
    if mode == Mode::Verify {
        return good;
    }
    let mut rest = differing.as_slice();
    while let Some(first) = rest.first() {
        let batch = first.resource.batch();
        let together =
            1 + rest[1..].iter().take_while(|task| batch.is_some() && task.resource.batch() == batch).count();
        let others: Vec<&dyn Resource> =
            rest[1..together].iter().map(|task| task.resource.as_ref()).collect();
        let started = Instant::now();
        let results = first.resource.change_together(&others, &context(first, true, false));
        println!("changed {together} together in {:?}", started.elapsed());
        for (task, result) in rest[..together].iter().zip(results) {
            good &= tell_change(task, result, &context(task, false, false));
        }
        rest = &rest[together..];
    }
    good
}

fn tell_change(task: &Task, result: Result<Effect, Problem>, context: &Context<'_>) -> bool {
    match result {
        Err(problem) => tell(&task.id, "change ", &Err(problem)),
        Ok(effect) => {
            effect.notes.iter().for_each(|note| println!("{}: note: {note}", task.id));
            let seen = task.resource.look(context);
            tell(&task.id, "again ", &seen) && seen == Ok(Seen::AsWanted)
        }
    }
}

fn tell(id: &str, what: &str, seen: &Result<Seen, Problem>) -> bool {
    match seen {
        Ok(Seen::Differs(changes)) => {
            for change in changes {
                println!("{id}: {what}{} {:?} -> {:?}", change.attribute, change.before, change.after);
                if let Some(diff) = &change.diff {
                    print!("{diff}");
                }
            }
            true
        }
        Ok(seen) => {
            println!("{id}: {what}{seen:?}");
            true
        }
        Err(problem) => {
            println!("{id}: {what}FAILED {}", problem.message);
            if let Some(output) = &problem.output {
                let lines = output.stdout.lines().chain(output.stderr.lines());
                lines.for_each(|line| println!("    {line}"));
            }
            if let Some(hint) = &problem.hint {
                println!("  hint: {hint}");
            }
            false
        }
    }
}
