//! Tells a controller what the journal knows, so that it can make its database again.

use cm_wire::{FromAgent, LedgerItem, LedgerRun, Refusal};

use crate::{journal::Journal, outbox::Outbox, state_dir::StateDir};

/// Entries of one message.
const IN_A_FRAME: usize = 1000;

/// Sends all runs and things the journal knows.
///
/// # Errors
/// When it cannot be read.
pub fn tell(state: &StateDir, outbox: &Outbox) -> Result<(), Refusal> {
    let journal = Journal::open(state, 0).map_err(|error| Refusal::State {
        reason: format!("{} cannot be read: {error}", state.journal().display()),
    })?;
    let (runs, items) = journal.read(|ledger| {
        let runs: Vec<LedgerRun> = ledger
            .runs
            .iter()
            .map(|run| LedgerRun {
                run: run.id.clone(),
                holder: run.holder.clone(),
                time: run.time,
                ended: run.ended,
            })
            .collect();
        let items: Vec<LedgerItem> = ledger
            .items
            .iter()
            .flat_map(|(item, memory)| {
                let last = memory.versions.last();
                memory.owners.iter().map(move |(owner, claim)| LedgerItem {
                    item: item.to_string(),
                    task: owner.task.clone(),
                    role: owner.role.clone(),
                    run: last.map_or_else(|| claim.run.clone(), |version| version.run.clone()),
                    time: last.map_or(claim.time, |version| version.time),
                })
            })
            .collect();
        (runs, items)
    });
    for runs in runs.chunks(IN_A_FRAME) {
        outbox.send(FromAgent::Ledger { runs: runs.to_vec(), items: Vec::new() });
    }
    for items in items.chunks(IN_A_FRAME) {
        outbox.send(FromAgent::Ledger { runs: Vec::new(), items: items.to_vec() });
    }
    Ok(())
}
