//! A node's facts in the file, apart from the node: lists of nodes do not read them. A digest stands before
//! them, so that facts that are as they were need be neither packed nor written again.

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
struct FactsV2<'a> {
    /// The beginning of the text's BLAKE3 hash.
    digest: [u8; 16],
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct FactsV1<'a> {
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

fn digest_of(json: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(json.as_bytes()).as_bytes()[..16]);
    digest
}

/// Facts of which only the digest is read.
pub(crate) struct FactsDigest(Option<[u8; 16]>);

impl FactsDigest {
    /// Whether they are these. Those of the first format have none: they never are.
    pub(crate) fn is_of(&self, json: &str) -> bool {
        self.0.is_some_and(|digest| digest == digest_of(json))
    }
}

impl Stored for FactsDigest {
    const TABLE: Table = StoredFacts::TABLE;
    const WHAT: &'static str = StoredFacts::WHAT;
    const VERSION: u8 = StoredFacts::VERSION;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        Err(StateError::Encode { detail: "a digest stands only with its facts".to_owned() })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        Ok(Self(if version == 2 { Some(exactly::<FactsV2<'_>>(payload)?.digest) } else { None }))
    }
}

impl Stored for StoredFacts {
    const TABLE: Table = Table::Facts;
    const WHAT: &'static str = "the facts of the node";
    const VERSION: u8 = 2;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let packed = pack(Self::WHAT, self.0.as_bytes())?;
        postcard_bytes(&FactsV2 { digest: digest_of(&self.0), packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let packed = match version {
            1 => exactly::<FactsV1<'_>>(payload)?.packed,
            2 => exactly::<FactsV2<'_>>(payload)?.packed,
            _ => return unknown_version(version),
        };
        let text = String::from_utf8(unpack(packed)?);
        text.map(Self).map_err(|error| Malformed(error.to_string()))
    }
}
