//! Keeps the memory of this process to itself: keys, passwords and secrets lie in it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// From here on no core is dumped of this process, and no other process of its user can look into it.
pub fn keep_memory() {
    // A system that refuses either has no such thing.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}
