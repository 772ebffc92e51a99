//! Facts of hosts as templates see them; each is turned into a template's value once, however many hosts read it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cm_wire::Facts;
use minijinja::{Value, value::Serde};

/// What is known of the other hosts: facts of this run, or of the last one where they are not part of it.
#[derive(Clone, Debug, Default)]
pub struct FactsBook(Arc<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    facts: Arc<Facts>,
    value: OnceLock<Value>,
}

impl FactsBook {
    /// Makes one of facts by host name.
    pub fn new(facts: impl IntoIterator<Item = (String, Arc<Facts>)>) -> Self {
        let entry = |(host, facts)| (host, Entry { facts, value: OnceLock::new() });
        Self(Arc::new(facts.into_iter().map(entry).collect()))
    }

    /// The facts of a host as a template's value; none where nothing is known of it.
    pub(crate) fn value(&self, host: &str) -> Option<Value> {
        let entry = self.0.get(host)?;
        Some(entry.value.get_or_init(|| facts_value(&entry.facts)).clone())
    }
}

/// Facts as templates see them.
pub(crate) fn facts_value(facts: &Facts) -> Value {
    Value::from(Serde(facts))
}
