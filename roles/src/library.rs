//! The roles that ship with the program: the folders of `roles/library/`, compiled in by the build script.

include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// A shipped role: its name, and its files by path below the role, sorted.
type Shipped = (&'static str, &'static [(&'static str, &'static [u8])]);

/// The shipped role of this name.
pub(crate) fn get(name: &str) -> Option<Shipped> {
    LIBRARY.iter().find(|(role, _)| *role == name).copied()
}

/// The files of the shipped role of this name by path below the role, sorted.
pub fn files(name: &str) -> Option<&'static [(&'static str, &'static [u8])]> {
    get(name).map(|(_, files)| files)
}

/// Names of all shipped roles, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|(name, _)| *name)
}
