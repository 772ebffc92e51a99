//! Keeps the memory of this process to itself: secrets of a catalog lie in it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// From here on no core is dumped of this process, and no other process of its user can look into it. What it
/// starts is not dumped either, unless it raises its own limit, which it may.
pub fn keep_memory() {
    // A system that refuses either has no such thing.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_cores_nor_looks_into_it() {
        keep_memory();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
