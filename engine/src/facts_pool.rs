//! The facts of all hosts of a run, for templates that look at other hosts.

use std::{collections::HashSet, sync::Arc};

use cm_wire::Facts;
use tokio::sync::{Mutex, watch};

use crate::OtherFacts;

/// Gathers facts; those who need all of them wait until every host has told its own or has failed.
pub(crate) struct FactsPool {
    inner: Mutex<Inner>,
    complete: watch::Sender<bool>,
}

struct Inner {
    known: Arc<OtherFacts>,
    missing: HashSet<Arc<str>>,
}

impl FactsPool {
    /// A pool that waits for these hosts; `known` are remembered facts of hosts that may not be part of the run.
    pub fn new(hosts: impl Iterator<Item = Arc<str>>, known: OtherFacts) -> Self {
        let missing: HashSet<_> = hosts.collect();
        let (complete, _) = watch::channel(missing.is_empty());
        Self { inner: Mutex::new(Inner { known: Arc::new(known), missing }), complete }
    }

    /// A host's facts, or none when it cannot be reached (then what is remembered of it stays).
    pub async fn give(&self, host: &Arc<str>, facts: Option<Arc<Facts>>) {
        let mut inner = self.inner.lock().await;
        let waited_for = inner.missing.remove(host);
        if let Some(facts) = facts.filter(|_| waited_for) {
            Arc::make_mut(&mut inner.known).insert(host.to_string(), facts);
        }
        if inner.missing.is_empty() {
            self.complete.send_replace(true);
        }
    }

    /// Waits until every host has told its facts or failed.
    pub async fn complete(&self) {
        let mut complete = self.complete.subscribe();
        // The sender lives as long as this pool.
        let _ = complete.wait_for(|complete| *complete).await;
    }

    /// What is known now.
    pub async fn known(&self) -> Arc<OtherFacts> {
        Arc::clone(&self.inner.lock().await.known)
    }
}
