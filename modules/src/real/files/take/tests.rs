//! Received files that become new ones, and those that must be copied.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use cm_wire::Digest;

use super::*;
use crate::{
    Real,
    node::{Attributes, Content, Files},
};

const BYTES: &[u8] = &[7; 100_000];

/// A received file, its inode, and the content as it is given.
fn received(folder: &Path) -> (PathBuf, u64, Content) {
    let path = folder.join("received");
    fs::write(&path, BYTES).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let content = Content::Given { path: path.clone(), digest: Digest::of(BYTES), size: BYTES.len() as u64 };
    let inode = fs::metadata(&path).unwrap().ino();
    (path, inode, content)
}

fn write(path: &Path, content: &Content) {
    let real = Real::new();
    let (uid, gid) = real.own_ids();
    real.write(path, content, Attributes { mode: 0o640, uid, gid }, None).unwrap().unwrap();
    let metadata = fs::metadata(path).unwrap();
    assert_eq!((fs::read(path).unwrap(), metadata.mode() & 0o7777), (BYTES.to_vec(), 0o640));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
}

#[test]
fn a_received_file_is_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let (received, inode, content) = received(folder.path());
    fs::write(target.join("file"), "old").unwrap();
    write(&target.join("file"), &content);
    assert_eq!(fs::metadata(target.join("file")).unwrap().ino(), inode);
    assert!(!received.exists());
}

#[test]
fn it_is_copied_where_its_directory_gives_new_files_something() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let directory = fs::File::open(&target).unwrap();
    let Ok(flags) = rustix::fs::ioctl_getflags(&directory) else { return };
    if rustix::fs::ioctl_setflags(&directory, flags | IFlags::NODUMP).is_err() {
        return;
    }
    let (received, inode, content) = received(folder.path());
    write(&target.join("file"), &content);
    assert_ne!(fs::metadata(target.join("file")).unwrap().ino(), inode);
    assert!(received.exists());
}

#[test]
fn it_is_copied_to_another_file_system() {
    let (folder, shared) = (tempfile::tempdir().unwrap(), Path::new("/dev/shm"));
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    if device(shared).is_none_or(|shared| Some(shared) == device(folder.path())) {
        return;
    }
    let Ok(target) = tempfile::tempdir_in(shared) else { return };
    let (received, _, content) = received(folder.path());
    write(&target.path().join("file"), &content);
    assert!(received.exists());
}

#[test]
fn a_file_that_is_not_what_was_received_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _, _) = received(folder.path());
    let parent = Parent::of(&folder.path().join("file")).unwrap();
    let taken = |path: &Path, size| take(&parent, &Names::default(), path, size).is_some();
    let size = BYTES.len() as u64;
    assert!(!taken(&path, size + 1), "cut off");
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    assert!(!taken(&path, size), "with a second name");
    fs::remove_file(folder.path().join("second")).unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
    assert!(!taken(&folder.path().join("link"), size), "a link");
    assert!(taken(&path, size));
}
