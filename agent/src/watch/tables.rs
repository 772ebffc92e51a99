//! Tables of the kernel that wake poll(2) when they change (proc(5)): mounted file systems, swap areas, the host's
//! name.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// A table that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// What is mounted.
    Mounts,
    /// What is swapped to.
    Swaps,
    /// uname(2)'s node name.
    Hostname,
}

impl Table {
    fn path(self) -> &'static str {
        match self {
            Self::Mounts => "/proc/self/mountinfo",
            Self::Swaps => "/proc/swaps",
            Self::Hostname => "/proc/sys/kernel/hostname",
        }
    }
}

/// An open table with those who want to know of it. poll(2) with POLLPRI tells that it changed since it was
/// opened or told of last; nothing must be read.
pub struct OpenTable {
    file: File,
    /// Numbers of tasks.
    pub who: BTreeSet<u32>,
}

impl OpenTable {
    /// Opens a table.
    ///
    /// # Errors
    /// Where the kernel has none.
    pub fn open(table: Table, who: BTreeSet<u32>) -> io::Result<Self> {
        Ok(Self { file: File::open(table.path())?, who })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
