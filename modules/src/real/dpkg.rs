//! dpkg's database as its files have it: `/var/lib/dpkg/status` and apt's `extended_states`.
//!
//! Read by us and not through dpkg-query: one pass over one file answers for all packages of a run.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, BufRead},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::versioned::Versioned;
use crate::node::{InstalledPackage, Remains};

/// dpkg's view of all packages it knows.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// The file that entries are parts of: a copy of each would take longer than finding them.
    text: Vec<u8>,
    /// In the order of their names, those of a name as in the file.
    entries: Vec<Entry>,
    /// Names that are provided by fully installed packages, with one that does.
    provided: HashMap<Box<str>, Box<str>>,
    /// The architecture of the node.
    native: String,
}

/// One package of one architecture.
#[derive(Clone, Debug)]
struct Entry {
    name: Part,
    architecture: Part,
    version: Part,
    held: bool,
    status: Status,
    manual: bool,
}

/// A part of the file, which is known to be text.
#[derive(Clone, Copy, Debug)]
struct Part {
    begin: usize,
    end: usize,
}

impl Part {
    /// Where a text that was found in the file lies in it.
    fn of(part: &str, file: &[u8]) -> Self {
        // The empty text of a missing field lies elsewhere.
        let begin = if part.is_empty() { 0 } else { part.as_ptr().addr() - file.as_ptr().addr() };
        Self { begin, end: begin + part.len() }
    }

    fn within(self, file: &[u8]) -> &str {
        std::str::from_utf8(&file[self.begin..self.end]).unwrap_or_default()
    }
}

/// The third word of the `Status` field (dpkg(1)), as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Absent,
    Configuration,
    /// Its files are there, its configuration is to come.
    Broken,
    /// Not even its files need be there: only unpacking it again helps.
    Half,
    Installed,
}

impl Database {
    /// Reads the files' texts.
    pub(super) fn parse(status: Vec<u8>, extended: &[u8]) -> Self {
        let mut database = Self::default();
        let mut provides: Vec<(Box<str>, Box<str>)> = Vec::new();
        for_each_paragraph(&status, |fields| {
            let name = fields.package;
            if name.is_empty() {
                return;
            }
            let mut words = fields.status.split(' ');
            let held = words.next() == Some("hold");
            let flag = words.next();
            let state = match words.next().unwrap_or_default() {
                _ if flag == Some("reinstreq") => Status::Half,
                "installed" | "triggers-awaited" | "triggers-pending" => Status::Installed,
                "config-files" => Status::Configuration,
                "not-installed" | "" => Status::Absent,
                "half-installed" => Status::Half,
                _ => Status::Broken,
            };
            if name == "dpkg" && state == Status::Installed {
                database.native = fields.architecture.to_owned();
            }
            if state == Status::Installed && !fields.provides.is_empty() {
                for provided in fields.provides.split(',') {
                    let provided = provided.trim().split([' ', ':']).next().unwrap_or_default();
                    if !provided.is_empty() {
                        provides.push((provided.into(), name.into()));
                    }
                }
            }
            let part = |text| Part::of(text, &status);
            database.entries.push(Entry {
                name: part(name),
                architecture: part(fields.architecture),
                version: part(fields.version),
                held,
                status: state,
                manual: true,
            });
        });
        database.text = status;
        database.provided = provides.into_iter().collect();
        // dpkg writes them in order, so that nothing is left to do.
        let text = &database.text;
        let name = |entry: &Entry| &text[entry.name.begin..entry.name.end];
        if !database.entries.is_sorted_by_key(name) {
            crate::in_order::sort_by(&mut database.entries, |one, other| name(one).cmp(name(other)));
        }
        for_each_paragraph(extended, |fields| {
            if fields.auto_installed != "1" {
                return;
            }
            let own = fields.architecture == database.native;
            let text = &database.text;
            let entries = within(text, &database.entries, fields.package);
            for entry in &mut database.entries[entries] {
                // apt writes the node's own architecture for packages of architecture `all`.
                let architecture = entry.architecture.within(text);
                if architecture == fields.architecture || (own && architecture == "all") {
                    entry.manual = false;
                }
            }
        });
        database
    }

    /// The architecture of the node, such as `amd64`; empty where dpkg itself is not installed.
    pub(super) fn native(&self) -> &str {
        &self.native
    }

    /// The entries of a name.
    fn entries(&self, name: &str) -> &[Entry] {
        &self.entries[within(&self.text, &self.entries, name)]
    }

    fn as_installed(&self, entry: &Entry) -> InstalledPackage {
        InstalledPackage {
            version: entry.version.within(&self.text).to_owned(),
            held: entry.held,
            manual: entry.manual,
            provided_by: None,
        }
    }

    /// The entry of a name; without `:arch` it is that of the node's own architecture or of `all`.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let (name, wanted) = match name.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture)),
            None => (name, None),
        };
        self.entries(name).iter().find(|entry| {
            let architecture = entry.architecture.within(&self.text);
            match wanted {
                Some("any") => true,
                Some(wanted) => architecture == wanted || (architecture == "all" && wanted == self.native),
                None => {
                    architecture == "all"
                        || architecture == self.native
                        || self.native.is_empty()
                        || architecture.is_empty()
                }
            }
        })
    }

    /// The package, if it is fully installed.
    pub(super) fn installed(&self, name: &str) -> Option<InstalledPackage> {
        if let Some(entry) = self.entry(name) {
            return (entry.status == Status::Installed).then(|| self.as_installed(entry));
        }
        let provider = self.provided.get(name)?;
        let entry = self.entries(provider).iter().find(|entry| entry.status == Status::Installed)?;
        Some(InstalledPackage { provided_by: Some(provider.to_string()), ..self.as_installed(entry) })
    }

    /// What is left of a package that is not installed.
    pub(super) fn remains(&self, name: &str) -> Remains {
        match self.entry(name).map(|entry| entry.status) {
            None | Some(Status::Absent | Status::Installed) => Remains::Nothing,
            Some(Status::Configuration) => Remains::Configuration,
            Some(Status::Broken | Status::Half) => Remains::Broken,
        }
    }

    /// Whether anything is neither installed nor gone.
    pub(super) fn is_broken(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.status, Status::Broken | Status::Half))
    }

    /// Packages that must be unpacked again, each as `name:arch` with whether somebody asked for it.
    pub(super) fn half_installed(&self) -> Vec<(String, bool)> {
        let halves = self.entries.iter().filter(|entry| entry.status == Status::Half);
        halves
            .map(|entry| {
                let (name, architecture) =
                    (entry.name.within(&self.text), entry.architecture.within(&self.text));
                (format!("{name}:{architecture}"), entry.manual)
            })
            .collect()
    }

    /// All fully installed packages as `name`, or `name:arch` where that is not the node's own.
    pub(super) fn all_installed(&self) -> BTreeMap<String, InstalledPackage> {
        let mut all = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.status == Status::Installed) {
            let (name, architecture) = (entry.name.within(&self.text), entry.architecture.within(&self.text));
            let own = architecture == self.native || architecture == "all";
            let name = if own { name.to_owned() } else { format!("{name}:{architecture}") };
            all.insert(name, self.as_installed(entry));
        }
        all
    }
}

/// Where the entries of a name are among these, which are in the order of their names.
fn within(text: &[u8], entries: &[Entry], name: &str) -> Range<usize> {
    let of = |entry: &Entry| &text[entry.name.begin..entry.name.end];
    let begin = entries.partition_point(|entry| of(entry) < name.as_bytes());
    let count = entries[begin..].iter().take_while(|entry| of(entry) == name.as_bytes()).count();
    begin..begin + count
}

/// The fields of a paragraph that are used, as texts of the file.
#[derive(Default)]
struct Fields<'a> {
    package: &'a str,
    status: &'a str,
    architecture: &'a str,
    version: &'a str,
    provides: &'a str,
    auto_installed: &'a str,
}

impl<'a> Fields<'a> {
    fn set(&mut self, line: &'a [u8]) {
        let text = |value: &'a [u8]| std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
        match line {
            [b'P', b'a', b'c', b'k', b'a', b'g', b'e', b':', value @ ..] => self.package = text(value),
            [b'S', b't', b'a', b't', b'u', b's', b':', value @ ..] => self.status = text(value),
            [b'V', b'e', b'r', b's', b'i', b'o', b'n', b':', value @ ..] => self.version = text(value),
            [b'A' | b'P', ..] => {
                if let Some(value) = line.strip_prefix(b"Architecture:") {
                    self.architecture = text(value);
                } else if let Some(value) = line.strip_prefix(b"Provides:") {
                    self.provides = text(value);
                } else if let Some(value) = line.strip_prefix(b"Auto-Installed:") {
                    self.auto_installed = text(value);
                }
            }
            _ => {}
        }
    }
}

/// Calls `take` for every paragraph of a file of fields (deb822(5)); folded lines are none of ours.
fn for_each_paragraph<'a>(text: &'a [u8], mut take: impl FnMut(&Fields<'a>)) {
    let mut fields = Fields::default();
    let mut any = false;
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest;
        // The C library's way to the next line, which looks at many bytes at once. Memory does not fail to be read.
        let length = rest.skip_until(b'\n').unwrap_or(start.len());
        let line = &start[..length];
        match line {
            [] | [b'\n'] => {
                if any {
                    take(&fields);
                }
                fields = Fields::default();
                any = false;
            }
            [b' ' | b'\t', ..] => {}
            line => {
                any = true;
                fields.set(line);
            }
        }
    }
    if any {
        take(&fields);
    }
}

/// What tells one version of a file from the next.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The database, read again only when its files were written.
#[derive(Debug, Default)]
pub(super) struct Cached {
    last: Versioned<[Stamp; 2], Database>,
}

impl Cached {
    /// Whether this machine has dpkg.
    pub(super) fn is_there(root: &Path) -> bool {
        fs::symlink_metadata(status_file(root)).is_ok()
    }

    /// The database as it is now.
    pub(super) fn get(&self, root: &Path) -> io::Result<Arc<Database>> {
        let files = [status_file(root), root.join("var/lib/apt/extended_states")];
        let stamps = || Ok([stamp(&files[0])?, stamp(&files[1])?]);
        self.last.get(stamps, || {
            let status = fs::read(&files[0])?;
            let extended = match fs::read(&files[1]) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                read => read?,
            };
            Ok(Database::parse(status, &extended))
        })
    }

    /// See [`crate::Node::hold_still`].
    pub(super) fn hold_still(&self, still: bool) {
        self.last.hold_still(still);
    }
}

fn status_file(root: &Path) -> PathBuf {
    root.join("var/lib/dpkg/status")
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether dpkg was stopped in the middle: its journal of status changes is not empty (what apt calls
/// "dpkg was interrupted").
pub(super) fn was_interrupted(root: &Path) -> bool {
    let Ok(entries) = fs::read_dir(root.join("var/lib/dpkg/updates")) else { return false };
    entries.flatten().any(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Package: dpkg
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 1.21.22

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9
Description: GNU C Library
 folded: Package: nonsense

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36-8

Package: nginx
Status: hold ok installed
Architecture: all
Version: 1.22.1-9
Provides: httpd, httpd-cgi (= 1.22.1-9), www:any

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
Provides: never

Package: half
Status: install ok half-configured
Architecture: amd64
Version: 3";

    const EXTENDED: &[u8] = b"Package: libc6
Architecture: i386
Auto-Installed: 1

Package: nginx
Architecture: amd64
Auto-Installed: 1

Package: dpkg
Architecture: amd64
Auto-Installed: 0
";

    fn database() -> Database {
        Database::parse(STATUS.to_vec(), EXTENDED)
    }

    #[test]
    fn packages_are_found_by_name_and_architecture() {
        let database = database();
        assert_eq!(database.native(), "amd64");
        assert_eq!(database.installed("libc6").unwrap().version, "2.36-9");
        assert_eq!(database.installed("libc6:amd64").unwrap().version, "2.36-9");
        let foreign = database.installed("libc6:i386").unwrap();
        assert_eq!((foreign.version.as_str(), foreign.manual), ("2.36-8", false));
        assert_eq!(database.installed("libc6:arm64"), None);
        let nginx = database.installed("nginx:amd64").unwrap();
        assert!(nginx.held && !nginx.manual);
        assert_eq!(database.installed("nonsense"), None);
        let all: Vec<_> = database.all_installed().into_keys().collect();
        assert_eq!(all, ["dpkg", "libc6", "libc6:i386", "nginx"]);
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let text = std::str::from_utf8(STATUS).unwrap();
        let mut paragraphs: Vec<&str> = text.split("\n\n").collect();
        let sorted = Database::parse(STATUS.to_vec(), EXTENDED).all_installed();
        for _ in 0..paragraphs.len() {
            paragraphs.rotate_left(1);
            let database = Database::parse(paragraphs.join("\n\n").into_bytes(), EXTENDED);
            assert_eq!(database.all_installed(), sorted);
            assert_eq!(database.installed("libc6:i386").unwrap().version, "2.36-8");
            assert_eq!(database.installed("www").unwrap().provided_by.as_deref(), Some("nginx"));
        }
    }

    #[test]
    fn what_is_not_whole_is_not_installed() {
        let database = database();
        assert_eq!(database.installed("gone"), None);
        assert_eq!(database.remains("gone"), Remains::Configuration);
        assert_eq!(database.installed("half"), None);
        assert_eq!(database.remains("half"), Remains::Broken);
        assert_eq!(database.remains("nginx"), Remains::Nothing);
        assert_eq!(database.remains("unheard-of"), Remains::Nothing);
        assert!(database.is_broken());
        assert_eq!(database.half_installed(), []);
    }

    #[test]
    fn what_must_be_unpacked_again_is_told_from_what_only_waits_for_its_configuration() {
        let states = [
            ("a", "install reinstreq half-installed"),
            ("b", "install ok half-installed"),
            ("c", "install reinstreq unpacked"),
            ("d", "install ok unpacked"),
            ("e", "install ok installed"),
            ("f", "deinstall ok config-files"),
        ];
        let entry = |(name, status)| {
            format!("Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: 1\n\n")
        };
        let text: String = states.into_iter().map(entry).collect();
        let auto = b"Package: b\nArchitecture: amd64\nAuto-Installed: 1\n";
        let database = Database::parse(text.into_bytes(), auto);
        let halves = database.half_installed();
        let halves: Vec<_> = halves.iter().map(|(name, manual)| (name.as_str(), *manual)).collect();
        assert_eq!(halves, [("a:amd64", true), ("b:amd64", false), ("c:amd64", true)]);
        let whole = b"Package: e\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";
        assert!(database.is_broken() && !Database::parse(whole.to_vec(), b"").is_broken());
    }

    #[test]
    fn provided_names_are_found_with_their_provider() {
        let database = database();
        for name in ["httpd", "httpd-cgi", "www"] {
            assert_eq!(database.installed(name).unwrap().provided_by.as_deref(), Some("nginx"), "{name}");
        }
        assert_eq!(database.installed("never"), None);
    }

    #[test]
    fn the_cache_sees_a_new_file() {
        let root = std::env::temp_dir().join(format!("cm-dpkg-{}", std::process::id()));
        fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
        fs::write(status_file(&root), STATUS).unwrap();
        let cached = Cached::default();
        let first = cached.get(&root).unwrap();
        assert!(Arc::ptr_eq(&first, &cached.get(&root).unwrap()));
        // dpkg writes a new file and renames it: another inode, whatever the clock says.
        let new = root.join("var/lib/dpkg/status-new");
        fs::write(&new, b"Package: a\nStatus: install ok installed\nVersion: 1\n").unwrap();
        fs::rename(&new, status_file(&root)).unwrap();
        assert_eq!(cached.get(&root).unwrap().installed("a").unwrap().version, "1");
        assert!(!was_interrupted(&root));
        fs::write(root.join("var/lib/dpkg/updates/tmp.i"), b"").unwrap();
        assert!(!was_interrupted(&root));
        fs::write(root.join("var/lib/dpkg/updates/0001"), b"x").unwrap();
        assert!(was_interrupted(&root));
        fs::remove_dir_all(&root).unwrap();
    }
}
