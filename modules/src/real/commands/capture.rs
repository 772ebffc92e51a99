//! Output of a process: kept within bounds, handed on line by line.

use std::collections::VecDeque;

use cm_wire::Stream;

use crate::node::Live;

/// Half of what is kept of a stream, in bytes: the first and the last of it.
const HALF: usize = 512 * 1024;
/// A line without an end is handed on in pieces of this many bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// One stream of a process.
pub(super) struct Capture {
    stream: Stream,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
    /// The line that has no end yet; kept only while somebody listens.
    line: Vec<u8>,
}

impl Capture {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, head: Vec::new(), tail: VecDeque::new(), left_out: 0, line: Vec::new() }
    }

    /// Adds a piece. Whole lines go to `live` at once: secrets are taken out of what is shown line by
    /// line, so a line must never be cut where it can be helped.
    pub(super) fn push(&mut self, piece: &[u8], live: Option<Live<'_>>) {
        let room = HALF.saturating_sub(self.head.len()).min(piece.len());
        let (first, rest) = piece.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        if self.tail.len() > HALF {
            let over = self.tail.len() - HALF;
            self.tail.drain(..over);
            self.left_out += over as u64;
        }
        let Some(live) = live else { return };
        self.line.extend_from_slice(piece);
        let end = match self.line.iter().rposition(|&byte| byte == b'\n') {
            Some(at) => at + 1,
            None if self.line.len() > LONGEST_LINE => self.line.len(),
            None => return,
        };
        live(self.stream, &String::from_utf8_lossy(&self.line[..end]));
        self.line.drain(..end);
    }

    /// Hands on a last line that has no end, and gives what was kept.
    pub(super) fn finish(mut self, live: Option<Live<'_>>) -> String {
        if let Some(live) = live.filter(|_| !self.line.is_empty()) {
            live(self.stream, &String::from_utf8_lossy(&self.line));
        }
        if self.left_out > 0 {
            self.head.extend_from_slice(format!("\n… {} bytes left out …\n", self.left_out).as_bytes());
        }
        self.head.extend(self.tail);
        // Most output is valid already and is not copied again.
        String::from_utf8(self.head)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_first_and_the_last_half_are_kept() {
        let mut capture = Capture::new(Stream::Stdout);
        capture.push(b"first", None);
        for _ in 0..40 {
            capture.push(&[b'x'; 65_536], None);
        }
        capture.push(b"last", None);
        let text = capture.finish(None);
        assert!(text.starts_with("first") && text.ends_with("last"));
        let left_out = 5 + 40 * 65_536 + 4 - 2 * HALF;
        assert!(text.contains(&format!("\n… {left_out} bytes left out …\n")), "{}", text.len());
    }

    #[test]
    fn lines_arrive_whole_however_the_pieces_are_cut() {
        let seen = Mutex::new(Vec::new());
        let live = |_: Stream, text: &str| seen.lock().unwrap().push(text.to_owned());
        let mut capture = Capture::new(Stream::Stdout);
        for byte in "grün\nrot\nend".bytes() {
            capture.push(&[byte], Some(&live));
        }
        assert_eq!(capture.finish(Some(&live)), "grün\nrot\nend");
        assert_eq!(*seen.lock().unwrap(), ["grün\n", "rot\n", "end"]);
    }
}
