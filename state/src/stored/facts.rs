//! A node's facts in the file, apart from the node: lists of nodes do not read them.

use serde::{Deserialize, Serialize};

use crate::{StateError, tables::Table};

use super::{
    Malformed, Stored, bytes_field,
    envelope::{exactly, postcard_bytes, unknown_version},
    packing::{pack, unpack},
};

/// A JSON text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredFacts(pub(crate) String);

#[derive(Serialize, Deserialize)]
struct FactsV1<'a> {
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

impl Stored for StoredFacts {
    const TABLE: Table = Table::Facts;
    const WHAT: &'static str = "the facts of the node";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let packed = pack(Self::WHAT, self.0.as_bytes())?;
        postcard_bytes(&FactsV1 { packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        match version {
            1 => {
                let FactsV1 { packed } = exactly(payload)?;
                let text = String::from_utf8(unpack(packed)?);
                text.map(Self).map_err(|error| Malformed(error.to_string()))
            }
            _ => unknown_version(version),
        }
    }
}
