//! What tests of modules and checks need: a context around a node.

use std::time::{Duration, Instant};

use cm_wire::{Digest, Mode};

use crate::{Contents, Context, Node, Problem, node::Content};

/// A source of contents that has none.
struct NoContents;

impl Contents for NoContents {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        Err(Problem::new(format!("there is no content {}", digest.short())))
    }
}

/// A look in the middle of a run that has changed nothing so far.
pub fn context(node: &dyn Node, mode: Mode) -> Context<'_> {
    Context {
        node,
        mode,
        contents: &NoContents,
        diff: true,
        sensitive: false,
        at_start: false,
        disturbed: false,
        notices: &[],
        edits: &[],
        deadline: Instant::now() + Duration::from_secs(60),
        run_as: None,
        live: &|_, _| {},
        stopping: &|| false,
    }
}
