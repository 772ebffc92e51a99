//! Accounts of an overlay: changes in memory over those of the node below; and of the empty node.
//!
//! What useradd(8) and its like would do is done in memory: the ids they would choose, the group of the
//! user's own name, the home directory with what /etc/skel holds.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Empty, Overlay};
use crate::{
    Problem,
    account_files::{LoginDefs, next_id, parse_group, parse_passwd, useradd_default},
    home::make_home,
    node::{Accounts, Attributes, Files as _, Group, GroupChange, User, UserChange},
};

/// Longest account file that is read, in bytes.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct AccountsLayer {
    layer: Mutex<Layer>,
    /// One change at a time: two new users must not be given one id.
    changing: Mutex<()>,
}

/// Accounts by name; none: removed. Whose groups a user has is said by the groups alone.
#[derive(Default)]
struct Layer {
    users: HashMap<String, Option<User>>,
    groups: HashMap<String, Option<Group>>,
    /// Groups that got another id, in this order: the old and the new one. groupmod(8) takes along the users
    /// whose primary group it is.
    renumbered: Vec<(u32, u32)>,
}

impl Layer {
    fn renumber(&mut self, old: u32, new: u32) {
        self.renumbered.push((old, new));
        self.users.values_mut().flatten().filter(|user| user.gid == old).for_each(|user| user.gid = new);
    }

    /// The primary group of a user of the node below.
    fn gid_of_below(&self, gid: u32) -> u32 {
        self.renumbered.iter().fold(gid, |gid, (old, new)| if gid == *old { *new } else { gid })
    }
}

impl Accounts for Overlay<'_> {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        let layer = self.layer();
        let mut user = match layer.users.get(name) {
            Some(Some(user)) => user.clone(),
            Some(None) => return Ok(None),
            None => match self.below.user(name)? {
                Some(user) => User { gid: layer.gid_of_below(user.gid), ..user },
                None => return Ok(None),
            },
        };
        user.groups.retain(|group| !layer.groups.contains_key(group));
        let joined =
            layer.groups.values().flatten().filter(|group| group.members.iter().any(|member| member == name));
        user.groups.extend(joined.map(|group| group.name.clone()));
        crate::in_order::sort(&mut user.groups);
        user.groups.dedup();
        Ok(Some(user))
    }

    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        match self.layer().groups.get(name) {
            Some(group) => Ok(group.clone()),
            None => self.below.group(name),
        }
    }

    fn user_name(&self, uid: u32) -> String {
        let layer = self.layer();
        if let Some(user) = layer.users.values().flatten().find(|user| user.uid == uid) {
            return user.name.clone();
        }
        let name = self.below.user_name(uid);
        // Whoever had the id below may be gone here, or have another one.
        if layer.users.contains_key(&name) { uid.to_string() } else { name }
    }

    fn group_name(&self, gid: u32) -> String {
        let layer = self.layer();
        if let Some(group) = layer.groups.values().flatten().find(|group| group.gid == gid) {
            return group.name.clone();
        }
        let name = self.below.group_name(gid);
        if layer.groups.get(&name).is_some_and(|group| group.as_ref().is_none_or(|group| group.gid != gid)) {
            return gid.to_string();
        }
        name
    }

    fn change_user(&self, change: &UserChange) -> Result<(), Problem> {
        let _one = self.accounts.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |error: io::Error| Problem::new(format!("reading the accounts: {error}"));
        let known = self.user(&change.name).map_err(reading)?;
        let defs = self.login_defs();
        let mut user = match (change.create, known) {
            (true, Some(_)) => return Err(Problem::new(format!("user `{}` is there already", change.name))),
            (false, None) => return Err(Problem::new(format!("there is no user `{}`", change.name))),
            (false, Some(user)) => user,
            (true, None) => self.new_user(change, &defs)?,
        };
        if let Some(uid) = change.uid {
            user.uid = uid;
        }
        if let Some(group) = &change.group {
            user.gid = self.group_for(group)?;
        }
        for (field, value) in [
            (&mut user.comment, &change.comment),
            (&mut user.home, &change.home),
            (&mut user.shell, &change.shell),
        ] {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        if change.password.is_some() {
            user.password.clone_from(&change.password);
        }
        let (home, attributes) =
            (user.home.clone(), Attributes { mode: defs.home_mode, uid: user.uid, gid: user.gid });
        let had = user.groups.clone();
        self.layer().users.insert(user.name.clone(), Some(user));
        if let Some(groups) = &change.groups {
            for group in groups {
                self.group_for(group)?;
            }
            let touched = crate::in_order::set(had.iter().chain(groups));
            for name in touched {
                self.edit_group(name, |group| {
                    group.members.retain(|member| *member != change.name);
                    if groups.contains(name) {
                        group.members.push(change.name.clone());
                    }
                })?;
            }
        }
        if change.create && change.create_home {
            make_home(self, Path::new(&home), attributes)?;
        }
        Ok(())
    }

    fn remove_user(&self, name: &str, home: bool) -> Result<(), Problem> {
        let _one = self.accounts.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |error: io::Error| Problem::new(format!("reading the accounts: {error}"));
        let Some(user) = self.user(name).map_err(reading)? else {
            return Err(Problem::new(format!("there is no user `{name}`")));
        };
        for group in &user.groups {
            self.edit_group(group, |group| group.members.retain(|member| member != name))?;
        }
        // userdel(8) takes the user's own group along, unless somebody else is in it.
        let own = self.group(name).map_err(reading)?;
        let goes = own.is_some_and(|group| group.gid == user.gid && group.members.is_empty());
        let mut layer = self.layer();
        layer.users.insert(name.to_owned(), None);
        if goes && self.login_defs().user_groups {
            layer.groups.insert(name.to_owned(), None);
        }
        drop(layer);
        if home {
            let home = Path::new(&user.home);
            if self.stat(home).ok().flatten().is_some_and(|stat| stat.uid == user.uid) {
                self.remove_tree(home)
                    .map_err(|error| Problem::new(format!("removing {}: {error}", user.home)))?;
            }
        }
        Ok(())
    }

    fn change_group(&self, change: &GroupChange) -> Result<(), Problem> {
        let _one = self.accounts.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |error: io::Error| Problem::new(format!("reading the accounts: {error}"));
        let known = self.group(&change.name).map_err(reading)?;
        let group = match (change.create, known) {
            (true, Some(_)) => return Err(Problem::new(format!("group `{}` is there already", change.name))),
            (false, None) => return Err(Problem::new(format!("there is no group `{}`", change.name))),
            (false, Some(group)) => group,
            (true, None) => {
                let gid = match change.gid {
                    Some(gid) => gid,
                    None => self.next_gid(&self.login_defs(), change.system, None)?,
                };
                Group { name: change.name.clone(), gid, members: Vec::new() }
            }
        };
        let old = group.gid;
        let mut layer = self.layer();
        layer.groups.insert(change.name.clone(), Some(group));
        if let Some(new) = change.gid.filter(|new| *new != old) {
            layer.renumber(old, new);
        }
        drop(layer);
        self.edit_group(&change.name, |group| {
            if let Some(gid) = change.gid {
                group.gid = gid;
            }
            if let Some(members) = &change.members {
                group.members.clone_from(members);
            }
        })
    }

    fn remove_group(&self, name: &str) -> Result<(), Problem> {
        self.layer().groups.insert(name.to_owned(), None);
        Ok(())
    }
}

impl Overlay<'_> {
    fn layer(&self) -> MutexGuard<'_, Layer> {
        self.accounts.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn login_defs(&self) -> LoginDefs {
        LoginDefs::parse(&self.read(Path::new("/etc/login.defs"), FILE_LIMIT).unwrap_or_default())
    }

    /// A user as useradd(8) makes it, with a group of its own where it makes one.
    fn new_user(&self, change: &UserChange, defs: &LoginDefs) -> Result<User, Problem> {
        let uid = match change.uid {
            Some(uid) => uid,
            None => {
                let range = if change.system { defs.system_uids } else { defs.uids };
                next_id(range, &self.used_uids(), change.system).ok_or_else(|| {
                    Problem::new(format!("no user id from {} to {} is free", range.0, range.1))
                })?
            }
        };
        let gid = match &change.group {
            Some(_) => 0,
            None => {
                let gid = self.next_gid(defs, change.system, Some(uid))?;
                let group = Group { name: change.name.clone(), gid, members: Vec::new() };
                self.layer().groups.insert(change.name.clone(), Some(group));
                gid
            }
        };
        let defaults = self.read(Path::new("/etc/default/useradd"), FILE_LIMIT).unwrap_or_default();
        let default = |key| useradd_default(&defaults, key);
        Ok(User {
            name: change.name.clone(),
            uid,
            gid,
            comment: String::new(),
            home: format!("{}/{}", default("HOME").unwrap_or_else(|| "/home".into()), change.name),
            shell: default("SHELL").unwrap_or_else(|| "/bin/bash".into()),
            groups: Vec::new(),
            password: Some("!".into()),
        })
    }

    fn next_gid(&self, defs: &LoginDefs, system: bool, preferred: Option<u32>) -> Result<u32, Problem> {
        let used = self.used_gids();
        if let Some(gid) = preferred.filter(|gid| !used.contains(gid)) {
            return Ok(gid);
        }
        let range = if system { defs.system_gids } else { defs.gids };
        next_id(range, &used, system)
            .ok_or_else(|| Problem::new(format!("no group id from {} to {} is free", range.0, range.1)))
    }

    fn used_uids(&self) -> BTreeSet<u32> {
        let layer = self.layer();
        let below = self.below.read(Path::new("/etc/passwd"), FILE_LIMIT).unwrap_or_default();
        let below = parse_passwd(&below).into_iter().filter(|user| !layer.users.contains_key(&user.name));
        crate::in_order::set(
            below.map(|user| user.uid).chain(layer.users.values().flatten().map(|user| user.uid)),
        )
    }

    fn used_gids(&self) -> BTreeSet<u32> {
        let layer = self.layer();
        let below = self.below.read(Path::new("/etc/group"), FILE_LIMIT).unwrap_or_default();
        let below = parse_group(&below).into_iter().filter(|group| !layer.groups.contains_key(&group.name));
        crate::in_order::set(
            below.map(|group| group.gid).chain(layer.groups.values().flatten().map(|group| group.gid)),
        )
    }

    /// The id of a group by name or number. One that is not there but may come with an earlier task is
    /// made up, so that the user it belongs to can be planned.
    fn group_for(&self, name: &str) -> Result<u32, Problem> {
        if let Ok(number) = name.parse::<u32>() {
            if self.group_name(number) == name && !self.anything_may_appear() {
                return Err(Problem::new(format!("there is no group with the id {name} on the node")));
            }
            return Ok(number);
        }
        let reading = |error: io::Error| Problem::new(format!("reading the accounts: {error}"));
        if let Some(group) = self.group(name).map_err(reading)? {
            return Ok(group.gid);
        }
        if !self.anything_may_appear() {
            return Err(Problem::new(format!("there is no group `{name}` on the node"))
                .hint(format!("a task `- group: {name}` makes it")));
        }
        let gid = self.next_gid(&self.login_defs(), true, None)?;
        let group = Group { name: name.to_owned(), gid, members: Vec::new() };
        self.layer().groups.insert(name.to_owned(), Some(group));
        Ok(gid)
    }

    /// Changes a group in the layer, taken from below where it is not yet in it.
    fn edit_group(&self, name: &str, edit: impl FnOnce(&mut Group)) -> Result<(), Problem> {
        let group = self.group(name).map_err(|error| Problem::new(format!("reading the groups: {error}")))?;
        if let Some(mut group) = group {
            edit(&mut group);
            self.layer().groups.insert(name.to_owned(), Some(group));
        }
        Ok(())
    }
}

impl Accounts for Empty {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        let root =
            User { name: "root".into(), home: "/root".into(), shell: "/bin/sh".into(), ..User::default() };
        Ok((name == "root").then_some(root))
    }

    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        Ok((name == "root").then(|| Group { name: "root".into(), ..Group::default() }))
    }

    fn user_name(&self, uid: u32) -> String {
        if uid == 0 { "root".into() } else { uid.to_string() }
    }

    fn group_name(&self, gid: u32) -> String {
        if gid == 0 { "root".into() } else { gid.to_string() }
    }

    fn change_user(&self, _change: &UserChange) -> Result<(), Problem> {
        Err(unchangeable())
    }

    fn remove_user(&self, _name: &str, _home: bool) -> Result<(), Problem> {
        Err(unchangeable())
    }

    fn change_group(&self, _change: &GroupChange) -> Result<(), Problem> {
        Err(unchangeable())
    }

    fn remove_group(&self, _name: &str) -> Result<(), Problem> {
        Err(unchangeable())
    }
}

fn unchangeable() -> Problem {
    Problem::new("the empty node cannot be changed; an overlay over it can")
}
