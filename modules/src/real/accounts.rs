//! Accounts of this machine: read from their files, changed by the tools of the `passwd` package.
//!
//! Never through getpwnam(3) and its like: in a static binary they load the name service's libraries of
//! whatever libc the node has, and crash where it does not fit. Names that the files do not hold are asked
//! of `getent`, and only where nsswitch.conf(5) names other sources at all.

mod snapshot;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use self::snapshot::{Signature, Snapshot};
use super::{Real, commands::Identity, versioned::Versioned};
use crate::{
    Problem,
    account_files::{asks_others, parse_group, parse_passwd},
    node::{Accounts, Command, Commands, Group, GroupChange, User, UserChange},
};

/// How long to wait for another program that holds the lock of the account files.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long one of the tools may take: userdel(8) may remove a large home directory.
const TOOL_LIMIT: Duration = Duration::from_secs(600);
/// How long a name service may take to answer.
const NAME_SERVICE_LIMIT: Duration = Duration::from_secs(20);

/// What was read of passwd(5), group(5) and shadow(5).
pub(super) struct AccountsState {
    /// Where `/etc` is: `/`, or the tree of a test.
    root: PathBuf,
    files: Versioned<Signature, Snapshot>,
    /// Answers of the name service, and whether there is one to ask, by database.
    others: Mutex<Others>,
    /// The tools lock the files against each other without much patience; so ours go one by one.
    changing: Mutex<()>,
}

#[derive(Default)]
struct Others {
    asks: HashMap<&'static str, bool>,
    users: HashMap<String, Option<User>>,
    groups: HashMap<String, Option<Group>>,
}

impl Default for AccountsState {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl AccountsState {
    /// The accounts of the tree at `root`.
    fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            files: Versioned::default(),
            others: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// The accounts as they are now; read again only when one of the files has changed.
    fn snapshot(&self) -> io::Result<Arc<Snapshot>> {
        self.files.get(|| Signature::of(&self.root), || Snapshot::read(&self.root))
    }

    /// See [`crate::Node::hold_still`].
    pub(super) fn hold_still(&self, still: bool) {
        self.files.hold_still(still);
    }

    fn forget_others(&self) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.users.clear();
        others.groups.clear();
    }
}

impl Accounts for Real {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        if let Some(user) = self.accounts.snapshot()?.users.get(name) {
            return Ok(Some(user.clone()));
        }
        self.other_user(name)
    }

    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        if let Some(group) = self.accounts.snapshot()?.groups.get(name) {
            return Ok(Some(group.clone()));
        }
        self.other_group(name)
    }

    fn user_name(&self, uid: u32) -> String {
        let number = uid.to_string();
        match self.accounts.snapshot() {
            Ok(snapshot) if snapshot.user_names.contains_key(&uid) => snapshot.user_names[&uid].clone(),
            _ => self.other_user(&number).ok().flatten().map_or(number, |user| user.name),
        }
    }

    fn group_name(&self, gid: u32) -> String {
        let number = gid.to_string();
        match self.accounts.snapshot() {
            Ok(snapshot) if snapshot.group_names.contains_key(&gid) => snapshot.group_names[&gid].clone(),
            _ => self.other_group(&number).ok().flatten().map_or(number, |group| group.name),
        }
    }

    fn change_user(&self, change: &UserChange) -> Result<(), Problem> {
        let mut argv = vec![if change.create { "useradd" } else { "usermod" }.to_owned()];
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                argv.extend([name.to_owned(), value.to_owned()]);
            }
        };
        let uid = change.uid.map(|uid| uid.to_string());
        let groups = change.groups.as_ref().map(|groups| groups.join(","));
        option("--uid", uid.as_deref());
        option("--gid", change.group.as_deref());
        // An empty list is no option of useradd(8), and what a new user has anyway.
        option("--groups", groups.as_deref().filter(|groups| !change.create || !groups.is_empty()));
        option("--comment", change.comment.as_deref());
        option(if change.create { "--home-dir" } else { "--home" }, change.home.as_deref());
        option("--shell", change.shell.as_deref());
        if change.create {
            argv.push(if change.create_home { "--create-home" } else { "--no-create-home" }.to_owned());
            if change.system {
                argv.push("--system".to_owned());
            }
        }
        if change.create || argv.len() > 1 {
            self.tool(argv, Some(&change.name), None)?;
        }
        if let Some(password) = &change.password {
            // By standard input: arguments can be read by everybody on the node.
            let line = format!("{}:{password}\n", change.name);
            self.tool(vec!["chpasswd".to_owned(), "--encrypted".to_owned()], None, Some(line.into_bytes()))?;
        }
        Ok(())
    }

    fn remove_user(&self, name: &str, home: bool) -> Result<(), Problem> {
        let mut argv = vec!["userdel".to_owned()];
        if home {
            argv.push("--remove".to_owned());
        }
        self.tool(argv, Some(name), None)
    }

    fn change_group(&self, change: &GroupChange) -> Result<(), Problem> {
        let mut argv = vec![if change.create { "groupadd" } else { "groupmod" }.to_owned()];
        if let Some(gid) = change.gid {
            argv.extend(["--gid".to_owned(), gid.to_string()]);
        }
        if change.create && change.system {
            argv.push("--system".to_owned());
        }
        if change.create || argv.len() > 1 {
            self.tool(argv, Some(&change.name), None)?;
        }
        if let Some(members) = &change.members {
            let argv = vec!["gpasswd".to_owned(), "--members".to_owned(), members.join(",")];
            self.tool(argv, Some(&change.name), None)?;
        }
        Ok(())
    }

    fn remove_group(&self, name: &str) -> Result<(), Problem> {
        self.tool(vec!["groupdel".to_owned()], Some(name), None)
    }
}

impl Real {
    /// Runs one of the tools on an account; waits while somebody else holds the files.
    fn tool(
        &self,
        mut argv: Vec<String>,
        account: Option<&str>,
        stdin: Option<Vec<u8>>,
    ) -> Result<(), Problem> {
        if self.accounts.root != Path::new("/") {
            argv.splice(1..1, ["--root".to_owned(), self.accounts.root.display().to_string()]);
        }
        argv.extend(account.map(str::to_owned));
        let line = argv.join(" ");
        let _one = self.accounts.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = Instant::now() + LOCK_WAIT;
        loop {
            let command = Command {
                argv: argv.clone(),
                stdin: stdin.clone(),
                ..Command::change(&[], Instant::now() + TOOL_LIMIT)
            };
            let finished = self.run(&command).map_err(|error| {
                let problem = Problem::new(format!("running `{line}`: {error}"));
                if error.kind() == io::ErrorKind::NotFound {
                    problem.hint(
                        "accounts are changed by useradd(8) and its like: the package is `passwd` (Debian) or `shadow`",
                    )
                } else {
                    problem
                }
            })?;
            self.accounts.forget_others();
            if finished.success() {
                return Ok(());
            }
            // Without the rights the tools give the same advice.
            let busy = finished.output.stderr.contains("try again later")
                && !finished.output.stderr.contains("Permission denied");
            if busy && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            let reason = finished.output.stderr.lines().next_back().unwrap_or_default().trim().to_owned();
            let problem =
                Problem::new(format!("`{line}` exited with status {}: {reason}", finished.output.status));
            let problem = if busy {
                problem.hint("another program holds the lock of the account files, or one that was killed left /etc/passwd.lock, group.lock, shadow.lock or gshadow.lock behind")
            } else if reason.contains("currently used by process") {
                problem.hint("stop what runs as this user first, for example its service")
            } else if !geteuid().is_root() {
                problem.hint("`become: true` runs the agent as root")
            } else {
                problem
            };
            return Err(problem.output(finished.output));
        }
    }

    /// Whose rights a command gets that runs as `name`.
    pub(super) fn identity(&self, name: &str) -> io::Result<Identity> {
        let snapshot = self.accounts.snapshot()?;
        let user = match snapshot.users.get(name) {
            Some(user) => user.clone(),
            None => self.other_user(name)?.ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("there is no user `{name}` on the node"))
            })?,
        };
        let mut groups: Vec<u32> = user
            .groups
            .iter()
            .filter_map(|group| snapshot.groups.get(group).map(|group| group.gid))
            .chain([user.gid])
            .collect();
        if self.asks_others("group") {
            groups.extend(self.other_gids(name)?);
        }
        crate::in_order::sort(&mut groups);
        groups.dedup();
        Ok(Identity { name: user.name, uid: user.uid, gid: user.gid, groups, home: user.home })
    }

    /// The name and home of the user the agent runs as. From the files alone: running a command needs
    /// this, and asking the name service is running a command.
    pub(super) fn own_account(&self) -> (String, String) {
        let uid = geteuid().as_raw();
        let snapshot = self.accounts.snapshot().unwrap_or_default();
        let user = snapshot.user_names.get(&uid).and_then(|name| snapshot.users.get(name));
        match user {
            Some(user) => (user.name.clone(), user.home.clone()),
            None => (uid.to_string(), if uid == 0 { "/root" } else { "/" }.to_owned()),
        }
    }

    fn asks_others(&self, database: &'static str) -> bool {
        let mut others = self.accounts.others.lock().unwrap_or_else(PoisonError::into_inner);
        *others.asks.entry(database).or_insert_with(|| {
            let conf = std::fs::read(self.accounts.root.join("etc/nsswitch.conf")).unwrap_or_default();
            asks_others(&conf, database)
        })
    }

    /// A user that the files do not hold, by name or number.
    fn other_user(&self, key: &str) -> io::Result<Option<User>> {
        if !self.asks_others("passwd") {
            return Ok(None);
        }
        let known =
            self.accounts.others.lock().unwrap_or_else(PoisonError::into_inner).users.get(key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut user = parse_passwd(&self.getent("passwd", key)?).into_iter().next();
        if let Some(user) = &mut user {
            user.groups = self.other_gids(&user.name)?.into_iter().map(|gid| self.group_name(gid)).collect();
            crate::in_order::sort(&mut user.groups);
        }
        let mut others = self.accounts.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.users.insert(key.to_owned(), user.clone());
        Ok(user)
    }

    /// A group that the files do not hold, by name or number.
    fn other_group(&self, key: &str) -> io::Result<Option<Group>> {
        if !self.asks_others("group") {
            return Ok(None);
        }
        let known =
            self.accounts.others.lock().unwrap_or_else(PoisonError::into_inner).groups.get(key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let group = parse_group(&self.getent("group", key)?).into_iter().next();
        let mut others = self.accounts.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.groups.insert(key.to_owned(), group.clone());
        Ok(group)
    }

    /// The supplementary groups of a user as the name service knows them: `name gid gid`.
    fn other_gids(&self, name: &str) -> io::Result<Vec<u32>> {
        let answer = self.getent("initgroups", name)?;
        let text = String::from_utf8_lossy(&answer);
        Ok(text.split_whitespace().skip(1).filter_map(|gid| gid.parse().ok()).collect())
    }

    fn getent(&self, database: &str, key: &str) -> io::Result<Vec<u8>> {
        if key.starts_with('-') {
            return Ok(Vec::new());
        }
        let command = Command {
            deadline: Instant::now() + NAME_SERVICE_LIMIT,
            ..Command::query(&["getent", database, key])
        };
        match self.run(&command) {
            Ok(finished) if finished.timed_out => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the name service did not answer `getent {database} {key}` within {} s",
                    NAME_SERVICE_LIMIT.as_secs()
                ),
            )),
            Ok(finished) => Ok(finished.output.stdout.into_bytes()),
            // No getent, as on musl: then the files are all there is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
