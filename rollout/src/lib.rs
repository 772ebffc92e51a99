//! The state machine of a rolling upgrade: what happened goes in, what to do comes out. No I/O, no clock.
//!
//! A [`Rollout`] is the whole record: everything that is known, and every piece of work that is under way. A driver
//! calls [`Rollout::step`] with each thing that happened, keeps the record, and only then does what the step answered.
//! So a driver that is killed anywhere reads the record back, calls [`Rollout::resumed`], and does again what was under
//! way: each piece of work must be safe to do twice.
//!
//! ```
//! use cm_rollout::{Action, Answer, Hooks, Input, Moment, Rollout, Strategy, Target, Work};
//!
//! let targets = ["web1", "web2"].map(Target::named);
//! let mut rollout = Rollout::new("r1", "nginx on web", Strategy::default(), Hooks::default(), targets.to_vec())?;
//! let actions = rollout.step(Moment(0), Input::Start);
//! let work: Vec<_> = actions.iter().filter_map(|action| match action {
//!     Action::Do { ticket, work } => Some((*ticket, work)),
//!     _ => None,
//! }).collect();
//! let [(ticket, Work::Apply { node, .. })] = work[..] else { panic!() };
//! assert_eq!(node, "web1"); // the canary, alone
//! rollout.step(Moment(1_000), Input::Answered { ticket, answer: Answer::Applied { changed: true } });
//! # Ok::<(), cm_rollout::StrategyError>(())
//! ```

mod batches;
mod machine;
mod message;
mod moment;
pub mod picture;
mod record;
mod standing;
mod strategy;

pub use message::{Action, Answer, Command, Input, Notice, Ticket, Verdict, Work};
pub use moment::Moment;
pub use record::{
    Applied, Batch, BatchState, Course, Direction, Drain, Gating, Node, NodeState, Outcome, PauseReason,
    Rollout, UnreadableRecord,
};
pub use standing::{Counts, Standing};
pub use strategy::{
    Hook, Hooks, Key, OnFailure, Order, Promote, Size, SizeError, Spread, Strategy, StrategyError, Target,
};
