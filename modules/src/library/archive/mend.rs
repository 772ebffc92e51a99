//! Makes what was unpacked as the archive has it.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    Opened, Wanted,
    compare::{Difference, What},
    entries::Entries,
};
use crate::{
    Context, Doing, Problem,
    library::{
        making::{make_parents, making},
        tree::together,
    },
    node::{Attributes, Content, FileKind},
};

/// Files gathered before they are written together, and their bytes.
const GATHERED: usize = 64;
const GATHERED_BYTES: u64 = 16 * 1024 * 1024;

/// A file to be written.
struct Writing<'a> {
    path: PathBuf,
    what: &'a What,
    content: Content,
}

impl Wanted {
    /// Mends all differences; the archive is read only where a content is needed.
    pub(super) fn mend(
        &self,
        context: &Context<'_>,
        entries: &Entries,
        found: &[Difference],
        open: &dyn Fn() -> Result<Option<Opened>, Problem>,
    ) -> Result<(), Problem> {
        self.refuse_what_is_in_the_way(found)?;
        // By the member that has the content: names of one file share it.
        let mut files: BTreeMap<usize, Vec<&Difference>> = BTreeMap::new();
        for difference in found {
            let path = self.place(&difference.relative);
            match &difference.what {
                What::Directory { mode } => {
                    self.make_directory(context, &path, difference.relative.is_empty(), *mode)?;
                }
                What::File { .. } => {
                    // What differs is one of the entries.
                    let member = entries.get(&difference.relative).map_or(usize::MAX, |entry| entry.member);
                    files.entry(member).or_default().push(difference);
                }
                What::Link { target, .. } => self.make_link(context, &path, target)?,
                What::Attributes { stat, mode, .. } => self.ownership(*mode).apply(context, &path, stat)?,
                What::Blocked { .. } => {}
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        match open()? {
            Some(archive) => self.write_files(context, archive, &files),
            None => self.promise_files(context, &files),
        }
    }

    /// In a plan that does not get the archive: what a file will hold is known by its digest.
    fn promise_files(
        &self,
        context: &Context<'_>,
        files: &BTreeMap<usize, Vec<&Difference>>,
    ) -> Result<(), Problem> {
        for difference in files.values().flatten() {
            let What::File { digest, size, .. } = difference.what else { continue };
            let path = self.place(&difference.relative);
            let content = Content::Spooled { path: PathBuf::new(), digest, size };
            self.write(context, &Writing { path, what: &difference.what, content })?;
        }
        Ok(())
    }

    fn write_files(
        &self,
        context: &Context<'_>,
        archive: Opened,
        files: &BTreeMap<usize, Vec<&Difference>>,
    ) -> Result<(), Problem> {
        let mut gathered: Vec<Writing<'_>> = Vec::new();
        let mut bytes = 0;
        let mut number = 0;
        let mut written = 0;
        let write = |gathered: &mut Vec<Writing<'_>>| {
            together(gathered, context.stopping, |writing| self.write(context, writing))?;
            gathered.clear();
            Ok::<_, Problem>(())
        };
        archive.format.read(context, archive.source, &mut |member, content| {
            let wanted = files.get(&number);
            number += 1;
            let Some(wanted) = wanted else { return Ok(()) };
            let shown = super::members::show(&member.name);
            let content = self.gather(context, content).doing(format_args!("unpacking {shown:?}"))?;
            for difference in wanted {
                if !matches!(difference.what, What::File { digest, .. } if digest == content.digest()) {
                    return Err(Problem::new(format!(
                        "the archive's member {shown:?} is not what it was when the archive was read before"
                    ))
                    .hint("the archive changes while it is unpacked; run it again"));
                }
                bytes += content.size();
                let path = self.place(&difference.relative);
                gathered.push(Writing { path, what: &difference.what, content: content.clone() });
                written += 1;
            }
            if gathered.len() >= GATHERED || bytes >= GATHERED_BYTES {
                bytes = 0;
                write(&mut gathered)?;
            }
            Ok(())
        })?;
        write(&mut gathered)?;
        let all: usize = files.values().map(Vec::len).sum();
        if written < all {
            return Err(Problem::new(format!("the archive lacks {} files it had before", all - written)));
        }
        Ok(())
    }

    fn gather(&self, context: &Context<'_>, content: &mut dyn Read) -> io::Result<Content> {
        let mut spool = context.node.spool(&self.task.destination.0);
        io::copy(content, &mut spool)?;
        spool.finish()
    }

    fn refuse_what_is_in_the_way(&self, found: &[Difference]) -> Result<(), Problem> {
        let blocked = found.iter().find_map(|difference| match &difference.what {
            What::Blocked { found, wanted } => Some((self.place(&difference.relative), found, wanted)),
            _ => None,
        });
        let Some((path, found, wanted)) = blocked else { return Ok(()) };
        Err(Problem::new(format!("{} is a {}, not a {}", path.display(), found.word(), wanted.word()))
            .hint("move it away; what is in the way of an archive's member is not removed"))
    }

    fn make_directory(
        &self,
        context: &Context<'_>,
        path: &Path,
        is_root: bool,
        mode: Option<u32>,
    ) -> Result<(), Problem> {
        if is_root {
            make_parents(context, path)?;
        }
        let default = context
            .node
            .attributes_of_new(path, 0o755, FileKind::Directory)
            .doing(format_args!("making the directory {}", path.display()))?;
        let attributes = self.ownership(mode).attributes(context, default)?;
        making(context, path, "making the directory", context.node.make_directory(path, attributes))
    }

    fn make_link(&self, context: &Context<'_>, path: &Path, target: &[u8]) -> Result<(), Problem> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let target = Path::new(OsStr::from_bytes(target));
        making(context, path, "making the link", context.node.make_link(path, target))?;
        if let Some(stat) = context.node.stat(path).doing(format_args!("looking at {}", path.display()))? {
            self.ownership(None).apply(context, path, &stat)?;
        }
        Ok(())
    }

    fn write(&self, context: &Context<'_>, writing: &Writing<'_>) -> Result<(), Problem> {
        let Writing { path, what, content } = writing;
        let What::File { mode, before, .. } = what else { return Ok(()) };
        let current = match before {
            Some((stat, _)) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            None => context
                .node
                .attributes_of_new(path, 0o644, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?,
        };
        let attributes = self.ownership(Some(*mode)).attributes(context, current)?;
        making(context, path, "writing", context.node.write(path, content, attributes, None))??;
        Ok(())
    }
}
