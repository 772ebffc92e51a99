//! What has come from the controller and was not taken yet.

use std::{io, os::fd::AsFd};

/// Read at once, in bytes, at least.
const READ: usize = 64 * 1024;
/// A buffer that a large frame made larger than this shrinks again when it is empty.
const KEPT: usize = 1024 * 1024;

/// A buffer that is read into at its end and taken from at its beginning.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Inbox {
    /// What is there.
    #[must_use]
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    /// Takes so many bytes off the beginning; they must be there.
    pub fn take(&mut self, count: usize) {
        self.begin += count;
        debug_assert!(self.begin <= self.end, "nobody takes more than is there");
    }

    /// Reads what comes next; 0 at the end of the stream.
    ///
    /// # Errors
    /// What reading returns; what is there stays.
    pub fn read_from(&mut self, input: &impl AsFd) -> io::Result<usize> {
        self.take_in(|place| Ok(rustix::io::read(input, place)?))
    }

    fn take_in(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            if self.bytes.len() > KEPT {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.len() - self.end < READ {
            self.make_room();
        }
        let count = read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    fn make_room(&mut self) {
        // Each byte is moved once on average: half of the buffer was taken before its rest is moved.
        if self.begin < self.bytes.len() / 2 || self.bytes.len() < 2 * READ {
            let size = (2 * self.bytes.len()).max(READ);
            if self.bytes.is_empty() {
                // Memory that the kernel has yet to give is zero already: most of it is never touched.
                self.bytes = vec![0; size];
            }
            self.bytes.resize(size, 0);
        }
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn nothing_is_lost_or_changed_however_it_comes_and_is_taken() {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ n >> 8) as u8).collect();
        let mut state = 7_u32;
        let mut next = |limit: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % limit + 1
        };
        let (mut inbox, mut input, mut got) = (Inbox::default(), &sent[..], Vec::new());
        while !input.is_empty() {
            let some = next(200_000);
            let count = inbox.take_in(|place| input.by_ref().take(some as u64).read(place)).unwrap();
            assert!(count > 0);
            // Now and then much gathers, as in a large frame.
            if next(10) > 2 && !inbox.waiting().is_empty() {
                let taken = next(inbox.waiting().len());
                got.extend_from_slice(&inbox.waiting()[..taken]);
                inbox.take(taken);
            }
        }
        got.extend_from_slice(inbox.waiting());
        assert!(got == sent);
        inbox.take(inbox.waiting().len());
        assert_eq!(inbox.take_in(|place| input.read(place)).unwrap(), 0);
        assert!(inbox.bytes.len() <= KEPT, "{} bytes", inbox.bytes.len());
    }

    #[test]
    fn small_messages_need_little() {
        let mut inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.take_in(|place| (&[1; 1000][..]).read(place)).unwrap();
            inbox.take(1000);
        }
        assert_eq!(inbox.bytes.len(), READ);
    }
}
