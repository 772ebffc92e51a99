//! Messages to bytes and back: a length (u32, little endian), then postcard.

use serde::{Serialize, de::DeserializeOwned};

/// The largest frame either side accepts, in bytes. A catalog of 10,000 tasks is sent in several frames; one
/// task must fit (a tree of 100,000 entries does).
pub const FRAME_LIMIT: usize = 16 * 1024 * 1024;

/// A frame that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Larger than [`FRAME_LIMIT`].
    #[error("a frame of {0} bytes is over the limit of {FRAME_LIMIT}")]
    TooLarge(usize),
    /// Not what the codec writes.
    #[error("a frame that is not of this protocol")]
    Malformed(#[source] postcard::Error),
    /// A frame that holds more bytes than its message.
    #[error("a frame with {0} bytes after its message")]
    Trailing(usize),
}

/// Encodes a message with its length in front.
///
/// # Errors
/// [`FrameError::TooLarge`] when the message is over the limit.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Malformed)?;
    let size = bytes.len() - 4;
    if size > FRAME_LIMIT {
        return Err(FrameError::TooLarge(size));
    }
    // Within u32: the limit is far below.
    bytes[..4].copy_from_slice(&(size as u32).to_le_bytes());
    Ok(bytes)
}

/// Takes one message off the front of a buffer: the message and how many bytes it took, or none when
/// more bytes are needed.
///
/// # Errors
/// A length over the limit is refused before anything of that size is stored.
pub fn decode<T: DeserializeOwned>(buffer: &[u8]) -> Result<Option<(T, usize)>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let size = u32::from_le_bytes(*head) as usize;
    if size > FRAME_LIMIT {
        return Err(FrameError::TooLarge(size));
    }
    let Some(body) = buffer.get(4..4 + size) else { return Ok(None) };
    let (message, rest) = postcard::take_from_bytes(body).map_err(FrameError::Malformed)?;
    if !rest.is_empty() {
        return Err(FrameError::Trailing(rest.len()));
    }
    Ok(Some((message, 4 + size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, ToAgent};

    #[test]
    fn a_message_survives_the_wire_in_any_pieces() {
        let message = ToAgent::Content { digest: Digest::of(b"x"), bytes: vec![7; 1000], last: true };
        let bytes = encode(&message).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode::<ToAgent>(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        let (back, used) = decode::<ToAgent>(&bytes).unwrap().unwrap();
        assert_eq!((back, used), (message, bytes.len()));
    }

    #[test]
    fn an_oversized_length_is_refused_at_once() {
        let head = (FRAME_LIMIT as u32 + 1).to_le_bytes();
        assert!(matches!(decode::<ToAgent>(&head), Err(FrameError::TooLarge(_))));
        let large = ToAgent::Content { digest: Digest::of(b""), bytes: vec![0; FRAME_LIMIT], last: true };
        assert!(matches!(encode(&large), Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn noise_is_an_error_and_never_a_panic() {
        let mut state = 1u32;
        for _ in 0..20_000 {
            let mut bytes = vec![12, 0, 0, 0];
            for _ in 0..12 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 24) as u8);
            }
            let _ = decode::<ToAgent>(&bytes);
            let _ = decode::<crate::FromAgent>(&bytes);
        }
    }
}
