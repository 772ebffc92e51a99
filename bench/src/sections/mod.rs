//! The sections, one file each, in the order of the page. What one asks for on [`Ground`](crate::ground::Ground)
//! is gone when it ends; only hosts of [`Ground::applied`](crate::ground::Ground::applied) go on to the next.

use crate::section::Section;

mod drift;
mod figures;
mod first;
mod unchanged;

/// All sections.
pub const ALL: &[&Section] = &[&unchanged::SECTION, &drift::SECTION, &first::SECTION];
