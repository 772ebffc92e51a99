//! A lab that was made: finding it again, and what it consists of.

use std::path::PathBuf;

use crate::error::LabError;
use crate::host::{self, HostStatus};
use crate::inventory_file::{inventory_path, key_path, known_hosts_path};
use crate::record::{self, HostRecord, LabRecord, Stage};

/// How a lab as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabState {
    /// It was made completely.
    Up,
    /// Another process is making or removing it at this moment.
    Busy,
    /// The run that made or removed it was killed, or the machine was restarted since: only
    /// [`crate::down`] is of use.
    LeftBehind,
}

impl LabState {
    /// The state as words for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Busy => "busy",
            Self::LeftBehind => "left behind",
        }
    }
}

/// A lab on this machine. It goes on when this value is dropped and when the process ends.
#[derive(Debug, Clone)]
pub struct Lab {
    pub(crate) record: LabRecord,
}

impl Lab {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// How it is as a whole.
    #[must_use]
    pub fn state(&self) -> LabState {
        if record::is_locked(&self.record.name) {
            LabState::Busy
        } else if self.record.stage == Stage::Up && self.record.is_of_this_boot() {
            LabState::Up
        } else {
            LabState::LeftBehind
        }
    }

    /// Its subnet, such as `10.213.7.0/24`.
    #[must_use]
    pub fn subnet(&self) -> String {
        self.record.number().subnet()
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.record.created
    }

    /// All hosts as they are at this moment, in the order of their addresses.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostStatus> {
        self.record.hosts.iter().map(|host| host::status(&self.record, host)).collect()
    }

    /// One host as it is at this moment.
    ///
    /// # Errors
    /// There is no such host.
    pub fn host_status(&self, host: &str) -> Result<HostStatus, LabError> {
        Ok(host::status(&self.record, self.host(host)?))
    }

    /// The folder with its inventory and keys.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.record.dir.clone()
    }

    /// Its inventory, which `cm` uses as it is.
    #[must_use]
    pub fn inventory_path(&self) -> PathBuf {
        inventory_path(&self.record.dir)
    }

    /// The private key that `admin`, `ops` and `root` accept on every host.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        key_path(&self.record.dir)
    }

    /// The hosts' public keys.
    #[must_use]
    pub fn known_hosts_path(&self) -> PathBuf {
        known_hosts_path(&self.record.dir)
    }

    /// What a host has written to its console.
    ///
    /// # Errors
    /// There is no such host.
    pub fn console_path(&self, host: &str) -> Result<PathBuf, LabError> {
        Ok(self.record.console_path(&self.host(host)?.name))
    }

    /// Removes the lab; the same as [`crate::down`] with its name.
    ///
    /// # Errors
    /// As [`crate::down`].
    pub fn down(self) -> Result<(), LabError> {
        crate::down(&self.record.name)
    }

    pub(crate) fn host(&self, name: &str) -> Result<&HostRecord, LabError> {
        self.record.hosts.iter().find(|host| host.name == name).ok_or_else(|| LabError::NoHost {
            lab: self.record.name.clone(),
            host: name.to_owned(),
            known: self.record.hosts.iter().map(|host| host.name.clone()).collect(),
        })
    }
}

/// Finds a lab by name, whoever made it.
///
/// # Errors
/// There is no such lab, or its record cannot be read.
pub fn find(name: &str) -> Result<Lab, LabError> {
    match LabRecord::load(name)? {
        Some(record) => Ok(Lab { record }),
        None => Err(LabError::NotFound { name: name.to_owned(), known: record::names()? }),
    }
}

/// All labs on this machine, those left behind by killed runs too, by name.
///
/// # Errors
/// A record cannot be read.
pub fn list() -> Result<Vec<Lab>, LabError> {
    let mut labs = Vec::new();
    for name in record::names()? {
        // One may have gone since the names were read.
        labs.extend(LabRecord::load(&name)?.map(|record| Lab { record }));
    }
    Ok(labs)
}
