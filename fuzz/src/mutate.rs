//! Damages inputs.

/// Numbers that look random and are the same for the same seed (an LCG of Knuth's, its upper bits).
pub struct Mutator(u64);

/// Bytes at the edges of what readers tell apart.
const EDGES: &[u8] =
    &[0, 1, 9, 10, 13, 27, 0x20, b'"', b'\'', b'\\', b':', b'-', b'#', 0x7f, 0x80, 0xc3, 0xfe, 0xff];

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    /// One input of the pool, damaged once or several times.
    pub fn damage(&mut self, pool: &[Vec<u8>], words: &[&str], largest: usize) -> Vec<u8> {
        let mut input = pool.get(self.below(pool.len())).cloned().unwrap_or_default();
        for _ in 0..=self.below(5) {
            self.step(&mut input, pool, words);
        }
        input.truncate(largest);
        input
    }

    fn step(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(40) + 1);
        match self.below(10) {
            0 => {
                input.drain(at..end);
            }
            1 => {
                let copy = input[at..end].to_vec();
                let target = self.below(input.len() + 1);
                input.splice(target..target, copy);
            }
            2 if at < input.len() => input[at] ^= 1 << self.below(8),
            3 if at < input.len() => input[at] = EDGES[self.below(EDGES.len())],
            4 if at < input.len() => input[at] = self.below(256) as u8,
            5 => {
                let edge = EDGES[self.below(EDGES.len())];
                input.insert(at, edge);
            }
            6 => {
                let other = pool.get(self.below(pool.len())).map(Vec::as_slice).unwrap_or_default();
                let from = self.below(other.len() + 1);
                let length = self.below((other.len() - from).min(200) + 1);
                input.splice(at..end, other[from..from + length].iter().copied());
            }
            7 => {
                // Many times over: nesting, long lines, long lists.
                let piece = self.word(words).repeat(1 << self.below(11));
                input.splice(at..at, piece.into_bytes());
            }
            _ => {
                let word = self.word(words).to_owned();
                input.splice(at..end.min(at + self.below(3)), word.into_bytes());
            }
        }
    }

    fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words.get(self.below(words.len())).copied().unwrap_or("\0")
    }
}
