//! What a source gave last, kept in `.cm/sources/` of the repository.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The copy of one source.
pub(super) struct Copy {
    folder: PathBuf,
    file: String,
}

impl Copy {
    /// The copy of a source of this name; none where the repository has no folder.
    pub(super) fn of(root: &Path, name: &str) -> Option<Self> {
        let folder = root.is_dir().then(|| root.join(".cm/sources"))?;
        let hash = blake3::hash(name.as_bytes()).to_hex();
        Some(Self { folder, file: format!("{}.json", &hash[..32]) })
    }

    /// The text and its age; none where there is no copy.
    pub(super) fn read(&self) -> Option<(Vec<u8>, Duration)> {
        let path = self.folder.join(&self.file);
        let written = std::fs::metadata(&path).ok()?.modified().ok()?;
        // A copy of the future is of unknown age: as good as an old one.
        let age = SystemTime::now().duration_since(written).unwrap_or(Duration::MAX);
        Some((std::fs::read(path).ok()?, age))
    }

    /// Replaces the copy as a whole.
    pub(super) fn write(&self, text: &[u8]) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let temporary = self.folder.join(format!(".{}.{}", self.file, std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(temporary, self.folder.join(&self.file))
    }
}

/// An age as a person says it.
pub(super) fn shown(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        u64::MAX => "an unknown time".to_owned(),
        seconds => format!("{} days", seconds / 86_400),
    }
}
