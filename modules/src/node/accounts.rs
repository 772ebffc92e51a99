//! Users and groups of a node.

use std::io;

/// A line of passwd(5) with its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Full name and the rest of the comment field.
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Supplementary groups, sorted.
    pub groups: Vec<String>,
    /// The password field of shadow(5): a hash, `!`/`*` (no login by password), none where it cannot be read.
    pub password: Option<String>,
}

/// A line of group(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Members by name.
    pub members: Vec<String>,
}

/// What to make of a user; none: leave as it is (or the system's default for a new one).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Login name.
    pub name: String,
    /// Make it: false changes one that is there.
    pub create: bool,
    /// A system account (an id of the system range), for a new one.
    pub system: bool,
    /// User id.
    pub uid: Option<u32>,
    /// Primary group by name.
    pub group: Option<String>,
    /// Supplementary groups: exactly these.
    pub groups: Option<Vec<String>>,
    /// Comment field.
    pub comment: Option<String>,
    /// Home directory.
    pub home: Option<String>,
    /// Make the home directory, for a new one.
    pub create_home: bool,
    /// Login shell.
    pub shell: Option<String>,
    /// Password hash for shadow(5).
    pub password: Option<String>,
}

/// What to make of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// Name.
    pub name: String,
    /// Make it: false changes one that is there.
    pub create: bool,
    /// A system group, for a new one.
    pub system: bool,
    /// Group id.
    pub gid: Option<u32>,
    /// Members: exactly these.
    pub members: Option<Vec<String>>,
}

/// Users and groups. Looks read /etc/passwd, /etc/group and /etc/shadow, and ask `getent` for names that
/// are not there; never getpwnam(3), which a static binary cannot use safely.
pub trait Accounts {
    /// A user by name.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn user(&self, name: &str) -> io::Result<Option<User>>;
    /// A group by name.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn group(&self, name: &str) -> io::Result<Option<Group>>;
    /// The name of a user id, for messages; the number as text where it has none.
    fn user_name(&self, uid: u32) -> String;
    /// The name of a group id, for messages; the number as text where it has none.
    fn group_name(&self, gid: u32) -> String;
    /// Makes or changes a user.
    ///
    /// # Errors
    /// What useradd(8) or usermod(8) said.
    fn change_user(&self, change: &UserChange) -> Result<(), crate::Problem>;
    /// Removes a user, with its home and mail where `home` says so.
    ///
    /// # Errors
    /// What userdel(8) said.
    fn remove_user(&self, name: &str, home: bool) -> Result<(), crate::Problem>;
    /// Makes or changes a group.
    ///
    /// # Errors
    /// What groupadd(8) or groupmod(8) said.
    fn change_group(&self, change: &GroupChange) -> Result<(), crate::Problem>;
    /// Removes a group.
    ///
    /// # Errors
    /// What groupdel(8) said.
    fn remove_group(&self, name: &str) -> Result<(), crate::Problem>;
}
