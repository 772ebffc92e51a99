//! Every system call that writes fails or is the last one: strace(1) injects the failure or the kill into a
//! process of its own that runs one task on real files. Then every file is whole, the next run converges,
//! and no temporary file is left.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use cm_wire::Value;
use tempfile::NamedTempFile;

use crate::{
    case::{Case, Where, content_of},
    lone_task, over_cases,
    play::Play,
    snapshot::{Snapshot, contents, difference},
    stage::Stage,
};

/// What changes a file system or what it holds, as strace 5.10 and later know it on every architecture.
const WRITING: &str = "?open,?creat,openat,openat2,write,pwrite64,writev,ftruncate,?truncate,fallocate,fsync,\
    fdatasync,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,?symlink,symlinkat,?link,linkat,\
    ?chmod,fchmod,fchmodat,?chown,fchown,?lchown,fchownat,fsetxattr,setxattr,lsetxattr,fremovexattr,\
    removexattr,utimensat,?copy_file_range,sendfile,mknodat";

/// A system call of the one process that is traced.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    name: String,
    /// Which call of this name it is, from 1.
    number: usize,
}

/// Whether it can be done here.
fn can_trace() -> bool {
    let probe =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        return true;
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI wants all tests to run: strace cannot trace a process here");
    // A closed standard error hides the line, and nothing else.
    let _ = writeln!(std::io::stderr(), "\nskipped: strace is missing or may not trace");
    false
}

#[test]
fn every_system_call_may_fail_or_be_the_last() {
    if !can_trace() {
        return;
    }
    over_cases(&[Where::Tree], |module, case, _| {
        if case.foreign && case.name != "sh-value" {
            // What a program does is not traced, and around it the same calls are made for each.
            return Vec::new();
        }
        let setting = Setting::new(module, case);
        let undisturbed = match setting.undisturbed() {
            Ok(undisturbed) => undisturbed,
            Err(broken) => return vec![broken],
        };
        let mut broken = Vec::new();
        for call in &undisturbed.calls {
            for fault in ["error=EIO", "error=ENOSPC", "signal=KILL"] {
                let found = setting.disturbed(call, fault, &undisturbed);
                broken.extend(
                    found
                        .into_iter()
                        .map(|text| format!("{} number {} {fault}: {text}", call.name, call.number)),
                );
            }
        }
        broken
    });
}

/// A run without faults.
struct Undisturbed {
    /// Its calls that may have changed something, in order.
    calls: Vec<Call>,
    /// What it leaves.
    wanted: Snapshot,
    /// All contents that files may have at any time.
    whole: Vec<Vec<u8>>,
}

/// A case that is run by a process of its own, again and again.
struct Setting<'a> {
    module: &'a str,
    case: &'a Case,
}

impl<'a> Setting<'a> {
    fn new(module: &'a str, case: &'a Case) -> Self {
        Self { module, case }
    }

    /// The task in a file that the program reads.
    fn task(&self, case: &Case) -> NamedTempFile {
        let mut given = Vec::new();
        case.params.values().for_each(|value| collect(value, &mut given));
        let task: lone_task::Task = (self.module.to_owned(), case.params.clone(), given);
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&cm_wire::encode(&task).unwrap()).unwrap();
        file
    }

    /// Runs it to its end.
    fn undisturbed(&self) -> Result<Undisturbed, String> {
        let (stage, case) = Stage::of(Where::Tree, "case", self.case);
        let task = self.task(&case);
        let log = NamedTempFile::new().unwrap();
        let old = contents(stage.node(), &stage.base);
        let trace = format!("trace={WRITING}");
        let file = log.path().to_str().expect("temporary folders are named in text");
        let strace = ["strace", "-qq", "-e", &trace, "-o", file];
        let status =
            lone_task::command(&strace, task.path()).status().map_err(|error| format!("strace: {error}"))?;
        let text = fs::read(log.path()).map_err(|error| error.to_string());
        if !status.success() {
            return Err(format!("the undisturbed run ends with {status}"));
        }
        let new = contents(stage.node(), &stage.base);
        let whole = old.into_values().chain(new.into_values()).collect();
        Ok(Undisturbed {
            calls: calls(&String::from_utf8_lossy(&text?)),
            wanted: relative(&self.state(&stage, &case), &stage.root),
            whole,
        })
    }

    fn state(&self, stage: &Stage, case: &Case) -> Snapshot {
        Play::new(self.module, stage, case).snapshot(&[])
    }

    /// What is broken when this call fails or is never made.
    fn disturbed(&self, call: &Call, fault: &str, undisturbed: &Undisturbed) -> Vec<String> {
        let (stage, case) = Stage::of(Where::Tree, "case", self.case);
        let task = self.task(&case);
        let inject = format!("inject={}:{fault}:when={}", call.name, call.number);
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &inject];
        let cut = lone_task::command(&strace, task.path()).stderr(Stdio::null()).status().unwrap();
        let mut broken = Vec::new();
        if cut.code() == Some(lone_task::NOT_CONVERGED) {
            broken.push("the run does not see that it failed".to_owned());
        }
        for (path, content) in contents(stage.node(), &stage.base) {
            if !undisturbed.whole.contains(&content) && !is_temporary(&path) {
                broken.push(format!("{} is half written: {}", path.display(), content.escape_ascii()));
            }
        }
        let next = lone_task::command(&[], task.path()).status().unwrap();
        if !next.success() {
            broken.push(format!("the next run ends with {next}"));
        }
        let left = difference(&undisturbed.wanted, &relative(&self.state(&stage, &case), &stage.root));
        if !left.is_empty() {
            broken.push(format!("the next run ends otherwise: {left:#?}"));
        }
        broken
    }
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".cm-") && name.ends_with(".tmp")
}

fn relative(snapshot: &Snapshot, root: &Path) -> Snapshot {
    let root = root.to_string_lossy().into_owned();
    snapshot.iter().map(|(name, state)| (name.replace(&root, ""), state.replace(&root, ""))).collect()
}

/// All contents that a parameter names.
fn collect(value: &Value, given: &mut Vec<Vec<u8>>) {
    match value {
        Value::Content(content) => given.extend(content_of(&content.digest)),
        Value::Tree(entries) => {
            for entry in entries {
                if let cm_wire::TreeKind::File { content, .. } = &entry.kind {
                    given.extend(content_of(&content.digest));
                }
            }
        }
        Value::List(values) => values.iter().for_each(|value| collect(value, given)),
        Value::Map(values) => values.values().for_each(|value| collect(value, given)),
        _ => {}
    }
}

/// The calls of a log that may have changed something.
fn calls(log: &str) -> Vec<Call> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((name, arguments)) = line.split_once('(') else { continue };
        let number = numbers.entry(name).or_default();
        *number += 1;
        let opens = name.starts_with("open");
        let writes =
            !opens || ["O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag));
        if writes {
            found.push(Call { name: name.to_owned(), number: *number });
        }
    }
    found
}

#[test]
fn calls_are_counted_by_name_and_openings_count_where_they_make_something() {
    let log = "openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3\n\
               openat(5, \".cm-1.tmp\", O_RDWR|O_CREAT|O_EXCL, 0600) = 6\n\
               write(6, \"x\", 1) = 1\nwrite(6, \"y\", 1) = 1\n";
    let found: Vec<String> = calls(log).iter().map(|call| format!("{} {}", call.name, call.number)).collect();
    assert_eq!(found, ["openat 2", "write 1", "write 2"]);
}
