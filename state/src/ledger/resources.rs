//! What is known of the resources on nodes.

use std::collections::BTreeMap;

use crate::{
    Node, Resource, ResourceUpdate, StateError,
    stored::{self, StoredResources},
    tables::{ReadTables, Table, WriteTables},
};

use super::look_up;

pub(crate) fn all(tables: &dyn ReadTables, node: &str) -> Result<Vec<Resource>, StateError> {
    let key = node.as_bytes();
    // A new node has none, and is asked for as often as there are new nodes.
    let resources = match stored::get::<Node>(tables, key)? {
        Some(_) => look_up(tables, key)?,
        None => stored::get::<StoredResources>(tables, key)?,
    };
    Ok(resources.unwrap_or_default().0)
}

pub(crate) fn merge(
    tables: &mut dyn WriteTables,
    node: &str,
    updates: &[ResourceUpdate],
) -> Result<(), StateError> {
    if updates.is_empty() {
        return Ok(());
    }
    let key = node.as_bytes();
    let known = tables.get(Table::Resources, key)?;
    let mut resources: BTreeMap<String, Resource> = match &known {
        Some(value) => by_id(stored::decode(tables, key, value)?),
        None => BTreeMap::new(),
    };
    for ResourceUpdate { id, role, wanted, seen, outcome, changed } in updates.iter().cloned() {
        let changed = changed.or_else(|| resources.get_mut(&id).and_then(|known| known.changed.take()));
        let resource = Resource { id: id.clone(), role, wanted, seen, outcome, changed };
        resources.insert(id, resource);
    }
    let value = stored::encode(key, &StoredResources(resources.into_values().collect()))?;
    // A run that finds everything as it was writes nothing.
    if known.as_ref() != Some(&value) {
        tables.put(Table::Resources, key, &value)?;
    }
    Ok(())
}

pub(crate) fn forget(tables: &mut dyn WriteTables, node: &str, ids: &[&str]) -> Result<(), StateError> {
    let key = node.as_bytes();
    let Some(stored) = stored::get::<StoredResources>(tables, key)? else { return Ok(()) };
    let mut resources = by_id(stored);
    for id in ids {
        resources.remove(*id);
    }
    if resources.is_empty() {
        return tables.remove(Table::Resources, key);
    }
    stored::put(tables, key, &StoredResources(resources.into_values().collect()))
}

fn by_id(stored: StoredResources) -> BTreeMap<String, Resource> {
    stored.0.into_iter().map(|resource| (resource.id.clone(), resource)).collect()
}
