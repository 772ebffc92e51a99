//! dpkg's database as its files have it: `/var/lib/dpkg/status` and apt's `extended_states`.
//!
//! Read by us and not through dpkg-query: one pass over one file answers for all packages of a run.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::versioned::Versioned;
use crate::node::{InstalledPackage, Remains};

/// dpkg's view of all packages it knows.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// Entries by name without architecture.
    packages: HashMap<Box<str>, Vec<Entry>>,
    /// Names that are provided by fully installed packages, with one that does.
    provided: HashMap<Box<str>, Box<str>>,
    /// The architecture of the node.
    native: String,
}

/// One package of one architecture.
#[derive(Clone, Debug)]
struct Entry {
    architecture: Box<str>,
    version: Box<str>,
    held: bool,
    status: Status,
    manual: bool,
}

impl Entry {
    fn as_installed(&self) -> InstalledPackage {
        InstalledPackage {
            version: self.version.to_string(),
            held: self.held,
            manual: self.manual,
            provided_by: None,
        }
    }
}

/// The third word of the `Status` field (dpkg(1)), as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Absent,
    Configuration,
    Broken,
    Installed,
}

impl Database {
    /// Reads the files' texts.
    pub(super) fn parse(status: &[u8], extended: &[u8]) -> Self {
        let mut database = Self::default();
        let mut provides: Vec<(Box<str>, Box<str>)> = Vec::new();
        for_each_paragraph(status, |fields| {
            let name = fields.get("Package");
            if name.is_empty() {
                return;
            }
            let mut words = fields.get("Status").split(' ');
            let held = words.next() == Some("hold");
            let status = match words.nth(1).unwrap_or_default() {
                "installed" | "triggers-awaited" | "triggers-pending" => Status::Installed,
                "config-files" => Status::Configuration,
                "not-installed" | "" => Status::Absent,
                _ => Status::Broken,
            };
            if name == "dpkg" && status == Status::Installed {
                database.native = fields.get("Architecture").to_owned();
            }
            if status == Status::Installed {
                for provided in fields.get("Provides").split(',') {
                    let provided = provided.trim().split([' ', ':']).next().unwrap_or_default();
                    if !provided.is_empty() {
                        provides.push((provided.into(), name.into()));
                    }
                }
            }
            database.packages.entry(name.into()).or_default().push(Entry {
                architecture: fields.get("Architecture").into(),
                version: fields.get("Version").into(),
                held,
                status,
                manual: true,
            });
        });
        database.provided = provides.into_iter().collect();
        for_each_paragraph(extended, |fields| {
            if fields.get("Auto-Installed") != "1" {
                return;
            }
            let architecture = fields.get("Architecture");
            let native = architecture == database.native;
            for entry in database.packages.get_mut(fields.get("Package")).into_iter().flatten() {
                // apt writes the node's own architecture for packages of architecture `all`.
                if *entry.architecture == *architecture || (native && &*entry.architecture == "all") {
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

    /// The entry of a name; without `:arch` it is that of the node's own architecture or of `all`.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let (name, architecture) = match name.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture)),
            None => (name, None),
        };
        self.packages.get(name)?.iter().find(|entry| match architecture {
            Some("any") => true,
            Some(architecture) => {
                *entry.architecture == *architecture
                    || (&*entry.architecture == "all" && architecture == self.native)
            }
            None => {
                &*entry.architecture == "all"
                    || *entry.architecture == *self.native
                    || self.native.is_empty()
                    || entry.architecture.is_empty()
            }
        })
    }

    /// The package, if it is fully installed.
    pub(super) fn installed(&self, name: &str) -> Option<InstalledPackage> {
        if let Some(entry) = self.entry(name) {
            return (entry.status == Status::Installed).then(|| entry.as_installed());
        }
        let provider = self.provided.get(name)?;
        let entry = self.packages.get(provider)?.iter().find(|entry| entry.status == Status::Installed)?;
        Some(InstalledPackage { provided_by: Some(provider.to_string()), ..entry.as_installed() })
    }

    /// What is left of a package that is not installed.
    pub(super) fn remains(&self, name: &str) -> Remains {
        match self.entry(name).map(|entry| entry.status) {
            None | Some(Status::Absent | Status::Installed) => Remains::Nothing,
            Some(Status::Configuration) => Remains::Configuration,
            Some(Status::Broken) => Remains::Broken,
        }
    }

    /// All fully installed packages as `name`, or `name:arch` where that is not the node's own.
    pub(super) fn all_installed(&self) -> BTreeMap<String, InstalledPackage> {
        let mut all = BTreeMap::new();
        for (name, entries) in &self.packages {
            for entry in entries.iter().filter(|entry| entry.status == Status::Installed) {
                let own = *entry.architecture == *self.native || &*entry.architecture == "all";
                let name = if own { name.to_string() } else { format!("{name}:{}", entry.architecture) };
                all.insert(name, entry.as_installed());
            }
        }
        all
    }
}

/// The fields of a paragraph that are used, as texts of the file.
struct Fields<'a>([(&'static str, &'a str); 6]);

impl<'a> Fields<'a> {
    const EMPTY: Self = Self([
        ("Package", ""),
        ("Status", ""),
        ("Architecture", ""),
        ("Version", ""),
        ("Provides", ""),
        ("Auto-Installed", ""),
    ]);

    fn get(&self, name: &str) -> &'a str {
        self.0.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }

    fn set(&mut self, line: &'a [u8]) {
        for (field, value) in &mut self.0 {
            // Most lines are told apart by where their colon is.
            if line.get(field.len()) == Some(&b':')
                && let Some(rest) = line.strip_prefix(field.as_bytes())
            {
                let rest = &rest[1..];
                *value = std::str::from_utf8(rest).unwrap_or_default().trim();
            }
        }
    }
}

/// Calls `take` for every paragraph of a file of fields (deb822(5)); folded lines are none of ours.
fn for_each_paragraph<'a>(text: &'a [u8], mut take: impl FnMut(&Fields<'a>)) {
    let mut fields = Fields::EMPTY;
    let mut any = false;
    for line in text.split(|&byte| byte == b'\n') {
        match line.first() {
            None => {
                if any {
                    take(&fields);
                }
                fields = Fields::EMPTY;
                any = false;
            }
            Some(b' ' | b'\t') => {}
            Some(b'P' | b'S' | b'A' | b'V') => {
                any = true;
                fields.set(line);
            }
            Some(_) => any = true,
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
            Ok(Database::parse(&status, &extended))
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
        Database::parse(STATUS, EXTENDED)
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
    fn what_is_not_whole_is_not_installed() {
        let database = database();
        assert_eq!(database.installed("gone"), None);
        assert_eq!(database.remains("gone"), Remains::Configuration);
        assert_eq!(database.installed("half"), None);
        assert_eq!(database.remains("half"), Remains::Broken);
        assert_eq!(database.remains("nginx"), Remains::Nothing);
        assert_eq!(database.remains("unheard-of"), Remains::Nothing);
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
