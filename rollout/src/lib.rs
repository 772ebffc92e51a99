//! The state machine of a rolling upgrade: what happened goes in, what to do comes out. No I/O, no clock.
