//! Who or what may have changed a thing, and when, as far as the node tells it cheaply: times and owner of a file,
//! the package manager's logs, systemd's time stamps.

use std::{
    fs::{File, Metadata},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use cm_modules::{
    Node,
    former::Item,
    node::{Command, Finished},
};
use cm_wire::Trace;

/// Things of one task that are asked about.
const THINGS: usize = 8;
/// Bytes of a log that are read, from its end.
const LOG: u64 = 256 * 1024;

const DPKG_LOG: &str = "/var/log/dpkg.log";
const APT_HISTORY: &str = "/var/log/apt/history.log";

/// The traces of these things; those that tell nothing are left out.
#[must_use]
pub fn of(node: &dyn Node, items: &[Item]) -> Vec<Trace> {
    items.iter().take(THINGS).filter_map(|item| one(node, item)).collect()
}

fn one(node: &dyn Node, item: &Item) -> Option<Trace> {
    let mut trace = Trace { item: item.to_string(), ..Trace::default() };
    match item {
        Item::Path(_) => {
            let path = item.path()?;
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) => times(&mut trace, &metadata, node),
                Err(_) => {
                    // Gone: its folder was changed then, or later.
                    let folder = path.parent()?;
                    trace.modified = seconds(std::fs::symlink_metadata(folder).ok()?.mtime());
                    trace.log = Some(format!("gone; the time is that of {}", folder.display()));
                }
            }
        }
        Item::Package(name) => {
            let text = tail(Path::new(DPKG_LOG))?;
            let line = dpkg_line(&text, name)?;
            let who = tail(Path::new(APT_HISTORY)).and_then(|text| apt_command(&text, name));
            trace.log = Some(match who {
                Some(who) => format!("dpkg.log: {line} ({who})"),
                None => format!("dpkg.log: {line}"),
            });
        }
        Item::Unit(name) => trace.log = Some(unit_line(node, name)?),
        Item::User(_) => times_of_file(&mut trace, "/etc/passwd", node)?,
        Item::Group(_) => times_of_file(&mut trace, "/etc/group", node)?,
        Item::Setting(..) => return None,
    }
    Some(trace)
}

fn times(trace: &mut Trace, metadata: &Metadata, node: &dyn Node) {
    trace.modified = seconds(metadata.mtime());
    trace.changed = seconds(metadata.ctime());
    trace.owner = Some(node.user_name(metadata.uid()));
}

/// The file that holds an account was changed then, or later.
fn times_of_file(trace: &mut Trace, file: &str, node: &dyn Node) -> Option<()> {
    times(trace, &std::fs::symlink_metadata(file).ok()?, node);
    trace.owner = None;
    trace.log = Some(format!("the times are those of {file}"));
    Some(())
}

fn seconds(time: i64) -> Option<u64> {
    u64::try_from(time).ok()
}

/// The end of a log, from the first whole line on.
fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(if length > LOG { text.split_once('\n')?.1.to_owned() } else { text })
}

/// The last line of dpkg's log that tells of a change of a package: `2026-11-23 00:01:02 remove nginx:amd64 1.22-3 <none>`.
fn dpkg_line<'a>(text: &'a str, package: &str) -> Option<&'a str> {
    text.lines().rev().find(|line| {
        let mut words = line.split(' ').skip(2);
        let action = words.next().unwrap_or_default();
        let name = words.next().and_then(|word| word.split(':').next());
        matches!(action, "install" | "upgrade" | "remove" | "purge") && name == Some(package)
    })
}

/// What apt's history says of the last command about a package: the command, and who asked for it.
fn apt_command(text: &str, package: &str) -> Option<String> {
    let of = format!(" {package}:");
    let stanza = text.split("\n\n").filter(|stanza| stanza.contains(&of)).last()?;
    let field = |name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let command = field("Commandline:")?;
    Some(match field("Requested-By:") {
        Some(who) => format!("{command}, by {who}"),
        None => command,
    })
}

/// When systemd saw a unit change its state last. Of one that it has forgotten since, because it is stopped and
/// nothing refers to it, the last line of its log.
fn unit_line(node: &dyn Node, unit: &str) -> Option<String> {
    let shown = ask(node, &["systemctl", "show", "--property=ActiveState,StateChangeTimestamp", "--", unit])?;
    let value = |name: &str| {
        let mut lines = shown.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    };
    let state = value("ActiveState")?;
    if let Some(since) = value("StateChangeTimestamp") {
        return Some(format!("systemd: {state} since {since}"));
    }
    let said = ask(
        node,
        &["journalctl", "--quiet", "--no-pager", "--lines=1", "--output=short-iso", "--unit", unit],
    )?;
    let last = said.lines().last().filter(|line| !line.is_empty())?;
    Some(format!("systemd: {state}; {last}"))
}

/// What a query prints; none where it fails.
fn ask(node: &dyn Node, argv: &[&str]) -> Option<String> {
    let command = Command { deadline: Instant::now() + Duration::from_secs(10), ..Command::query(argv) };
    let finished = node.run(&command).ok().filter(Finished::success)?;
    Some(finished.output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DPKG: &str = "\
2026-11-20 10:00:00 install nginx:amd64 <none> 1.22-1
2026-11-20 10:00:01 status installed nginx:amd64 1.22-1
2026-11-21 11:00:00 upgrade nginx-common:all 1.22-1 1.22-2
2026-11-22 12:00:00 remove nginx:amd64 1.22-1 <none>
2026-11-22 12:00:01 status config-files nginx:amd64 1.22-1
";

    #[test]
    fn the_logs_tell_when_a_package_was_changed_and_by_whom() {
        assert_eq!(dpkg_line(DPKG, "nginx"), Some("2026-11-22 12:00:00 remove nginx:amd64 1.22-1 <none>"));
        assert_eq!(
            dpkg_line(DPKG, "nginx-common"),
            Some("2026-11-21 11:00:00 upgrade nginx-common:all 1.22-1 1.22-2")
        );
        assert_eq!(dpkg_line(DPKG, "ngin"), None);
        let history = "\nStart-Date: 1\nCommandline: apt-get install nginx\nInstall: nginx:amd64 (1.22-1)\n\n\
                       Start-Date: 2\nCommandline: apt remove nginx\nRequested-By: anna (1000)\nRemove: nginx:amd64 (1.22-1)\n";
        assert_eq!(apt_command(history, "nginx").as_deref(), Some("apt remove nginx, by anna (1000)"));
        assert_eq!(apt_command(history, "redis"), None);
    }

    #[test]
    fn only_the_end_of_a_long_log_is_read_from_a_whole_line_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "0123456789\n".repeat(100_000)).unwrap();
        let text = tail(&path).unwrap();
        assert!(text.len() as u64 <= LOG);
        assert!(text.lines().all(|line| line == "0123456789"));
        assert_eq!(tail(&folder.path().join("none")), None);
    }
}
