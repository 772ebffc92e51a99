//! The hosts a run meant to touch, in the file.

use serde::{Deserialize, Serialize};

use crate::{StateError, tables::Table};

use super::{
    Malformed, Stored, bytes_field,
    envelope::{exactly, postcard_bytes, unknown_version},
    packing::{pack, unpack},
};

/// Names of hosts, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedHosts(pub(crate) Vec<String>);

#[derive(Serialize, Deserialize)]
struct PlannedHostsV1<'a> {
    /// Packed postcard of the names.
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    names: &'a [u8],
}

impl Stored for PlannedHosts {
    const TABLE: Table = Table::RunHosts;
    const WHAT: &'static str = "the hosts of the run";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let names = pack(Self::WHAT, &postcard_bytes(&self.0)?)?;
        postcard_bytes(&PlannedHostsV1 { names: &names })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        match version {
            1 => {
                let PlannedHostsV1 { names } = exactly(payload)?;
                Ok(Self(exactly(&unpack(names)?)?))
            }
            _ => unknown_version(version),
        }
    }
}
