//! A node in the file.

use serde::{Deserialize, Serialize};

use crate::{Node, StateError, Timestamp, tables::Table};

use super::{
    Malformed, Stored,
    codes::Code,
    envelope::{exactly, postcard_bytes, unknown_version},
};

#[derive(Serialize, Deserialize)]
struct NodeV1 {
    name: String,
    lifecycle: u8,
    address: Option<String>,
    first_seen: i64,
    last_seen: Option<i64>,
    host_key: Option<String>,
    agent_hash: Option<String>,
    boot_id: Option<String>,
    facts_at: Option<i64>,
}

impl Stored for Node {
    const TABLE: Table = Table::Nodes;
    const WHAT: &'static str = "the node";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let node = self.clone();
        postcard_bytes(&NodeV1 {
            name: node.name,
            lifecycle: node.lifecycle.code(),
            address: node.address,
            first_seen: node.first_seen.as_micros(),
            last_seen: node.last_seen.map(Timestamp::as_micros),
            host_key: node.host_key,
            agent_hash: node.agent_hash,
            boot_id: node.boot_id,
            facts_at: node.facts_at.map(Timestamp::as_micros),
        })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let node: NodeV1 = match version {
            1 => exactly(payload)?,
            _ => return unknown_version(version),
        };
        Ok(Self {
            name: node.name,
            lifecycle: Code::from_code(node.lifecycle)?,
            address: node.address,
            first_seen: Timestamp::from_micros(node.first_seen),
            last_seen: node.last_seen.map(Timestamp::from_micros),
            host_key: node.host_key,
            agent_hash: node.agent_hash,
            boot_id: node.boot_id,
            facts_at: node.facts_at.map(Timestamp::from_micros),
        })
    }
}
