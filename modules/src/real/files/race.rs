//! Somebody swaps things in a directory of theirs while root works there.
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

/// An unprivileged user.
const USER: u32 = 4242;
/// The content that must stay.
const PRECIOUS: &[u8] = b"root:precious\n";

struct Scene {
    _folder: tempfile::TempDir,
    home: PathBuf,
    precious: PathBuf,
}

/// A directory of the user's with a directory in it, and one of root's with files of the same names.
fn scene() -> Option<Scene> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make files of two users");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (home, precious) = (folder.path().join("home"), folder.path().join("precious"));
    fs::create_dir_all(home.join("app")).unwrap();
    fs::create_dir_all(precious.join("tree/below")).unwrap();
    for name in ["file", "tree/below/file"] {
        fs::write(precious.join(name), PRECIOUS).unwrap();
        fs::set_permissions(precious.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    symlink(&precious, home.join("trap")).unwrap();
    lchown(home.join("trap"), Some(USER), Some(USER)).unwrap();
    for path in [home.clone(), home.join("app")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    Some(Scene { _folder: folder, home, precious })
}

impl Scene {
    fn is_untouched(&self) {
        let mut names = list(&fs::File::open(&self.precious).unwrap()).unwrap();
        crate::in_order::sort(&mut names);
        assert_eq!(names, ["file", "tree"], "something was made where root was led");
        for name in ["file", "tree/below/file"] {
            let path = self.precious.join(name);
            let metadata = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o600), "{name}");
            assert_eq!(fs::read(path).unwrap(), PRECIOUS, "{name}");
        }
        let own = fs::metadata(&self.precious).unwrap();
        assert_eq!((own.uid(), own.mode() & 0o7777), (0, 0o755));
    }

    /// Swaps the directory and the link as fast as it goes, while `work` is done again and again.
    fn race(&self, work: impl Fn(&Path)) {
        let stop = AtomicBool::new(false);
        let (app, trap) = (self.home.join("app"), self.home.join("trap"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = renameat_with(CWD, &app, CWD, &trap, RenameFlags::EXCHANGE);
                }
            });
            let until = Instant::now() + Duration::from_millis(400);
            while Instant::now() < until {
                work(&app);
            }
            stop.store(true, Ordering::Relaxed);
        });
        self.is_untouched();
    }
}

#[test]
fn a_directory_that_becomes_a_link_never_leads_root_away() {
    let Some(scene) = scene() else { return };
    let real = Real::new();
    let user = Attributes { mode: 0o644, uid: USER, gid: USER };
    let done = std::cell::Cell::new(0);
    // Errors are what the race brings; what counts is where nothing may happen.
    let count = |worked: bool| done.set(done.get() + usize::from(worked));
    scene.race(|app| {
        let file = app.join("file");
        count(real.write(&file, &Content::Bytes(b"x".to_vec()), user, None).is_ok());
        count(real.set_mode(&file, 0o666).is_ok());
        count(real.set_owner(&file, USER, USER).is_ok());
        count(real.make_directory(&app.join("new"), user).is_ok());
        count(real.make_link(&app.join("link"), Path::new("x")).is_ok());
        count(real.remove(&app.join("link")).is_ok());
        count(real.remove_tree(&app.join("tree")).is_ok());
        count(real.remove_tree(&app.join("new")).is_ok());
        count(real.remove(&file).is_ok());
    });
    assert!(done.get() > 0, "nothing ever worked");
}

/// The way for kernels before 5.6 and containers that forbid openat2(2).
#[test]
fn the_way_without_openat2_holds_as_well() {
    let Some(scene) = scene() else { return };
    scene.race(|app| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(directory) = trusted_path::step_by_step(app, flags) {
            let own = rustix::fs::fstat(&directory).unwrap();
            assert_eq!(own.st_uid, USER, "root was led to a directory of root");
        }
    });
}

#[test]
fn a_file_linked_from_elsewhere_is_not_given_away() {
    let Some(scene) = scene() else { return };
    let linked = scene.home.join("app/file");
    fs::hard_link(scene.precious.join("file"), &linked).unwrap();
    let real = Real::new();
    for error in
        [real.set_owner(&linked, USER, USER).unwrap_err(), real.set_mode(&linked, 0o666).unwrap_err()]
    {
        assert!(error.to_string().contains("second name"), "{error}");
    }
    scene.is_untouched();
    // Writing makes a file of its own.
    let user = Attributes { mode: 0o644, uid: USER, gid: USER };
    real.write(&linked, &Content::Bytes(b"x".to_vec()), user, None).unwrap().unwrap();
    scene.is_untouched();
    assert_eq!(fs::metadata(&linked).unwrap().uid(), USER);
    real.set_mode(&linked, 0o600).unwrap();
    // The second names of root's own files in root's own directories are root's business.
    fs::hard_link(scene.precious.join("file"), scene.precious.join("again")).unwrap();
    real.set_mode(&scene.precious.join("again"), 0o600).unwrap();
}
