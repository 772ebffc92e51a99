//! A file, directory or link as it was.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cm_wire::{Change, ContentRef};

use super::Manner;
use crate::{
    Class, Context, Doing, Effect, Problem, Resource, Seen, Thing, Touches,
    former::{Former, FormerFile},
    library::{
        content::{self, After, Before},
        making::making,
    },
    node::{Attributes, Content, Extended, FileKind, Stat},
};

/// Where systemd reads unit files.
const UNIT_FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system"];
/// What a new home directory gets; unchanged, it goes with the home.
const SKELETON: &str = "/etc/skel";

pub(super) struct PathWas {
    pub(super) path: PathBuf,
    pub(super) former: Former,
    pub(super) manner: Manner,
}

/// Mode, owner and extended attributes as they were.
struct Dress<'a> {
    attributes: Attributes,
    extended: &'a Extended,
}

impl PathWas {
    fn stat(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        context.node.stat(&self.path).doing(format_args!("looking at {}", self.path.display()))
    }

    fn dress(&self) -> Option<Dress<'_>> {
        match &self.former {
            Former::File(file) => Some(Dress {
                attributes: Attributes { mode: file.mode, uid: file.uid, gid: file.gid },
                extended: &file.extended,
            }),
            Former::Directory { mode, uid, gid, extended } => {
                Some(Dress { attributes: Attributes { mode: *mode, uid: *uid, gid: *gid }, extended })
            }
            _ => None,
        }
    }

    fn kind(&self) -> Option<FileKind> {
        match &self.former {
            Former::File(_) => Some(FileKind::File),
            Former::Directory { .. } => Some(FileKind::Directory),
            Former::Link { .. } => Some(FileKind::Link),
            _ => None,
        }
    }

    /// Where what somebody else made of it is kept.
    fn beside(&self) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(".cm-kept");
        PathBuf::from(name)
    }

    fn dress_differences(&self, context: &Context<'_>, stat: &Stat) -> Result<Vec<Change>, Problem> {
        let Some(Dress { attributes, extended }) = self.dress() else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        if stat.mode != attributes.mode {
            let show = |mode: u32| Some(format!("{mode:04o}"));
            changes.push(Change::new("mode", show(stat.mode), show(attributes.mode)));
        }
        changes.extend(owner_differences(context, stat, attributes.uid, attributes.gid));
        let now = context
            .node
            .extended(&self.path)
            .doing(format_args!("reading the attributes of {}", self.path.display()))?;
        if now != *extended {
            let show = |list: &Extended| {
                Some(list.keys().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(", "))
            };
            changes.push(Change::new("extended attributes", show(&now), show(extended)));
        }
        Ok(changes)
    }

    fn differences(&self, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let stat = self.stat(context)?;
        let (Some(kind), Some(stat)) = (self.kind(), &stat) else {
            let word = |kind: FileKind| kind.word().to_owned();
            let (before, after) = (stat.map(|stat| word(stat.kind)), self.kind().map(word));
            if before == after {
                return Ok(Vec::new());
            }
            return Ok(vec![Change::new("state", before, after)]);
        };
        if kind != stat.kind {
            return Ok(vec![Change::new("state", Some(stat.kind.word().into()), Some(kind.word().into()))]);
        }
        let mut changes = Vec::new();
        match &self.former {
            Former::File(file) => {
                let wanted = ContentRef { digest: file.content, size: file.size };
                if let Some(before) = Before::unless_same(context, &self.path, stat, wanted)? {
                    // What is not kept cannot be shown; the change says why.
                    changes.push(if file.kept {
                        content::difference(context, "content", Some(&before), After::Named(wanted))?
                    } else {
                        Change::new("content", Some(before.digest.short()), Some(file.content.short()))
                    });
                }
            }
            Former::Link { target, uid, gid } => {
                let now = context
                    .node
                    .read_link(&self.path)
                    .doing(format_args!("reading the link {}", self.path.display()))?;
                if now.as_os_str().as_bytes() != target.as_slice() {
                    let show = |target: &OsStr| Some(target.to_string_lossy().into_owned());
                    changes.push(Change::new(
                        "target",
                        show(now.as_os_str()),
                        show(OsStr::from_bytes(target)),
                    ));
                }
                changes.extend(owner_differences(context, stat, *uid, *gid));
            }
            _ => {}
        }
        changes.extend(self.dress_differences(context, stat)?);
        Ok(changes)
    }

    /// Whether it is a directory that is to go and holds something of others, which a command, or a module of
    /// the repository, that would run before may take away: it goes only where that is so.
    fn may_be_emptied(&self, context: &Context<'_>) -> Result<bool, Problem> {
        let is_directory = self.stat(context)?.is_some_and(|stat| stat.kind == FileKind::Directory);
        if self.former != Former::Absent || !is_directory || !context.disturbed {
            return Ok(false);
        }
        let looking = format_args!("looking into {}", self.path.display());
        Ok(context.node.commands_may_leave() && !context.node.list(&self.path).doing(looking)?.is_empty())
    }

    /// Keeps what somebody else made of the file, beside it.
    fn keep_beside(&self, context: &Context<'_>, stat: &Stat) -> Result<String, Problem> {
        let beside = self.beside();
        let keeping = format_args!("keeping {} as {}", self.path.display(), beside.display());
        let digest = context.node.digest(&self.path).doing(keeping)?;
        let content = if context.planning() {
            Content::Spooled { path: PathBuf::new(), digest, size: stat.size }
        } else {
            Content::Spooled { path: self.path.clone(), digest, size: stat.size }
        };
        let attributes = Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid };
        context.node.write(&beside, &content, attributes, None).doing(keeping)??;
        Ok(format!(
            "{} was changed by somebody else; what it was is kept as {}",
            self.path.display(),
            beside.display()
        ))
    }

    /// Takes away what is there.
    fn remove(&self, context: &Context<'_>, stat: &Stat) -> Result<Effect, Problem> {
        let path = &self.path;
        let removing = format_args!("removing {}", path.display());
        if stat.kind != FileKind::Directory {
            context.node.remove(path).doing(removing)?;
            return Ok(Effect::default());
        }
        self.remove_skeleton(context)?;
        match context.node.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let names = context.node.list(path).doing(removing)?;
                let shown: Vec<_> = names.iter().take(5).map(|name| name.to_string_lossy()).collect();
                let more = if names.len() > shown.len() { ", …" } else { "" };
                Ok(Effect {
                    changed: Some(false),
                    final_: true,
                    notes: vec![format!(
                        "{} stays: it holds what cm did not put there: {}{more}",
                        path.display(),
                        shown.join(", ")
                    )],
                    ..Effect::default()
                })
            }
            // A mount point, or a directory somebody is in.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                Err(error).doing(removing).map_err(|problem| {
                    problem
                        .hint("something is mounted there, or a process works in it: `findmnt`, `fuser -m`")
                })
            }
            other => {
                other.doing(removing)?;
                Ok(Effect::default())
            }
        }
    }

    /// Files of a home directory that are still what every new home gets.
    fn remove_skeleton(&self, context: &Context<'_>) -> Result<(), Problem> {
        let node = context.node;
        let Ok(names) = node.list(&self.path) else { return Ok(()) };
        for name in names {
            let (here, there) = (self.path.join(&name), Path::new(SKELETON).join(&name));
            let is_file =
                |path: &Path| node.stat(path).ok().flatten().is_some_and(|stat| stat.kind == FileKind::File);
            if is_file(&here)
                && is_file(&there)
                && matches!((node.digest(&here), node.digest(&there)), (Ok(a), Ok(b)) if a == b)
            {
                node.remove(&here).doing(format_args!("removing {}", here.display()))?;
            }
        }
        Ok(())
    }

    /// systemd reads its files again only when told to.
    fn reload_units(&self, context: &Context<'_>) -> Option<String> {
        if !UNIT_FOLDERS.iter().any(|folder| self.path.starts_with(folder)) {
            return None;
        }
        let reloaded = context.node.reload_units(context.deadline);
        reloaded.err().map(|problem| format!("systemd did not read its files again: {}", problem.message))
    }

    fn write(&self, context: &Context<'_>, file: &FormerFile, stat: Option<&Stat>) -> Result<(), Problem> {
        let path = &self.path;
        let wanted = ContentRef { digest: file.content, size: file.size };
        let same = match stat {
            Some(stat) => Before::unless_same(context, path, stat, wanted)?.is_none(),
            None => false,
        };
        if same {
            return Ok(());
        }
        if !file.kept {
            return Err(Problem::new(format!(
                "the former content of {} ({} bytes) was not kept and cannot be put back",
                path.display(),
                file.size
            ))
            .hint("contents are kept within `journal_limit` of cm.toml; restore it from a backup"));
        }
        let content = content::fetch(context, wanted)?;
        let attributes = Attributes { mode: file.mode, uid: file.uid, gid: file.gid };
        making(context, path, "writing", context.node.write(path, &content, attributes, None))??;
        context
            .node
            .set_modified(path, file.modified)
            .doing(format_args!("setting the time of {}", path.display()))
    }

    fn put_on(&self, context: &Context<'_>) -> Result<(), Problem> {
        let Some(Dress { attributes, extended }) = self.dress() else { return Ok(()) };
        let (node, path) = (context.node, &self.path);
        let doing = format_args!("setting mode and owner of {}", path.display());
        let Some(stat) = self.stat(context)? else { return Ok(()) };
        if (stat.uid, stat.gid) != (attributes.uid, attributes.gid) {
            node.set_owner(path, attributes.uid, attributes.gid).doing(doing)?;
        }
        // chown(2) takes setuid bits away: the mode comes after it.
        if stat.mode != attributes.mode || attributes.mode & 0o6000 != 0 {
            node.set_mode(path, attributes.mode).doing(doing)?;
        }
        if node.extended(path).doing(doing)? != *extended {
            node.set_extended(path, extended).doing(doing)?;
        }
        Ok(())
    }
}

fn owner_differences(context: &Context<'_>, stat: &Stat, uid: u32, gid: u32) -> Vec<Change> {
    let mut changes = Vec::new();
    if stat.uid != uid {
        let show = |uid| Some(context.node.user_name(uid));
        changes.push(Change::new("owner", show(stat.uid), show(uid)));
    }
    if stat.gid != gid {
        let show = |gid| Some(context.node.group_name(gid));
        changes.push(Change::new("group", show(stat.gid), show(gid)));
    }
    changes
}

impl Resource for PathWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::File).makes(Thing::Path(self.path.clone()))
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let changes = self.differences(context)?;
        if !changes.is_empty() && context.planning() && self.may_be_emptied(context)? {
            return Ok(Seen::Unknown);
        }
        Ok(Seen::from_changes(changes))
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = vec![Thing::Path(self.path.clone())];
        if self.manner.keep_beside {
            things.push(Thing::Path(self.beside()));
        }
        things
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = &self.path;
        let mut stat = self.stat(context)?;
        let mut notes = Vec::new();
        if let Some(found) = &stat
            && self.manner.keep_beside
            && found.kind == FileKind::File
        {
            notes.push(self.keep_beside(context, found)?);
        }
        if let Some(found) = &stat
            && Some(found.kind) != self.kind()
        {
            let mut effect = self.remove(context, found)?;
            if self.kind().is_none() || effect.final_ {
                notes.extend(self.reload_units(context));
                effect.notes.extend(notes);
                return Ok(effect);
            }
            stat = None;
        }
        match &self.former {
            Former::File(file) => self.write(context, file, stat.as_ref())?,
            Former::Directory { mode, uid, gid, .. } if stat.is_none() => {
                let attributes = Attributes { mode: *mode, uid: *uid, gid: *gid };
                let made = context.node.make_directory(path, attributes);
                making(context, path, "making the directory", made)?;
            }
            Former::Link { target, uid, gid } => {
                let linking = format_args!("making the link {}", path.display());
                context.node.make_link(path, Path::new(OsStr::from_bytes(target))).doing(linking)?;
                context.node.set_owner(path, *uid, *gid).doing(linking)?;
            }
            _ => {}
        }
        self.put_on(context)?;
        notes.extend(self.reload_units(context));
        Ok(Effect { notes, ..Effect::default() })
    }
}
