//! The sections, one file each, in the order of the page. What one asks for on [`Ground`](crate::ground::Ground)
//! is gone when it ends; only hosts of [`Ground::applied`](crate::ground::Ground::applied) go on to the next.

use crate::section::Section;

mod contents;
mod distance;
mod drift;
mod figures;
mod first;
mod peers;
mod planning;
mod profiles;
mod scale;
mod sizes;
mod state;
mod unchanged;

/// All sections.
pub const ALL: &[&Section] = &[
    &unchanged::SECTION,
    &drift::SECTION,
    &distance::SECTION,
    &first::SECTION,
    &peers::SECTION,
    &sizes::SECTION,
    &contents::SECTION,
    &scale::SECTION,
    &state::SECTION,
    &planning::SECTION,
    &profiles::SECTION,
];
