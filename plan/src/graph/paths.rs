//! Paths as keys of maps: the hashes of a path and of all directories above it are found in one pass over its bytes.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::fast_hash::Fast;

/// A path without anything superfluous in it, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathKey<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl PartialEq for PathKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for PathKey<'_> {}

impl Hash for PathKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Gives the hash that a [`PathKey`] brings along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known(u64);

impl Hasher for Known {
    fn write(&mut self, bytes: &[u8]) {
        // No key but `PathKey` is used with it.
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map by paths.
pub(super) type PathMap<'a, V> = HashMap<PathKey<'a>, V, BuildHasherDefault<Known>>;

/// A path in its one spelling: two paths of the same parts have the same bytes.
pub(crate) fn plain(path: &Path) -> Cow<'_, Path> {
    let bytes = path.as_os_str().as_bytes();
    let mut last = 0;
    let mut odd = bytes.first() == Some(&b'.');
    for &byte in bytes {
        odd |= last == b'/' && (byte == b'/' || byte == b'.');
        last = byte;
    }
    if odd || (last == b'/' && bytes.len() > 1) {
        Cow::Owned(path.components().collect::<PathBuf>())
    } else {
        Cow::Borrowed(path)
    }
}

/// Calls `each` with the path and then with what is above it, nearest first, as [`Path::ancestors`] does, until it says that it is done.
/// The path must be [`plain`].
pub(super) fn upwards<'a>(path: &'a Path, mut each: impl FnMut(PathKey<'a>, &'a Path) -> bool) {
    let bytes = path.as_os_str().as_bytes();
    // Deeper paths than this are rare enough to be hashed again for each directory.
    let mut hashes = [0; 32];
    let mut ends = [0; 32];
    let mut count = 0;
    let mut hasher = Fast::default();
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'/' && count < hashes.len() {
            // Of `/a` the root is above; of `a/b` it is `a`.
            if at == 0 {
                let mut root = hasher;
                root.add(byte);
                hashes[count] = root.finish();
                ends[count] = 1;
            } else {
                hashes[count] = hasher.finish();
                ends[count] = at;
            }
            count += 1;
        }
        hasher.add(byte);
    }
    if each(PathKey { hash: hasher.finish(), bytes }, path) {
        return;
    }
    let mut above = path;
    while let Some(next) = parent(above) {
        above = next;
        let bytes = above.as_os_str().as_bytes();
        let hash = match ends[..count].iter().rposition(|&end| end == bytes.len()) {
            Some(place) => hashes[place],
            None => {
                let mut hasher = Fast::default();
                hasher.write(bytes);
                hasher.finish()
            }
        };
        if each(PathKey { hash, bytes }, above) {
            return;
        }
    }
}

/// What is right above a plain path.
fn parent(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes == b"/" {
        return None;
    }
    let end = match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(0) => 1,
        Some(at) => at,
        None => 0,
    };
    Some(Path::new(std::ffi::OsStr::from_bytes(&bytes[..end])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ways_up_are_those_of_the_library(text in "/?([a-c]{0,2}[/.]{1,2}){0,40}[a-c.]{0,2}") {
            let path = Path::new(&text);
            let plain = plain(path);
            prop_assert_eq!(&*plain, path);
            let mut found = Vec::new();
            upwards(&plain, |key, above| {
                prop_assert_eq_bytes(key, above);
                found.push(above);
                false
            });
            let wanted: Vec<&Path> = plain.ancestors().collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn equal_paths_have_one_spelling(left in "/?([ab]?[/.]){0,5}[ab]?", right in "/?([ab]?[/.]){0,5}[ab]?") {
            let same = Path::new(&left) == Path::new(&right);
            let (left, right) = (plain(Path::new(&left)), plain(Path::new(&right)));
            prop_assert_eq!(same, left.as_os_str() == right.as_os_str());
        }
    }

    /// A key's hash is that of its bytes, whichever path it was found above.
    fn prop_assert_eq_bytes(key: PathKey<'_>, above: &Path) {
        let mut hasher = Fast::default();
        hasher.write(above.as_os_str().as_bytes());
        assert_eq!(key.hash, hasher.finish());
    }
}
