//! `group`: a group of users.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use cm_wire::Change;

use super::account_name::AccountName;
use super::presence::State;
use crate::{
    Class, Context, Doing, Effect, Int, Module, Param, ParamError, Params, Problem, Resource, Seen, Thing,
    Touches,
    node::{Group, GroupChange},
    params,
};

params! {
    /// A group of users. What is not said is left as it is.
    pub struct GroupTask = "group" {
        /// Its name.
        subject name: AccountName,
        /// `present` or `absent`.
        state: State = State::Present,
        /// The group id.
        gid: Option<Int<0, 4_294_967_294>>,
        /// A new group is one of the system: a low id.
        system: bool = false,
        /// Users that are in it. They are added to those it has; `exclusive` takes all others out.
        members: Option<Vec<String>>,
        /// `members` are all it has.
        exclusive: bool = false,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &GroupTask::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = GroupTask::from_params(params)?;
    if task.state == State::Absent {
        let given = [("gid", task.gid.is_some()), ("members", task.members.is_some())];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            return Err(ParamError::new(name, "cannot be given for a group that is to be absent"));
        }
    }
    if task.exclusive && task.members.is_none() {
        return Err(ParamError::new("exclusive", "wants `members` (an empty list: none)"));
    }
    for name in task.members.iter().flatten() {
        AccountName::read(&name.as_str().into()).map_err(|error| ParamError::new("members", error))?;
    }
    Ok(Box::new(task))
}

impl Resource for GroupTask {
    fn touches(&self) -> Touches {
        let mut touches = Touches::new(Class::Free)
            .makes(Thing::Group(self.name.0.clone()))
            .removes(self.state == State::Absent);
        for member in self.members.iter().flatten() {
            touches = touches.needs(Thing::User(member.clone()));
        }
        touches
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let changes = match (self.state, self.group(context)?) {
            (State::Absent, None) => Vec::new(),
            (State::Absent, Some(_)) => vec![Change::new("state", Some("present".into()), None)],
            (State::Present, None) => {
                let mut changes = vec![Change::new("state", None, Some("present".into()))];
                changes.extend(self.gid.map(|gid| Change::new("gid", None, Some(gid.0.to_string()))));
                if let Some(members) = self.members.as_ref().filter(|members| !members.is_empty()) {
                    let members = show(&crate::in_order::set(members.iter().cloned()));
                    changes.push(Change::new("members", None, Some(members)));
                }
                changes
            }
            (State::Present, Some(group)) => self.differences(&group),
        };
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let group = self.group(context)?;
        if self.state == State::Absent {
            if group.is_some() {
                context.node.remove_group(&self.name.0)?;
            }
            return Ok(Effect::default());
        }
        self.check_references(group.as_ref(), context)?;
        let members = match &group {
            Some(group) => self.wanted_members(group),
            None => self
                .members
                .clone()
                .filter(|members| !members.is_empty())
                .map(|members| members.into_iter().collect()),
        };
        let gid = self.gid().filter(|&gid| group.as_ref().is_none_or(|group| group.gid != gid));
        context.node.change_group(&GroupChange {
            name: self.name.0.clone(),
            create: group.is_none(),
            system: self.system,
            gid,
            members: members.map(|members: BTreeSet<String>| members.into_iter().collect()),
        })?;
        Ok(Effect::default())
    }
}

impl GroupTask {
    fn group(&self, context: &Context<'_>) -> Result<Option<Group>, Problem> {
        context.node.group(&self.name.0).doing("reading the groups")
    }

    fn gid(&self) -> Option<u32> {
        // Int keeps it within u32.
        self.gid.and_then(|gid| u32::try_from(gid.0).ok())
    }

    fn differences(&self, group: &Group) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(gid) = self.gid().filter(|&gid| gid != group.gid) {
            changes.push(Change::new("gid", Some(group.gid.to_string()), Some(gid.to_string())));
        }
        if let Some(members) = self.wanted_members(group) {
            let before = show(&crate::in_order::set(group.members.iter().cloned()));
            changes.push(Change::new(
                "members",
                Some(before).filter(|text| !text.is_empty()),
                Some(show(&members)),
            ));
        }
        changes
    }

    /// All members it is to have, where they are not those it has.
    fn wanted_members(&self, group: &Group) -> Option<BTreeSet<String>> {
        let has = crate::in_order::set(group.members.iter().cloned());
        let asked = self.members.as_ref()?.iter().cloned();
        let mut wanted = crate::in_order::set(asked);
        if !self.exclusive {
            wanted.extend(has.iter().cloned());
        }
        (wanted != has).then_some(wanted)
    }

    /// Tells what is missing in words, before a tool does.
    fn check_references(&self, group: Option<&Group>, context: &Context<'_>) -> Result<(), Problem> {
        if let Some(gid) = self.gid().filter(|gid| group.is_none_or(|group| group.gid != *gid)) {
            let holder = context.node.group_name(gid);
            if holder != gid.to_string() && holder != self.name.0 {
                return Err(Problem::new(format!("the group id {gid} belongs to `{holder}`"))
                    .hint("choose another `gid`, or take it away from that group first"));
            }
        }
        for member in self.members.iter().flatten() {
            let known = context.node.user(member).doing("reading the users")?.is_some();
            if !known && !context.node.may_appear() {
                return Err(Problem::new(format!("there is no user `{member}` on the node"))
                    .hint(format!("a task `- user: {member}` makes it")));
            }
        }
        Ok(())
    }
}

fn show(members: &BTreeSet<String>) -> String {
    members.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
