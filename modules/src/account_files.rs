//! The account files of a node as text: passwd(5), group(5), shadow(5) and the id ranges of login.defs(5).
//!
//! No I/O: the real node and the overlay both read the bytes their own way.

use std::collections::{BTreeSet, HashMap};

use crate::node::{Group, User};

/// The users of passwd(5), without groups and password; lines that are not accounts are left out.
pub fn parse_passwd(bytes: &[u8]) -> Vec<User> {
    lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            Some(User {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                comment: fields.next()?.to_owned(),
                home: fields.next()?.to_owned(),
                shell: fields.next().unwrap_or_default().to_owned(),
                groups: Vec::new(),
                password: None,
            })
        })
        .collect()
}

/// The groups of group(5).
pub fn parse_group(bytes: &[u8]) -> Vec<Group> {
    lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
            let members = fields.next().unwrap_or_default();
            Some(Group {
                name: name.to_owned(),
                gid: gid.parse().ok()?,
                members: members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// The password fields of shadow(5) by user.
pub fn parse_shadow(bytes: &[u8]) -> HashMap<String, String> {
    lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        })
        .collect()
}

/// Lines that can hold an account: no comments, no NIS marks (`+`, `-`).
fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| line.first().is_some_and(|first| !b"#+-".contains(first)))
        .map(|line| String::from_utf8_lossy(line).into_owned())
}

/// Whether nsswitch.conf(5) names sources for a database that cannot be read from files.
pub fn asks_others(nsswitch: &[u8], database: &str) -> bool {
    let text = String::from_utf8_lossy(nsswitch);
    text.lines()
        .filter_map(|line| line.split('#').next()?.trim().split_once(':'))
        .filter(|(name, _)| name.trim() == database)
        .flat_map(|(_, sources)| sources.split_whitespace())
        // `[NOTFOUND=return]` and its like are no sources.
        .any(|source| {
            !source.starts_with('[')
                && !source.contains('=')
                && !matches!(source, "files" | "systemd" | "compat")
        })
}

/// What login.defs(5) says about new accounts, with the defaults of useradd(8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginDefs {
    /// Ids of ordinary users.
    pub uids: (u32, u32),
    /// Ids of system users.
    pub system_uids: (u32, u32),
    /// Ids of ordinary groups.
    pub gids: (u32, u32),
    /// Ids of system groups.
    pub system_gids: (u32, u32),
    /// Mode of a new home directory.
    pub home_mode: u32,
    /// A new user gets a group of its own name.
    pub user_groups: bool,
}

impl LoginDefs {
    /// Reads login.defs(5).
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let values: HashMap<&str, &str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| line.trim().split_once(char::is_whitespace))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        let number =
            |key: &str, default: u32| values.get(key).and_then(|value| value.parse().ok()).unwrap_or(default);
        let octal = |key: &str| values.get(key).and_then(|value| u32::from_str_radix(value, 8).ok());
        let (uid_min, gid_min) = (number("UID_MIN", 1000), number("GID_MIN", 1000));
        Self {
            uids: (uid_min, number("UID_MAX", 60_000)),
            system_uids: (number("SYS_UID_MIN", 101), number("SYS_UID_MAX", uid_min.saturating_sub(1))),
            gids: (gid_min, number("GID_MAX", 60_000)),
            system_gids: (number("SYS_GID_MIN", 101), number("SYS_GID_MAX", gid_min.saturating_sub(1))),
            home_mode: octal("HOME_MODE").unwrap_or(0o777 & !octal("UMASK").unwrap_or(0o022)),
            user_groups: values.get("USERGROUPS_ENAB").is_some_and(|&value| value == "yes"),
        }
    }
}

/// The id useradd(8) and groupadd(8) would give: for ordinary accounts one above the highest in use, for
/// system accounts one below the lowest in use, then the first gap.
pub fn next_id(range: (u32, u32), used: &BTreeSet<u32>, system: bool) -> Option<u32> {
    let (low, high) = range;
    if low > high {
        return None;
    }
    let next = if system {
        used.range(low..=high).next().map_or(Some(high), |&lowest| lowest.checked_sub(1))
    } else {
        used.range(low..=high).next_back().map_or(Some(low), |&highest| highest.checked_add(1))
    };
    let free = |id: &u32| (low..=high).contains(id) && !used.contains(id);
    next.filter(free).or_else(|| if system { (low..=high).rev().find(free) } else { (low..=high).find(free) })
}

/// A value of /etc/default/useradd: `HOME`, `SHELL`.
#[must_use]
pub fn useradd_default(text: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let values = text.lines().filter_map(|line| line.trim().split_once('='));
    values.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_lines_are_no_accounts() {
        let users = parse_passwd(
            b"root:x:0:0:root:/root:/bin/bash\n\n# no\n+::::::\nbad:x:one:2::/:/\na:x:5:6::/a:\n",
        );
        let names: Vec<_> =
            users.iter().map(|user| (user.name.as_str(), user.uid, user.shell.as_str())).collect();
        assert_eq!(names, [("root", 0, "/bin/bash"), ("a", 5, "")]);
        let groups = parse_group(b"adm:x:4:anna,ben\nempty:x:7:\nhalf:x\n");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].members, ["anna", "ben"]);
        assert_eq!(parse_shadow(b"anna:$6$x:1:::\n")["anna"], "$6$x");
    }

    #[test]
    fn only_other_sources_need_getent() {
        let conf = b"passwd:  files systemd\ngroup: files [SUCCESS=merge] sss # ldap\nshadow: files\n";
        assert!(!asks_others(conf, "passwd"));
        assert!(asks_others(conf, "group"));
        assert!(!asks_others(conf, "hosts"));
        assert!(!asks_others(b"passwd: files [NOTFOUND=return] systemd # ldap\n", "passwd"));
    }

    #[test]
    fn new_ids_are_those_of_useradd() {
        let used = BTreeSet::from([0, 33, 998, 999, 1000, 1003, 65534]);
        assert_eq!(next_id((1000, 60_000), &used, false), Some(1004));
        assert_eq!(next_id((101, 999), &used, true), Some(997));
        assert_eq!(next_id((1000, 1003), &used, false), Some(1001));
        assert_eq!(next_id((101, 999), &BTreeSet::new(), true), Some(999));
        assert_eq!(next_id((998, 1000), &used, true), None);
    }

    #[test]
    fn login_defs_have_the_defaults_of_useradd() {
        let none = LoginDefs::parse(b"");
        assert_eq!((none.uids, none.system_uids, none.home_mode), ((1000, 60_000), (101, 999), 0o755));
        let some = LoginDefs::parse(
            b"UMASK\t022\n#UID_MIN 5\nUID_MIN\t\t 500\nHOME_MODE 0700\nUSERGROUPS_ENAB yes\n",
        );
        assert_eq!(
            (some.uids.0, some.system_uids.1, some.home_mode, some.user_groups),
            (500, 499, 0o700, true)
        );
    }
}
