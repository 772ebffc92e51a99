//! Pieces of contents, which are most of what travels: whole bytes at once on both sides, and none of them copied
//! where it can be helped.
//!
//! A [`Piece`] is [`crate::ToAgent::Content`] on the wire; only how it is written and read is another way.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{self, Visitor},
};

use crate::{Digest, FRAME_LIMIT, FrameError};

/// Which message a piece is: the number of `Content` among those of [`crate::ToAgent`].
const CONTENT: u8 = 4;

/// A piece of a content, of which the bytes are in the buffer it was read from.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Piece<'a> {
    /// Which content.
    pub digest: Digest,
    /// The bytes.
    #[serde(borrow)]
    pub bytes: &'a [u8],
    /// Whether it is the last one.
    pub last: bool,
}

impl<'a> Piece<'a> {
    /// Appends a frame to a buffer.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] when it is over the limit; the buffer is as it was.
    pub fn push(&self, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut length = [0; 5];
        let Ok(count) = u32::try_from(self.bytes.len()) else {
            return Err(FrameError::TooLarge(self.bytes.len()));
        };
        let length = varint(count, &mut length);
        let size = 1 + self.digest.0.len() + length.len() + self.bytes.len() + 1;
        if size > FRAME_LIMIT {
            return Err(FrameError::TooLarge(size));
        }
        buffer.reserve(4 + size);
        // Within u32: the limit is far below.
        buffer.extend_from_slice(&(size as u32).to_le_bytes());
        buffer.push(CONTENT);
        buffer.extend_from_slice(&self.digest.0);
        buffer.extend_from_slice(length);
        buffer.extend_from_slice(self.bytes);
        buffer.push(u8::from(self.last));
        Ok(())
    }

    /// Reads a frame at the beginning of a buffer, if it is whole and a piece: the piece, and how many bytes it
    /// took. Anything else is for [`crate::decode`], a malformed piece, too.
    #[must_use]
    pub fn at(buffer: &'a [u8]) -> Option<(Self, usize)> {
        let size = u32::from_le_bytes(*buffer.first_chunk::<4>()?) as usize;
        if size > FRAME_LIMIT || *buffer.get(4)? != CONTENT {
            return None;
        }
        let (piece, rest) = postcard::take_from_bytes(buffer.get(5..4 + size)?).ok()?;
        rest.is_empty().then_some((piece, 4 + size))
    }
}

/// A number as postcard writes it: seven bits a byte, the lowest first.
fn varint(mut number: u32, space: &mut [u8; 5]) -> &[u8] {
    let mut count = 0;
    loop {
        let rest = number >> 7;
        // Seven bits fit.
        space[count] = (number & 0x7f) as u8 | if rest > 0 { 0x80 } else { 0 };
        count += 1;
        if rest == 0 {
            return &space[..count];
        }
        number = rest;
    }
}

/// Writes bytes at once; serde would write them one by one.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads bytes at once.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    deserializer.deserialize_bytes(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToAgent, decode, encode};

    #[test]
    fn a_piece_is_the_message_of_a_content() {
        for size in [0, 1, 127, 128, 16_383, 16_384, 131_072, 3_000_000] {
            let bytes: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
            for last in [false, true] {
                let digest = Digest::of(&bytes);
                let piece = Piece { digest, bytes: &bytes, last };
                let mut frame = Vec::new();
                piece.push(&mut frame).unwrap();
                let message = ToAgent::Content { digest, bytes: bytes.clone(), last };
                assert_eq!(frame, encode(&message).unwrap());
                assert_eq!(decode::<ToAgent>(&frame).unwrap().unwrap(), (message, frame.len()));
                frame.extend([9; 30]);
                assert_eq!(Piece::at(&frame), Some((piece, frame.len() - 30)));
            }
        }
    }

    #[test]
    fn what_is_cut_or_no_piece_is_left_alone() {
        let mut frame = Vec::new();
        Piece { digest: Digest::of(b"x"), bytes: &[7; 300], last: false }.push(&mut frame).unwrap();
        for cut in 0..frame.len() {
            assert_eq!(Piece::at(&frame[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Piece::at(&encode(&ToAgent::Ping).unwrap()), None);
        frame[0] += 1;
        frame.push(0);
        assert_eq!(Piece::at(&frame), None, "a byte too many is an error, which decode tells");
        assert!(decode::<ToAgent>(&frame).is_err());
        let large = vec![0; FRAME_LIMIT];
        let piece = Piece { digest: Digest::of(b"x"), bytes: &large, last: true };
        assert!(matches!(piece.push(&mut frame), Err(FrameError::TooLarge(_))));
    }
}
