//! Drives a rollout: does what the state machine of `cm-rollout` asks for, keeps its record before each step, and listens to
//! operators at other terminals.
//!
//! What is done to nodes is behind [`Hands`], where the record is kept behind [`Keeper`]: the driver itself only decides
//! what happens at the same time, and what is given up.

mod controller;
mod driver;
mod gates;
#[cfg(test)]
mod tests;

use std::{future::Future, pin::Pin, sync::Arc};

use cm_rollout::{Answer, Command, Rollout, Work};

pub use controller::{Ended, run as run_on_controller};
pub use driver::{Drive, Parting, Told, drive};
pub use gates::{Question, ask};

/// Something that is being done.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where the record of a rollout is kept.
pub trait Keeper: Send {
    /// Keeps the record; nothing that it says is done before this returns.
    ///
    /// # Errors
    /// Why it could not be kept, for a person. The driver then ends: what is not written down must not be done.
    fn keep(&mut self, rollout: &Rollout) -> Result<(), String>;

    /// What operators have said at other terminals since the last call; must be cheap.
    fn said(&mut self) -> Vec<Command>;

    /// What [`said`](Self::said) gave is part of what was kept: only now may it be forgotten.
    fn heard(&mut self);
}

/// Does pieces of work; each may be asked for twice, after a crash.
pub trait Hands: Send + Sync + 'static {
    /// Does one piece and tells how it ended. Must end, by whatever limit.
    fn work(self: Arc<Self>, work: Work) -> Doing<Answer>;

    /// Which of these nodes can be reached; none where it could not even be tried.
    fn reachable(self: Arc<Self>, nodes: Vec<String>) -> Doing<Option<Vec<String>>>;
}
