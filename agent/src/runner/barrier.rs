//! A point of the graph where many tasks wait for many others: nothing to look at, nothing to change.

use cm_modules::{Class, Context, Effect, Problem, Resource, Seen, Touches};

/// Stands between "all of these" and "all of those".
pub(super) struct Barrier;

impl Resource for Barrier {
    fn touches(&self) -> Touches {
        Touches::new(Class::Free)
    }

    fn look(&self, _context: &Context<'_>) -> Result<Seen, Problem> {
        Ok(Seen::AsWanted)
    }

    fn change(&self, _context: &Context<'_>) -> Result<Effect, Problem> {
        Ok(Effect::default())
    }
}
