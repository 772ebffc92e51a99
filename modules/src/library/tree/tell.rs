//! The differences of a copied folder as changes: each file by its path, texts with diffs, bounded.

use cm_wire::{Change, ContentRef};

use super::{
    Wanted,
    compare::{Difference, What},
    show,
};
use crate::{
    Context, Problem,
    library::content::{self, After},
    text_diff::DIFF_LIMIT,
};

/// So many files are shown with a diff.
const DIFFS: usize = 40;
/// The bytes of all diffs together.
const DIFF_BYTES: usize = 512 * 1024;
/// So many changes are listed one by one.
const LISTED: usize = 4000;

impl Wanted {
    pub(super) fn tell(&self, context: &Context<'_>, found: Vec<Difference>) -> Result<Vec<Change>, Problem> {
        announce(context, &found);
        let mut changes = Vec::new();
        let (mut diffs, mut bytes) = (0, 0);
        let total = found.len();
        for (index, difference) in found.into_iter().enumerate() {
            if changes.len() >= LISTED {
                changes.push(Change::new("more", None, Some(format!("{} more differences", total - index))));
                break;
            }
            let diff = diffs < DIFFS && bytes < DIFF_BYTES;
            let change = self.tell_one(&Context { diff: context.diff && diff, ..*context }, &difference)?;
            for change in &change {
                if let Some(diff) = &change.diff {
                    diffs += 1;
                    bytes += diff.len();
                }
            }
            changes.extend(change);
        }
        Ok(changes)
    }

    fn tell_one(&self, context: &Context<'_>, difference: &Difference) -> Result<Vec<Change>, Problem> {
        let name =
            if difference.relative.is_empty() { "state".to_owned() } else { show(&difference.relative) };
        Ok(match &difference.what {
            What::Directory => vec![Change::new(&name, None, Some("directory".into()))],
            What::File { content, before, replaces, .. } => {
                let before = before.as_ref().map(|(_, before)| before);
                let mut change = content::difference(context, &name, before, After::Named(*content))?;
                if before.is_none() {
                    change.before = replaces.map(|kind| kind.word().to_owned());
                }
                vec![change]
            }
            What::Link { target, before, replaces } => {
                let link = |target: &[u8]| format!("link to {}", show(target));
                let before = before.as_deref().map(link).or(replaces.map(|kind| kind.word().to_owned()));
                vec![Change::new(&name, before, Some(link(target)))]
            }
            What::Attributes { changes, .. } => {
                let own = difference.relative.is_empty();
                let named = |change: &Change| {
                    let attribute =
                        if own { change.attribute.clone() } else { format!("{name} {}", change.attribute) };
                    Change { attribute, ..change.clone() }
                };
                changes.iter().map(named).collect()
            }
            What::Blocked { found, wanted } => {
                vec![Change::new(&name, Some(found.kind.word().into()), Some(wanted.word().into()))]
            }
            What::Extra(stat) => vec![Change::new(&name, Some(stat.kind.word().into()), None)],
        })
    }
}

/// Asks for all contents in one go: those to be written, or in a look those of the diffs.
fn announce(context: &Context<'_>, found: &[Difference]) {
    let contents = found.iter().filter_map(|difference| match &difference.what {
        What::File { content, .. } => Some(*content),
        _ => None,
    });
    let wanted: Vec<ContentRef> = if context.mode == cm_wire::Mode::Verify {
        contents.filter(|content| content.size <= DIFF_LIMIT as u64).take(DIFFS).collect()
    } else {
        contents.collect()
    };
    content::announce(context, &wanted);
}
