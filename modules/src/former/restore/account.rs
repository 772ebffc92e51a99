//! Users and groups as they were.

use cm_wire::Change;

use crate::{
    Class, Context, Doing, Effect, Problem, Resource, Seen, Thing, Touches,
    former::Former,
    node::{GroupChange, User, UserChange},
};

pub(super) struct UserWas {
    pub(super) name: String,
    pub(super) former: Former,
}

impl UserWas {
    fn now(&self, context: &Context<'_>) -> Result<Option<User>, Problem> {
        context.node.user(&self.name).doing("reading the users")
    }

    fn differences(&self, now: Option<&User>, context: &Context<'_>) -> Vec<Change> {
        let present = || Some("present".to_owned());
        let Former::User { uid, gid, comment, home, shell, groups, password } = &self.former else {
            return now.map(|_| Change::new("state", present(), None)).into_iter().collect();
        };
        let Some(now) = now else { return vec![Change::new("state", None, present())] };
        let mut changes = Vec::new();
        let mut differs = |name: &str, before: String, after: String| {
            if before != after {
                changes.push(Change::new(name, Some(before), Some(after)));
            }
        };
        differs("uid", now.uid.to_string(), uid.to_string());
        differs("group", context.node.group_name(now.gid), context.node.group_name(*gid));
        let mut has = now.groups.clone();
        crate::in_order::sort(&mut has);
        differs("groups", has.join(", "), groups.join(", "));
        differs("home", now.home.clone(), home.clone());
        differs("shell", now.shell.clone(), shell.clone());
        differs("comment", now.comment.clone(), comment.clone());
        if password.is_some() && now.password != *password {
            differs("password", "[secret]".into(), "[the former one]".into());
        }
        changes
    }
}

impl Resource for UserWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::Free).makes(Thing::User(self.name.clone()))
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let now = self.now(context)?;
        Ok(Seen::from_changes(self.differences(now.as_ref(), context)))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let now = self.now(context)?;
        let Former::User { uid, gid, comment, home, shell, groups, password } = &self.former else {
            if now.is_some() {
                // Its home is a path of its own.
                context.node.remove_user(&self.name, false)?;
            }
            return Ok(Effect::default());
        };
        context.node.change_user(&UserChange {
            name: self.name.clone(),
            create: now.is_none(),
            system: false,
            uid: Some(*uid).filter(|uid| now.as_ref().is_none_or(|now| now.uid != *uid)),
            group: Some(context.node.group_name(*gid))
                .filter(|_| now.as_ref().is_none_or(|now| now.gid != *gid)),
            groups: Some(groups.clone()),
            comment: Some(comment.clone()),
            home: Some(home.clone()).filter(|home| now.as_ref().is_none_or(|now| now.home != *home)),
            create_home: false,
            shell: Some(shell.clone()),
            password: password.clone().filter(|_| now.as_ref().is_none_or(|now| now.password != *password)),
        })?;
        Ok(Effect::default())
    }
}

pub(super) struct GroupWas {
    pub(super) name: String,
    pub(super) former: Former,
}

impl GroupWas {
    /// The members it had, of those that are there: who comes back brings the memberships along.
    fn members(&self, had: &[String], context: &Context<'_>) -> Result<Vec<String>, Problem> {
        let mut members = Vec::new();
        for name in had {
            if context.node.user(name).doing("reading the users")?.is_some() {
                members.push(name.clone());
            }
        }
        crate::in_order::sort(&mut members);
        Ok(members)
    }
}

impl Resource for GroupWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::Free).makes(Thing::Group(self.name.clone()))
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let now = context.node.group(&self.name).doing("reading the groups")?;
        let present = || Some("present".to_owned());
        let changes = match (&self.former, now) {
            (Former::Group { gid, members }, Some(now)) => {
                let mut changes = Vec::new();
                if now.gid != *gid {
                    changes.push(Change::new("gid", Some(now.gid.to_string()), Some(gid.to_string())));
                }
                let (mut has, had) = (now.members, self.members(members, context)?);
                crate::in_order::sort(&mut has);
                if has != had {
                    changes.push(Change::new("members", Some(has.join(", ")), Some(had.join(", "))));
                }
                changes
            }
            (Former::Group { .. }, None) => vec![Change::new("state", None, present())],
            (_, Some(_)) => vec![Change::new("state", present(), None)],
            (_, None) => Vec::new(),
        };
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let now = context.node.group(&self.name).doing("reading the groups")?;
        match (&self.former, now) {
            (Former::Group { gid, members }, now) => context.node.change_group(&GroupChange {
                name: self.name.clone(),
                create: now.is_none(),
                system: false,
                gid: Some(*gid).filter(|gid| now.as_ref().is_none_or(|now| now.gid != *gid)),
                members: Some(self.members(members, context)?),
            })?,
            (_, Some(_)) => context.node.remove_group(&self.name)?,
            (_, None) => {}
        }
        Ok(Effect::default())
    }
}
