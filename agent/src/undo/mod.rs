//! What is to be taken back, found in the journal and put in order: the graph of a rollback, a cleanup or a
//! pruning.

mod order;
mod select;

use cm_modules::former::{Former, Item, Manner};

use crate::journal::{Owes, Owner};

pub use order::{Added, order};
pub use select::{Selected, dropped, of_roles, of_run, of_tasks};

/// A thing to be taken back.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The thing.
    pub item: Item,
    /// What it becomes again.
    pub former: Former,
    /// How.
    pub manner: Manner,
    /// Who wanted it.
    pub owner: Owner,
    /// Services that must restart or reload when it changes.
    pub owes: Vec<(String, Owes)>,
    /// Its content is never shown.
    pub sensitive: bool,
    /// Nobody wants it any more once it is taken back.
    pub release: bool,
}

#[cfg(test)]
mod tests;
