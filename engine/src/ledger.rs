//! What a node remembers of the runs of `cm`, asked of its agent.

use cm_wire::{FromAgent, LedgerItem, LedgerRun, ToAgent};

use crate::{
    bounds::Excess,
    session::{AgentError, FromNode, ToNode},
};

/// What a node may tell of its memory, in bytes: far more than any journal is allowed to grow to know.
const ROOM: usize = 64 * 1024 * 1024;

/// What a node remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLedger {
    /// Runs that it knows of.
    pub runs: Vec<LedgerRun>,
    /// Things that were changed there.
    pub items: Vec<LedgerItem>,
}

impl NodeLedger {
    /// The roles that have put something there, each once, in order.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        let mut roles: Vec<String> =
            self.items.iter().map(|item| item.role.clone()).filter(|role| !role.is_empty()).collect();
        roles.sort();
        roles.dedup();
        roles
    }
}

/// Asks a node what it remembers.
///
/// # Errors
/// When the agent is lost or tells more than there can be.
pub(crate) async fn ask(to: &mut ToNode, from: &mut FromNode) -> Result<NodeLedger, AgentError> {
    // A link that is gone is told by who reads.
    let _ = to.send(&ToAgent::Ledger).await;
    let mut ledger = NodeLedger::default();
    let mut room = ROOM;
    loop {
        match from.next().await? {
            FromAgent::Ledger { runs, items } => {
                let weight = runs.iter().map(of_run).chain(items.iter().map(of_item)).sum::<usize>().max(64);
                room = room.checked_sub(weight).ok_or(Excess::Ledger)?;
                ledger.runs.extend(runs);
                ledger.items.extend(items);
            }
            FromAgent::Alive => {}
            FromAgent::Done => return Ok(ledger),
            _ => {
                return Err(AgentError::Protocol(
                    "it was asked what it remembers and told something else".into(),
                ));
            }
        }
    }
}

fn of_run(run: &LedgerRun) -> usize {
    size_of::<LedgerRun>() + run.run.len() + run.holder.len()
}

fn of_item(item: &LedgerItem) -> usize {
    size_of::<LedgerItem>() + item.item.len() + item.task.len() + item.role.len() + item.run.len()
}
