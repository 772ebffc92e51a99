//! What is known of a node apart from any run.

use serde::Serialize;

use super::Timestamp;

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// Seen, but nobody has decided about it.
    Discovered,
    /// Being prepared.
    Commissioning,
    /// In service.
    Commissioned,
    /// In service, but nothing new is put on it.
    Cordoned,
    /// Being emptied.
    Decommissioning,
    /// Out of service.
    Decommissioned,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name in the inventory.
    pub name: String,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// Where it was reached last, such as `10.0.0.21:22`.
    pub address: Option<String>,
    /// When it was recorded first.
    pub first_seen: Timestamp,
    /// When it answered last; none: never.
    pub last_seen: Option<Timestamp>,
    /// Its host key's fingerprint, such as `SHA256:q3vJ…`, with the key's kind in front.
    pub host_key: Option<String>,
    /// The content hash of the agent that was on it last.
    pub agent_hash: Option<String>,
    /// The boot it was in when it answered last.
    pub boot_id: Option<String>,
    /// When its facts were taken; none: never. The facts themselves: [`crate::Store::facts`].
    pub facts_at: Option<Timestamp>,
}

/// What was learned of a node. `None` leaves what is known; a node not known yet is created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeUpdate {
    /// Its name in the inventory.
    pub name: String,
    /// Its new place in life; a new node is [`Lifecycle::Discovered`] unless this says otherwise.
    pub lifecycle: Option<Lifecycle>,
    /// Where it was reached.
    pub address: Option<String>,
    /// When it answered.
    pub seen: Option<Timestamp>,
    /// Its host key's fingerprint.
    pub host_key: Option<String>,
    /// The content hash of the agent on it.
    pub agent_hash: Option<String>,
    /// The boot it is in.
    pub boot_id: Option<String>,
    /// Its facts, a JSON text, as taken at `seen`.
    pub facts: Option<String>,
}

impl NodeUpdate {
    /// An update of the node of this name that says nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}
