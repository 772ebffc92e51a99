//! A line of the audit log in the file.

use serde::{Deserialize, Serialize};

use crate::{AuditEntry, StateError, Timestamp, tables::Table};

use super::{
    Malformed, Stored,
    envelope::{exactly, postcard_bytes, unknown_version},
    run::run_id,
};

#[derive(Serialize, Deserialize)]
struct AuditV1 {
    at: i64,
    who: String,
    what: String,
    run: Option<String>,
}

impl Stored for AuditEntry {
    const TABLE: Table = Table::Audit;
    const WHAT: &'static str = "line of the audit log";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        postcard_bytes(&AuditV1 {
            at: self.at.as_micros(),
            who: self.who.clone(),
            what: self.what.clone(),
            run: self.run.as_ref().map(|run| run.as_str().to_owned()),
        })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        match version {
            1 => {
                let AuditV1 { at, who, what, run } = exactly(payload)?;
                let run = run.as_deref().map(run_id).transpose()?;
                Ok(Self { at: Timestamp::from_micros(at), who, what, run })
            }
            _ => unknown_version(version),
        }
    }
}
