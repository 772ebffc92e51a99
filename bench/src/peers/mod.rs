//! The other tools: installed from PyPI, given the same role as one who knows them would write it, and proven to
//! have reached the same end state.
//!
//! Each tool is one file: what it is given and how it is called.

mod ansible;
mod cm;
pub mod end_state;
mod environment;
mod pyinfra;
mod salt;
pub mod unchanged;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{ground::Site, role::Role};

/// A tool that applies the role.
pub struct Tool {
    /// One word: `pyinfra`.
    pub name: &'static str,
    /// As tables name it.
    pub title: &'static str,
    /// What is installed from PyPI, in the form of pip's requirements; none for `cm`.
    requirements: Option<&'static str>,
    /// Writes what the tool is given into an empty folder, for these hosts, and says how it is called.
    prepare: fn(&Given<'_>) -> Result<Command>,
}

/// What a tool is prepared with.
pub struct Given<'a> {
    /// The hosts.
    pub site: &'a Site,
    /// What is wanted of them.
    pub role: &'a Role,
    /// An empty folder.
    pub folder: &'a Path,
    /// The tool's Python environment; empty for `cm`.
    pub environment: PathBuf,
}

/// All tools, ours first.
pub const TOOLS: &[&Tool] = &[&cm::CM, &pyinfra::PYINFRA, &salt::SALT, &ansible::MITOGEN, &ansible::ANSIBLE];

impl Tool {
    /// Installs the tool, where it is not yet.
    ///
    /// # Errors
    /// pip fails.
    pub fn install(&self) -> Result<PathBuf> {
        self.requirements
            .map_or_else(|| Ok(PathBuf::new()), |wanted| environment::installed(self.name, wanted))
    }

    /// Writes the role for these hosts and says how it is applied.
    ///
    /// # Errors
    /// Files cannot be written.
    pub fn prepare(&self, site: &Site, role: &Role, folder: &Path) -> Result<Command> {
        (self.prepare)(&Given { site, role, folder, environment: self.install()? })
    }
}

impl Given<'_> {
    /// A program of the tool, started in its folder.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.environment.join("bin").join(name));
        command.current_dir(self.folder);
        command
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).with_context(|| format!("{} cannot be made", above.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Name and address of each host.
    fn hosts(&self) -> Result<Vec<(&str, String)>> {
        let all = self.site.hosts.iter();
        all.map(|host| Ok((host.as_str(), self.site.lab.host_status(host)?.address.to_string()))).collect()
    }

    fn key(&self) -> String {
        self.site.lab.key_path().display().to_string()
    }

    fn known_hosts(&self) -> String {
        self.site.lab.known_hosts_path().display().to_string()
    }
}
