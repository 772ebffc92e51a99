//! A rollout in the file: bytes that only its owner understands, and versions itself.

use serde::{Deserialize, Serialize};

use crate::{StateError, tables::Table};

use super::{
    Malformed, Stored, bytes_field,
    envelope::{exactly, postcard_bytes, unknown_version},
    packing::{pack, unpack},
};

/// The bytes of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRollout(pub(crate) Vec<u8>);

#[derive(Serialize, Deserialize)]
struct RolloutV1<'a> {
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

impl Stored for StoredRollout {
    const TABLE: Table = Table::Rollouts;
    const WHAT: &'static str = "the rollout";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let packed = pack(Self::WHAT, &self.0)?;
        postcard_bytes(&RolloutV1 { packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        match version {
            1 => {
                let RolloutV1 { packed } = exactly(payload)?;
                Ok(Self(unpack(packed)?))
            }
            _ => unknown_version(version),
        }
    }
}
