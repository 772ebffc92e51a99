//! CRC-32 as gzip and zip use it (RFC 1952, section 8).
//!
//! Not the one of `flate2`: its tables are 16 KiB of noise in the program that travels to every node. These are
//! calculated when the first archive is read.

use std::sync::OnceLock;

/// Bytes that are taken together.
const STEP: usize = 8;

/// For each place of a byte among [`STEP`]: what it adds.
type Tables = [[u32; 256]; STEP];

/// A checksum that grows with the data.
pub struct Crc32 {
    tables: &'static Tables,
    /// The checksum so far, inverted.
    state: u32,
}

impl Crc32 {
    /// The checksum of nothing.
    pub fn new() -> Self {
        static TABLES: OnceLock<Box<Tables>> = OnceLock::new();
        Self { tables: TABLES.get_or_init(tables), state: !0 }
    }

    /// Takes more data.
    pub fn update(&mut self, data: &[u8]) {
        let (steps, rest) = data.as_chunks::<STEP>();
        let mut state = self.state;
        for step in steps {
            let mixed = u64::from_le_bytes(*step) ^ u64::from(state);
            state = (0..STEP).fold(0, |sum, place| {
                sum ^ self.tables[STEP - 1 - place][usize::from(mixed.to_le_bytes()[place])]
            });
        }
        for &byte in rest {
            state = (state >> 8) ^ self.tables[0][usize::from(state.to_le_bytes()[0] ^ byte)];
        }
        self.state = state;
    }

    /// The checksum of all that was taken.
    pub const fn sum(&self) -> u32 {
        !self.state
    }
}

fn tables() -> Box<Tables> {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = Box::new([[0; 256]; STEP]);
    for (byte, entry) in (0u32..).zip(&mut tables[0]) {
        *entry = (0..8).fold(byte, |sum, _| if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 });
    }
    for place in 1..STEP {
        for byte in 0..256 {
            let before = tables[place - 1][byte];
            tables[place][byte] = (before >> 8) ^ tables[0][usize::from(before.to_le_bytes()[0])];
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_flate2_however_the_data_comes() {
        let data: Vec<u8> = (0..1000u32).map(|number| ((number * number) >> 3) as u8).collect();
        for length in [0, 1, 7, 8, 9, 64, 999, 1000] {
            for cut in [0, 1, length / 2, length] {
                let cut = cut.min(length);
                let mut expected = flate2::Crc::new();
                expected.update(&data[..length]);
                let mut crc = Crc32::new();
                crc.update(&data[..cut]);
                crc.update(&data[cut..length]);
                assert_eq!(crc.sum(), expected.sum(), "{length} bytes, cut at {cut}");
            }
        }
        let mut crc = Crc32::new();
        crc.update(b"123456789");
        assert_eq!(crc.sum(), 0xcbf4_3926);
    }
}
