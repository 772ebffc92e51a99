//! apk's files and what it prints, read.

use std::collections::{BTreeMap, BTreeSet};

use cm_wire::Output;

use crate::real::{
    manager::{Database, Entry, Simulated},
    rpm,
};

/// Reads /lib/apk/db/installed (paragraphs of `P:name`, `V:version`, `A:arch`, `p:provides`) and the world.
pub(super) fn database(installed: &str, world: &str) -> Database {
    let mut database = Database::new(rpm::native());
    let asked: BTreeMap<&str, bool> = world
        .split_whitespace()
        .filter(|word| !word.starts_with('!'))
        .map(|word| {
            let name = word.split(['=', '<', '>', '~', '@']).next().unwrap_or(word);
            (name, word[name.len()..].starts_with('='))
        })
        .collect();
    for paragraph in installed.split("\n\n") {
        let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let name = field("P:");
        if name.is_empty() {
            continue;
        }
        let entry = Entry {
            version: field("V:").to_owned(),
            architecture: field("A:").to_owned(),
            manual: asked.contains_key(name),
            held: asked.get(name) == Some(&true),
        };
        let provides = field("p:")
            .split(' ')
            .filter(|provided| !provided.contains(':'))
            .map(|provided| provided.split('=').next().unwrap_or(provided));
        database.add(name, entry, provides);
    }
    database
}

/// Reads `apk policy`: `nginx policy:`, then versions with a colon and under each where it is to be had.
pub(super) fn policies(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(" policy:") {
            name.clone_into(&mut current);
        } else if let Some(version) = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))
            && let Some(version) = version.strip_suffix(':')
        {
            found.entry(current.clone()).or_default().push(version.to_owned());
        }
    }
    found
}

/// A version that rpm's order puts where apk's does: `_alpha`, `_beta`, `_pre` and `_rc` before the release,
/// `_p` and what is of a version control system after it.
pub(super) fn comparable(version: &str) -> String {
    let before = ["_alpha", "_beta", "_pre", "_rc"];
    let text =
        before.iter().fold(version.to_owned(), |text, mark| text.replace(mark, &mark.replace('_', "~")));
    text.replace('_', "^")
}

/// Reads what `apk --simulate` says it would do: `(1/3) Installing pcre (8.45-r3)`.
pub(super) fn simulated(text: &str, found: &mut Simulated) {
    for line in text.lines() {
        let Some((_, rest)) = line.strip_prefix('(').and_then(|line| line.split_once(") ")) else { continue };
        let Some((verb, rest)) = rest.split_once(' ') else { continue };
        let Some((name, versions)) = rest.split_once(" (") else { continue };
        let versions = versions.trim_end().trim_end_matches(')');
        match verb {
            "Purging" => {
                found.removed.insert(name.to_owned());
            }
            "Installing" | "Upgrading" | "Downgrading" | "Replacing" | "Reinstalling" => {
                let version = versions.rsplit(" -> ").next().unwrap_or(versions);
                found.installed.insert(name.to_owned(), version.to_owned());
            }
            _ => {}
        }
    }
}

/// What is wrong, in one line.
pub(super) fn reason(output: &Output) -> Option<String> {
    let mut lines =
        output.stderr.lines().chain(output.stdout.lines()).skip_while(|line| !line.starts_with("ERROR: "));
    let error = lines.next()?.strip_prefix("ERROR: ")?;
    let details: Vec<&str> = lines.take_while(|line| line.starts_with(' ')).map(str::trim).take(3).collect();
    Some(if details.is_empty() { error.to_owned() } else { format!("{error} {}", details.join(" ")) })
}

/// The packages whose scripts failed: `ERROR: nginx-1.2-r0.post-install: script exited with error 1`.
pub(super) fn broken(output: &Output) -> BTreeMap<String, String> {
    let mut broken = BTreeMap::new();
    let seen: BTreeSet<&str> = output.stderr.lines().chain(output.stdout.lines()).collect();
    for line in seen {
        let Some((package, reason)) = line.strip_prefix("ERROR: ").and_then(|line| line.split_once(": "))
        else {
            continue;
        };
        if !reason.starts_with("script exited") && !reason.starts_with("trying to overwrite") {
            continue;
        }
        let scripts = [".pre-", ".post-", ".trigger"];
        let package =
            scripts.iter().filter_map(|script| package.split(script).next()).min_by_key(|text| text.len());
        if let Some(name) = package.and_then(|package| package.rsplitn(3, '-').nth(2)) {
            broken.insert(name.to_owned(), line["ERROR: ".len()..].to_owned());
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn the_database_and_the_world_are_read() {
        let installed = "C:Q1p78yvTLG094tHE1+dToJGbmYzQE=\nP:alpine-baselayout\nV:3.4.3-r2\nA:x86_64\nS:8917\nI:331776\n\
            T:Alpine base dir structure and init scripts\nm:Natanael Copa <ncopa@alpinelinux.org>\n\
            D:alpine-baselayout-data=3.4.3-r2 /bin/sh\np:base=1 cmd:mkmntdirs=3.4.3-r2 so:libx.so.1=1\nF:dev\n\n\
            P:busybox\nV:1.36.1-r15\nA:x86_64\nF:bin\nR:busybox\n\nP:musl\nV:1.2.4-r2\nA:x86_64\n\n";
        let database = database(installed, "alpine-baselayout\nbusybox=1.36.1-r15\n!curl\nfoo@edge\n");
        let busybox = database.installed("busybox").unwrap();
        assert!(busybox.held && busybox.manual && busybox.version == "1.36.1-r15");
        assert!(!database.installed("musl").unwrap().manual);
        assert_eq!(database.installed("base").unwrap().provided_by.as_deref(), Some("alpine-baselayout"));
        assert_eq!(database.installed("libx.so.1"), None);
    }

    #[test]
    fn answers_are_read() {
        let text = "nginx policy:\n  1.24.0-r7:\n    lib/apk/db/installed\n  1.24.0-r15:\n    https://dl-cdn.alpinelinux.org/alpine/v3.19/main\n";
        assert_eq!(policies(text)["nginx"], ["1.24.0-r7", "1.24.0-r15"]);
        let mut found = Simulated::default();
        let text = "(1/4) Installing pcre (8.45-r3)\n(2/4) Upgrading busybox (1.35.0-r17 -> 1.36.0-r0)\n\
            (3/4) Downgrading x (2-r0 -> 1-r0)\n(4/4) Purging nginx (1.24.0-r6)\nOK: 12 MiB in 20 packages\n";
        simulated(text, &mut found);
        let installed: Vec<_> =
            found.installed.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(installed, ["busybox 1.36.0-r0", "pcre 8.45-r3", "x 1-r0"]);
        assert_eq!(found.removed.into_iter().collect::<Vec<_>>(), ["nginx"]);
        let said = Output {
            status: 1,
            stdout: String::new(),
            stderr: "ERROR: unable to select packages:\n  nosuch (no such package):\n    required by: world[nosuch]\n".into(),
        };
        assert_eq!(
            reason(&said).unwrap(),
            "unable to select packages: nosuch (no such package): required by: world[nosuch]"
        );
        let said = Output {
            stderr: "ERROR: nginx-1.24.0-r6.post-install: script exited with error 1\n".into(),
            ..said
        };
        assert!(broken(&said)["nginx"].ends_with("script exited with error 1"));
    }

    #[test]
    fn versions_are_ordered_as_apk_orders_them() {
        for (one, other) in [
            ("1.0_rc1-r0", "1.0-r0"),
            ("1.0_alpha2-r0", "1.0_beta1-r0"),
            ("1.0-r0", "1.0_p1-r0"),
            ("1.0-r9", "1.0-r10"),
        ] {
            assert_eq!(rpm::compare(&comparable(one), &comparable(other)), Ordering::Less, "{one} {other}");
        }
    }
}
