//! All resources of a node in the file: one value, so that a run over a thousand hosts with two
//! hundred tasks writes a thousand of them and not two hundred thousand, and none at all where
//! nothing is new. What nearly every run learns is what the run before it learned: digests of such
//! lessons stand before the list, and one that is found again needs nothing to be unpacked.

use std::sync::Arc;

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
pub(crate) struct StoredResources {
    pub(crate) list: Vec<Resource>,
    /// What can be learned without the list becoming another one, newest first.
    pub(crate) known: Vec<Lesson>,
}

/// How many lessons are remembered: of apply, plan and verify, and of a few roles applied alone.
const LESSONS: usize = 6;

/// A digest of what was learned of resources: the beginning of a BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lesson([u8; 16]);

impl Lesson {
    /// The digest of this; none: a change is told, which is new each time.
    pub(crate) fn of(updates: &[Resource]) -> Option<Self> {
        let mut text = Vec::with_capacity(updates.len() * 64);
        for Resource { id, role, wanted, seen, outcome, changed } in updates {
            if changed.is_some() {
                return None;
            }
            for part in [Some(id), role.as_ref()] {
                text.extend_from_slice(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
                text.extend_from_slice(part.map_or(&[], |part| part.as_bytes()));
            }
            for digest in [wanted, seen] {
                text.push(digest.is_some().into());
                text.extend(digest.iter().flat_map(|digest| digest.0));
            }
            text.push(outcome.code());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
        Some(Self(digest))
    }
}

/// The lessons of a node's resources, without those.
pub(crate) struct LessonsLearned(Vec<Lesson>);

impl LessonsLearned {
    /// Whether learning this leaves all as it is.
    pub(crate) fn has(&self, lesson: Lesson) -> bool {
        self.0.contains(&lesson)
    }
}

impl Stored for LessonsLearned {
    const TABLE: Table = StoredResources::TABLE;
    const WHAT: &'static str = StoredResources::WHAT;
    const VERSION: u8 = StoredResources::VERSION;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        Err(StateError::Encode { detail: "lessons stand only with their resources".to_owned() })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        Ok(Self(if version == 2 { exactly::<ResourcesV2<'_>>(payload)?.known } else { Vec::new() }))
    }
}

impl StoredResources {
    /// These, with one more lesson (none: it is not known) that leaves them as they are.
    pub(crate) fn learned(&mut self, lesson: Option<Lesson>) {
        if let Some(lesson) = lesson {
            self.known.retain(|known| *known != lesson);
            self.known.insert(0, lesson);
            self.known.truncate(LESSONS);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ResourcesV1<'a> {
    /// Packed [`ListV1`].
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct ResourcesV2<'a> {
    known: Vec<Lesson>,
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
    const VERSION: u8 = 2;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let (mut roles, mut runs) = (Names::default(), Names::default());
        let entries = self
            .list
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
        postcard_bytes(&ResourcesV2 { known: self.known.clone(), packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let ResourcesV2 { known, packed } = match version {
            1 => ResourcesV2 { known: Vec::new(), packed: exactly::<ResourcesV1<'_>>(payload)?.packed },
            2 => exactly(payload)?,
            _ => return unknown_version(version),
        };
        let list = unpack(packed)?;
        let ListV1 { roles, runs, entries } = exactly(&list)?;
        let out_of =
            |names: usize, number: u32| Malformed(format!("name {number} of {names} is referred to"));
        let roles: Vec<Arc<str>> = roles.into_iter().map(Arc::from).collect();
        let role =
            |number: u32| roles.get(number as usize).cloned().ok_or_else(|| out_of(roles.len(), number));
        let run = |number: u32| match runs.get(number as usize) {
            Some(run) => run_id(run),
            None => Err(out_of(runs.len(), number)),
        };
        let resource = |entry: EntryV1<'_>| {
            Ok::<_, Malformed>(Resource {
                id: entry.id.into(),
                role: entry.role.map(role).transpose()?,
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
                        run(number).map(|run| LastChange { at: Timestamp::from_micros(at), run })
                    })
                    .transpose()?,
            })
        };
        let list = entries.into_iter().map(resource).collect::<Result<_, _>>()?;
        Ok(Self { list, known })
    }
}
