//! Contents of files, compared and told as every module that writes files does it.

use std::path::{Path, PathBuf};

use cm_wire::{Change, ContentRef, Digest, Mode};

use crate::{
    Context, Doing, Problem,
    node::{Content, Stat},
    text_diff::{DIFF_LIMIT, text_diff},
};

/// A plan does not have larger contents sent: nobody reads them.
const PLAN_LIMIT: u64 = 1024 * 1024;

/// What a file holds before a change.
pub struct Before {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The bytes, of one that is small enough for a diff.
    pub bytes: Option<Vec<u8>>,
}

impl Before {
    /// What was read already.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let kept = (bytes.len() <= DIFF_LIMIT).then(|| bytes.to_vec());
        Self { digest: Digest::of(bytes), size: bytes.len() as u64, bytes: kept }
    }

    /// Reads a regular file once: the bytes of a small one serve its digest and its diff.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(context: &Context<'_>, path: &Path, stat: &Stat) -> Result<Self, Problem> {
        let reading = format_args!("reading {}", path.display());
        if stat.size <= DIFF_LIMIT as u64 {
            let bytes = context.node.read(path, DIFF_LIMIT as u64).doing(reading)?;
            return Ok(Self { digest: Digest::of(&bytes), size: bytes.len() as u64, bytes: Some(bytes) });
        }
        Ok(Self { digest: context.node.digest(path).doing(reading)?, size: stat.size, bytes: None })
    }

    /// Reads a file that differs from what is wanted; none where it does not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unless_same(
        context: &Context<'_>,
        path: &Path,
        stat: &Stat,
        wanted: ContentRef,
    ) -> Result<Option<Self>, Problem> {
        if stat.size == wanted.size {
            let known = context.node.known_digest(path, stat);
            let held = known.and_then(|known| known.map_or_else(|| context.node.digest(path), Ok));
            if held.doing(format_args!("reading {}", path.display()))? == wanted.digest {
                return Ok(None);
            }
        }
        let before = Self::read(context, path, stat)?;
        Ok((before.digest != wanted.digest).then_some(before))
    }
}

/// What a file is to hold.
#[derive(Clone, Copy)]
pub enum After<'a> {
    /// A content that may still have to be sent.
    Named(ContentRef),
    /// What edits made of it.
    Bytes(&'a [u8]),
}

impl After<'_> {
    fn name(&self) -> ContentRef {
        match self {
            Self::Named(content) => *content,
            Self::Bytes(bytes) => ContentRef { digest: Digest::of(bytes), size: bytes.len() as u64 },
        }
    }
}

/// Tells a difference of contents: with a diff of texts, else by digest and size, or not at all where
/// it is a secret.
///
/// # Errors
/// When the wanted content is needed for the diff and cannot be had.
pub fn difference(
    context: &Context<'_>,
    attribute: &str,
    before: Option<&Before>,
    after: After<'_>,
) -> Result<Change, Problem> {
    let hidden = || "[secret]".to_owned();
    if context.sensitive {
        return Ok(Change::new(attribute, before.map(|_| hidden()), Some(hidden())));
    }
    let show = |digest: Digest, size: u64| format!("{} ({size} bytes)", digest.short());
    let wanted = after.name();
    let change = Change::new(
        attribute,
        before.map(|before| show(before.digest, before.size)),
        Some(show(wanted.digest, wanted.size)),
    );
    if !context.diff || wanted.size > DIFF_LIMIT as u64 {
        return Ok(change);
    }
    let old = match before {
        None => Some(&b""[..]),
        Some(before) => before.bytes.as_deref(),
    };
    let Some(old) = old.filter(|old| !old.contains(&0)) else { return Ok(change) };
    let diff = match after {
        After::Bytes(bytes) => text_diff(old, bytes),
        After::Named(content) => match context.contents.fetch(&content.digest, content.size)? {
            Content::Bytes(bytes) => text_diff(old, &bytes),
            Content::Spooled { .. } | Content::Given { .. } | Content::Held(_) => None,
        },
    };
    Ok(change.with_diff(diff))
}

/// Says early that contents will be needed by the change, or for its diff.
pub fn announce(context: &Context<'_>, contents: &[ContentRef]) {
    let needed = |content: &&ContentRef| match context.mode {
        Mode::Apply => true,
        Mode::Plan => content.size <= PLAN_LIMIT,
        Mode::Verify => context.diff && !context.sensitive && content.size <= DIFF_LIMIT as u64,
    };
    let needed: Vec<_> =
        contents.iter().filter(needed).map(|content| (content.digest, content.size)).collect();
    if !needed.is_empty() {
        context.contents.announce(&needed);
    }
}

/// Gets a content to write. A large one stays where it is in a plan, which only needs its name.
///
/// # Errors
/// When the controller cannot give it.
pub fn fetch(context: &Context<'_>, content: ContentRef) -> Result<Content, Problem> {
    if context.planning() && content.size > PLAN_LIMIT {
        // Reading it fails as reading a missing file does.
        return Ok(Content::Spooled { path: PathBuf::new(), digest: content.digest, size: content.size });
    }
    context.contents.fetch(&content.digest, content.size)
}
