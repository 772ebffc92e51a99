//! How this machine reaches the Debian archive, rewritten for another release.
//!
//! A site has mirrors, proxies and passwords; what works for the machine works for its hosts. Only what
//! concerns access is taken over: hooks, pins and third-party sources of the machine stay with it.
//! Nothing of this is ever written anywhere but into images and hosts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{locate, run};
use crate::error::LabError;
use crate::files::{failed, make_folder, write};
use crate::spec::Release;

const PUBLIC_MIRROR: &str = "http://deb.debian.org/debian";
const PUBLIC_SECURITY: &str = "http://deb.debian.org/debian-security";
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Which part of a release a source offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Release,
    Updates,
    Security,
}

/// One source of the machine, whatever form it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    part: Part,
    uri: String,
    signed_by: Option<PathBuf>,
    trusted: bool,
}

/// What a host needs to reach what the machine reaches.
#[derive(Debug, Clone)]
pub(crate) struct AptAccess {
    sources: Vec<Source>,
    /// Lines for `apt.conf.d`.
    pub(crate) settings: Vec<String>,
    /// Files at the same path in host and machine: passwords, keyrings, certificates.
    files: Vec<PathBuf>,
}

impl AptAccess {
    /// Reads the machine's configuration.
    pub(crate) fn of_this_machine() -> Self {
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let mut sources = if is_debian(&os) { machine_sources(&codename(&os)) } else { Vec::new() };
        if !sources.iter().any(|source| source.part == Part::Release) {
            sources = public_sources();
        }
        let dump =
            if locate("apt-config").is_some() { run("apt-config", &["dump"]) } else { Ok(String::new()) };
        let settings = access_settings(&dump.unwrap_or_default());
        let mut files: BTreeSet<PathBuf> =
            sources.iter().filter_map(|source| source.signed_by.clone()).collect();
        files.extend(files_of_settings(&settings));
        files.extend(folder_files("/etc/apt/auth.conf.d"));
        files.insert("/etc/apt/auth.conf".into());
        files.retain(|path| path.is_file() && path != Path::new(DEBIAN_KEYRING));
        Self { sources, settings, files: files.into_iter().collect() }
    }

    /// The sources for a release, as lines of a `.list` file.
    pub(crate) fn source_lines(&self, release: Release, only_release_itself: bool) -> Vec<String> {
        let mut lines: Vec<String> = self
            .sources
            .iter()
            .filter(|source| !only_release_itself || source.part == Part::Release)
            .map(|source| source.line(release.codename()))
            .collect();
        let mut seen = BTreeSet::new();
        lines.retain(|line| seen.insert(line.clone()));
        lines
    }

    /// Writes settings and files into a root; the sources go elsewhere.
    pub(crate) fn write_into(&self, root: &Path) -> Result<(), LabError> {
        let settings = self.settings.iter().map(|line| format!("{line}\n")).collect::<String>();
        let folder = root.join("etc/apt/apt.conf.d");
        make_folder(&folder, 0o755)?;
        write(&folder.join("60cm-lab-machine"), settings.as_bytes(), 0o644)?;
        for path in &self.files {
            let inside = root.join(path.strip_prefix("/").unwrap_or(path));
            if let Some(folder) = inside.parent() {
                make_folder(folder, 0o755)?;
            }
            let content = fs::read(path).map_err(failed("read", path))?;
            // Passwords are for apt itself, which reads them as root.
            let mode = if path.starts_with("/etc/apt/auth.conf.d") || path.ends_with("auth.conf") {
                0o600
            } else {
                0o644
            };
            write(&inside, &content, mode)?;
        }
        Ok(())
    }
}

impl Source {
    fn line(&self, codename: &str) -> String {
        let mut options = Vec::new();
        if let Some(keyring) = &self.signed_by {
            options.push(format!("signed-by={}", keyring.display()));
        }
        if self.trusted {
            options.push("trusted=yes".to_owned());
        }
        let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
        let suffix = match self.part {
            Part::Release => "",
            Part::Updates => "-updates",
            Part::Security => "-security",
        };
        format!("deb {options}{} {codename}{suffix} main", self.uri)
    }
}

fn public_sources() -> Vec<Source> {
    let source = |part, uri: &str| Source {
        part,
        uri: uri.into(),
        signed_by: Some(DEBIAN_KEYRING.into()),
        trusted: false,
    };
    vec![
        source(Part::Release, PUBLIC_MIRROR),
        source(Part::Updates, PUBLIC_MIRROR),
        source(Part::Security, PUBLIC_SECURITY),
    ]
}

fn is_debian(os_release: &str) -> bool {
    os_value(os_release, "ID") == "debian"
}

fn codename(os_release: &str) -> String {
    os_value(os_release, "VERSION_CODENAME")
}

fn os_value(os_release: &str, key: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_matches('"').to_owned())
        .unwrap_or_default()
}

fn machine_sources(codename: &str) -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(folder_files("/etc/apt/sources.list.d"));
    let mut found = Vec::new();
    for path in files {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(text.lines().flat_map(|line| parse_line(line, codename))),
            Some("sources") => found.extend(parse_stanzas(&text, codename)),
            _ => {}
        }
    }
    found
}

fn folder_files(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// One line of a `.list` file: `deb [options] URI SUITE COMPONENT...`, see sources.list(5).
fn parse_line(line: &str, codename: &str) -> Vec<Source> {
    let Some(rest) = line.trim().strip_prefix("deb ") else { return Vec::new() };
    let rest = rest.split('#').next().unwrap_or_default().trim_start();
    let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((options, rest)) => (options, rest),
        None => ("", rest),
    };
    let option = |key: &str| {
        options
            .split_whitespace()
            .find_map(|option| option.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    let mut words = rest.split_whitespace();
    let (Some(uri), Some(suite)) = (words.next(), words.next()) else { return Vec::new() };
    if !words.any(|component| component == "main") {
        return Vec::new();
    }
    let signed_by = option("signed-by").map(PathBuf::from).filter(|path| path.is_absolute());
    let trusted = option("trusted").is_some_and(|value| value == "yes");
    part(suite, codename)
        .map(|part| Source { part, uri: uri.to_owned(), signed_by, trusted })
        .into_iter()
        .collect()
}

/// A `.sources` file: paragraphs of fields, see sources.list(5).
fn parse_stanzas(text: &str, codename: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments
        .split(|line| line.trim().is_empty())
        .flat_map(|stanza| parse_stanza(stanza, codename))
        .collect()
}

fn parse_stanza(stanza: &[&str], codename: &str) -> Vec<Source> {
    let field = |name: &str| {
        stanza.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace();
    if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"))
        || !words("Types").any(|kind| kind == "deb")
        || !words("Components").any(|component| component == "main")
    {
        return Vec::new();
    }
    let signed_by = field("Signed-By").map(PathBuf::from).filter(|path| path.is_absolute());
    let trusted = field("Trusted").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let mut found = Vec::new();
    for uri in words("URIs") {
        found.extend(words("Suites").filter_map(|suite| part(suite, codename)).map(|part| Source {
            part,
            uri: uri.to_owned(),
            signed_by: signed_by.clone(),
            trusted,
        }));
    }
    found
}

/// Which part of the machine's release a suite is; none for backports and other people's suites.
fn part(suite: &str, codename: &str) -> Option<Part> {
    let rest = [codename, "oldoldstable", "oldstable", "stable"]
        .iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| suite.strip_prefix(name))?;
    match rest {
        "" => Some(Part::Release),
        "-updates" => Some(Part::Updates),
        "-security" | "/updates" => Some(Part::Security),
        _ => None,
    }
}

/// The settings of `apt-config dump` that decide whether and how the archive is reached.
fn access_settings(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| {
            let key = line.split(' ').next().unwrap_or_default();
            let access = [
                "Acquire::http::",
                "Acquire::https::",
                "Acquire::Check-",
                "Acquire::Force",
                "Acquire::Retries",
            ]
            .iter()
            .any(|prefix| key.len() > prefix.len() && key.starts_with(prefix) || key == *prefix);
            // A program of the machine's that is not in the image, and headings without a value.
            access
                && !key.contains("Proxy-Auto-Detect")
                && !key.contains("ProxyAutoDetect")
                && !line.ends_with(" \"\";")
        })
        .map(str::to_owned)
        .collect()
}

/// Certificates that settings name by path.
fn files_of_settings(settings: &[String]) -> Vec<PathBuf> {
    settings
        .iter()
        .filter_map(|line| line.split('"').nth(1))
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.is_file())
        .collect()
}

/// The machine's name servers, in the form hosts can use: not the address of a resolver that
/// listens to this machine alone.
pub(crate) fn resolv_conf() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = read("/etc/resolv.conf");
    if !is_local_only(&own) {
        return own;
    }
    let behind = read("/run/systemd/resolve/resolv.conf");
    if behind.contains("nameserver") { behind } else { own }
}

fn is_local_only(resolv_conf: &str) -> bool {
    resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).all(|address| {
        let address = address.trim();
        address.starts_with("127.") || address == "::1"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sources: Vec<Source>, release: Release) -> Vec<String> {
        AptAccess { sources, settings: Vec::new(), files: Vec::new() }.source_lines(release, false)
    }

    #[test]
    fn sources_of_both_forms_are_rewritten_for_another_release() {
        let stanza = "# c\nTypes: deb deb-src\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates \
                      bookworm-backports\nComponents: main contrib\nSigned-By: /usr/share/keyrings/d.gpg\n\n\
                      Types: deb\nURIs: http://m.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        assert_eq!(
            lines(parse_stanzas(stanza, "bookworm"), Release::Debian13),
            [
                "deb [signed-by=/usr/share/keyrings/d.gpg] http://m.example/debian trixie main",
                "deb [signed-by=/usr/share/keyrings/d.gpg] http://m.example/debian trixie-updates main",
                "deb http://m.example/debian-security trixie-security main",
            ]
        );
        let line =
            parse_line("deb [arch=amd64 trusted=yes] http://m.example/debian bookworm main # x", "bookworm");
        assert_eq!(
            lines(line, Release::Debian11),
            ["deb [trusted=yes] http://m.example/debian bullseye main"]
        );
    }

    #[test]
    fn other_peoples_sources_are_left_out() {
        for line in [
            "deb https://download.example/linux/debian bookworm stable",
            "deb http://m.example/debian sid main",
            "# deb http://m.example/debian bookworm main",
            "deb-src http://m.example/debian bookworm main",
        ] {
            assert_eq!(parse_line(line, "bookworm"), [], "{line}");
        }
        let off =
            "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n";
        assert_eq!(parse_stanzas(off, "bookworm"), []);
    }

    #[test]
    fn settings_of_access_are_taken_and_hooks_are_not() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://proxy.example:3142\";\n\
                    Acquire::http::Proxy-Auto-Detect \"/usr/bin/x\";\nAcquire::https \"\";\n\
                    Acquire::Check-Date \"false\";\nAPT::Update::Post-Invoke:: \"rm -f /x\";\n\
                    Acquire::IndexTargets::deb::DEP-11::KeepCompressed \"true\";\n";
        assert_eq!(
            access_settings(dump),
            ["Acquire::http::Proxy \"http://proxy.example:3142\";", "Acquire::Check-Date \"false\";"]
        );
    }

    #[test]
    fn a_resolver_of_this_machine_alone_is_no_use_to_hosts() {
        assert!(is_local_only("nameserver 127.0.0.53\noptions edns0\n"));
        assert!(!is_local_only("nameserver 10.0.0.2\n"));
    }
}
