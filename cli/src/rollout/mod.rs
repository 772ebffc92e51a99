//! Rollouts as the program does them: what is kept of one, who drives it, how its work is done on hosts, how it is told.

mod crew;
mod kept;
mod survey;
mod tell;

pub use crew::Crew;
pub use kept::{Asking, Book, Control, Kept, find, forget_old, open};
pub use survey::{Survey, survey};
pub use tell::Teller;
