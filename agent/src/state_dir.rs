//! Where the agent keeps what must outlive a run: journal, kept contents, lock, spool.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The agent's folder on the node, readable by its own user only.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `/var/lib/cm` for root, `~/.local/state/cm` for others.
    #[must_use]
    pub fn default_for_user() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self("/var/lib/cm".into());
        }
        // Without a home there is no place that nobody else can write: this one cannot be made, and that is told.
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Self(home.join(".local/state/cm"))
    }

    /// A given folder, for tests.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder and what is in it, 0700; refuses one that belongs to somebody else.
    ///
    /// # Errors
    /// When it cannot be made or is not ours alone.
    pub fn prepare(&self) -> io::Result<()> {
        for folder in [self.0.clone(), self.0.join("spool"), self.0.join("kept"), self.programs()] {
            let metadata = match fs::symlink_metadata(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
                    fs::symlink_metadata(&folder)?
                }
                found => found?,
            };
            if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
                return Err(io::Error::other(format!("{} does not belong to this user", folder.display())));
            }
            if metadata.mode() & 0o077 != 0 {
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            }
        }
        Ok(())
    }

    /// Contents that arrive in pieces.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Former contents by digest.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.0.join("kept")
    }

    /// Programs of the repository's own modules, by digest.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// What large files held when they were last hashed or written.
    #[must_use]
    pub fn digests(&self) -> PathBuf {
        self.0.join("digests")
    }

    /// Catalogs that the memory has nothing to say to.
    #[must_use]
    pub fn settled(&self) -> PathBuf {
        self.0.join("settled")
    }

    /// What was applied.
    #[must_use]
    pub fn applied(&self) -> PathBuf {
        self.0.join("applied")
    }

    /// The lock's file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}
