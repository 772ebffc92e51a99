//! What apt's programs print, read.

use std::collections::{BTreeMap, BTreeSet};

use cm_wire::Output;

/// Lines of a maintainer script that are shown before dpkg's own error.
const SCRIPT_LINES: usize = 10;

/// Lines that are shown of an installation that was stopped.
const LAST_LINES: usize = 6;
/// Lines of apt's words that are shown.
const MOST_LINES: usize = 24;

/// One package as `apt-cache policy` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// The version an installation would bring.
    pub(super) candidate: Option<String>,
    /// All versions that can be had or are installed, newest first.
    pub(super) versions: Vec<String>,
}

/// Reads the answer of `apt-cache policy NAME…`; names that apt does not know are not in it.
pub(super) fn policies(text: &str) -> BTreeMap<String, Policy> {
    let mut found = BTreeMap::new();
    let mut current: Option<(String, Policy)> = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            found.extend(current.take());
            current = line.strip_suffix(':').map(|name| (name.to_owned(), Policy::default()));
        } else if let Some((_, policy)) = &mut current {
            if let Some(candidate) = line.strip_prefix("  Candidate: ") {
                policy.candidate = Some(candidate.trim().to_owned()).filter(|version| version != "(none)");
            } else if let Some(rest) = line.strip_prefix("     ").or_else(|| line.strip_prefix(" *** "))
                && !rest.starts_with(' ')
            {
                policy.versions.extend(rest.split(' ').next().map(str::to_owned));
            }
        }
    }
    found.extend(current);
    found
}

/// What `apt-get -s` says it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simulated {
    /// Packages it would unpack, with their versions.
    pub(super) installed: BTreeMap<String, String>,
    /// Packages it would take away.
    pub(super) removed: BTreeSet<String>,
    /// Some of those are essential: apt would refuse.
    pub(super) essential: bool,
}

/// Reads the answer of `apt-get -s`.
pub(super) fn simulated(text: &str) -> Simulated {
    let mut found = Simulated::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("Inst"), Some(name)) => {
                let version = line.split_once('(').and_then(|(_, rest)| rest.split([' ', ')']).next());
                found.installed.insert(name.to_owned(), version.unwrap_or_default().to_owned());
            }
            (Some("Remv" | "Purg"), Some(name)) => {
                found.removed.insert(name.to_owned());
            }
            _ if line.starts_with("WARNING: The following essential packages will be removed") => {
                found.essential = true;
            }
            _ => {}
        }
    }
    found
}

/// The lines of an output that say what went wrong: unmet dependencies, dpkg's errors, `E:` and `W:`.
pub(super) fn complaints(output: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    let mut block = false;
    for line in output.stdout.lines() {
        if line.starts_with("The following packages have unmet dependencies")
            || line.starts_with("The following held packages")
        {
            block = true;
        } else if !line.starts_with(' ') {
            block = false;
        }
        if block {
            lines.push(line.trim_end().to_owned());
        }
    }
    let mut detail = false;
    let said: Vec<&str> = output.stderr.lines().collect();
    for (index, line) in said.iter().enumerate() {
        if line.starts_with("dpkg: error processing package") {
            // What the package's own script said stands before it.
            let first = index.saturating_sub(SCRIPT_LINES);
            let script = said[first..index].iter().filter(|line| !line.starts_with("debconf: "));
            lines.extend(script.map(|line| line.trim_end().to_owned()));
        }
        let problem = ["E: ", "dpkg: error", "dpkg: dependency problems", "W: Failed to fetch"]
            .iter()
            .any(|start| line.starts_with(start));
        detail = problem || (detail && line.starts_with(' '));
        if detail {
            lines.push(line.trim_end().to_owned());
        }
    }
    // apt says the same of every index of a source.
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    if lines.len() > MOST_LINES {
        // The last ones say what came of it.
        let cut = lines.len() - MOST_LINES;
        lines.splice(MOST_LINES / 2..MOST_LINES / 2 + cut, [format!("… {cut} more lines")]);
    }
    lines
}

/// The end of an output: what was being done when it was stopped.
pub(super) fn last_lines(output: &Output) -> Output {
    let end = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    };
    Output { status: output.status, stdout: end(&output.stdout), stderr: end(&output.stderr) }
}

/// What is wrong, in one line: a dependency that cannot be met, or the first `E:` line without its mark.
pub(super) fn first_error(output: &Output) -> Option<String> {
    let mut lines = output.stdout.lines();
    if lines.any(|line| line.starts_with("The following packages have unmet dependencies"))
        && let Some(unmet) = lines.next().filter(|line| line.starts_with(' '))
    {
        return Some(unmet.split_whitespace().collect::<Vec<_>>().join(" ").replace(" : ", ": "));
    }
    output.stderr.lines().find_map(|line| line.strip_prefix("E: ")).map(str::to_owned)
}

/// Packages dpkg names as those it failed at, each with what it said.
pub(super) fn broken_packages(output: &Output) -> BTreeMap<String, String> {
    let mut broken = BTreeMap::new();
    let mut lines = output.stderr.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("dpkg: error processing ") else { continue };
        let rest = rest.strip_prefix("package ").or_else(|| rest.strip_prefix("archive ")).unwrap_or(rest);
        let subject = rest.split(' ').next().unwrap_or_default().trim_end_matches(':');
        let file = subject.rsplit('/').next().unwrap_or(subject);
        let name = file.split('_').next().unwrap_or(file);
        let reason = lines.next_if(|line| line.starts_with(' ')).unwrap_or_default().trim();
        broken.insert(name.split(':').next().unwrap_or(name).to_owned(), reason.to_owned());
    }
    broken
}

/// Names of the packages whose archives could not be fetched.
pub(super) fn unfetched(output: &Output) -> BTreeSet<String> {
    output
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("E: Failed to fetch "))
        .filter_map(|rest| rest.split_whitespace().next())
        .filter_map(|url| url.rsplit('/').next())
        .filter_map(|file| file.split_once('_'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Whether apt could not fetch what its index promised: the index may be out of date.
pub(super) fn failed_to_fetch(output: &Output) -> bool {
    output.stderr.contains("E: Failed to fetch") || output.stderr.contains("E: Unable to fetch some archives")
}

/// Whether another process held one of the locks.
pub(super) fn was_locked(output: &Output) -> bool {
    ["Could not get lock", "Unable to acquire the dpkg", "Unable to lock", "is locked by another process"]
        .iter()
        .any(|phrase| output.stderr.contains(phrase))
        && !output.stderr.contains("Permission denied")
}

/// Whether dpkg itself was at work when it failed: some of what was asked for may be there.
pub(super) fn dpkg_failed(output: &Output) -> bool {
    output.stderr.contains("E: Sub-process ") || output.stderr.contains("dpkg: error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_candidates_and_all_versions() {
        let text = "\
nginx:
  Installed: (none)
  Candidate: 1.22.1-9+deb12u11
  Version table:
     1.22.1-9+deb12u11 500
        500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
     1.22.1-9+deb12u9 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
libc6:i386:
  Installed: 2.36-9
  Candidate: 2.36-9
  Version table:
 *** 2.36-9 500
        500 http://deb.debian.org/debian bookworm/main i386 Packages
        100 /var/lib/dpkg/status
     2.36-7 500 (phased 10%)
        500 http://deb.debian.org/debian-security bookworm-security/main i386 Packages
";
        let found = policies(text);
        assert_eq!(found["nginx"].candidate.as_deref(), Some("1.22.1-9+deb12u11"));
        assert_eq!(found["nginx"].versions, ["1.22.1-9+deb12u11", "1.22.1-9+deb12u9"]);
        assert_eq!(found["mail-transport-agent"], Policy::default());
        assert_eq!(found["libc6:i386"].versions, ["2.36-9", "2.36-7"]);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_simulation_names_what_comes_and_goes() {
        let text = "\
NOTE: This is only a simulation!
The following NEW packages will be installed:
  nginx nginx-common
Remv vagrant [2.3.4+dfsg-1]
Purg curl [7.88.1-10]
Inst nginx-common (1.22.1-9 Debian:12/stable [all])
Inst nginx [1.20] (1.22.1-9 Debian:12/stable [amd64]) []
Inst libc6:i386 (2.36)
Conf nginx (1.22.1-9 Debian:12/stable [amd64])
";
        let found = simulated(text);
        assert_eq!(found.installed["nginx"], "1.22.1-9");
        assert_eq!(found.installed["libc6:i386"], "2.36");
        assert_eq!(found.installed.len(), 3);
        assert_eq!(found.removed.iter().collect::<Vec<_>>(), ["curl", "vagrant"]);
        assert!(!found.essential);
    }

    #[test]
    fn complaints_are_found_in_both_streams() {
        let output = Output {
            status: 100,
            stdout: "Reading package lists...\nThe following packages have unmet dependencies:\n \
                     a : Depends: b (>= 2) but 1 is to be installed\nNext\n"
                .into(),
            stderr: "W: harmless\nE: Unable to correct problems, you have held broken packages.\n".into(),
        };
        assert_eq!(
            complaints(&output),
            [
                "The following packages have unmet dependencies:",
                " a : Depends: b (>= 2) but 1 is to be installed",
                "E: Unable to correct problems, you have held broken packages."
            ]
        );
        assert_eq!(first_error(&output).unwrap(), "a: Depends: b (>= 2) but 1 is to be installed");
        let output = Output { stdout: String::new(), ..output };
        assert_eq!(
            first_error(&output).unwrap(),
            "Unable to correct problems, you have held broken packages."
        );
    }

    #[test]
    fn the_end_of_a_stopped_installation_is_shown() {
        let stdout: String = (0..9).map(|n| format!("{n}\n")).collect();
        let end = last_lines(&Output { status: 143, stdout, stderr: "one".into() });
        assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("3\n4\n5\n6\n7\n8", "one"));
    }

    #[test]
    fn long_complaints_are_cut_in_the_middle() {
        let stderr: String = (0..100).map(|n| format!("E: {n}\n")).collect();
        let lines = complaints(&Output { status: 100, stdout: String::new(), stderr });
        assert_eq!((lines.len(), lines[0].as_str(), lines[24].as_str()), (25, "E: 0", "E: 99"));
        assert_eq!(lines[12], "… 76 more lines");
    }

    #[test]
    fn packages_that_dpkg_fails_at_are_named() {
        let output = Output {
            status: 100,
            stdout: String::new(),
            stderr: "it went wrong
dpkg: error processing package bad (--configure):
 installed bad package post-installation script subprocess returned error exit status 1
dpkg: error processing archive /var/cache/apt/archives/worse_1.0_all.deb (--unpack):
 trying to overwrite '/usr/bin/x', which is also in package y 1.0
Errors were encountered while processing:
 bad
E: Sub-process /usr/bin/dpkg returned an error code (1)
"
            .into(),
        };
        let broken = broken_packages(&output);
        assert!(broken["bad"].ends_with("exit status 1"));
        assert!(broken["worse"].starts_with("trying to overwrite"));
        assert!(dpkg_failed(&output) && !was_locked(&output));
        assert_eq!(complaints(&output)[0], "it went wrong");
    }

    #[test]
    fn what_could_not_be_fetched_is_named() {
        let output = Output {
            status: 100,
            stdout: String::new(),
            stderr: "E: Failed to fetch http://deb.example/pool/n/nginx/nginx_1.22.1-9_amd64.deb  404  Not Found\n\
                     E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n"
                .into(),
        };
        assert!(failed_to_fetch(&output));
        assert_eq!(unfetched(&output).iter().collect::<Vec<_>>(), ["nginx"]);
    }
}
