//! `user`: an account with its groups, home, shell and password.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use cm_wire::{Change, Value};

use super::account_name::AccountName;
use super::presence::State;
use super::{making::missing_parents, walk::walk};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Int, Kind, Module, Param, ParamError, Params, Problem,
    Resource, Seen, Thing, Touches,
    account_files::{LoginDefs, useradd_default},
    home::make_home,
    node::{Attributes, User, UserChange},
    params,
};

params! {
    /// A user account. What is not said is left as it is; a new account gets the system's defaults.
    pub struct UserTask = "user" {
        /// The login name.
        subject name: AccountName,
        /// `present` or `absent`.
        state: State = State::Present,
        /// The user id.
        uid: Option<Int<0, 4_294_967_294>>,
        /// The primary group, by name or number. A new user gets one of its own name.
        group: Option<String>,
        /// Further groups. It is added to them; `exclusive` takes it out of all others.
        groups: Option<Vec<String>>,
        /// `groups` are all it is in.
        exclusive: bool = false,
        /// A new account is one of the system: a low id, and no home directory unless asked for.
        system: bool = false,
        /// The home directory. What is in a former one stays there.
        home: Option<AbsolutePath>,
        /// Makes the home directory with what /etc/skel holds. New accounts that are not of the system
        /// have one anyway; `true` also makes one that is missing, `false` never does.
        create_home: Option<bool>,
        /// The login shell.
        shell: Option<AbsolutePath>,
        /// The full name and what else the comment field holds.
        comment: Option<String>,
        /// The password's hash as crypt(5) makes it (`openssl passwd -6`), never the password itself.
        password: Option<PasswordHash>,
        /// Whether login by password is barred, with the hash kept.
        locked: Option<bool>,
        /// With `state: absent`: takes the home directory and the mail along.
        remove_home: bool = false,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &UserTask::SCHEMA, compile };

/// Longest login.defs(5) that is read, in bytes.
const DEFS_LIMIT: u64 = 1024 * 1024;
/// Where userdel(8) removes the mail of a user.
const MAIL: &str = "/var/mail";

/// A hash for shadow(5), or `*` for none.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Param for PasswordHash {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        // No message may show the value.
        let Value::Text(hash) = value else { return Err(format!("wants a hash, not {}", value.kind())) };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        let hashed = hash.starts_with('$') && hash.bytes().filter(|&byte| byte == b'$').count() >= 3;
        if hash == "*" || (hashed && plain(hash)) {
            return Ok(Self(hash.clone()));
        }
        Err("wants the hash of a password, such as `openssl passwd -6` prints, or \"*\" for none; \
             this is not one"
            .into())
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = UserTask::from_params(params)?;
    if task.state == State::Absent {
        let given = [
            ("uid", task.uid.is_some()),
            ("group", task.group.is_some()),
            ("groups", task.groups.is_some()),
            ("home", task.home.is_some()),
            ("create_home", task.create_home.is_some()),
            ("shell", task.shell.is_some()),
            ("comment", task.comment.is_some()),
            ("password", task.password.is_some()),
            ("locked", task.locked.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            return Err(ParamError::new(name, "cannot be given for a user that is to be absent"));
        }
    } else if task.remove_home {
        return Err(ParamError::new("remove_home", "belongs to `state: absent`"));
    }
    if task.exclusive && task.groups.is_none() {
        return Err(ParamError::new("exclusive", "wants `groups` (an empty list: none)"));
    }
    for name in task.groups.iter().flatten() {
        AccountName::read(&name.as_str().into()).map_err(|error| ParamError::new("groups", error))?;
    }
    if task.comment.as_ref().is_some_and(|comment| comment.contains([':', '\n', '\0'])) {
        return Err(ParamError::new(
            "comment",
            "cannot hold a colon or a newline: passwd(5) has no way to write them",
        ));
    }
    for (name, path) in [("home", &task.home), ("shell", &task.shell)] {
        if path.as_ref().is_some_and(|path| path.0.to_string_lossy().contains([':', '\n'])) {
            return Err(ParamError::new(
                name,
                "cannot hold a colon or a newline: passwd(5) has no way to write them",
            ));
        }
    }
    Ok(Box::new(task))
}

impl Resource for UserTask {
    fn touches(&self) -> Touches {
        let name = &self.name.0;
        let mut touches = Touches::new(Class::Free)
            .makes(Thing::User(name.clone()))
            .removes(self.state == State::Absent)
            // useradd(8) makes a group of this name; a task that makes it comes first.
            .needs(Thing::Group(self.group.clone().unwrap_or_else(|| name.clone())));
        for group in self.groups.iter().flatten().filter(|group| *group != name) {
            touches = touches.needs(Thing::Group(group.clone()));
        }
        // The directory itself may be another task's, which then rests on this user.
        if let Some(parent) = self.home.as_ref().and_then(|home| home.0.parent()) {
            touches = touches.needs(Thing::Path(parent.to_owned()));
        }
        if let Some(shell) = &self.shell {
            touches = touches.needs(Thing::Path(shell.0.clone()));
        }
        touches
    }

    /// The account, the group of its name that comes and goes with it, and its home directory where that
    /// comes or goes.
    fn keeps(&self, context: &Context<'_>) -> Vec<Thing> {
        let name = &self.name.0;
        let mut things = vec![Thing::User(name.clone())];
        let user = self.user(context).unwrap_or_default();
        match (self.state, &user) {
            (State::Present, _) => {
                if user.is_none() && self.group.is_none() {
                    things.push(Thing::Group(name.clone()));
                }
                if let Some(home) = self.home_to_come(user.as_ref(), context) {
                    things.extend(
                        missing_parents(context, &home).unwrap_or_default().into_iter().map(Thing::Path),
                    );
                    things.push(Thing::Path(home));
                }
            }
            (State::Absent, Some(user)) => {
                things.push(Thing::Group(name.clone()));
                if self.remove_home {
                    let home = PathBuf::from(&user.home);
                    let inside = walk(context.node, &home).unwrap_or_default();
                    things.extend([home, Path::new(MAIL).join(name)].map(Thing::Path));
                    things.extend(inside.into_iter().map(|(path, _)| Thing::Path(path)));
                }
            }
            (State::Absent, None) => {}
        }
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let user = self.user(context)?;
        let changes = match (self.state, user) {
            (State::Absent, None) => Vec::new(),
            (State::Absent, Some(_)) => vec![Change::new("state", Some("present".into()), None)],
            (State::Present, None) => self.wanted_of_new(),
            (State::Present, Some(user)) => self.differences(&user, context)?,
        };
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let user = self.user(context)?;
        match (self.state, user) {
            (State::Absent, None) => {}
            (State::Absent, Some(user)) => context.node.remove_user(&user.name, self.remove_home)?,
            (State::Present, None) => self.create(context)?,
            (State::Present, Some(user)) => self.modify(&user, context)?,
        }
        Ok(Effect::default())
    }
}

impl UserTask {
    /// The home directory that a change would make.
    fn home_to_come(&self, user: Option<&User>, context: &Context<'_>) -> Option<PathBuf> {
        let Some(user) = user else {
            let text =
                || context.node.read(Path::new("/etc/default/useradd"), DEFS_LIMIT).unwrap_or_default();
            let homes = || useradd_default(&text(), "HOME").unwrap_or_else(|| "/home".into());
            let home = self
                .home
                .as_ref()
                .map_or_else(|| Path::new(&homes()).join(&self.name.0), |home| home.0.clone());
            return Some(home).filter(|_| self.create_home.unwrap_or(!self.system));
        };
        matches!(self.home_is_missing(user, context), Ok(true)).then(|| self.home_of(user))
    }

    fn user(&self, context: &Context<'_>) -> Result<Option<User>, Problem> {
        context.node.user(&self.name.0).doing("reading the users")
    }

    /// What a new account is told to have.
    fn wanted_of_new(&self) -> Vec<Change> {
        let path = |path: &AbsolutePath| path.0.display().to_string();
        let attributes = [
            ("state", Some("present".to_owned())),
            ("uid", self.uid.map(|uid| uid.0.to_string())),
            ("group", self.group.clone()),
            (
                "groups",
                self.groups.as_ref().map(|groups| show(&crate::in_order::set(groups.iter().cloned()))),
            ),
            ("home", self.home.as_ref().map(path)),
            ("shell", self.shell.as_ref().map(path)),
            ("comment", self.comment.clone()),
            ("password", self.password.as_ref().map(|_| "[secret]".to_owned())),
            ("locked", self.locked.filter(|&locked| locked).map(|locked| locked.to_string())),
        ];
        let given = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| Change::new(name, None, Some(value))).collect()
    }

    fn differences(&self, user: &User, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let mut changes = Vec::new();
        let mut differs = |name: &str, before: String, after: String| {
            changes.push(Change::new(name, Some(before).filter(|text| !text.is_empty()), Some(after)));
        };
        if let Some(uid) = self.uid.filter(|uid| uid.0 != i64::from(user.uid)) {
            differs("uid", user.uid.to_string(), uid.0.to_string());
        }
        if let Some(group) = &self.group
            && group_id(group, context)? != Some(user.gid)
        {
            differs("group", context.node.group_name(user.gid), group.clone());
        }
        if let Some(groups) = self.wanted_groups(user, context) {
            differs("groups", show(&crate::in_order::set(user.groups.iter().cloned())), show(&groups));
        }
        if let Some(home) = self.home.as_ref().filter(|home| home.0 != Path::new(&user.home)) {
            differs("home", user.home.clone(), home.0.display().to_string());
        }
        if self.home_is_missing(user, context)? {
            differs("create_home", "missing".into(), self.home_of(user).display().to_string());
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| shell.0 != Path::new(&user.shell)) {
            differs("shell", user.shell.clone(), shell.0.display().to_string());
        }
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != user.comment) {
            differs("comment", user.comment.clone(), comment.clone());
        }
        let (locked, hash) = split(user);
        if self.password.as_ref().is_some_and(|wanted| wanted.0 != hash) {
            let before = if hash.starts_with('$') { "[secret]" } else { "" };
            differs("password", before.into(), "[secret]".into());
        }
        if let Some(wanted) = self.wanted_lock(user) {
            differs("locked", locked.to_string(), wanted.to_string());
        }
        Ok(changes)
    }

    /// All further groups it is to have, where they are not those it has.
    fn wanted_groups(&self, user: &User, context: &Context<'_>) -> Option<BTreeSet<String>> {
        let has = crate::in_order::set(user.groups.iter().cloned());
        // Being in its primary group need not be written twice.
        let primary = match &self.group {
            Some(group) => group.clone(),
            None => context.node.group_name(user.gid),
        };
        let asked = self.groups.as_ref()?.iter().filter(|group| **group != primary).cloned();
        let mut wanted = crate::in_order::set(asked);
        wanted.extend(has.iter().filter(|group| !self.exclusive || **group == primary).cloned());
        (wanted != has).then_some(wanted)
    }

    /// The lock, where it has to change. An account that has no password at all is locked by that alone,
    /// and taking the mark away would let everybody in: it counts as whatever is wanted.
    fn wanted_lock(&self, user: &User) -> Option<bool> {
        let (locked, hash) = split(user);
        let without_password = locked && hash.is_empty() && self.password.is_none();
        self.locked.filter(|&wanted| wanted != locked && !without_password)
    }

    /// The field of shadow(5), where it has to change.
    fn wanted_password(&self, user: &User) -> Option<String> {
        let (locked, hash) = split(user);
        let wanted_hash = self.password.as_ref().map_or(hash, |wanted| wanted.0.as_str());
        // A first password is there to be used; a new one does not open what somebody has locked.
        let lock = self.locked.unwrap_or(locked && !hash.is_empty());
        let wanted = if lock { format!("!{wanted_hash}") } else { wanted_hash.to_owned() };
        (wanted_hash != hash || self.wanted_lock(user).is_some()).then_some(wanted)
    }

    fn home_of(&self, user: &User) -> PathBuf {
        self.home.as_ref().map_or_else(|| PathBuf::from(&user.home), |home| home.0.clone())
    }

    fn home_is_missing(&self, user: &User, context: &Context<'_>) -> Result<bool, Problem> {
        if self.create_home != Some(true) {
            return Ok(false);
        }
        let home = self.home_of(user);
        let stat = context.node.stat(&home).doing(format_args!("looking at {}", home.display()))?;
        Ok(stat.is_none())
    }

    fn create(&self, context: &Context<'_>) -> Result<(), Problem> {
        self.check_references(None, context)?;
        let name = &self.name.0;
        let mut group = self.group.clone();
        // useradd(8) refuses to make the user's own group where one of its name is there.
        if group.is_none() && context.node.group(name).doing("reading the groups")?.is_some() {
            group = Some(name.clone());
        }
        let password = match (&self.password, self.locked) {
            (Some(hash), Some(true)) => Some(format!("!{}", hash.0)),
            (Some(hash), _) => Some(hash.0.clone()),
            // A new account cannot log in by password anyway.
            (None, _) => None,
        };
        let groups = self.groups.as_ref().map(|groups| {
            groups
                .iter()
                .filter(|name| Some(*name) != group.as_ref() && **name != self.name.0)
                .cloned()
                .collect()
        });
        context.node.change_user(&UserChange {
            name: name.clone(),
            create: true,
            system: self.system,
            uid: self.uid(),
            group,
            groups,
            comment: self.comment.clone(),
            home: self.home.as_ref().map(text),
            create_home: self.create_home.unwrap_or(!self.system),
            shell: self.shell.as_ref().map(text),
            password,
        })
    }

    fn modify(&self, user: &User, context: &Context<'_>) -> Result<(), Problem> {
        self.check_references(Some(user), context)?;
        let differing = |path: &Option<AbsolutePath>, now: &str| {
            path.as_ref().filter(|path| path.0 != Path::new(now)).map(text)
        };
        let mut group = self.group.clone();
        if let Some(name) = &group
            && group_id(name, context)? == Some(user.gid)
        {
            group = None;
        }
        let change = UserChange {
            name: self.name.0.clone(),
            uid: self.uid().filter(|&uid| uid != user.uid),
            group,
            groups: self.wanted_groups(user, context).map(|groups| groups.into_iter().collect()),
            comment: self.comment.clone().filter(|comment| *comment != user.comment),
            home: differing(&self.home, &user.home),
            shell: differing(&self.shell, &user.shell),
            password: self.wanted_password(user),
            ..UserChange::default()
        };
        context.node.change_user(&change)?;
        // The ids may just have changed.
        let user = self.user(context)?.unwrap_or_else(|| user.clone());
        if self.home_is_missing(&user, context)? {
            let defs = context.node.read(Path::new("/etc/login.defs"), DEFS_LIMIT).unwrap_or_default();
            let mode = LoginDefs::parse(&defs).home_mode;
            let attributes = Attributes { mode, uid: user.uid, gid: user.gid };
            make_home(context.node, &self.home_of(&user), attributes)?;
        }
        Ok(())
    }

    fn uid(&self) -> Option<u32> {
        // Int keeps it within u32.
        self.uid.and_then(|uid| u32::try_from(uid.0).ok())
    }

    /// Tells what is missing in words, before a tool does.
    fn check_references(&self, user: Option<&User>, context: &Context<'_>) -> Result<(), Problem> {
        if let Some(uid) = self.uid().filter(|uid| user.is_none_or(|user| user.uid != *uid)) {
            let holder = context.node.user_name(uid);
            if holder != uid.to_string() && holder != self.name.0 {
                return Err(Problem::new(format!("the user id {uid} belongs to `{holder}`"))
                    .hint("choose another `uid`, or take it away from that user first"));
            }
        }
        for group in self.groups.iter().flatten().chain(&self.group) {
            // Its own group comes with a new user.
            let own = user.is_none() && self.group.is_none() && *group == self.name.0;
            if !own && group_id(group, context)?.is_none() && !context.node.may_appear() {
                return Err(Problem::new(format!("there is no group `{group}` on the node"))
                    .hint(format!("a task `- group: {group}` makes it")));
            }
        }
        Ok(())
    }
}

/// Whether the password is locked, and the hash (or `*`, or nothing) behind the lock.
///
/// A bare `!` is what useradd(8) gives an account that has no password yet: locked by that word alone.
fn split(user: &User) -> (bool, &str) {
    let field = user.password.as_deref().unwrap_or_default();
    let hash = field.trim_start_matches('!');
    (field.starts_with('!'), hash)
}

/// The id of a group given by name or number; none where there is no such group.
fn group_id(group: &str, context: &Context<'_>) -> Result<Option<u32>, Problem> {
    if let Ok(number) = group.parse() {
        return Ok(Some(number));
    }
    Ok(context.node.group(group).doing("reading the groups")?.map(|group| group.gid))
}

fn show(groups: &BTreeSet<String>) -> String {
    groups.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn text(path: &AbsolutePath) -> String {
    path.0.to_string_lossy().into_owned()
}
