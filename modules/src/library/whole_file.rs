//! Small files that belong to one task alone, made of its parameters: a job of cron, a kernel parameter.

use std::path::Path;

use cm_wire::Change;

use super::{
    content::{self, After, Before},
    making::making,
};
use crate::{
    Context, Doing, FileMode, Problem,
    node::{Attributes, Content, FileKind, Stat},
};

/// The mode of such files: what reads them may be no root.
const MODE: u32 = 0o644;

/// A file that is wanted whole. Whoever the agent runs as owns it, and everybody may read it.
pub struct WholeFile<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it holds; none: it is not there.
    pub text: Option<&'a str>,
}

impl WholeFile<'_> {
    /// What differs.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn look(&self, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let state = |stat: &Stat| Some(stat.kind.word().to_owned());
        match (self.stat(context)?, self.text) {
            (None, None) => Ok(Vec::new()),
            (Some(stat), None) => Ok(vec![Change::new("state", state(&stat), None)]),
            (None, Some(text)) => Ok(vec![
                Change::new("state", None, Some("file".into())),
                content::difference(context, "content", None, After::Bytes(text.as_bytes()))?,
            ]),
            (Some(stat), Some(_)) if stat.kind != FileKind::File => {
                Ok(vec![Change::new("state", state(&stat), Some("file".into()))])
            }
            (Some(stat), Some(text)) => {
                let mut changes = Vec::new();
                let before = Before::read(context, self.path, &stat)?;
                let after = After::Bytes(text.as_bytes());
                if before.digest != cm_wire::Digest::of(text.as_bytes()) {
                    changes.push(content::difference(context, "content", Some(&before), after)?);
                }
                if stat.mode != MODE {
                    let show = |mode| Some(FileMode(mode).show());
                    changes.push(Change::new("mode", show(stat.mode), show(MODE)));
                }
                let (uid, _) = context.node.own_ids();
                if stat.uid != uid {
                    let name = |uid| Some(context.node.user_name(uid));
                    changes.push(Change::new("owner", name(stat.uid), name(uid)));
                }
                Ok(changes)
            }
        }
    }

    /// Writes or removes it.
    ///
    /// # Errors
    /// When it cannot be written or removed, or is a directory.
    pub fn change(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = self.path;
        let stat = self.stat(context)?;
        if let Some(stat) = stat.as_ref().filter(|stat| !matches!(stat.kind, FileKind::File | FileKind::Link))
        {
            return Err(Problem::new(format!("{} is a {}, not a file", path.display(), stat.kind.word()))
                .hint("move it away"));
        }
        let Some(text) = self.text else {
            if stat.is_some() {
                context.node.remove(path).doing(format_args!("removing {}", path.display()))?;
            }
            return Ok(());
        };
        let (uid, gid) = context.node.own_ids();
        let attributes = match stat {
            Some(stat) if stat.kind == FileKind::File => Attributes { mode: MODE, uid, gid: stat.gid },
            Some(_) => Attributes { mode: MODE, uid, gid },
            None => context
                .node
                .attributes_of_new(path, MODE, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?,
        };
        let content = Content::Bytes(text.as_bytes().to_vec());
        making(context, path, "writing", context.node.write(path, &content, attributes, None))??;
        Ok(())
    }

    fn stat(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        context.node.stat(self.path).doing(format_args!("looking at {}", self.path.display()))
    }
}
