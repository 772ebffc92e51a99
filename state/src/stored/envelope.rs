//! What surrounds every stored value: `version: u8 | checksum: 4 bytes | payload`.
//!
//! The checksum is the beginning of a BLAKE3 hash over table, key, version and payload. The
//! database library verifies its pages only when it repairs a file, so without it a flipped bit
//! would come back as a wrong fact instead of an error.

use crate::{
    StateError,
    tables::{ReadTables, Table, WriteTables},
};

use super::Malformed;

const CHECKSUM: usize = 4;
const HEADER: usize = 1 + CHECKSUM;

/// A record that can be stored.
pub(crate) trait Stored: Sized {
    /// Where it is kept.
    const TABLE: Table;
    /// What it is, for messages, such as `the run`.
    const WHAT: &'static str;
    /// The version that `payload` writes.
    const VERSION: u8;
    /// Its bytes, in the newest version.
    fn payload(&self) -> Result<Vec<u8>, StateError>;
    /// From the bytes of any version up to [`Stored::VERSION`].
    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed>;
}

/// A record's value under this key.
pub(crate) fn encode<R: Stored>(key: &[u8], record: &R) -> Result<Vec<u8>, StateError> {
    Ok(seal(R::TABLE, key, R::VERSION, &record.payload()?))
}

/// The record that a value under this key holds.
pub(crate) fn decode<R: Stored>(tables: &dyn ReadTables, key: &[u8], value: &[u8]) -> Result<R, StateError> {
    let (version, payload) =
        open(R::TABLE, key, value).map_err(|malformed| malformed.at(tables, R::WHAT, key))?;
    if version > R::VERSION {
        return Err(StateError::Newer {
            path: tables.place().to_owned(),
            found: version.into(),
            supported: R::VERSION.into(),
        });
    }
    R::from_payload(version, payload).map_err(|malformed| malformed.at(tables, R::WHAT, key))
}

/// Reads the record under a key.
pub(crate) fn get<R: Stored>(tables: &dyn ReadTables, key: &[u8]) -> Result<Option<R>, StateError> {
    tables.get(R::TABLE, key)?.map(|value| decode(tables, key, &value)).transpose()
}

/// Writes a record under a key.
pub(crate) fn put<R: Stored>(tables: &mut dyn WriteTables, key: &[u8], record: &R) -> Result<(), StateError> {
    tables.put(R::TABLE, key, &encode(key, record)?)
}

/// The version byte a payload struct is read by: the one place that says so.
pub(crate) fn unknown_version<R>(version: u8) -> Result<R, Malformed> {
    Err(Malformed(format!("no record has version {version}")))
}

/// Reads a postcard struct that must fill the payload exactly.
pub(crate) fn exactly<'a, P: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<P, Malformed> {
    match postcard::take_from_bytes(payload)? {
        (record, []) => Ok(record),
        (_, rest) => Err(Malformed(format!("{} bytes too many", rest.len()))),
    }
}

/// Writes a postcard struct.
pub(crate) fn postcard_bytes<P: serde::Serialize>(record: &P) -> Result<Vec<u8>, StateError> {
    postcard::to_allocvec(record).map_err(|error| StateError::Encode { detail: error.to_string() })
}

/// Checks that a value is what was once written under its key, whatever record it is.
pub(crate) fn verify(
    tables: &dyn ReadTables,
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<(), StateError> {
    match table {
        // Not records: a number, and an index whose values are empty.
        Table::Meta | Table::OpenRuns => Ok(()),
        _ => open(table, key, value).map(|_| ()).map_err(|malformed| malformed.at(tables, "the record", key)),
    }
}

fn seal(table: Table, key: &[u8], version: u8, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + payload.len());
    value.push(version);
    value.extend_from_slice(&checksum(table, key, version, payload));
    value.extend_from_slice(payload);
    value
}

fn open<'v>(table: Table, key: &[u8], value: &'v [u8]) -> Result<(u8, &'v [u8]), Malformed> {
    let Some((header, payload)) = value.split_at_checked(HEADER) else {
        return Err(Malformed(format!("only {} bytes", value.len())));
    };
    let version = header[0];
    if header[1..] != checksum(table, key, version, payload) {
        return Err(Malformed("its checksum does not fit".to_owned()));
    }
    Ok((version, payload))
}

fn checksum(table: Table, key: &[u8], version: u8, payload: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.name().as_bytes());
    hasher.update(&[0, version]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(payload);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::{Malformed, Stored, decode, encode, exactly, get, postcard_bytes, put, unknown_version};
    use crate::{MemoryStore, StateError, tables::Table, tables::Transact};

    /// What an old `cm` knows.
    #[derive(Debug, PartialEq)]
    struct OldLamp {
        lit: bool,
    }

    /// What a newer `cm` made of it: a field more.
    #[derive(Debug, PartialEq)]
    struct NewLamp {
        lit: bool,
        colour: String,
    }

    #[derive(Serialize, Deserialize)]
    struct LampV1 {
        lit: bool,
    }

    #[derive(Serialize, Deserialize)]
    struct LampV2 {
        lit: bool,
        colour: String,
    }

    impl Stored for OldLamp {
        const TABLE: Table = Table::Nodes;
        const WHAT: &'static str = "the lamp";
        const VERSION: u8 = 1;
        fn payload(&self) -> Result<Vec<u8>, StateError> {
            postcard_bytes(&LampV1 { lit: self.lit })
        }
        fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
            match version {
                1 => exactly(payload).map(|LampV1 { lit }| Self { lit }),
                _ => unknown_version(version),
            }
        }
    }

    impl Stored for NewLamp {
        const TABLE: Table = Table::Nodes;
        const WHAT: &'static str = "the lamp";
        const VERSION: u8 = 2;
        fn payload(&self) -> Result<Vec<u8>, StateError> {
            postcard_bytes(&LampV2 { lit: self.lit, colour: self.colour.clone() })
        }
        fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
            match version {
                1 => exactly(payload).map(|LampV1 { lit }| Self { lit, colour: "white".into() }),
                2 => exactly(payload).map(|LampV2 { lit, colour }| Self { lit, colour }),
                _ => unknown_version(version),
            }
        }
    }

    #[test]
    fn a_new_reader_understands_what_an_old_writer_wrote() {
        let store = MemoryStore::new();
        let read = store.write(|tables| {
            put(tables, b"hall", &OldLamp { lit: true })?;
            get::<NewLamp>(tables, b"hall")
        });
        assert_eq!(read.unwrap(), Some(NewLamp { lit: true, colour: "white".into() }));
    }

    #[test]
    fn an_old_reader_refuses_what_a_new_writer_wrote_and_says_so() {
        let store = MemoryStore::new();
        let read = store.write(|tables| {
            put(tables, b"hall", &NewLamp { lit: true, colour: "red".into() })?;
            get::<OldLamp>(tables, b"hall")
        });
        assert!(matches!(read, Err(StateError::Newer { found: 2, supported: 1, .. })), "{read:?}");
    }

    #[test]
    fn a_payload_with_more_or_less_than_its_version_says_is_damage() {
        let store = MemoryStore::new();
        for payload in [&[1_u8, 0][..], &[]] {
            let value = super::seal(Table::Nodes, b"hall", 1, payload);
            let read = store.read(|tables| decode::<OldLamp>(tables, b"hall", &value));
            assert!(matches!(read, Err(StateError::Damaged { .. })), "{read:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_so_is_a_value_under_another_key() {
        let store = MemoryStore::new();
        let value = encode(b"hall", &OldLamp { lit: true }).unwrap();
        let read = |key: &[u8], value: &[u8]| store.read(|tables| decode::<OldLamp>(tables, key, value));
        assert!(read(b"hall", &value).is_ok());
        assert!(read(b"hull", &value).is_err());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(b"hall", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(read(b"hall", &value[..length]).is_err(), "{length} bytes");
        }
    }
}
