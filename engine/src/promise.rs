//! What a plan promises: the same tasks, finding the same things, or nothing is changed.

use std::{collections::HashMap, sync::Arc};

use cm_wire::{BARRIER, Digest, Task};

use crate::{HostCatalog, TaskLabel};

/// What a plan found for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The host's tasks, rendered; checks left out.
    pub catalog: Digest,
    /// What each of them found, a number each.
    pub looks: Vec<u64>,
}

/// What becomes of a promise in a run.
#[derive(Clone, Debug, Default)]
pub enum Promises {
    /// None is asked for.
    #[default]
    None,
    /// Each host's is told, in [`crate::RunEvent::Promised`].
    Told,
    /// Each host's must hold, by name; a host that has none is refused.
    Held(Arc<HashMap<String, Promise>>),
}

/// The digest of what a catalog wants of its host.
#[must_use]
pub fn catalog_digest(catalog: &HostCatalog) -> Digest {
    digest(&catalog.tasks, &catalog.labels)
}

/// The digest of a catalog's tasks: what they want, not the order they come to it in.
pub(crate) fn digest(tasks: &[Task], labels: &[TaskLabel]) -> Digest {
    let checks = |index: usize| labels.get(index).is_some_and(|label| label.check);
    let mut bytes = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        if task.module == BARRIER || checks(index) {
            continue;
        }
        let task = Task { after: Vec::new(), ..task.clone() };
        // One that has none is too large to be sent, which is told then.
        bytes.extend(cm_wire::encode(&task).unwrap_or_default());
    }
    Digest::of(&bytes)
}
