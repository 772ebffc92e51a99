//! Mode, owner and group, as every module that makes something in the file system handles them.

use std::path::Path;

use cm_wire::Change;

use crate::{
    Context, Doing, FileMode, Problem,
    node::{Attributes, Stat},
};

/// What is wanted of mode and owner; none: leave as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Permission bits.
    pub mode: Option<FileMode>,
    /// A user's name, or a number.
    pub owner: Option<String>,
    /// A group's name, or a number.
    pub group: Option<String>,
}

/// Stands for the id of an account that an earlier task of a plan would make.
const NOT_YET: u32 = u32::MAX - 1;

impl Ownership {
    /// The attributes that differ from what is there.
    pub fn differences(&self, context: &Context<'_>, stat: &Stat) -> Result<Vec<Change>, Problem> {
        let mut changes = Vec::new();
        if let Some(mode) = self.mode.filter(|mode| mode.0 != stat.mode) {
            changes.push(Change::new("mode", Some(FileMode(stat.mode).show()), Some(mode.show())));
        }
        if let Some(owner) = &self.owner
            && !is(context, lookup_user(context, owner)?, stat.uid)
        {
            changes.push(Change::new("owner", Some(context.node.user_name(stat.uid)), Some(owner.clone())));
        }
        if let Some(group) = &self.group
            && !is(context, lookup_group(context, group)?, stat.gid)
        {
            changes.push(Change::new("group", Some(context.node.group_name(stat.gid)), Some(group.clone())));
        }
        Ok(changes)
    }

    /// All that is wanted, as the changes of something that is not there yet.
    pub fn all(&self) -> Vec<Change> {
        let mode = self.mode.map(|mode| Change::new("mode", None, Some(mode.show())));
        let owner = self.owner.clone().map(|name| Change::new("owner", None, Some(name)));
        let group = self.group.clone().map(|name| Change::new("group", None, Some(name)));
        [mode, owner, group].into_iter().flatten().collect()
    }

    /// The attributes of something new that would have `default` where nothing is wanted, or of
    /// something that replaces what has `default` now.
    pub fn attributes(&self, context: &Context<'_>, default: Attributes) -> Result<Attributes, Problem> {
        Ok(Attributes {
            mode: self.mode.map_or(default.mode, |mode| mode.0),
            uid: self.owner.as_ref().map_or(Ok(default.uid), |name| uid(context, name))?,
            gid: self.group.as_ref().map_or(Ok(default.gid), |name| gid(context, name))?,
        })
    }

    /// Changes mode and owner of what is there.
    pub fn apply(&self, context: &Context<'_>, path: &Path, stat: &Stat) -> Result<(), Problem> {
        let wanted =
            self.attributes(context, Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid })?;
        // The owner first: chown(2) takes setuid and setgid away.
        if (wanted.uid, wanted.gid) != (stat.uid, stat.gid) {
            context
                .node
                .set_owner(path, wanted.uid, wanted.gid)
                .doing(format_args!("changing the owner of {}", path.display()))?;
        }
        let changed_owner = (wanted.uid, wanted.gid) != (stat.uid, stat.gid);
        if wanted.mode != stat.mode || (changed_owner && wanted.mode & 0o7000 != 0) {
            context
                .node
                .set_mode(path, wanted.mode)
                .doing(format_args!("changing the mode of {}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether an id is the one found for a name. In a plan an account that is still to come has the id
/// that was given to what it will own.
fn is(context: &Context<'_>, found: Option<u32>, id: u32) -> bool {
    found.map_or(id == NOT_YET && context.node.may_appear(), |found| found == id)
}

/// The id of a user given by name or number; none where there is no such user.
fn lookup_user(context: &Context<'_>, name: &str) -> Result<Option<u32>, Problem> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(context.node.user(name).doing("reading the users")?.map(|user| user.uid))
}

fn lookup_group(context: &Context<'_>, name: &str) -> Result<Option<u32>, Problem> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(context.node.group(name).doing("reading the groups")?.map(|group| group.gid))
}

/// The id of a user that must be there.
pub fn uid(context: &Context<'_>, name: &str) -> Result<u32, Problem> {
    match lookup_user(context, name)? {
        Some(uid) => Ok(uid),
        None if context.node.may_appear() => Ok(NOT_YET),
        None => Err(Problem::new(format!("there is no user `{name}` on the node"))
            .hint(format!("a task `- user: {name}` makes it"))),
    }
}

/// The id of a group that must be there.
pub fn gid(context: &Context<'_>, name: &str) -> Result<u32, Problem> {
    match lookup_group(context, name)? {
        Some(gid) => Ok(gid),
        None if context.node.may_appear() => Ok(NOT_YET),
        None => Err(Problem::new(format!("there is no group `{name}` on the node"))
            .hint(format!("a task `- group: {name}` makes it"))),
    }
}
