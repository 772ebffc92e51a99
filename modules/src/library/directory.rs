//! `directory`: a directory with its mode and owner, or its absence.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_wire::Change;

use super::presence::State;
use super::{
    making::{make_parents, making, missing_parents},
    ownership::Ownership,
    walk::walk,
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Module, ParamError, Params, Problem, Resource,
    Seen, Sign, Thing, Touches,
    node::{FileKind, Stat},
    params,
};

params! {
    /// A directory: its mode and owner. What is in it is not touched unless `recurse` says so.
    pub struct Directory = "directory" {
        /// Where it is.
        subject path: AbsolutePath,
        /// `present` or `absent`.
        state: State = State::Present,
        /// Its mode, such as "0755". A new directory gets 0755.
        mode: Option<FileMode>,
        /// The user that owns it, by name or number. A new directory belongs to the user the agent runs
        /// as: root, unless `become` is false.
        owner: Option<String>,
        /// The group that owns it, by name or number. A new directory in one with the setgid bit gets
        /// that one's.
        group: Option<String>,
        /// Make the directories above it that are missing, with mode 0755 and as a new one is owned.
        parents: bool = true,
        /// Give `owner` and `group` to everything in it as well; with `state: absent`, remove everything
        /// in it. Links are never followed. Removing stops at a mount point.
        recurse: bool = false,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Directory::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let directory = Directory::from_params(params)?;
    if directory.state == State::Absent {
        if directory.path.0.parent().is_none() {
            return Err(ParamError::new("path", "cannot be `/` for a directory that is to be absent"));
        }
        for (name, given) in [
            ("mode", directory.mode.is_some()),
            ("owner", directory.owner.is_some()),
            ("group", directory.group.is_some()),
        ] {
            if given {
                return Err(ParamError::new(name, "cannot be given for a directory that is to be absent"));
            }
        }
    } else if directory.recurse && directory.owner.is_none() && directory.group.is_none() {
        return Err(ParamError::new(
            "recurse",
            "gives `owner` or `group` to what is in it; neither is given",
        ));
    }
    Ok(Box::new(Wanted {
        path: directory.path.0,
        state: directory.state,
        ownership: Ownership { mode: directory.mode, owner: directory.owner, group: directory.group },
        parents: directory.parents,
        recurse: directory.recurse,
        touched: Mutex::new(Vec::new()),
    }))
}

struct Wanted {
    path: PathBuf,
    state: State,
    ownership: Ownership,
    parents: bool,
    recurse: bool,
    /// What the last look found that a change would touch beyond the directory itself.
    touched: Mutex<Vec<PathBuf>>,
}

impl Wanted {
    fn remember(&self, touched: Vec<PathBuf>) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = touched;
    }

    /// Owner and group for what is in it; modes are not passed on.
    fn passed_on(&self) -> Ownership {
        Ownership { mode: None, ..self.ownership.clone() }
    }

    /// What is in the directory and belongs to somebody else.
    fn foreign(&self, context: &Context<'_>) -> Result<Vec<(PathBuf, Stat)>, Problem> {
        let wanted = self.passed_on();
        let mut foreign = Vec::new();
        for (path, stat) in walk(context.node, &self.path)? {
            if !wanted.differences(context, &stat)?.is_empty() {
                foreign.push((path, stat));
            }
        }
        Ok(foreign)
    }

    fn look_present(&self, context: &Context<'_>, stat: Option<Stat>) -> Result<Vec<Change>, Problem> {
        let path = &self.path;
        let Some(stat) = stat else {
            if self.parents {
                self.remember(missing_parents(context, path)?);
            }
            let mut changes = vec![Change::new("state", None, Some("directory".into()))];
            changes.extend(self.ownership.all());
            return Ok(changes);
        };
        if stat.kind != FileKind::Directory {
            let found = Some(stat.kind.word().to_owned());
            return Ok(vec![Change::new("state", found, Some("directory".into()))]);
        }
        let mut changes = self.ownership.differences(context, &stat)?;
        if self.recurse {
            let foreign = self.foreign(context)?;
            if !foreign.is_empty() {
                let owner = [self.ownership.owner.as_deref(), self.ownership.group.as_deref()];
                let wanted = owner.map(|name| name.unwrap_or("")).join(":");
                changes.push(Change::new("owner inside", Some(self.show(&foreign)), Some(wanted)));
            }
            self.remember(foreign.into_iter().map(|(path, _)| path).collect());
        }
        Ok(changes)
    }

    /// `3 entries of others: a, b/c, d`
    fn show(&self, foreign: &[(PathBuf, Stat)]) -> String {
        let shown: Vec<_> = foreign
            .iter()
            .take(5)
            .map(|(path, _)| path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy())
            .collect();
        let more = if foreign.len() > shown.len() { ", …" } else { "" };
        let entries = if foreign.len() == 1 { "entry" } else { "entries" };
        format!("{} {entries} of others: {}{more}", foreign.len(), shown.join(", "))
    }

    fn look_absent(&self, context: &Context<'_>, stat: &Stat) -> Result<Vec<Change>, Problem> {
        let mut changes = vec![Change::new("state", Some(stat.kind.word().into()), None)];
        if stat.kind == FileKind::Directory && self.recurse {
            let inside = walk(context.node, &self.path)?;
            if !inside.is_empty() {
                changes.push(Change::new("content", Some(format!("{} entries", inside.len())), None));
            }
            self.remember(inside.into_iter().map(|(path, _)| path).collect());
        }
        Ok(changes)
    }

    fn remove(&self, context: &Context<'_>, stat: &Stat) -> Result<(), Problem> {
        let path = &self.path;
        if stat.kind != FileKind::Directory {
            return Err(Problem::new(format!(
                "{} is a {}, not a directory",
                path.display(),
                stat.kind.word()
            ))
            .hint(format!(
                "`- {}: {}` with `state: absent` removes it",
                module_for(stat.kind),
                path.display()
            )));
        }
        let removing = format_args!("removing the directory {}", path.display());
        if self.recurse {
            return context.node.remove_tree(path).doing(removing);
        }
        match context.node.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let names = context.node.list(path).doing(removing)?;
                let shown: Vec<_> = names.iter().take(5).map(|name| name.to_string_lossy()).collect();
                let more = if names.len() > shown.len() { ", …" } else { "" };
                Err(Problem::new(format!("{} is not empty: {}{more}", path.display(), shown.join(", ")))
                    .hint("`recurse: true` removes what is in it, too"))
            }
            other => other.doing(removing),
        }
    }

    fn make(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = &self.path;
        if self.parents {
            make_parents(context, path)?;
        }
        let default = context
            .node
            .attributes_of_new(path, 0o755, FileKind::Directory)
            .doing(format_args!("making the directory {}", path.display()))?;
        let attributes = self.ownership.attributes(context, default)?;
        match context.node.make_directory(path, attributes) {
            // As the missing parent of another task that ran at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.adjust(context),
            other => making(context, path, "making the directory", other),
        }
    }

    /// Gives mode and owner to what is there.
    fn adjust(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = &self.path;
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        match stat {
            Some(stat) if stat.kind == FileKind::Directory => self.ownership.apply(context, path, &stat)?,
            Some(stat) => return Err(occupied(path, stat.kind)),
            None => return Err(Problem::new(format!("{} was removed meanwhile", path.display()))),
        }
        if self.recurse {
            let wanted = self.passed_on();
            for (path, stat) in self.foreign(context)? {
                wanted.apply(context, &path, &stat)?;
            }
        }
        Ok(())
    }
}

/// Something else is where a directory is wanted.
fn occupied(path: &Path, kind: FileKind) -> Problem {
    let problem = Problem::new(format!("{} is a {}, not a directory", path.display(), kind.word()));
    if kind == FileKind::Link {
        problem.hint(
            "name the directory it points to, or remove the link with a `link` task and `state: absent`",
        )
    } else {
        problem.hint("move it away, or manage it as what it is")
    }
}

/// The module that removes such a thing.
fn module_for(kind: FileKind) -> &'static str {
    if kind == FileKind::Link { "link" } else { "file" }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            .owned(self.ownership.owner.as_deref(), self.ownership.group.as_deref())
            .removes(self.state == State::Absent)
            .parents(self.parents)
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        if self.recurse {
            Sign::with_all_below(&self.touches(), &self.path)
        } else {
            Sign::of_touches(&self.touches())
        }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.remember(Vec::new());
        let stat = context.node.stat(&self.path).doing(format_args!("looking at {}", self.path.display()))?;
        Ok(Seen::from_changes(match (self.state, stat) {
            (State::Present, stat) => self.look_present(context, stat)?,
            (State::Absent, None) => Vec::new(),
            (State::Absent, Some(stat)) => self.look_absent(context, &stat)?,
        }))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let stat = context.node.stat(&self.path).doing(format_args!("looking at {}", self.path.display()))?;
        match (self.state, stat) {
            (State::Absent, Some(stat)) => self.remove(context, &stat)?,
            (State::Absent, None) => {}
            (State::Present, None) => self.make(context)?,
            (State::Present, Some(_)) => self.adjust(context)?,
        }
        Ok(Effect::default())
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.path).chain(touched.iter()).cloned().map(Thing::Path).collect()
    }
}

#[cfg(test)]
mod tests;
