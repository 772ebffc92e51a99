//! What is known of the resources on nodes.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Node, Resource, StateError,
    stored::{self, Lesson, LessonsLearned, StoredResources},
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
    Ok(resources.unwrap_or_default().list)
}

/// Brings what was learned into what is known; `lesson` is the digest of it.
pub(crate) fn merge(
    tables: &mut dyn WriteTables,
    node: &str,
    updates: &[Resource],
    lesson: Option<Lesson>,
) -> Result<(), StateError> {
    if updates.is_empty() {
        return Ok(());
    }
    let key = node.as_bytes();
    let known = tables.get(Table::Resources, key)?;
    if let (Some(value), Some(lesson)) = (&known, lesson)
        && stored::decode::<LessonsLearned>(tables, key, value)?.has(lesson)
    {
        return Ok(());
    }
    let stored: StoredResources = match &known {
        Some(value) => stored::decode(tables, key, value)?,
        None => StoredResources::default(),
    };
    let mut resources = by_id(stored.list.clone());
    for update in updates {
        let mut update = update.clone();
        if update.changed.is_none() {
            update.changed = resources.get_mut(&update.id).and_then(|known| known.changed.take());
        }
        resources.insert(Arc::clone(&update.id), update);
    }
    let list: Vec<Resource> = resources.into_values().collect();
    let mut merged = match list == stored.list {
        true => stored,
        // What was learned before may be news again.
        false => StoredResources { list, known: Vec::new() },
    };
    merged.learned(lesson);
    stored::put(tables, key, &merged)
}

pub(crate) fn forget(tables: &mut dyn WriteTables, node: &str, ids: &[&str]) -> Result<(), StateError> {
    let key = node.as_bytes();
    let Some(stored) = stored::get::<StoredResources>(tables, key)? else { return Ok(()) };
    let mut resources = by_id(stored.list);
    for id in ids {
        resources.remove(*id);
    }
    if resources.is_empty() {
        return tables.remove(Table::Resources, key);
    }
    let list = resources.into_values().collect();
    stored::put(tables, key, &StoredResources { list, known: Vec::new() })
}

fn by_id(list: Vec<Resource>) -> BTreeMap<Arc<str>, Resource> {
    list.into_iter().map(|resource| (Arc::clone(&resource.id), resource)).collect()
}
