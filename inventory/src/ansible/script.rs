//! Executable inventories: `--list`, and `--host NAME` for each host where the list has no `_meta`.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cm_syntax::{Diagnostic, Diagnostics, Sources, Span};
use serde_json::Value;

use super::program::{self, Limits, ProgramError};
use super::{json, world::World};

/// Limits of one call.
const LIMITS: Limits = Limits { time: Duration::from_secs(120), output: 64 << 20 };
/// Calls of `--host` at a time.
const AT_A_TIME: usize = 16;

/// Runs the inventory and reads what it prints.
pub(crate) fn read(
    sources: &Sources,
    root: &Path,
    file: &Path,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) {
    let program = root.join(file);
    let span = Span::new(sources.add(file, String::new()), 0, 0);
    let ask = |arguments: &[&str]| -> Result<Value, Box<Diagnostic>> {
        let mut words = vec![program.display().to_string()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let told = format!("the inventory `{}` gave no hosts", file.display());
        let output = program::run(&words, root, LIMITS).map_err(|error| failed(&told, &error))?;
        if output.iter().all(u8::is_ascii_whitespace) && arguments.first() == Some(&"--host") {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output).map_err(|error| {
            let cause =
                format!("what `{} {}` prints is not JSON: {error}", file.display(), arguments.join(" "));
            Box::new(Diagnostic::error(told).caused_by(cause))
        })
    };
    let list = match ask(&["--list"]) {
        Ok(list) => list,
        Err(diagnostic) => return diagnostics.push(*diagnostic),
    };
    let listed = json::read_list(&list, span, world, diagnostics);
    if listed.with_variables || listed.hosts.is_empty() {
        return;
    }
    let mut hosts = listed.hosts;
    hosts.sort();
    hosts.dedup();
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(hosts.len())));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(hosts.len()) {
            scope.spawn(|| {
                while let Some(host) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = ask(&["--host", host]);
                    let ends = answer.is_err();
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((host, answer));
                    }
                    if ends {
                        // One that fails is enough to know; the others are not asked.
                        next.store(hosts.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_default();
    answers.sort_by_key(|(host, _)| *host);
    for (host, answer) in answers {
        match answer {
            Ok(variables) => json::read_host(host, &variables, span, world, diagnostics),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
}

/// What a program's failure looks like.
pub(crate) fn failed(message: &str, error: &ProgramError) -> Box<Diagnostic> {
    let mut diagnostic = Diagnostic::error(message).caused_by(error.to_string());
    if let Some(source) = std::error::Error::source(error) {
        diagnostic = diagnostic.caused_by(source.to_string());
    }
    for line in error.told().into_iter().flat_map(str::lines).take(10) {
        diagnostic = diagnostic.caused_by(line);
    }
    Box::new(diagnostic)
}
