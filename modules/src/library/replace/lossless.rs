//! Bytes as text and back, whatever they are: a byte that is no UTF-8 becomes one character of a private
//! area of Unicode. So expressions, which know only text, edit files of any encoding.

/// The character of byte 0x80; those of the other bytes that UTF-8 may not hold follow.
const FIRST: u32 = 0x10_FE80;
const LAST: u32 = FIRST + 0x7F;

/// A text that stands for bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Lossless {
    pub text: String,
}

impl Lossless {
    /// The text of these bytes; none where they hold characters of that area themselves.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            if chunk.valid().chars().any(stands_for_byte) {
                return None;
            }
            text.push_str(chunk.valid());
            // Bytes below 0x80 are always UTF-8, so none of these is one.
            text.extend(
                chunk.invalid().iter().filter_map(|&byte| char::from_u32(FIRST + u32::from(byte) - 0x80)),
            );
        }
        Some(Self { text })
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.text.len());
        for c in self.text.chars() {
            match u8::try_from(u32::from(c).wrapping_sub(FIRST)) {
                Ok(offset) if stands_for_byte(c) => bytes.push(0x80 + offset),
                _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes
    }
}

fn stands_for_byte(c: char) -> bool {
    (FIRST..=LAST).contains(&u32::from(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_that_stand_for_bytes_are_refused() {
        assert_eq!(Lossless::of("\u{10FE80}".as_bytes()), None);
        assert_eq!(Lossless::of(b"a\xff\xc3").unwrap().text, "a\u{10FEFF}\u{10FEC3}");
    }

    proptest! {
        #[test]
        fn all_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(coded) = Lossless::of(&bytes) {
                prop_assert_eq!(coded.bytes(), bytes);
            }
        }
    }
}
