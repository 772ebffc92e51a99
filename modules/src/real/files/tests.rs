//! Real files in a temporary directory: what is written is whole at every moment.
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::fs::XattrFlags;

use super::*;

const OLD: &[u8] = b"old content\n";

fn own(mode: u32) -> Attributes {
    let (uid, gid) = Real::new().own_ids();
    Attributes { mode, uid, gid }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn names_in(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn write(real: &Real, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    real.write(path, &Content::Bytes(content.to_vec()), own(mode), None).map(|validated| validated.unwrap())
}

#[test]
fn a_new_file_has_content_mode_and_owner_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("motd");
    write(&Real::new(), &path, b"hello", 0o4751).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello");
    let stat = Real::new().stat(&path).unwrap().unwrap();
    assert_eq!((stat.kind, stat.mode, stat.size), (FileKind::File, 0o4751, 5));
    assert_eq!(names_in(dir.path()), ["motd"]);
}

#[test]
fn names_may_hold_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::new();
    for name in [&b"with space"[..], b"quote ' and \"", b"new\nline", b"\xff\xfe", b"-rf", b"$(x) *?"] {
        let path = dir.path().join(OsStr::from_bytes(name));
        write(&real, &path, name, 0o600).unwrap();
        assert_eq!(real.read(&path, 100).unwrap(), name);
        assert_eq!(real.digest(&path).unwrap(), Digest::of(name));
        assert_eq!(real.list(dir.path()).unwrap(), [OsString::from_vec(name.to_vec())]);
        real.remove(&path).unwrap();
        real.make_link(&path, Path::new(OsStr::from_bytes(name))).unwrap();
        assert_eq!(real.read_link(&path).unwrap().as_os_str().as_bytes(), name);
        real.remove(&path).unwrap();
    }
}

/// Whether only these names are there after some attempts: a process that another test is just starting has all
/// open files, and with them their locks, until it is its program.
fn ends_with<T>(dir: &Path, names: &[&str], attempt: impl Fn() -> T) -> bool {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        attempt();
        if names_in(dir) == names {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
    }
}

/// The heart of atomicity: whatever step a write fails or is killed at, the file is the old or the new
/// one, and the next run leaves no trace of it.
#[test]
fn a_write_that_ends_at_any_step_leaves_the_old_or_the_new_file() {
    for kill in [false, true] {
        for existing in [false, true] {
            let mut steps = 0;
            loop {
                steps += 1;
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("file");
                if existing {
                    write(&Real::new(), &path, OLD, 0o640).unwrap();
                }
                let real = Real::new();
                real.files.faults.after.store(steps, Ordering::Relaxed);
                real.files.faults.kill.store(kill, Ordering::Relaxed);
                let result = write(&real, &path, b"new", 0o600);
                let struck = real.files.faults.struck.load(Ordering::Relaxed);
                assert_eq!(result.is_err(), struck);
                let found = fs::read(&path).ok();
                let old = existing.then(|| OLD.to_vec());
                assert!(found == old || found.as_deref() == Some(b"new"), "step {steps}: {found:?}");
                let mode = fs::metadata(&path).map(|stat| stat.permissions().mode() & 0o777).ok();
                assert!(mode.is_none_or(|mode| mode == if found == old { 0o640 } else { 0o600 }));
                let leftovers = names_in(dir.path()).into_iter().filter(|name| name != "file").count();
                if !kill {
                    assert_eq!(leftovers, 0, "an error cleans up after itself, step {steps}");
                }
                let next = || write(&Real::new(), &path, b"next", 0o600).unwrap();
                assert!(ends_with(dir.path(), &["file"], next), "the next run sweeps, step {steps}");
                if !struck {
                    break;
                }
            }
            assert!(steps >= 7, "only {steps} steps are tried");
        }
    }
}

#[test]
fn directories_and_links_are_made_whole_or_not_at_all() {
    for kill in [false, true] {
        for directory in [false, true] {
            for step in 1.. {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("new");
                let real = Real::new();
                real.files.faults.after.store(step, Ordering::Relaxed);
                real.files.faults.kill.store(kill, Ordering::Relaxed);
                let result = if directory {
                    real.make_directory(&path, own(0o2751))
                } else {
                    real.make_link(&path, Path::new("target"))
                };
                let struck = real.files.faults.struck.load(Ordering::Relaxed);
                assert_eq!(result.is_err(), struck);
                if let Some(stat) = real.stat(&path).unwrap() {
                    assert_eq!(stat.mode, if directory { 0o2751 } else { 0o777 }, "step {step}");
                }
                if !kill {
                    assert!(names_in(dir.path()).iter().all(|name| name == "new"), "step {step}");
                }
                if !struck {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_leftover_is_swept_once_nobody_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let leftover = dir.path().join(".cm-0123456789abcdef.tmp");
    fs::write(&leftover, "half").unwrap();
    fs::write(dir.path().join(".cm-mine.tmp"), "of somebody else").unwrap();
    let held = fs::File::open(&leftover).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(Real::new().sweep(dir.path()).unwrap(), 0);
    drop(held);
    assert!(ends_with(dir.path(), &[".cm-mine.tmp"], || Real::new().sweep(dir.path()).unwrap()));
    assert_eq!(Real::new().sweep(&dir.path().join("missing")).unwrap(), 0);
}

/// A killed run left an empty directory and a link behind, and the next run, within a minute, left them, too.
#[test]
fn directories_and_links_of_a_process_that_has_ended_are_swept_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    child.wait().unwrap();
    for (pid, left) in [(child.id(), 0), (std::process::id(), 2)] {
        let name = |number| dir.path().join(format!(".cm-{:08x}0000000{number}.tmp", pid << 10 | 5));
        fs::create_dir(name(1)).unwrap();
        symlink("target", name(2)).unwrap();
        Real::new().sweep(dir.path()).unwrap();
        assert_eq!(names_in(dir.path()).len(), left);
    }
}

#[test]
fn the_file_being_validated_is_the_new_one_and_a_refusal_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sudoers");
    let real = Real::new();
    write(&real, &path, OLD, 0o440).unwrap();
    let refuse = |written: &Path| {
        assert_eq!(written.parent(), Some(dir.path()));
        assert_eq!(fs::read(written).unwrap(), b"new");
        assert_eq!(fs::metadata(written).unwrap().permissions().mode() & 0o777, 0o440);
        Err(Problem::new("no"))
    };
    let refused = real.write(&path, &Content::Bytes(b"new".to_vec()), own(0o440), Some(&refuse)).unwrap();
    assert_eq!(refused, Err(Problem::new("no")));
    assert_eq!(fs::read(&path).unwrap(), OLD);
    assert_eq!(names_in(dir.path()), ["sudoers"]);
}

#[test]
fn a_link_is_replaced_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, OLD).unwrap();
    symlink(&target, &link).unwrap();
    let real = Real::new();
    assert_eq!(real.read(&link, 100).unwrap_err().to_string(), "it is a link, not a file");
    assert_eq!(real.digest(&link).unwrap_err().to_string(), "it is a link, not a file");
    assert_eq!(real.set_mode(&link, 0o600).unwrap_err().kind(), ErrorKind::InvalidInput);
    write(&real, &link, b"new", 0o600).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read(&target).unwrap(), OLD);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let real = Real::new();
    assert_eq!(real.read(&pipe, 100).unwrap_err().to_string(), "it is a special file, not a file");
    assert_eq!(real.stat(&pipe).unwrap().unwrap().kind, FileKind::Other);
    real.set_mode(&pipe, 0o640).unwrap();
    assert_eq!(real.stat(&pipe).unwrap().unwrap().mode, 0o640);
}

#[test]
fn reading_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    fs::write(&path, vec![7; 1000]).unwrap();
    let real = Real::new();
    assert_eq!(real.read(&path, 999).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(real.read(&path, 1000).unwrap().len(), 1000);
    // Files of /proc say that they are empty.
    assert!(!real.read(Path::new("/proc/self/stat"), 10_000).unwrap().is_empty());
    assert_eq!(real.read(Path::new("/proc/self/stat"), 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn large_contents_have_the_digest_of_their_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, path) = (dir.path().join("spool"), dir.path().join("big"));
    for size in [SMALL as usize - 1, SMALL as usize, SMALL as usize + 1, 3 * SMALL as usize] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        fs::write(&spool, &bytes).unwrap();
        let digest = Digest::of(&bytes);
        let content = Content::Spooled { path: spool.clone(), digest, size: size as u64 };
        Real::new().write(&path, &content, own(0o644), None).unwrap().unwrap();
        assert_eq!(Real::new().digest(&path).unwrap(), digest, "{size}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let short = Content::Spooled { path: spool, digest: Digest::of(b""), size: 1 };
    let error = Real::new().write(&path, &short, own(0o644), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(names_in(dir.path()), ["big", "spool"]);
}

#[test]
fn a_replaced_file_keeps_its_attributes_and_access_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, OLD).unwrap();
    // acl(5) as linux/posix_acl_xattr.h lays it out: user::rw-, user:1234:r--, group::r--, mask::r--, other::---
    let mut list = vec![2, 0, 0, 0];
    for (tag, perm, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(perm.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let set = |name: &str, value: &[u8]| rustix::fs::setxattr(&path, name, value, XattrFlags::empty());
    let user = set("user.note", b"kept").is_ok();
    let access = set("system.posix_acl_access", &list).is_ok();
    if !user && !access {
        eprintln!("skipped: the file system of {} has no extended attributes", dir.path().display());
        return;
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    write(&Real::new(), &path, b"new", mode).unwrap();
    let get = |name: &str| {
        let mut value = vec![0; 100];
        let length = rustix::fs::getxattr(&path, name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    if user {
        assert_eq!(get("user.note"), b"kept");
    }
    if access {
        assert_eq!(get("system.posix_acl_access"), list);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
}

#[test]
fn other_names_of_a_replaced_file_keep_the_old_content() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("file"), dir.path().join("other"));
    fs::write(&path, OLD).unwrap();
    fs::hard_link(&path, &other).unwrap();
    write(&Real::new(), &path, b"new", 0o644).unwrap();
    assert_eq!(fs::read(&other).unwrap(), OLD);
}

#[test]
fn a_directory_is_made_whole_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made");
    let real = Real::new();
    real.make_directory(&path, own(0o1777)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(real.make_directory(&path, own(0o755)).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(write(&real, &path, b"", 0o644).unwrap_err().to_string(), "it is a directory, not a file");
    assert_eq!(real.make_link(&path, Path::new("x")).unwrap_err().kind(), ErrorKind::IsADirectory);
    let below = dir.path().join("missing/made");
    assert_eq!(real.make_directory(&below, own(0o755)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names_in(dir.path()), ["made"]);
}

#[test]
fn a_tree_is_removed_without_following_links() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), OLD).unwrap();
    fs::write(tree.join("a/b/file"), OLD).unwrap();
    symlink(&outside, tree.join("a/link")).unwrap();
    symlink(&outside, dir.path().join("top")).unwrap();
    let real = Real::new();
    assert_eq!(real.remove(&tree).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    real.remove_tree(&tree).unwrap();
    real.remove_tree(&dir.path().join("top")).unwrap();
    assert_eq!(names_in(dir.path()), ["outside"]);
    assert_eq!(names_in(&outside), ["precious"]);
    assert_eq!(real.remove_tree(&tree).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Somebody puts a link to a directory of root in place of one of theirs, between look and change.
#[test]
fn root_is_not_led_astray_by_links_of_others() {
    if !is_root() {
        eprintln!("skipped: only root can make files of two users");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (home, precious) = (dir.path().join("home"), dir.path().join("precious"));
    fs::create_dir_all(home.join("own")).unwrap();
    fs::create_dir(&precious).unwrap();
    let real = Real::new();
    for name in ["link", "short"] {
        symlink(if name == "link" { Path::new("../precious") } else { Path::new("own") }, home.join(name))
            .unwrap();
        std::os::unix::fs::lchown(home.join(name), Some(4242), Some(4242)).unwrap();
    }
    symlink(&precious, home.join("of-root")).unwrap();
    for path in [home.clone(), home.join("own")] {
        std::os::unix::fs::chown(path, Some(4242), Some(4242)).unwrap();
    }
    let error = write(&real, &home.join("link/file"), b"x", 0o644).unwrap_err();
    assert!(error.to_string().contains("`link` on the way to"), "{error}");
    fs::write(precious.join("file"), OLD).unwrap();
    let through = home.join("link/file");
    assert!(real.remove(&through).is_err() && real.set_mode(&through, 0o777).is_err());
    assert!(real.set_owner(&through, 4242, 4242).is_err() && real.remove_tree(&through).is_err());
    assert!(real.make_link(&through, Path::new("x")).is_err());
    assert_eq!(fs::read(precious.join("file")).unwrap(), OLD);
    write(&real, &home.join("short/file"), b"x", 0o644).unwrap();
    assert_eq!(fs::read(home.join("own/file")).unwrap(), b"x");
    write(&real, &home.join("of-root/new"), b"x", 0o644).unwrap();
    assert_eq!(fs::read(precious.join("new")).unwrap(), b"x");
    symlink("loop", home.join("loop")).unwrap();
    let error = write(&real, &home.join("loop/new"), b"x", 0o644).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
}

/// Makes a mount, or says why the test is skipped, and takes it away again.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let status = std::process::Command::new("mount").args(arguments).arg(at).status();
        if is_root() && status.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: mounting wants root and CAP_SYS_ADMIN");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn removing_a_tree_stops_at_a_mount_point() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, source) = (dir.path().join("tree"), dir.path().join("source"));
    fs::create_dir_all(tree.join("sub/mounted")).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(source.join("precious"), OLD).unwrap();
    // A bind mount of the same file system: its device number tells nothing.
    let Some(mount) = Mounted::new(&["--bind", source.to_str().unwrap()], &tree.join("sub/mounted")) else {
        return;
    };
    let error = Real::new().remove_tree(&tree).unwrap_err();
    assert!(error.to_string().starts_with("sub/mounted: it is a mount point"), "{error}");
    assert!(source.join("precious").exists());
    let error = Real::new().remove_tree(&tree.join("sub/mounted")).unwrap_err();
    assert!(error.to_string().starts_with("it is a mount point"), "{error}");
    assert!(source.join("precious").exists());
    drop(mount);
}

#[test]
fn a_full_disk_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    let Some(mount) = Mounted::new(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], &full) else { return };
    let real = Real::new();
    let path = full.join("file");
    write(&real, &path, OLD, 0o644).unwrap();
    let error = write(&real, &path, &[1; 200_000], 0o644).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).unwrap(), OLD);
    assert_eq!(names_in(&full), ["file"]);
    drop(mount);
}

#[test]
fn a_read_only_file_system_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let frozen = dir.path().join("frozen");
    fs::create_dir(&frozen).unwrap();
    let Some(mount) = Mounted::new(&["-t", "tmpfs", "-o", "ro", "tmpfs"], &frozen) else { return };
    let error = write(&Real::new(), &frozen.join("file"), OLD, 0o644).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    drop(mount);
}

#[test]
fn a_file_that_something_is_mounted_on_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, source) = (dir.path().join("hosts"), dir.path().join("source"));
    fs::write(&path, OLD).unwrap();
    fs::write(&source, "mounted").unwrap();
    let Some(mount) = Mounted::new(&["--bind", source.to_str().unwrap()], &path) else { return };
    let error = write(&Real::new(), &path, b"new", 0o644).unwrap_err();
    assert!(error.to_string().starts_with("it is a mount point"), "{error}");
    drop(mount);
    assert_eq!(fs::read(&path).unwrap(), OLD);
}

#[test]
fn an_immutable_file_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, OLD).unwrap();
    let file = fs::File::open(&path).unwrap();
    if rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::IMMUTABLE).is_err() {
        eprintln!("skipped: the file system or its rights know no immutable files");
        return;
    }
    let errors = [
        write(&Real::new(), &path, b"new", 0o644).unwrap_err(),
        Real::new().remove(&path).unwrap_err(),
        Real::new().set_mode(&path, 0o600).unwrap_err(),
        Real::new().set_owner(&path, 1, 1).unwrap_err(),
    ];
    rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::empty()).unwrap();
    for error in errors {
        assert_eq!(
            error.to_string(),
            "it is marked immutable or append-only; `chattr -ia` on the node takes that away"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), OLD);
}
