//! Runs that must have nothing to change: what they cost, and whether they left everything alone.

use std::process::Command;

use anyhow::Result;

use super::end_state;
use crate::{
    ground::Site,
    measure::{Cost, run},
    role::Role,
};

/// Runs with nothing to change.
#[derive(Debug)]
pub struct Unchanged {
    /// What each cost.
    pub costs: Vec<Cost>,
    /// What they wrote all the same, which makes them something else.
    pub wrote: Option<String>,
}

/// Applies a role so many times to hosts where it is applied, and reads from them that no file was touched.
///
/// # Errors
/// A run fails, or a host cannot be asked.
pub fn unchanged(site: &Site, role: &Role, command: &mut Command, rounds: usize) -> Result<Unchanged> {
    let before = end_state::traces(site, role)?;
    let costs = (0..rounds).map(|_| run(command, &[0])).collect::<Result<_>>()?;
    let after = end_state::traces(site, role)?;
    let wrote = first_difference(site, &after, &before)
        .map(|difference| format!("written to though nothing was to change: {difference}"));
    Ok(Unchanged { costs, wrote })
}

/// The first host of which something else was read, and what.
#[must_use]
pub fn first_difference(site: &Site, found: &[String], wanted: &[String]) -> Option<String> {
    found.iter().zip(wanted).zip(&site.hosts).find_map(|((found, wanted), host)| {
        end_state::difference(found, wanted).map(|difference| format!("{host}: {difference}"))
    })
}
