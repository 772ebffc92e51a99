//! Compression of larger parts of a record: `0 | bytes`, or `1 | size: u32 LE | zstd frame`.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::StateError;

use super::Malformed;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// Below this many bytes compression gains nothing.
const WORTHWHILE: usize = 256;
/// Nothing larger is packed or unpacked, in bytes.
pub(crate) const LIMIT: usize = 64 << 20;
const LEVEL: i32 = 1;

thread_local! {
    // Making one costs more than compressing a record.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs some bytes; `what` names them if they are too many.
pub(crate) fn pack(what: &str, bytes: &[u8]) -> Result<Vec<u8>, StateError> {
    let size = u32::try_from(bytes.len())
        .ok()
        .filter(|size| *size as usize <= LIMIT)
        .ok_or_else(|| StateError::TooLarge { what: what.to_owned(), size: bytes.len(), limit: LIMIT })?;
    if bytes.len() >= WORTHWHILE {
        let frame = COMPRESSOR
            .with_borrow_mut(|slot| match slot {
                Some(compressor) => compressor.compress(bytes),
                none => none.insert(Compressor::new(LEVEL)?).compress(bytes),
            })
            .map_err(|error| StateError::Encode { detail: error.to_string() })?;
        if frame.len() + 4 < bytes.len() {
            let mut packed = Vec::with_capacity(5 + frame.len());
            packed.push(ZSTD);
            packed.extend_from_slice(&size.to_le_bytes());
            packed.extend_from_slice(&frame);
            return Ok(packed);
        }
    }
    let mut packed = Vec::with_capacity(1 + bytes.len());
    packed.push(RAW);
    packed.extend_from_slice(bytes);
    Ok(packed)
}

/// The bytes that were packed.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    match packed {
        [RAW, bytes @ ..] => Ok(bytes.to_vec()),
        [ZSTD, a, b, c, d, frame @ ..] => {
            let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            if size > LIMIT {
                return Err(Malformed(format!("{size} bytes packed")));
            }
            let bytes = DECOMPRESSOR
                .with_borrow_mut(|slot| match slot {
                    Some(decompressor) => decompressor.decompress(frame, size),
                    none => none.insert(Decompressor::new()?).decompress(frame, size),
                })
                .map_err(|error| Malformed(error.to_string()))?;
            if bytes.len() == size { Ok(bytes) } else { Err(Malformed("a short frame".to_owned())) }
        }
        _ => Err(Malformed("an unknown packing".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};

    #[test]
    fn what_is_packed_comes_back_and_repetition_shrinks() {
        let noise: Vec<u8> = (0..999_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for bytes in [&b""[..], b"short", &[7; 5000], &noise] {
            let packed = pack("a test", bytes).unwrap();
            assert!(packed.len() <= bytes.len() + 1);
            assert_eq!(unpack(&packed).unwrap(), bytes);
        }
        assert!(pack("a test", &[7; 5000]).unwrap().len() < 100);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut wrong_size = pack("a test", &[7; 5000]).unwrap();
        wrong_size[1] ^= 1;
        for packed in [&[][..], &[2, 0], &[1, 0, 0], &[1, 255, 255, 255, 255, 0], &wrong_size] {
            assert!(unpack(packed).is_err(), "{packed:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_when_written() {
        let error = pack("the facts of `web1`", &vec![0; super::LIMIT + 1]).unwrap_err();
        assert!(error.to_string().starts_with("the facts of `web1` is too large"), "{error}");
    }
}
