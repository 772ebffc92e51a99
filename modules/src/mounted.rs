//! What is mounted at a path: the value of a `Mounted` setting, and whether two of them mean the same.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use crate::node::{FileKind, Node, SettingKind};

/// Links followed in one path before it counts as a loop (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// File systems without a device: what stands in the device's place is a word, or means something to the
/// file system alone.
const WITHOUT_DEVICE: &[&str] =
    &["tmpfs", "ramfs", "proc", "sysfs", "devpts", "devtmpfs", "mqueue", "hugetlbfs", "cgroup2", "debugfs"];

/// Options that the kernel shows as they were given, with what takes each back.
const FLAGS: [(&str, &str); 4] = [("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];

/// A mounted file system, or one that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What is mounted: a device, `UUID=…`, `server:/path`, a folder, a word.
    pub device: String,
    /// Its type; `none` for a bind mount.
    pub fstype: String,
    /// Options parted by commas.
    pub options: String,
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", escape(&self.device), escape(&self.fstype), escape(&self.options))
    }
}

impl Mounted {
    /// Reads `DEVICE FSTYPE OPTIONS`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split(' ').map(|field| unescape(field.as_bytes()));
        Some(Self { device: fields.next()?, fstype: fields.next()?, options: fields.next()? })
    }

    /// Whether an option is among those given.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|given| given == option)
    }

    /// The value of an option such as `mode=0700`, the last of several.
    #[must_use]
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.split(',').rev().find_map(|given| given.strip_prefix(option)?.strip_prefix('='))
    }

    /// Whether it is a folder (or file) shown at another place.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        self.has("bind") || self.has("rbind")
    }

    /// Of two options that exclude each other, whether the first is the last one given.
    fn flag(&self, on: &str, off: &str) -> bool {
        self.options.split(',').rfind(|given| *given == on || *given == off) == Some(on)
    }

    /// Whether a mount that is there lacks a flag that is wanted of it, or is read-only where it is to be
    /// written to. Other options cannot be compared: the kernel shows them otherwise than they are given.
    #[must_use]
    pub fn lacks_flags_of(&self, wanted: &Self) -> bool {
        let differs = |(on, off): (&str, &str)| wanted.flag(on, off) && !self.flag(on, off);
        FLAGS.into_iter().any(differs) || (self.flag("ro", "rw") && !wanted.flag("ro", "rw"))
    }

    /// Whether the file system that is there is the one that is wanted, whatever its options.
    #[must_use]
    pub fn is_same_file_system(&self, wanted: &Self, node: &dyn Node) -> bool {
        if wanted.is_bind() {
            let source = resolve(node, Path::new(&wanted.device));
            if self.is_bind() {
                return origin(node, Path::new(&self.device)) == origin(node, &source);
            }
            // The whole of a file system that is mounted elsewhere: the kernel shows its device for both.
            let there =
                source.to_str().and_then(|key| node.setting(SettingKind::Mounted, key).ok().flatten());
            return there.and_then(|value| Self::parse(&value)).is_some_and(|there| {
                (there.device, there.fstype) == (self.device.clone(), self.fstype.clone())
            });
        }
        if self.is_bind() || !same_type(&self.fstype, &wanted.fstype) {
            return false;
        }
        if self.device == wanted.device || WITHOUT_DEVICE.contains(&self.fstype.as_str()) {
            return true;
        }
        let device = device_of(node, &wanted.device);
        resolve(node, Path::new(&self.device)) == device
            || backing_file(node, &device).as_ref() == Some(&self.device)
    }
}

fn same_type(found: &str, wanted: &str) -> bool {
    // The kernel calls some otherwise than mount(8) does.
    let kernel = match wanted {
        "auto" => return true,
        "nfs" => "nfs4",
        "smb3" => "cifs",
        "ntfs" | "ntfs-3g" => "fuseblk",
        other => other,
    };
    found == wanted || found == kernel
}

/// The path of a device that may be given by a tag, such as `UUID=…` (fstab(5)).
fn device_of(node: &dyn Node, device: &str) -> PathBuf {
    let folder = |tag: &str| match tag {
        "UUID" => Some("by-uuid"),
        "LABEL" => Some("by-label"),
        "PARTUUID" => Some("by-partuuid"),
        "PARTLABEL" => Some("by-partlabel"),
        "ID" => Some("by-id"),
        _ => None,
    };
    let path = match device.split_once('=').and_then(|(tag, value)| Some((folder(tag)?, value))) {
        Some((folder, value)) => Path::new("/dev/disk").join(folder).join(udev_name(value.trim_matches('"'))),
        None => PathBuf::from(device),
    };
    resolve(node, &path)
}

/// How udev writes a label as a file's name.
fn udev_name(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars() {
        if c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii() {
            name.push(c);
        } else {
            name.push_str(&format!("\\x{:02x}", u32::from(c)));
        }
    }
    name
}

/// The file that a loop device shows.
fn backing_file(node: &dyn Node, device: &Path) -> Option<String> {
    let name = device.strip_prefix("/dev").ok()?;
    let place = Path::new("/sys/block").join(name).join("loop/backing_file");
    let text = node.read(&place, 64 * 1024).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned())
}

/// A path without links, as far as it is there.
#[must_use]
pub fn resolve(node: &dyn Node, path: &Path) -> PathBuf {
    let mut current = path.to_owned();
    for _ in 0..MOST_LINKS {
        match without_first_link(node, &current) {
            Ok(found) => return found,
            Err(next) => current = next,
        }
    }
    path.to_owned()
}

/// Where what a path shows lies first of all: under a bind mount, where that comes from.
fn origin(node: &dyn Node, path: &Path) -> PathBuf {
    let mut path = resolve(node, path);
    for _ in 0..MOST_LINKS {
        let value = |place: &Path| node.setting(SettingKind::Mounted, place.to_str()?).ok().flatten();
        let above = path.ancestors().find_map(|place| Some((place, Mounted::parse(&value(place)?)?)));
        let Some((place, mounted)) = above.filter(|(_, mounted)| mounted.is_bind()) else { break };
        let inside = path.strip_prefix(place).unwrap_or(Path::new(""));
        path = if inside.as_os_str().is_empty() {
            PathBuf::from(&mounted.device)
        } else {
            Path::new(&mounted.device).join(inside)
        };
    }
    path
}

/// The path where it has no link; else the path with its first link replaced by what that leads to.
fn without_first_link(node: &dyn Node, path: &Path) -> Result<PathBuf, PathBuf> {
    let mut found = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        match part {
            Component::ParentDir => drop(found.pop()),
            Component::CurDir => {}
            other => found.push(other),
        }
        let stat = node.stat(&found).ok().flatten();
        if stat.is_some_and(|stat| stat.kind == FileKind::Link)
            && let Ok(target) = node.read_link(&found)
        {
            found.pop();
            return Err(found.join(target).join(parts.as_path()));
        }
    }
    Ok(found)
}

/// Writes what would end a field of fstab(5) or of /proc/mounts in octal.
#[must_use]
pub fn escape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    for c in field.chars() {
        match c {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\n' => text.push_str("\\012"),
            '\\' => text.push_str("\\134"),
            other => text.push(other),
        }
    }
    text
}

/// Reads a field back; bytes that are no UTF-8 become replacement characters.
#[must_use]
pub fn unescape(field: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
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
    use crate::{
        Empty, Overlay,
        library::trial::{put, put_directory},
        node::{Files, Settings},
    };

    fn mounted(value: &str) -> Mounted {
        Mounted::parse(value).unwrap()
    }

    fn node() -> Overlay<'static> {
        let node = Overlay::new(&Empty);
        for folder in
            ["/dev", "/dev/disk", "/dev/disk/by-uuid", "/dev/disk/by-label", "/dev/mapper", "/dev/vg", "/srv"]
        {
            put_directory(&node, Path::new(folder));
        }
        put(&node, Path::new("/dev/sda1"), b"", 0o600);
        put(&node, Path::new("/dev/dm-0"), b"", 0o600);
        for (link, target) in [
            ("/dev/disk/by-uuid/12-ab", "../../sda1"),
            ("/dev/disk/by-label/my\\x20data", "../../sda1"),
            ("/dev/mapper/vg-lv", "../dm-0"),
            ("/dev/vg/lv", "../dm-0"),
        ] {
            node.make_link(Path::new(link), Path::new(target)).unwrap();
        }
        node
    }

    #[test]
    fn values_are_read_back_with_blanks_in_them() {
        let value =
            Mounted { device: "/a b\\c\td".into(), fstype: "none".into(), options: "bind,x=ä".into() };
        assert_eq!(value.to_string(), "/a\\040b\\134c\\011d none bind,x=ä");
        assert_eq!(Mounted::parse(&value.to_string()), Some(value));
        assert_eq!(Mounted::parse("/dev/sda1 ext4"), None);
        assert_eq!(unescape(b"a\\9x\\04"), "a\\9x\\04");
        assert_eq!(unescape(b"\\303\\274"), "ü");
    }

    #[test]
    fn one_device_has_many_names() {
        let node = node();
        let same = |found: &str, wanted: &str| mounted(found).is_same_file_system(&mounted(wanted), &node);
        assert!(same("/dev/sda1 ext4 rw", "UUID=12-ab ext4 defaults"));
        assert!(same("/dev/sda1 ext4 rw", "LABEL=my\\040data ext4 defaults"));
        assert!(same("/dev/mapper/vg-lv xfs rw", "/dev/vg/lv auto defaults"));
        assert!(same("srv:/x nfs4 rw,vers=4.2", "srv:/x nfs defaults"));
        assert!(same("tmpfs tmpfs rw", "none tmpfs size=1m"));
        assert!(!same("/dev/sda1 ext4 rw", "/dev/vg/lv ext4 defaults"));
        assert!(!same("/dev/sda1 ext4 rw", "/dev/sda1 xfs defaults"));
        assert!(!same("/dev/sda1 ext4 rw", "UUID=34 ext4 defaults"));
        assert!(!same("srv:/x nfs4 rw", "srv:/y nfs4 defaults"));
    }

    #[test]
    fn binds_are_known_by_their_source() {
        let node = node();
        node.make_link(Path::new("/data"), Path::new("srv")).unwrap();
        let same = |found: &str, wanted: &str| mounted(found).is_same_file_system(&mounted(wanted), &node);
        assert!(same("/srv none rw,bind", "/srv none bind"));
        assert!(same("/srv none rw,bind", "/data none rbind,ro"));
        assert!(!same("/srv/a none rw,bind", "/srv none bind"));
        // By way of another bind mount.
        let now = std::time::Instant::now();
        node.set(SettingKind::Mounted, "/mnt/b", Some("/srv none rw,bind"), now).unwrap();
        assert!(same("/srv none rw,bind", "/mnt/b none bind"));
        assert!(same("/srv/x none rw,bind", "/mnt/b/x none bind"));
        assert!(!same("/srv none rw,bind", "/mnt/b/x none bind"));
        assert!(!same("/dev/sdb1 ext4 rw", "/srv none bind"));
        node.set(SettingKind::Mounted, "/srv", Some("/dev/sdb1 ext4 rw"), now).unwrap();
        assert!(same("/dev/sdb1 ext4 rw", "/srv none bind"), "the whole of a file system");
    }

    #[test]
    fn a_loop_device_is_its_file() {
        let node = node();
        for folder in ["/sys", "/sys/block", "/sys/block/loop3", "/sys/block/loop3/loop"] {
            put_directory(&node, Path::new(folder));
        }
        put(&node, Path::new("/sys/block/loop3/loop/backing_file"), b"/srv/disk.img\n", 0o444);
        put(&node, Path::new("/dev/loop3"), b"", 0o600);
        let found = mounted("/srv/disk.img ext4 rw,loop");
        assert!(found.is_same_file_system(&mounted("/srv/disk.img ext4 loop"), &node));
        assert!(found.is_same_file_system(&mounted("/dev/loop3 ext4 defaults"), &node));
        assert!(!found.is_same_file_system(&mounted("/srv/other.img ext4 loop"), &node));
    }

    #[test]
    fn only_flags_that_the_kernel_shows_are_drift() {
        let lacks = |found: &str, wanted: &str| {
            mounted(&format!("d t {found}")).lacks_flags_of(&mounted(&format!("d t {wanted}")))
        };
        assert!(!lacks("rw,relatime,data=ordered", "defaults,noatime,x-systemd.automount"));
        assert!(lacks("ro", "defaults") && lacks("rw", "ro") && !lacks("ro", "rw,ro"));
        assert!(lacks("rw", "noexec") && !lacks("rw,noexec", "noexec") && !lacks("rw", "noexec,exec"));
        assert!(lacks("rw,nodev", "nodev,nosuid") && !lacks("rw,nosuid,nodev", "defaults"));
    }

    #[test]
    fn links_are_followed_as_far_as_they_lead() {
        let node = node();
        node.make_link(Path::new("/circle"), Path::new("circle")).unwrap();
        node.make_link(Path::new("/up"), Path::new("../dev/disk")).unwrap();
        assert_eq!(resolve(&node, Path::new("/up/by-uuid/12-ab")), Path::new("/dev/sda1"));
        assert_eq!(resolve(&node, Path::new("/circle/x")), Path::new("/circle/x"));
        assert_eq!(resolve(&node, Path::new("/nowhere/x")), Path::new("/nowhere/x"));
        assert_eq!(resolve(&node, Path::new("tmpfs")), Path::new("tmpfs"));
    }
}
