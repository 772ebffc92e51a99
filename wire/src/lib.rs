//! What controller and agent say to each other, as bytes.
//!
//! Types and a codec, no I/O. Both ends are always built from the same source (the controller starts
//! the agent by its content hash), so the encoding has no version negotiation.

mod bounded;
mod catalog;
mod digest;
mod event;
mod facts;
mod frame;
mod message;
mod piece;
mod secret;
mod standing;
mod value;
mod watch;

pub use catalog::{AddedTask, BARRIER, Begin, Done, Looks, Mode, Notice, Notify, Resumed, Task, Undo};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use event::{Change, Event, Outcome, Output, Stream, TaskResult};
pub use facts::{Facts, Interface, Memory, Mount, Os};
pub use frame::{FRAME_LIMIT, FrameError, decode, encode};
pub use message::{AGENT_MARK, FromAgent, LedgerItem, LedgerRun, Refusal, ToAgent};
pub use piece::Piece;
pub use secret::{Redactor, Secret};
pub use standing::{Applied, Standing, Touched, Trace};
pub use value::{ContentRef, TreeEntry, TreeKind, Value};
pub use watch::{Told, Watch, Watched};
