//! A mark that tells whether anyone but us has written to the file since it was closed.
//!
//! redb trusts a file that was closed in order, and a damaged one can make it abort the process
//! in the middle of a write, where no error comes back. To go over the whole file each time
//! would be safe and slow. So whoever closes the file sets its time of modification to a
//! fraction of a second that follows from the second and the size: an editor, a restored or cut
//! off copy, another program leave another time, and then the file is gone over first. What a
//! disk spoils by itself leaves no such trace; records have checksums against that.

use std::{
    fs::{File, FileTimes, Metadata},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// Nobody has written to it since.
    Intact,
    /// Someone has, or the one who wrote last was killed.
    Broken,
    /// The file system keeps whole seconds only.
    Unknown,
}

pub(super) fn state(metadata: &Metadata) -> Seal {
    match u32::try_from(metadata.mtime_nsec()) {
        Ok(0) => Seal::Unknown,
        Ok(found) if found == fraction(metadata.mtime(), metadata.len()) => Seal::Intact,
        _ => Seal::Broken,
    }
}

/// Sets the mark. Only the file's owner may.
pub(super) fn set(file: &File) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let fraction = fraction(now.cast_signed(), file.metadata()?.len());
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::new(now, fraction)))
}

/// Nanoseconds, whole microseconds of them: finer ones are not kept everywhere. Never 0.
fn fraction(second: i64, size: u64) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cm-state seal 1");
    hasher.update(&second.to_le_bytes());
    hasher.update(&size.to_le_bytes());
    let mut number = [0; 8];
    hasher.finalize_xof().fill(&mut number);
    // Below a million, so that it fits.
    (u64::from_le_bytes(number) % 999_999 + 1) as u32 * 1000
}

#[cfg(test)]
mod tests {
    use std::{
        fs::FileTimes,
        io::Write,
        time::{Duration, UNIX_EPOCH},
    };

    use super::{Seal, set, state};

    #[test]
    fn writing_breaks_it() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(state(&file.metadata().unwrap()), Seal::Broken);
        file.write_all(b"one").unwrap();
        set(&file).unwrap();
        assert_eq!(state(&file.metadata().unwrap()), Seal::Intact);
        // Even with the time kept, as copies do, a part is not the whole.
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_len(2).unwrap();
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        assert_eq!(state(&file.metadata().unwrap()), Seal::Broken);
        set(&file).unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(state(&file.metadata().unwrap()), Seal::Broken);
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(9))).unwrap();
        assert_eq!(state(&file.metadata().unwrap()), Seal::Unknown);
    }
}
