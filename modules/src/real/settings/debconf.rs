//! Answers of debconf: its databases' own files for looks, read once; its programs for changes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::tool;
use crate::{Doing, Problem, node::Packages, real::Real};

/// Answers, and those of type `password` apart (debconf.conf(5)).
const ANSWERS: &str = "/var/cache/debconf/config.dat";
const PASSWORDS: &str = "/var/cache/debconf/passwords.dat";
/// The questions with their types.
const TEMPLATES: &str = "/var/cache/debconf/templates.dat";

/// How long another program may keep the databases locked.
const LOCKED: Duration = Duration::from_secs(120);

/// What was read of the databases; each again only where its file is another one.
#[derive(Default)]
pub(super) struct DebconfState {
    answers: Mutex<Table>,
    passwords: Mutex<Table>,
    templates: Mutex<Table>,
    /// The programs lock the databases and do not wait for each other.
    changing: Mutex<()>,
}

/// One database as it was read.
#[derive(Default)]
struct Table {
    /// Device, inode, size and time of the last change, nanoseconds.
    version: Option<(u64, u64, u64, i64, i64)>,
    stanzas: Arc<HashMap<String, Stanza>>,
}

/// What is of interest in a stanza of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stanza {
    /// `Value` of an answer.
    value: Option<String>,
    /// `Type` of a question.
    kind: Option<String>,
    /// The question whose type the answer has.
    template: Option<String>,
    seen: bool,
}

/// Reads stanzas as Debconf::Format::822 writes them: line breaks within values are `\n`.
fn parse(text: &str) -> HashMap<String, Stanza> {
    let mut stanzas = HashMap::new();
    let (mut name, mut stanza) = (None::<String>, Stanza::default());
    for line in text.split('\n').chain([""]) {
        if line.is_empty() {
            let whole = std::mem::take(&mut stanza);
            if let Some(name) = name.take() {
                stanzas.insert(name, whole);
            }
            continue;
        }
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix([' ', '\t']).unwrap_or(value);
        match key {
            "Name" => name = Some(value.to_owned()),
            "Value" => stanza.value = Some(value.replace("\\n", "\n")),
            "Type" => stanza.kind = Some(value.to_owned()),
            "Template" => stanza.template = Some(value.to_owned()),
            "Flags" => stanza.seen = value.split(',').any(|flag| flag.trim() == "seen"),
            _ => {}
        }
    }
    stanzas
}

/// The database now; empty where there is none.
fn table(path: &str, kept: &Mutex<Table>) -> io::Result<Arc<HashMap<String, Stanza>>> {
    // Poisoned: a thread panicked between two whole states.
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    let version = Some((meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()));
    if kept.version != version {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        kept.stanzas = Arc::new(parse(&String::from_utf8_lossy(&bytes)));
        kept.version = version;
    }
    Ok(kept.stanzas.clone())
}

/// The question of a key `PACKAGE QUESTION`.
fn split(key: &str) -> (&str, &str) {
    key.split_once(' ').unwrap_or(("", key))
}

pub(super) fn read(state: &DebconfState, key: &str) -> Result<Option<String>, Problem> {
    let (_, question) = split(key);
    let get = |path: &str, kept| table(path, kept).doing(format_args!("reading {path}"));
    let mut found = get(ANSWERS, &state.answers)?.get(question).cloned();
    if found.is_none() {
        found = get(PASSWORDS, &state.passwords)?.get(question).cloned();
    }
    let Some(answer) = found.filter(|answer| answer.seen) else { return Ok(None) };
    let templates = get(TEMPLATES, &state.templates)?;
    let template = templates.get(answer.template.as_deref().unwrap_or(question));
    let kind = template.and_then(|template| template.kind.as_deref()).unwrap_or("string");
    Ok(Some(format!("{kind} {}", answer.value.unwrap_or_default())))
}

pub(super) fn set(
    real: &Real,
    state: &DebconfState,
    key: &str,
    value: Option<&str>,
    deadline: Instant,
) -> Result<(), Problem> {
    let (package, question) = split(key);
    let _alone = state.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let (argv, input, secret) = match value {
        Some(value) => {
            let (kind, answer) = value.split_once(' ').unwrap_or((value, ""));
            let line = format!("{package} {question} {kind} {answer}\n");
            (vec!["debconf-set-selections"], line, kind == "password")
        }
        None => {
            // The question of a package that is there stays, unanswered; one that was only ever answered
            // ahead of its package goes.
            let there = real.package(package)?.is_some();
            let line = format!("{} {question}\n", if there { "RESET" } else { "UNREGISTER" });
            (vec!["debconf-communicate", package], line, false)
        }
    };
    let doing = format!("answering {question} of {package}");
    let until = deadline.min(Instant::now() + LOCKED);
    loop {
        let locked = match tool::run(real, &doing, &argv, Some(&input), deadline) {
            Ok(()) => return Ok(()),
            Err(problem) if is_locked(&problem) => problem,
            // What the program says of a password is nobody's to read.
            Err(_) if secret => {
                return Err(Problem::new(format!("{doing}: `debconf-set-selections` failed")));
            }
            Err(problem) => return Err(problem),
        };
        if Instant::now() >= until {
            return Err(Problem { output: None, ..locked }
                .hint("`fuser /var/cache/debconf/config.dat` on the node says which program has it"));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn is_locked(problem: &Problem) -> bool {
    let said = problem.output.as_ref().map_or("", |output| output.stderr.as_str());
    said.contains("is locked by another process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_read_as_debconf_writes_them() {
        let text = "Name: postfix/mailname\nTemplate: postfix/mailname\nValue: mail.example.org\nOwners: postfix\nFlags: seen\n\n\
                    Name: a/long\nTemplate: b/long\nValue: one\\ntwo: three\nOwners: a, b\nFlags: foo, seen\nVariables:\n value = Value: x\n Value: no = 1\n\n\
                    Name: a/none\nTemplate: a/none\nOwners: a\n\nName: a/empty\nValue: \nFlags: seen\nTemplate: a/empty";
        let found = parse(text);
        assert_eq!(found.len(), 4);
        assert_eq!(found["postfix/mailname"].value.as_deref(), Some("mail.example.org"));
        assert!(found["postfix/mailname"].seen);
        assert_eq!(found["a/long"].value.as_deref(), Some("one\ntwo: three"));
        assert_eq!((found["a/long"].template.as_deref(), found["a/long"].seen), (Some("b/long"), true));
        assert_eq!((found["a/none"].value.clone(), found["a/none"].seen), (None, false));
        assert_eq!(found["a/empty"].value.as_deref(), Some(""));
        let templates = parse("Name: a/b\nDescription: X\nType: select\nOwners: a/b\n\n");
        assert_eq!(templates["a/b"].kind.as_deref(), Some("select"));
    }

    #[test]
    fn a_database_is_read_again_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.dat");
        let path = path.to_str().unwrap();
        let kept = Mutex::default();
        assert!(table(path, &kept).unwrap().is_empty());
        std::fs::write(path, "Name: a\nValue: 1\n\n").unwrap();
        assert_eq!(table(path, &kept).unwrap()["a"].value.as_deref(), Some("1"));
        std::fs::write(path, "Name: a\nValue: 22\n\n").unwrap();
        assert_eq!(table(path, &kept).unwrap()["a"].value.as_deref(), Some("22"));
    }
}
