//! rpm's database, asked once for all packages, and the order of rpm's versions.

use std::{
    cmp::Ordering,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::manager::{Database, Entry, query, told};
use crate::{Problem, node::Commands};

/// What is asked of every package: one line each.
const FORMAT: &str = "%{NAME}\\t%{EPOCH}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\t[%{PROVIDENAME} ]\\n";

/// Where distributions have the database.
const FOLDERS: &[&str] = &["var/lib/rpm", "usr/lib/sysimage/rpm"];
/// Its files in each of its formats: sqlite, ndb and Berkeley DB.
const FILES: &[&str] = &["rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages"];

/// Locked while somebody writes the database.
pub(super) const LOCKS: [&str; 2] = ["var/lib/rpm/.rpm.lock", "usr/lib/sysimage/rpm/.rpm.lock"];

/// What tells one state of the database from the next.
pub(super) fn stamp(root: &Path) -> String {
    FOLDERS
        .iter()
        .flat_map(|folder| FILES.iter().map(move |file| root.join(folder).join(file)))
        .map(|file| file_stamp(&file))
        .collect()
}

/// What tells one state of a file from the next; an empty file is as good as none: sqlite makes an empty log
/// for every reader.
pub(super) fn file_stamp(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(data) if data.size() > 0 => {
            format!("{}:{}:{}.{} ", data.ino(), data.size(), data.mtime(), data.mtime_nsec())
        }
        _ => "- ".to_owned(),
    }
}

/// Asks rpm for all packages.
pub(super) fn list(commands: &dyn Commands, root: &Path) -> Result<String, Problem> {
    let mut argv = vec!["rpm".to_owned(), "-qa".to_owned(), "--queryformat".to_owned(), FORMAT.to_owned()];
    if root != Path::new("/") {
        argv.extend(["--root".to_owned(), root.display().to_string()]);
    }
    let finished = query(commands, argv, None)?;
    if !finished.success() {
        return Err(told("rpm -qa", &finished, None));
    }
    Ok(finished.output.stdout)
}

/// Reads rpm's answer. Every package counts as asked for and not held.
pub(super) fn parse(text: &str, native: &str) -> Database {
    let mut packages = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let mut field = || fields.next().unwrap_or_default();
        let (name, epoch, version, release, architecture, provides) =
            (field(), field(), field(), field(), field(), field());
        // Keys of repositories are kept in the database as if they were packages.
        if name.is_empty() || name == "gpg-pubkey" {
            continue;
        }
        packages.push((name, evr(epoch, version, release), architecture, provides));
    }
    crate::in_order::sort_by(&mut packages, |one, other| {
        (one.0, one.2).cmp(&(other.0, other.2)).then_with(|| compare(&one.1, &other.1))
    });
    let mut database = Database::new(native);
    for (name, version, architecture, provides) in packages {
        let several = ["installonlypkg(", "multiversion("].iter().any(|mark| provides.contains(mark));
        if several || name.starts_with("kernel") {
            database.allow_several(name);
        }
        let entry = Entry { version, architecture: architecture.to_owned(), manual: true, held: false };
        database.add(name, entry, provides.split(' ').filter(|provided| !provided.contains('(')));
    }
    database
}

/// A version as rpm's tools write it: `1:2.0-3.el9`, without an epoch of 0.
pub(super) fn evr(epoch: &str, version: &str, release: &str) -> String {
    match epoch {
        "" | "0" | "(none)" => format!("{version}-{release}"),
        epoch => format!("{epoch}:{version}-{release}"),
    }
}

/// Orders two versions with epochs and releases.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| -> (u64, String, String) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or(0), version.to_owned(), release.to_owned())
    };
    let (one, other) = (parts(one), parts(other));
    one.0
        .cmp(&other.0)
        .then_with(|| compare_part(&one.1, &other.1))
        .then_with(|| compare_part(&one.2, &other.2))
}

/// rpmvercmp: runs of digits and of letters, `~` before the end and `^` after it.
fn compare_part(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    let separator = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'~' && *byte != b'^';
    fn run(text: &[u8], of: fn(&u8) -> bool) -> (&[u8], &[u8]) {
        text.split_at(text.iter().position(|byte| !of(byte)).unwrap_or(text.len()))
    }
    loop {
        one = &one[one.iter().position(|byte| !separator(byte)).unwrap_or(one.len())..];
        other = &other[other.iter().position(|byte| !separator(byte)).unwrap_or(other.len())..];
        match (one.first(), other.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (one, other) = (&one[1..], &other[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(first), Some(second)) => {
                let digits = first.is_ascii_digit();
                if digits != second.is_ascii_digit() {
                    // Numbers are newer than letters.
                    return if digits { Ordering::Greater } else { Ordering::Less };
                }
                let of = if digits { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
                let ((left, rest), (right, other_rest)) = (run(one, of), run(other, of));
                (one, other) = (rest, other_rest);
                let trimmed = |run: &[u8]| {
                    run[run.iter().position(|&byte| byte != b'0').unwrap_or(run.len())..].to_vec()
                };
                let order = if digits {
                    let (left, right) = (trimmed(left), trimmed(right));
                    left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
                } else {
                    left.cmp(right)
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// The architecture rpm gives packages of this machine.
pub(super) fn native() -> &'static str {
    match std::env::consts::ARCH {
        "x86" => "i686",
        "powerpc64" => "ppc64le",
        "arm" => "armv7hl",
        other => other,
    }
}

/// Whether these package managers' copy of a path is the machine's own.
pub(super) fn inside(root: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(root) {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of rpm's own tests/rpmvercmp.at.
    #[test]
    fn versions_are_ordered_as_rpm_orders_them() {
        for (one, other, order) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("2.0.1a", "2.0.1", Ordering::Greater),
            ("5.5p1", "5.5p10", Ordering::Less),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz10", "xyz10.1", Ordering::Less),
            ("xyz.4", "8", Ordering::Less),
            ("5.5p2", "5.6p1", Ordering::Less),
            ("6.0.rc1", "6.0", Ordering::Greater),
            ("10b2", "10a1", Ordering::Greater),
            ("1.0aa", "1.0a", Ordering::Greater),
            ("10.0001", "10.1", Ordering::Equal),
            ("10.0001", "10.0039", Ordering::Less),
            ("4.999.9", "5.0", Ordering::Less),
            ("2_0", "2.0", Ordering::Equal),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1", "1.0~rc2", Ordering::Less),
            ("1.0~rc1~git123", "1.0~rc1", Ordering::Less),
            ("1.0^", "1.0", Ordering::Greater),
            ("1.0^git1", "1.0^git2", Ordering::Less),
            ("1.0^git1", "1.01", Ordering::Less),
            ("1.0^20160101", "1.0.1", Ordering::Less),
            ("1.0~rc1^git1", "1.0~rc1", Ordering::Greater),
        ] {
            assert_eq!(compare_part(one, other), order, "{one} {other}");
            assert_eq!(compare_part(other, one), order.reverse(), "{other} {one}");
        }
        assert_eq!(compare("1:1.0-1", "2.0-9"), Ordering::Greater);
        assert_eq!(compare("2.0-1", "2.0-1.1"), Ordering::Less);
    }

    #[test]
    fn the_list_of_packages_is_read() {
        let text = "bash\t(none)\t5.1.8\t9.el9\tx86_64\tbash config(bash) /bin/sh \n\
                    gpg-pubkey\t(none)\t8483c65d\t5ccc5b19\t(none)\t\n\
                    kernel\t(none)\t5.14.0\t9.el9\tx86_64\tkernel installonlypkg(kernel) \n\
                    kernel\t(none)\t5.14.0\t10.el9\tx86_64\tkernel installonlypkg(kernel) \n\
                    postfix\t2\t3.5\t1\tx86_64\tMTA smtpd postfix \n";
        let database = parse(text, "x86_64");
        assert_eq!(database.installed("bash").unwrap().version, "5.1.8-9.el9");
        assert_eq!(database.installed("kernel").unwrap().version, "5.14.0-10.el9");
        assert_eq!(database.installed("postfix").unwrap().version, "2:3.5-1");
        assert_eq!(database.installed("MTA").unwrap().provided_by.as_deref(), Some("postfix"));
        assert_eq!(database.installed("gpg-pubkey"), None);
        assert_eq!(database.several().count(), 0);
    }
}
