//! Hosts from elsewhere: `sources:` of our own files, each a command or an HTTP address that gives JSON.
//!
//! All sources are asked at once. What came is kept in `.cm/sources/`: for as long as `cache` says it is used without
//! asking, and after a failure where `stale: allowed` says so.

mod copy;
mod spec;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cm_syntax::{Diagnostic, Diagnostics, Sources, parse_collecting};
use serde_json::Value;

pub(crate) use spec::{Format, Kind, Spec, read as read_specs};

use crate::ansible::{World, json, program, script};
use crate::draft::Draft;
use crate::native;
use copy::Copy;

/// Bytes one source may give.
const LARGEST: usize = 32 << 20;

/// Gives a secret of the repository by its name; none where there is none of it.
pub type GiveSecret<'a> = dyn Fn(&str) -> Option<Result<String, Box<Diagnostic>>> + 'a;

/// What is needed to ask a source, its secrets put in.
struct Call {
    kind: Ready,
    timeout: Duration,
}

enum Ready {
    Command(Vec<String>),
    Http { url: String, headers: Vec<(String, String)> },
}

/// What a source gave, and how old that is where it did not just give it.
struct Given {
    value: Value,
    warning: Option<Diagnostic>,
}

/// Asks all sources and adds what they give.
pub(crate) fn read(
    specs: &[Spec],
    root: &Path,
    secret: &GiveSecret<'_>,
    sources: &Sources,
    (draft, world): (&mut Draft, &mut World),
    diagnostics: &mut Diagnostics,
) {
    let ready: Vec<Result<Call, Box<Diagnostic>>> =
        specs.iter().map(|spec| call(spec, root, secret)).collect();
    let given: Vec<Result<Given, Box<Diagnostic>>> = std::thread::scope(|scope| {
        let asked: Vec<_> = specs
            .iter()
            .zip(ready)
            .map(|(spec, call)| scope.spawn(move || ask(spec, root, &call?)))
            .collect();
        let bug = || Err(Box::new(Diagnostic::error("a source of hosts could not be asked")));
        asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bug())).collect()
    });
    for (spec, given) in specs.iter().zip(given) {
        match given {
            Ok(Given { value, warning }) => {
                diagnostics.extend(warning);
                take(spec, &value, sources, (draft, world), diagnostics);
            }
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
}

fn call(spec: &Spec, root: &Path, secret: &GiveSecret<'_>) -> Result<Call, Box<Diagnostic>> {
    let kind = match &spec.kind {
        Kind::Command(words) => {
            let mut words = words.clone();
            // A path is one from the top of the repository, wherever `cm` was started.
            if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
                *program = root.join(&*program).display().to_string();
            }
            Ready::Command(words)
        }
        Kind::Http { url, headers } => {
            let headers =
                headers.iter().map(|(name, value)| Ok((name.clone(), spec::filled(value, secret)?)));
            Ready::Http { url: url.clone(), headers: headers.collect::<Result<_, Box<Diagnostic>>>()? }
        }
    };
    Ok(Call { kind, timeout: spec.timeout })
}

/// Asks a source, or takes its copy.
fn ask(spec: &Spec, root: &Path, call: &Call) -> Result<Given, Box<Diagnostic>> {
    let copy = Copy::of(root, &spec.name());
    let kept = copy.as_ref().and_then(Copy::read);
    if let Some((text, age)) = &kept
        && *age < spec.cache
        && let Ok(value) = serde_json::from_slice(text)
    {
        return Ok(Given { value, warning: None });
    }
    let failure = match fetch(spec, root, call) {
        Ok((text, value)) => {
            let warning = copy.and_then(|copy| copy.write(&text).err()).map(|error| {
                Diagnostic::warning("what a source gave could not be kept")
                    .at(spec.span, "")
                    .caused_by(error.to_string())
            });
            return Ok(Given { value, warning });
        }
        Err(failure) => failure,
    };
    let Some((text, age)) = kept else { return Err(failure) };
    let age = copy::shown(age);
    match serde_json::from_slice(&text) {
        Ok(value) if spec.stale => {
            let mut warning =
                Diagnostic::warning(format!("hosts of {age} ago are used: {}", failure.message));
            (warning.primary, warning.causes) = (failure.primary, failure.causes);
            Ok(Given { value, warning: Some(warning) })
        }
        _ => Err(Box::new(
            failure.hint(format!("what it gave {age} ago is kept; `stale: allowed` would use that")),
        )),
    }
}

/// Asks a source and checks that it gave JSON.
fn fetch(spec: &Spec, root: &Path, call: &Call) -> Result<(Vec<u8>, Value), Box<Diagnostic>> {
    let message = format!("{} gave no hosts", spec.name());
    let failed = |cause: String| {
        Box::new(Diagnostic::error(message.clone()).at(spec.span, "this source").caused_by(cause))
    };
    let text = match &call.kind {
        Ready::Command(words) => {
            let limits = program::Limits { time: call.timeout, output: LARGEST };
            program::run(words, root, limits).map_err(|error| {
                let mut diagnostic = script::failed(&message, &error);
                *diagnostic = diagnostic.at(spec.span, "this source");
                diagnostic
            })?
        }
        Ready::Http { url, headers } => {
            let request = cm_fetch::Request { url, headers, timeout: call.timeout, limit: LARGEST };
            let answer = cm_fetch::get(&request).map_err(|error| {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                failed(cause)
            })?;
            if !(200..300).contains(&answer.status) {
                return Err(failed(format!("it answered with status {}", answer.status)));
            }
            answer.body
        }
    };
    match serde_json::from_slice::<Value>(&text) {
        Ok(value) if value.is_object() => Ok((text, value)),
        Ok(_) => Err(failed("what it gave is no JSON object".to_owned())),
        Err(error) => Err(failed(format!("what it gave is not JSON: {error}"))),
    }
}

/// Adds what a source gave.
fn take(
    spec: &Spec,
    value: &Value,
    sources: &Sources,
    (draft, world): (&mut Draft, &mut World),
    diagnostics: &mut Diagnostics,
) {
    let ours = || {
        let known = ["hosts", "groups", "defaults"];
        value.as_object().is_some_and(|keys| {
            keys.keys().all(|key| known.contains(&key.as_str()))
                && keys.values().all(Value::is_object)
                && !keys.is_empty()
        })
    };
    let format = spec.format.unwrap_or_else(|| if ours() { Format::Cm } else { Format::Ansible });
    if format == Format::Ansible {
        json::read_list(value, spec.span, world, diagnostics);
        return;
    }
    // Written anew, it is YAML as well: JSON's own escapes are gone. Places in it are lines a person can look up.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let file = sources.add(PathBuf::from(spec.name()), text);
    let Some(root) = parse_collecting(sources, file, diagnostics) else { return };
    let before = draft.sources.len();
    native::read(sources, &root, draft, diagnostics);
    if draft.sources.len() > before {
        draft.sources.truncate(before);
        diagnostics
            .push(Diagnostic::error("a source of hosts cannot name others").at(spec.span, "this source"));
    }
}

#[cfg(test)]
mod tests;
