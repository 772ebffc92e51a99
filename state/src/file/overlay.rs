//! A storage that reads a file and keeps what is written to itself: to look into a database
//! that redb would have to repair first, before one knows whose it is.

use std::{collections::HashMap, io, ops::Bound, sync::Mutex};

use redb::{BackendError, StorageBackend};

use super::backend::locks_of;

const PAGE: usize = 4096;

/// A file with changes that are forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Overlay<S> {
    below: S,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    length: u64,
    pages: HashMap<u64, Box<[u8; PAGE]>>,
}

impl<S: StorageBackend> Overlay<S> {
    pub(super) fn new(below: S) -> io::Result<Self> {
        let length = below.len()?;
        Ok(Self { below, changes: Mutex::new(Changes { length, pages: HashMap::new() }) })
    }

    fn changes(&self) -> io::Result<std::sync::MutexGuard<'_, Changes>> {
        self.changes.lock().map_err(|_| io::Error::other("a reader of the overlay panicked"))
    }

    /// A page as it is below, zeros where that ends.
    fn page_below(&self, number: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let there = self.below.len()?.saturating_sub(start).min(PAGE as u64) as usize;
        if there > 0 {
            self.below.read(start, &mut page[..there])?;
        }
        Ok(page)
    }
}

/// The stretches of pages that `length` bytes from `offset` lie in: page, first byte within it,
/// and the place among the bytes.
fn stretches(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let count = (PAGE - within).min(length - done);
        let stretch = (at / PAGE as u64, within, done..done + count);
        done += count;
        Some(stretch)
    })
}

impl<S: StorageBackend> StorageBackend for Overlay<S> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes()?.length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes()?;
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > changes.length) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        for (number, within, place) in stretches(offset, out.len()) {
            let out = &mut out[place];
            let count = out.len();
            match changes.pages.get(&number) {
                Some(page) => out.copy_from_slice(&page[within..within + count]),
                None => out.copy_from_slice(&self.page_below(number)?[within..within + count]),
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        // What is cut off and grown again may show its old bytes; redb writes before it reads.
        self.changes()?.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes()?;
        for (number, within, place) in stretches(offset, data.len()) {
            let page = match changes.pages.entry(number) {
                std::collections::hash_map::Entry::Occupied(page) => page.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => place.insert(self.page_below(number)?),
            };
            let data = &data[place];
            page[within..within + data.len()].copy_from_slice(data);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    locks_of!(below);
}

#[cfg(test)]
mod tests {
    use redb::{StorageBackend, backends::FileBackend, backends::InMemoryBackend};
    use std::io::Write;

    use super::Overlay;

    #[test]
    fn behaves_as_a_file_that_is_written_to_and_leaves_the_file_alone() {
        let before: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&before).unwrap();
        let overlay = Overlay::new(FileBackend::new(file.try_clone().unwrap()).unwrap()).unwrap();
        // A plain one with the same contents, to compare.
        let plain = InMemoryBackend::new();
        plain.set_len(before.len() as u64).unwrap();
        plain.write(0, &before).unwrap();
        let both: [&dyn StorageBackend; 2] = [&overlay, &plain];
        for storage in both {
            storage.write(4090, &[1; 20]).unwrap();
            storage.set_len(20_000).unwrap();
            storage.write(9_990, &[2; 5000]).unwrap();
            storage.write(0, &[3]).unwrap();
        }
        for (offset, length) in [(0, 20_000), (4095, 2), (9_985, 20), (14_980, 5_020), (19_999, 1), (7, 0)] {
            let [one, other] = both.map(|storage| {
                let mut bytes = vec![0xEE; length];
                storage.read(offset, &mut bytes).unwrap();
                bytes
            });
            assert!(one == other, "{offset} {length}");
        }
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        let unchanged = FileBackend::new(file).unwrap();
        let mut bytes = vec![0; before.len()];
        unchanged.read(0, &mut bytes).unwrap();
        assert!(unchanged.len().unwrap() == 10_000 && bytes == before);
    }
}
