//! Installed packages, however their package manager writes them down.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::node::InstalledPackage;

/// All that is installed.
#[derive(Debug, Default, PartialEq)]
pub(in crate::real) struct Database {
    /// Entries by name without architecture; several where several versions or architectures are installed.
    packages: BTreeMap<String, Vec<Entry>>,
    /// Names that installed packages provide, with one that does.
    provided: HashMap<String, String>,
    /// Packages of which several versions may be installed together: kernels.
    together: BTreeSet<String>,
    /// The architecture of the node.
    native: String,
}

/// One package of one version and architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::real) struct Entry {
    pub(in crate::real) version: String,
    pub(in crate::real) architecture: String,
    pub(in crate::real) manual: bool,
    pub(in crate::real) held: bool,
}

/// A name and the architecture that was given with it.
pub(in crate::real) fn split_architecture(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (name, None),
    }
}

impl Entry {
    fn as_installed(&self) -> InstalledPackage {
        InstalledPackage {
            version: self.version.clone(),
            held: self.held,
            manual: self.manual,
            provided_by: None,
        }
    }
}

impl Database {
    /// Nothing installed, on a node of this architecture.
    pub(in crate::real) fn new(native: &str) -> Self {
        Self { native: native.to_owned(), ..Self::default() }
    }

    /// Adds a package and the names it provides.
    pub(in crate::real) fn add<'a>(
        &mut self,
        name: &str,
        entry: Entry,
        provides: impl IntoIterator<Item = &'a str>,
    ) {
        for provided in provides {
            if provided != name && !provided.is_empty() {
                self.provided.insert(provided.to_owned(), name.to_owned());
            }
        }
        self.packages.entry(name.to_owned()).or_default().push(entry);
    }

    /// Says that several versions of a package may be installed together.
    pub(in crate::real) fn allow_several(&mut self, name: &str) {
        self.together.insert(name.to_owned());
    }

    /// Every entry with its name, to be marked and held.
    pub(in crate::real) fn entries_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.packages
            .iter_mut()
            .flat_map(|(name, entries)| entries.iter_mut().map(move |entry| (name.as_str(), entry)))
    }

    /// Whether the node runs packages of this architecture as its own.
    pub(in crate::real) fn is_native(&self, architecture: &str) -> bool {
        architecture == self.native || ["noarch", "any", "all", ""].contains(&architecture)
    }

    /// The name as requests take it: with its architecture only where that is not the node's own.
    pub(in crate::real) fn shown(&self, name: &str, architecture: &str) -> String {
        if self.is_native(architecture) { name.to_owned() } else { format!("{name}:{architecture}") }
    }

    /// The entry of a name, of the node's own architecture unless another is given; of several versions the
    /// last.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let of = |name: &str, wanted: Option<&str>| {
            let entries = self.packages.get(name)?;
            entries.iter().rfind(|entry| match wanted {
                Some(wanted) => {
                    entry.architecture == wanted
                        || (wanted == self.native && self.is_native(&entry.architecture))
                }
                None => self.is_native(&entry.architecture),
            })
        };
        let (stem, architecture) = split_architecture(name);
        of(stem, architecture).or_else(|| {
            // As rpm's own tools write it: `glibc.i686`.
            let (stem, architecture) = name.rsplit_once('.')?;
            of(stem, Some(architecture))
        })
    }

    /// The package, if it is installed.
    pub(in crate::real) fn installed(&self, name: &str) -> Option<InstalledPackage> {
        if let Some(entry) = self.entry(name) {
            return Some(entry.as_installed());
        }
        let provider = self.provided.get(name)?;
        let entry = self.entry(provider).or_else(|| self.packages.get(provider)?.last())?;
        Some(InstalledPackage { provided_by: Some(provider.clone()), ..entry.as_installed() })
    }

    /// The same, but not where only another package provides the name.
    pub(in crate::real) fn by_name(&self, name: &str) -> Option<InstalledPackage> {
        self.entry(name).map(Entry::as_installed)
    }

    /// All packages by the name that requests take.
    pub(in crate::real) fn all_installed(&self) -> BTreeMap<String, InstalledPackage> {
        let all = self.packages.iter().flat_map(|(name, entries)| {
            entries.iter().map(move |entry| (self.shown(name, &entry.architecture), entry.as_installed()))
        });
        all.collect()
    }

    /// Names of packages of which several versions are installed, and should not be.
    pub(in crate::real) fn several(&self) -> impl Iterator<Item = &str> {
        self.packages
            .iter()
            .filter(|(name, entries)| {
                !self.together.contains(*name)
                    && entries.iter().enumerate().any(|(at, entry)| {
                        entries[..at].iter().any(|other| other.architecture == entry.architecture)
                    })
            })
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        let mut database = Database::new("x86_64");
        let entry = |version: &str, architecture: &str| Entry {
            version: version.into(),
            architecture: architecture.into(),
            manual: true,
            held: false,
        };
        database.add("glibc", entry("2.34-1", "x86_64"), ["libc", "glibc"]);
        database.add("glibc", entry("2.34-0", "i686"), []);
        database.add("java-1.8.0-openjdk", entry("1.8-1", "noarch"), []);
        database.add("kernel", entry("5.1-1", "x86_64"), []);
        database.add("kernel", entry("5.2-1", "x86_64"), []);
        database
    }

    #[test]
    fn packages_are_found_by_name_architecture_and_what_they_provide() {
        let database = database();
        for (name, version) in [
            ("glibc", "2.34-1"),
            ("glibc:x86_64", "2.34-1"),
            ("glibc:i686", "2.34-0"),
            ("glibc.i686", "2.34-0"),
            ("java-1.8.0-openjdk", "1.8-1"),
            ("kernel", "5.2-1"),
            ("libc", "2.34-1"),
        ] {
            assert_eq!(database.installed(name).unwrap().version, version, "{name}");
        }
        assert_eq!(database.installed("glibc:arm"), None);
        assert_eq!(database.installed("libc").unwrap().provided_by.as_deref(), Some("glibc"));
        assert_eq!(database.by_name("libc"), None);
        let all: Vec<String> = database.all_installed().into_keys().collect();
        assert_eq!(all, ["glibc", "glibc:i686", "java-1.8.0-openjdk", "kernel"]);
        assert_eq!(database.several().collect::<Vec<_>>(), ["kernel"]);
    }
}
