//! `link`: a symbolic link to a given target, or its absence.

use std::path::{Component, Path, PathBuf};

use cm_wire::Change;

use super::presence::State;
use super::{making::making, ownership::Ownership};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Module, ParamError, Params, Problem, Resource, Seen, Thing,
    Touches,
    node::{FileKind, Stat},
    params,
};

params! {
    /// A symbolic link. It is replaced in one step, so that a reader finds the old or the new target.
    pub struct Link = "link" {
        /// Where the link is.
        subject path: AbsolutePath,
        /// `present` or `absent`.
        state: State = State::Present,
        /// Where it points, written into the link as it is: an absolute path, or one relative to the
        /// link's own directory. Nothing needs to be there.
        target: Option<String>,
        /// Replace (with `state: absent`: remove) a file that is where the link is wanted. A directory is
        /// never replaced.
        force: bool = false,
        /// The user that owns the link itself, by name or number.
        owner: Option<String>,
        /// The group that owns the link itself, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Link::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let link = Link::from_params(params)?;
    let wanted = match (link.state, link.target) {
        (State::Present, None) => return Err(ParamError::new("target", "is required (a string)")),
        (State::Absent, Some(_)) => {
            return Err(ParamError::new("target", "cannot be given for a link that is to be absent"));
        }
        (State::Absent, None) => None,
        (State::Present, Some(target)) if target.is_empty() || target.contains('\0') => {
            return Err(ParamError::new("target", "wants a path, which is not empty and holds no NUL byte"));
        }
        (State::Present, Some(target)) => Some(PathBuf::from(target)),
    };
    let ownership = Ownership { mode: None, owner: link.owner, group: link.group };
    Ok(Box::new(Wanted { path: link.path.0, target: wanted, force: link.force, ownership }))
}

struct Wanted {
    path: PathBuf,
    /// None: absent.
    target: Option<PathBuf>,
    force: bool,
    ownership: Ownership,
}

impl Wanted {
    fn stat(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        context.node.stat(&self.path).doing(format_args!("looking at {}", self.path.display()))
    }

    fn current_target(&self, context: &Context<'_>) -> Result<PathBuf, Problem> {
        context.node.read_link(&self.path).doing(format_args!("reading the link {}", self.path.display()))
    }

    /// Something else is in the way, and may not be taken away.
    fn refuse(&self, kind: FileKind) -> Result<(), Problem> {
        let problem = Problem::new(format!("{} is a {}, not a link", self.path.display(), kind.word()));
        match kind {
            FileKind::Link => Ok(()),
            FileKind::Directory => Err(problem.hint(format!(
                "a task `- directory: {}` with `state: absent` removes it, or move it away",
                self.path.display()
            ))),
            FileKind::File | FileKind::Other if self.force => Ok(()),
            FileKind::File | FileKind::Other if self.target.is_some() => {
                Err(problem.hint("`force: true` replaces it"))
            }
            FileKind::File | FileKind::Other => Err(problem.hint("`force: true` removes it")),
        }
    }
}

/// Where a link leads, by its words alone; none where `..` leads above the root.
fn leads_to(link: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = link.parent()?.to_owned();
    for component in target.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => path = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::Normal(name) => path.push(name),
        }
    }
    Some(path)
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches = Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            .owned(self.ownership.owner.as_deref(), self.ownership.group.as_deref())
            .removes(self.target.is_none());
        // What it points to comes first, so that the link never dangles where a task makes that.
        match self.target.as_deref().and_then(|target| leads_to(&self.path, target)) {
            Some(place) if !place.starts_with(&self.path) => touches.needs(Thing::Path(place)),
            _ => touches,
        }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let stat = self.stat(context)?;
        let word = |stat: &Stat| Some(stat.kind.word().to_owned());
        let Some(target) = &self.target else {
            let change = stat.map(|stat| Change::new("state", word(&stat), None));
            return Ok(Seen::from_changes(change.into_iter().collect()));
        };
        let show = |path: &Path| Some(path.to_string_lossy().into_owned());
        let mut changes = Vec::new();
        match stat {
            Some(stat) if stat.kind == FileKind::Link => {
                let current = self.current_target(context)?;
                if current != *target {
                    changes.push(Change::new("target", show(&current), show(target)));
                }
                changes.extend(self.ownership.differences(context, &stat)?);
            }
            other => {
                changes.push(Change::new("state", other.as_ref().and_then(word), Some("link".into())));
                changes.push(Change::new("target", None, show(target)));
                changes.extend(self.ownership.all());
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = &self.path;
        let stat = self.stat(context)?;
        if let Some(stat) = &stat {
            self.refuse(stat.kind)?;
        }
        let Some(target) = &self.target else {
            if stat.is_some() {
                context.node.remove(path).doing(format_args!("removing {}", path.display()))?;
            }
            return Ok(Effect::default());
        };
        let is_link = stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Link);
        if !(is_link && self.current_target(context)? == *target) {
            making(context, path, "making the link", context.node.make_link(path, target))?;
        }
        if let Some(stat) = self.stat(context)? {
            self.ownership.apply(context, path, &stat)?;
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
