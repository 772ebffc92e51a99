//! Mounted file systems, from /proc/self/mounts (proc(5), fstab(5)).

use cm_wire::Mount;

/// File systems that hold no files of a user.
const WITHOUT_FILES: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// Where the system and container engines mount what is theirs.
const NOT_OURS: &[&str] = &["/proc", "/sys", "/dev", "/run", "/var/lib/docker", "/var/lib/containers"];

/// The mounts that hold files. Of several on one path the last is the one that is seen.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(path), Some(fstype), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = unescape(path);
        mounts.retain(|mount| mount.path != path);
        let foreign = NOT_OURS
            .iter()
            .any(|top| path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        if WITHOUT_FILES.contains(&fstype) || foreign {
            continue;
        }
        mounts.push(Mount {
            path,
            device: unescape(device),
            fstype: fstype.to_owned(),
            options: unescape(options),
        });
    }
    mounts
}

/// Blanks and backslashes are written as three octal digits: `\040`.
fn unescape(field: &str) -> String {
    if !field.contains('\\') {
        return field.to_owned();
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_files_counts() {
        let text = "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw 0 0\n\
                    tmpfs /tmp tmpfs rw 0 0\n/dev/sdb1 /mnt/with\\040blank xfs ro 0 0\n\
                    /dev/sdc1 /srv ext4 rw 0 0\n/dev/sdd1 /srv ext4 ro 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let seen: Vec<_> = parse(text).into_iter().map(|mount| (mount.path, mount.device)).collect();
        let wanted =
            [("/", "/dev/sda1"), ("/tmp", "tmpfs"), ("/mnt/with blank", "/dev/sdb1"), ("/srv", "/dev/sdd1")];
        assert_eq!(seen, wanted.map(|(path, device)| (path.to_owned(), device.to_owned())));
    }

    #[test]
    fn escapes_are_octal() {
        assert_eq!(unescape(r"a\040b\134c\0"), r"a b\c\0");
        assert_eq!(unescape(r"\303\274"), "ü");
    }
}
