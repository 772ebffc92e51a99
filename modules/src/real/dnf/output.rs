//! What dnf prints, read.

use std::collections::{BTreeMap, BTreeSet};

use cm_wire::Output;

use crate::real::{
    manager::{Database, Simulated},
    rpm,
};

/// Lines of `NAME.ARCH REASON`: those that another package brought in.
pub(super) fn automatic(text: &str) -> BTreeSet<&str> {
    let mut automatic = BTreeSet::new();
    for line in text.lines() {
        if let Some((package, reason)) = line.split_once(' ')
            && reason.to_ascii_lowercase().contains("dependency")
        {
            automatic.insert(package);
        }
    }
    automatic
}

/// Names that the list of dnf 4's plugin locks: `nginx-0:1.20-1.el9.*` a line.
pub(super) fn locked_by_list(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let name = |line: &str| {
        let mut parts = line.rsplitn(3, '-');
        let (_release, version, name) = (parts.next(), parts.next(), parts.next());
        match (name, version) {
            (Some(name), Some(version)) if version.starts_with(|c: char| c.is_ascii_digit() || c == '*') => {
                name.to_owned()
            }
            _ => line.to_owned(),
        }
    };
    lines.map(name).collect()
}

/// Names that dnf 5's versionlock.toml locks.
pub(super) fn locked_by_toml(text: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[[packages]]";
        } else if inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "name"
        {
            names.insert(value.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
    names
}

/// Lines of `NAME|EPOCH|VERSION|RELEASE|ARCH`, as name, version and architecture.
pub(super) fn versions(text: &str) -> Vec<(&str, String, &str)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('|');
            let (name, epoch, version) = (fields.next()?, fields.next()?, fields.next()?);
            let (release, architecture) = (fields.next()?, fields.next()?);
            Some((name, rpm::evr(epoch, version, release), architecture))
        })
        .collect()
}

/// Whether dnf only did not go on because it was told not to.
pub(super) fn was_declined(output: &Output) -> bool {
    [&output.stdout, &output.stderr].iter().any(|text| text.contains("Operation aborted"))
}

/// Whether it has no index at all.
pub(super) fn has_no_cache(output: &Output) -> bool {
    output.stderr.contains("Cache-only enabled but no cache")
}

/// Reads the table of a transaction: headings such as `Installing:`, and under them rows of name,
/// architecture, version, repository and size. A row that is too wide goes on on the next line.
pub(super) fn simulated(text: &str, native: &Database) -> Simulated {
    let mut found = Simulated::default();
    let mut going: Option<bool> = None;
    let mut row: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.starts_with("Transaction Summary") {
            break;
        }
        if !line.starts_with(' ') {
            row.clear();
            going = if line.starts_with("Removing") {
                Some(true)
            } else {
                ["Installing", "Upgrading", "Downgrading", "Reinstalling"]
                    .iter()
                    .any(|word| line.starts_with(word))
                    .then_some(false)
            };
            continue;
        }
        let Some(going) = going else { continue };
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"replacing") {
            continue;
        }
        row.extend(words);
        let [name, architecture, version, _repository, _size, ..] = row[..] else { continue };
        let name = native.shown(name, architecture);
        if going {
            found.removed.insert(name);
        } else {
            let version = version.strip_prefix("0:").unwrap_or(version);
            found.installed.insert(name, version.to_owned());
        }
        row.clear();
    }
    found
}

/// What is wrong, in one line.
pub(super) fn reason(output: &Output) -> Option<String> {
    let lines = || output.stderr.lines().chain(output.stdout.lines());
    let said = |start: &str| lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
    let detail = lines()
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .find(|line| *line != "conflicting requests" && !line.starts_with("Curl error"));
    let problem = || lines().find_map(|line| line.trim_start().strip_prefix("Problem: "));
    // What a package said is more than that the transaction failed.
    let error = || said("Error: ").filter(|error| !error.is_empty() && *error != "Transaction failed");
    let script = || said("error: ");
    let unknown = || lines().find(|line| line.starts_with("No match for argument"));
    let found = detail.or_else(problem).or_else(error).or_else(script).or_else(unknown);
    found.or_else(|| said("Error: ")).filter(|reason| !reason.is_empty()).map(str::to_owned)
}

/// Packages whose scripts failed, each with what was said of it.
pub(super) fn broken(output: &Output) -> BTreeMap<String, String> {
    let lines = || output.stderr.lines().chain(output.stdout.lines());
    let mut broken = BTreeMap::new();
    for line in lines() {
        let Some((_, name)) = line.split_once("scriptlet in rpm package ") else { continue };
        let name = name.trim();
        let mark = format!("({name}-");
        let reason =
            lines().find_map(|line| line.strip_prefix("error: ").filter(|line| line.contains(&mark)));
        broken.insert(name.to_owned(), reason.unwrap_or(line).trim().to_owned());
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str, stderr: &str) -> Output {
        Output { status: 1, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn reasons_and_locks_are_read() {
        let text = "a.noarch user\nlib.x86_64 dependency\nweak.noarch Weak Dependency\nold.noarch unknown\n";
        assert_eq!(automatic(text).into_iter().collect::<Vec<_>>(), ["lib.x86_64", "weak.noarch"]);
        let list = "\n# Added lock on Sun Nov 22 20:49:47 2026\na-0:1.0-1.*\nlib-x-2:1.0-1.el9.*\n!b-0:1-1.*\nkernel-*\n";
        let locked = locked_by_list(list);
        assert!(locked.contains("a") && locked.contains("lib-x") && !locked.contains("b"), "{locked:?}");
        let toml = "version = \"1.0\"\n\n[[packages]]\nname = \"bash\"\ncomment = \"x\"\n[[packages.conditions]]\nkey = \"evr\"\ncomparator = \"=\"\nvalue = \"5.2\"\n";
        assert_eq!(locked_by_toml(toml).into_iter().collect::<Vec<_>>(), ["bash"]);
    }

    /// dnf 4.14, with a name that is too wide for its column.
    #[test]
    fn the_table_of_a_transaction_is_read() {
        let text = "\
Last metadata expiration check: 0:00:01 ago on Sun Nov 22 20:48:54 2026.
Dependencies resolved.
================================================================================
 Package          Architecture        Version            Repository        Size
================================================================================
Installing:
 a                noarch              2.0-1              own              5.4 k
 a-package-with-a-name-that-needs-a-line-of-its-own
                  x86_64              1:1.0-1            own              5.4 k
Upgrading:
 glibc            i686                2.0-1              own              5.4 M
     replacing  oldlibc.i686 1.0-1
Installing dependencies:
 lib              noarch              1.0-1              own              5.4 k
Removing dependent packages:
 b                noarch              1.0-1              @own               0  

Transaction Summary
================================================================================
Install  3 Packages
";
        let found = simulated(text, &Database::new("x86_64"));
        let installed: Vec<_> =
            found.installed.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        assert_eq!(
            installed,
            [
                ("a", "2.0-1"),
                ("a-package-with-a-name-that-needs-a-line-of-its-own", "1:1.0-1"),
                ("glibc:i686", "2.0-1"),
                ("lib", "1.0-1")
            ]
        );
        assert_eq!(found.removed.iter().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (said, expected) in [
            (
                output(
                    "",
                    "Error: \n Problem: conflicting requests\n  - nothing provides nowhere needed by bad-1.0-1.noarch\n",
                ),
                "nothing provides nowhere needed by bad-1.0-1.noarch",
            ),
            (
                output("No match for argument: x\n", "Error: Unable to find a match: x\n"),
                "Unable to find a match: x",
            ),
            (
                output(
                    "Error in PREIN scriptlet in rpm package broken\n",
                    "error: lua script failed: it is broken\nError: Transaction failed\n",
                ),
                "lua script failed: it is broken",
            ),
        ] {
            assert_eq!(reason(&said).unwrap(), expected);
        }
        let said = output(
            "Error in PREIN scriptlet in rpm package broken\n",
            "error: lua script failed: [string \"%prein(broken-1.0-1.noarch)\"]:1: it is broken\n",
        );
        assert!(broken(&said)["broken"].ends_with("it is broken"));
    }

    #[test]
    fn versions_that_can_be_had_are_read() {
        let text = "app|0|1.0|1|noarch\n\na|2|2.0|1.el9|x86_64\n";
        assert_eq!(
            versions(text),
            [("app", "1.0-1".to_owned(), "noarch"), ("a", "2:2.0-1.el9".to_owned(), "x86_64")]
        );
    }
}
