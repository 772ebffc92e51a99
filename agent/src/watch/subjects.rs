//! Which signs concern which tasks.

use std::collections::{BTreeMap, BTreeSet};

use cm_modules::Sign;

use super::{
    paths::{Depth, PathWatch},
    tables::Table,
};

/// Where units are enabled and masked by hand: what systemctl does is told by systemd, what rm(1) does is not.
const UNIT_FOLDERS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// What the tasks of a catalog hang on, but for paths, which the path watch keeps itself.
#[derive(Debug, Default)]
pub struct Subjects {
    /// By name with suffix.
    pub units: BTreeMap<String, BTreeSet<u32>>,
    /// Tables of the kernel.
    pub tables: BTreeMap<Table, BTreeSet<u32>>,
    /// Tasks of which something changes without a sign.
    pub unseen: BTreeSet<u32>,
}

impl Subjects {
    /// Takes what tells of a task.
    pub fn add(&mut self, task: u32, signs: Vec<Sign>, paths: &mut PathWatch) {
        for sign in signs {
            match sign {
                Sign::Path(path) => paths.add(path, task, Depth::Itself),
                Sign::Entries(path) => paths.add(path, task, Depth::Entries),
                Sign::Below(path) => paths.add(path, task, Depth::All),
                Sign::Unit(name) => {
                    for folder in UNIT_FOLDERS {
                        paths.add(folder.into(), task, Depth::All);
                    }
                    self.units.entry(name).or_default().insert(task);
                }
                Sign::Mounts => self.table(Table::Mounts, task),
                Sign::Swaps => self.table(Table::Swaps, task),
                Sign::Hostname => self.table(Table::Hostname, task),
                Sign::Nothing(_) => {
                    self.unseen.insert(task);
                }
            }
        }
    }

    fn table(&mut self, table: Table, task: u32) {
        self.tables.entry(table).or_default().insert(task);
    }

    /// All tasks that hang on units.
    pub fn of_units(&self) -> BTreeSet<u32> {
        self.units.values().flatten().copied().collect()
    }
}
