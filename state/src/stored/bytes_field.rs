//! Serde for fields that are byte strings: in one go, where the default goes byte by byte. The
//! encoding is the same.

use serde::Serializer;

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}
