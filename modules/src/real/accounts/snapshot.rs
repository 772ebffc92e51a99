//! The account files read once, and how it is noticed that they have changed.

use std::{collections::HashMap, io, os::unix::fs::MetadataExt, path::Path};

use crate::{
    account_files::{parse_group, parse_passwd, parse_shadow},
    node::{Group, User},
};

/// The files that are read, below the root.
const FILES: [&str; 3] = ["etc/passwd", "etc/group", "etc/shadow"];

/// Tells one state of the files from another: device, inode, size, and times of content and inode.
#[derive(PartialEq, Eq)]
pub(super) struct Signature([Option<FileSignature>; 3]);

#[derive(PartialEq, Eq)]
struct FileSignature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut files = [None, None, None];
        for (slot, name) in files.iter_mut().zip(FILES) {
            match std::fs::metadata(root.join(name)) {
                Ok(stat) => {
                    *slot = Some(FileSignature {
                        device: stat.dev(),
                        inode: stat.ino(),
                        size: stat.size(),
                        modified: (stat.mtime(), stat.mtime_nsec()),
                        changed: (stat.ctime(), stat.ctime_nsec()),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(files))
    }
}

/// All local accounts.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) users: HashMap<String, User>,
    pub(super) groups: HashMap<String, Group>,
    pub(super) user_names: HashMap<u32, String>,
    pub(super) group_names: HashMap<u32, String>,
}

impl Snapshot {
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let [passwd, group, shadow] = FILES.map(|name| match std::fs::read(root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            // Only root may read the passwords; everybody may know the rest.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && name == FILES[2] => {
                Ok(Vec::new())
            }
            other => other,
        });
        let mut passwords = parse_shadow(&shadow?);
        let mut snapshot = Self::default();
        for mut user in parse_passwd(&passwd?) {
            user.password = passwords.remove(&user.name);
            // Of two lines with one id or name, the first counts, as for getpwuid(3).
            snapshot.user_names.entry(user.uid).or_insert_with(|| user.name.clone());
            snapshot.users.entry(user.name.clone()).or_insert(user);
        }
        for group in parse_group(&group?) {
            for member in &group.members {
                if let Some(user) = snapshot.users.get_mut(member) {
                    user.groups.push(group.name.clone());
                }
            }
            snapshot.group_names.entry(group.gid).or_insert_with(|| group.name.clone());
            snapshot.groups.entry(group.name.clone()).or_insert(group);
        }
        for user in snapshot.users.values_mut() {
            crate::in_order::sort(&mut user.groups);
            user.groups.dedup();
        }
        Ok(snapshot)
    }
}
