//! What is known of nodes.

use std::ops::ControlFlow;

use crate::{
    Lifecycle, Node, NodeUpdate, StateError, Timestamp,
    stored::{self, FactsDigest, Malformed, Stored, StoredFacts},
    tables::{Direction, ReadTables, Table, WriteTables},
};

use super::look_up;

pub(crate) fn all(tables: &dyn ReadTables) -> Result<Vec<Node>, StateError> {
    let mut nodes = Vec::new();
    tables.scan(Table::Nodes, b"", Direction::Ascending, &mut |key, value| {
        nodes.push(stored::decode(tables, key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(nodes)
}

pub(crate) fn one(tables: &dyn ReadTables, name: &str) -> Result<Option<Node>, StateError> {
    look_up(tables, name.as_bytes())
}

pub(crate) fn facts(tables: &dyn ReadTables, nodes: &[&str]) -> Result<Vec<(String, String)>, StateError> {
    let mut found = Vec::new();
    for name in nodes {
        let key = name.as_bytes();
        match stored::get(tables, key)? {
            Some(StoredFacts(json)) => found.push(((*name).to_owned(), json)),
            // Not looked up with care: this is asked of many nodes at once, known or not.
            None if stored::get::<Node>(tables, key)?.is_some_and(|node| node.facts_at.is_some()) => {
                return Err(Malformed("they are missing".to_owned()).at(tables, StoredFacts::WHAT, key));
            }
            None => {}
        }
    }
    Ok(found)
}

pub(crate) fn upsert(tables: &mut dyn WriteTables, updates: &[NodeUpdate]) -> Result<(), StateError> {
    for update in updates {
        let key = update.name.as_bytes();
        let known = stored::get::<Node>(tables, key)?;
        let mut node = known.clone().unwrap_or_else(|| Node {
            name: update.name.clone(),
            lifecycle: Lifecycle::Discovered,
            address: None,
            first_seen: update.seen.unwrap_or_else(Timestamp::now),
            last_seen: None,
            host_key: None,
            agent_hash: None,
            boot_id: None,
            facts_at: None,
        });
        node.lifecycle = update.lifecycle.unwrap_or(node.lifecycle);
        replace(&mut node.address, update.address.as_ref());
        replace(&mut node.host_key, update.host_key.as_ref());
        replace(&mut node.agent_hash, update.agent_hash.as_ref());
        replace(&mut node.boot_id, update.boot_id.as_ref());
        // Two runs may hand over what they saw in either order.
        node.last_seen = node.last_seen.max(update.seen);
        if let Some(json) = &update.facts {
            node.facts_at = update.seen.or_else(|| Some(Timestamp::now()));
            if !stored::get::<FactsDigest>(tables, key)?.is_some_and(|known| known.is_of(json)) {
                stored::put(tables, key, &StoredFacts(json.clone()))?;
            }
        }
        if known.as_ref() != Some(&node) {
            stored::put(tables, key, &node)?;
        }
    }
    Ok(())
}

fn replace(known: &mut Option<String>, learned: Option<&String>) {
    if let Some(learned) = learned {
        *known = Some(learned.clone());
    }
}

pub(crate) fn forget(tables: &mut dyn WriteTables, name: &str) -> Result<bool, StateError> {
    let key = name.as_bytes();
    let known = tables.get(Table::Nodes, key)?.is_some();
    for table in [Table::Nodes, Table::Facts, Table::Resources] {
        tables.remove(table, key)?;
    }
    Ok(known)
}
