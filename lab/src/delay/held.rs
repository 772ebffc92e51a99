//! The frames that are on their way in one direction: in order, in memory of a fixed size.

use std::collections::VecDeque;

/// The longest frame: 64 KiB that the receiver's card would cut, with their headers.
pub(super) const LONGEST: usize = 72 * 1024;

/// How many frames may be on their way.
const FRAMES: usize = 16 * 1024;

/// One frame's place in the ring.
#[derive(Clone, Copy)]
struct Frame {
    start: usize,
    length: usize,
    /// When it arrives, in nanoseconds of the monotonic clock.
    due: u64,
}

/// Frames in the order they came. Nothing is allocated after it was made.
pub(super) struct Held {
    ring: Vec<u8>,
    frames: VecDeque<Frame>,
    /// Where the next frame goes.
    end: usize,
}

impl Held {
    /// Room for `bytes` on their way; pages that are never used cost nothing.
    pub(super) fn new(bytes: usize) -> Self {
        Self { ring: vec![0; bytes.max(LONGEST)], frames: VecDeque::with_capacity(FRAMES), end: 0 }
    }

    /// Where a frame of any length can be put; none where the link is full.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.frames.len() == FRAMES {
            return None;
        }
        match self.frames.front() {
            None => self.end = 0,
            // Not behind the oldest: a frame lies in one piece, so the rest of the ring may be left out.
            Some(first) if first.start < self.end => {
                if self.ring.len() - self.end < LONGEST {
                    if first.start < LONGEST {
                        return None;
                    }
                    self.end = 0;
                }
            }
            Some(first) if first.start - self.end < LONGEST => return None,
            Some(_) => {}
        }
        self.ring.get_mut(self.end..self.end + LONGEST)
    }

    /// Takes the frame that was put into the room.
    pub(super) fn take(&mut self, length: usize, due: u64) {
        self.frames.push_back(Frame { start: self.end, length, due });
        self.end += length;
    }

    /// When the next frame arrives.
    pub(super) fn due(&self) -> Option<u64> {
        self.frames.front().map(|frame| frame.due)
    }

    /// The next frame, where it has arrived by `now`.
    pub(super) fn arrived(&mut self, now: u64) -> Option<&[u8]> {
        let frame = *self.frames.front().filter(|frame| frame.due <= now)?;
        self.frames.pop_front();
        self.ring.get(frame.start..frame.start + frame.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(held: &mut Held, byte: u8, length: usize, due: u64) -> bool {
        let Some(room) = held.room() else { return false };
        room[..length].fill(byte);
        held.take(length, due);
        true
    }

    #[test]
    fn frames_arrive_in_order_when_they_are_due_and_whole() {
        let mut held = Held::new(LONGEST * 3 + 100);
        let mut sent = 0_u8;
        let mut got = 0_u8;
        // Odd lengths, so that every place of the ring is the edge once.
        for round in 0..500_usize {
            for _ in 0..2 {
                if put(&mut held, sent, 1000 + usize::from(sent) * 113, round as u64 + 1) {
                    sent = sent.wrapping_add(1);
                }
            }
            assert!(held.arrived(0).is_none());
            while let Some(frame) = held.arrived(round as u64) {
                assert!(
                    frame.len() == 1000 + usize::from(got) * 113 && frame.iter().all(|byte| *byte == got)
                );
                got = got.wrapping_add(1);
            }
        }
        assert!(got > 100 || sent > 100);
        assert_eq!(held.due(), Some(500));
    }

    #[test]
    fn a_full_link_takes_nothing_until_a_frame_has_arrived() {
        let mut held = Held::new(LONGEST * 2);
        assert!(put(&mut held, 1, LONGEST, 5) && put(&mut held, 2, LONGEST, 5));
        assert!(!put(&mut held, 3, 10, 5));
        assert_eq!(held.arrived(5).map(|frame| frame[0]), Some(1));
        assert!(put(&mut held, 3, 10, 6));
        assert_eq!(held.arrived(6).map(|frame| frame[0]), Some(2));
        assert_eq!(held.arrived(6).map(<[u8]>::len), Some(10));
        assert!(held.arrived(6).is_none());
    }
}
