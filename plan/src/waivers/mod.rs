//! `waivers.yaml`: drift that is known and let be, until a day.
//!
//! ```yaml
//! - resource: file:/etc/motd          # a task's id, or a thing's name; `*` stands for anything
//!   on: web:!web3                     # a target; all hosts where it is left out
//!   attribute: [mode, owner]          # only these; all where it is left out
//!   until: 2026-12-31                 # the last day on which it holds, in UTC
//!   reason: the vendor edits it until their next release
//!   by: anna
//! ```

mod day;
mod read;

use std::{collections::HashSet, path::Path, sync::Arc};

use cm_inventory::Inventory;
use cm_syntax::{Diagnostics, Sources, parse_collecting};

pub use day::Day;

/// The file of a repository that holds its waivers.
pub const WAIVERS_FILE: &str = "waivers.yaml";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// Which resources: `file:/etc/motd`, `package:*`.
    pub resource: String,
    /// The hosts that it holds on; none: all.
    pub hosts: Option<HashSet<String>>,
    /// The attributes that may differ; empty: all.
    pub attributes: Vec<String>,
    /// The last day on which it holds.
    pub until: Day,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub by: Option<String>,
    /// Where it is written: `waivers.yaml:3:5`.
    pub place: Arc<str>,
}

/// All waivers of a repository.
#[derive(Clone, Debug, Default)]
pub struct Waivers(Vec<Arc<Waiver>>);

impl Waivers {
    /// Those given.
    #[must_use]
    pub fn of(waivers: Vec<Waiver>) -> Self {
        Self(waivers.into_iter().map(Arc::new).collect())
    }

    /// Reads the waivers of the repository at `root`; none where it has no file of them. One that has expired
    /// before `today` is a warning.
    pub(crate) fn load(
        root: &Path,
        inventory: Option<&Inventory>,
        today: Day,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        if !root.join(WAIVERS_FILE).exists() {
            return Self::default();
        }
        let file = match sources.read(root, Path::new(WAIVERS_FILE)) {
            Ok(file) => file,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return Self::default();
            }
        };
        match parse_collecting(sources, file, diagnostics) {
            Some(node) => Self::of(read::all(&node, inventory, today, sources, diagnostics)),
            None => Self::default(),
        }
    }

    /// All of them, as written.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Waiver>> {
        self.0.iter()
    }

    /// The waivers for one attribute of a resource on a host, those that have expired too.
    pub fn of_attribute<'a>(
        &'a self,
        host: &'a str,
        resource: &'a str,
        attribute: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Waiver>> {
        self.0.iter().filter(move |waiver| waiver.covers(host, resource, Some(attribute)))
    }

    /// The waivers for a whole thing on a host, those that have expired too.
    pub fn of_thing<'a>(&'a self, host: &'a str, resource: &'a str) -> impl Iterator<Item = &'a Arc<Waiver>> {
        self.0.iter().filter(move |waiver| waiver.covers(host, resource, None))
    }
}

impl Waiver {
    /// Whether it no longer holds.
    #[must_use]
    pub fn expired(&self, today: Day) -> bool {
        today > self.until
    }

    /// Whether it is about this; without an attribute: about all of them.
    fn covers(&self, host: &str, resource: &str, attribute: Option<&str>) -> bool {
        let wanted = match attribute {
            Some(attribute) => {
                self.attributes.is_empty() || self.attributes.iter().any(|known| known == attribute)
            }
            None => self.attributes.is_empty(),
        };
        wanted
            && self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
            && matches(&self.resource, resource)
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any text, slashes too.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        // The leftmost place leaves the most for what follows.
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
