//! Whether a thing is wanted at all: the `state` of most modules.

use crate::choice;

choice! {
    /// Whether it is wanted.
    pub enum State {
        /// It is there.
        Present = "present",
        /// It is not.
        Absent = "absent",
    }
}
