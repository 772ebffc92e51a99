//! All resources of a node in the file: one value, so that a run over a thousand hosts with two
//! hundred tasks writes a thousand of them and not two hundred thousand, and none at all where
//! nothing is new.

use serde::{Deserialize, Serialize};

use crate::{Digest, LastChange, Resource, StateError, Timestamp, tables::Table};

use super::{
    Malformed, Stored, bytes_field,
    codes::Code,
    envelope::{exactly, postcard_bytes, unknown_version},
    packing::{pack, unpack},
    run::run_id,
};

/// The resources of a node, sorted by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StoredResources(pub(crate) Vec<Resource>);

#[derive(Serialize, Deserialize)]
struct ResourcesV1<'a> {
    /// Packed [`ListV1`].
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct ListV1<'a> {
    /// Names that entries refer to by number: few are shared by many.
    #[serde(borrow)]
    roles: Vec<&'a str>,
    #[serde(borrow)]
    runs: Vec<&'a str>,
    #[serde(borrow)]
    entries: Vec<EntryV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct EntryV1<'a> {
    id: &'a str,
    role: Option<u32>,
    wanted: Option<[u8; 32]>,
    seen: SeenV1,
    outcome: u8,
    changed: Option<(i64, u32)>,
}

#[derive(Serialize, Deserialize)]
enum SeenV1 {
    Nothing,
    AsWanted,
    Other([u8; 32]),
}

/// Numbers names in the order they come.
#[derive(Default)]
struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> u32 {
        let position = self.0.iter().rposition(|known| *known == name).unwrap_or_else(|| {
            self.0.push(name);
            self.0.len() - 1
        });
        // A node has fewer resources than there are numbers: a catalog is limited to megabytes.
        position as u32
    }
}

impl Stored for StoredResources {
    const TABLE: Table = Table::Resources;
    const WHAT: &'static str = "the resources of the node";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let (mut roles, mut runs) = (Names::default(), Names::default());
        let entries = self
            .0
            .iter()
            .map(|resource| EntryV1 {
                id: &resource.id,
                role: resource.role.as_deref().map(|role| roles.number(role)),
                wanted: resource.wanted.map(|digest| digest.0),
                seen: match resource.seen {
                    None => SeenV1::Nothing,
                    seen if seen == resource.wanted => SeenV1::AsWanted,
                    Some(Digest(other)) => SeenV1::Other(other),
                },
                outcome: resource.outcome.code(),
                changed: resource
                    .changed
                    .as_ref()
                    .map(|change| (change.at.as_micros(), runs.number(change.run.as_str()))),
            })
            .collect();
        let list = postcard_bytes(&ListV1 { roles: roles.0, runs: runs.0, entries })?;
        let packed = pack(Self::WHAT, &list)?;
        postcard_bytes(&ResourcesV1 { packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let ResourcesV1 { packed } = match version {
            1 => exactly(payload)?,
            _ => return unknown_version(version),
        };
        let list = unpack(packed)?;
        let ListV1 { roles, runs, entries } = exactly(&list)?;
        let named = |names: &[&str], number: u32| {
            names
                .get(number as usize)
                .map(|name| (*name).to_owned())
                .ok_or_else(|| Malformed(format!("name {number} of {} is referred to", names.len())))
        };
        let resource = |entry: EntryV1<'_>| {
            Ok(Resource {
                id: entry.id.to_owned(),
                role: entry.role.map(|number| named(&roles, number)).transpose()?,
                wanted: entry.wanted.map(Digest),
                seen: match entry.seen {
                    SeenV1::Nothing => None,
                    SeenV1::AsWanted => entry.wanted.map(Digest),
                    SeenV1::Other(other) => Some(Digest(other)),
                },
                outcome: Code::from_code(entry.outcome)?,
                changed: entry
                    .changed
                    .map(|(at, number)| {
                        let run = run_id(&named(&runs, number)?)?;
                        Ok::<_, Malformed>(LastChange { at: Timestamp::from_micros(at), run })
                    })
                    .transpose()?,
            })
        };
        entries.into_iter().map(resource).collect::<Result<_, _>>().map(Self)
    }
}
