//! Real directories and the real kernel; events are there as soon as what causes them has returned.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

struct Case {
    folder: tempfile::TempDir,
    watch: PathWatch,
}

impl Case {
    fn new() -> Self {
        // Not itself watched by others: a name of its own.
        Self { folder: tempfile::tempdir().unwrap(), watch: PathWatch::new().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    fn add(&mut self, path: &str, who: u32, depth: Depth) {
        let path = self.at(path);
        self.watch.add(path, who, depth);
        assert_eq!(self.watch.arm(), []);
    }

    /// Who is touched by what `act` does.
    fn touched(&mut self, act: impl FnOnce(&Path)) -> Vec<u32> {
        self.watch.arm();
        self.watch.read().unwrap();
        self.watch.arm();
        act(self.folder.path());
        let touched = self.watch.read().unwrap();
        assert!(!touched.lost);
        self.watch.arm();
        touched.who.into_iter().collect()
    }
}

#[test]
fn a_file_is_seen_however_it_changes() {
    let mut case = Case::new();
    case.write("a", "1");
    case.write("other", "1");
    case.add("a", 7, Depth::Itself);
    assert_eq!(case.touched(|at| fs::write(at.join("a"), "2").unwrap()), [7]);
    let chmod = |at: &Path| fs::set_permissions(at.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(case.touched(chmod), [7]);
    let replace = |at: &Path| {
        fs::write(at.join("new"), "3").unwrap();
        fs::rename(at.join("new"), at.join("a")).unwrap();
    };
    assert_eq!(case.touched(replace), [7]);
    // The new file is watched in the place of the old one.
    assert_eq!(case.touched(|at| fs::write(at.join("a"), "4").unwrap()), [7]);
    assert_eq!(case.touched(|at| fs::remove_file(at.join("a")).unwrap()), [7]);
    assert_eq!(case.touched(|at| fs::write(at.join("a"), "5").unwrap()), [7]);
    assert_eq!(case.touched(|at| fs::write(at.join("a"), "6").unwrap()), [7]);
    // By another name, too.
    fs::hard_link(case.at("a"), case.at("b")).unwrap();
    assert_eq!(case.touched(|at| fs::write(at.join("b"), "7").unwrap()), [7]);
    assert_eq!(case.touched(|at| fs::write(at.join("other"), "2").unwrap()), [0; 0]);
    assert_eq!(case.touched(|at| fs::remove_file(at.join("other")).unwrap()), [0; 0]);
}

#[test]
fn what_is_missing_is_seen_when_it_comes() {
    let mut case = Case::new();
    case.add("x/y/z", 1, Depth::Itself);
    assert_eq!(case.touched(|at| fs::create_dir(at.join("x")).unwrap()), [1]);
    assert_eq!(case.touched(|at| fs::create_dir(at.join("x/y")).unwrap()), [1]);
    assert_eq!(case.touched(|at| fs::write(at.join("x/y/z"), "1").unwrap()), [1]);
    assert_eq!(case.touched(|at| fs::write(at.join("x/y/z"), "2").unwrap()), [1]);
    // Moved there from elsewhere, and away again.
    fs::remove_file(case.at("x/y/z")).unwrap();
    case.write("from", "1");
    assert_eq!(case.touched(|at| fs::rename(at.join("from"), at.join("x/y/z")).unwrap()), [1]);
    assert_eq!(case.touched(|at| fs::rename(at.join("x/y/z"), at.join("from")).unwrap()), [1]);
    // All of it at once, before anybody looked.
    fs::remove_dir_all(case.at("x")).unwrap();
    assert_eq!(
        case.touched(|at| {
            fs::create_dir_all(at.join("x/y")).unwrap();
            fs::write(at.join("x/y/z"), "3").unwrap();
        }),
        [1]
    );
    assert_eq!(case.touched(|at| fs::write(at.join("x/y/z"), "4").unwrap()), [1]);
}

#[test]
fn a_parent_that_is_moved_away_and_made_again() {
    let mut case = Case::new();
    fs::create_dir_all(case.at("p/q")).unwrap();
    case.write("p/q/f", "1");
    case.add("p/q/f", 3, Depth::Itself);
    assert_eq!(case.touched(|at| fs::rename(at.join("p"), at.join("old")).unwrap()), [3]);
    assert_eq!(
        case.touched(|at| fs::write(at.join("old/q/f"), "2").unwrap()),
        [0; 0],
        "it is another file now"
    );
    assert_eq!(case.touched(|at| fs::create_dir_all(at.join("p/q")).unwrap()), [3]);
    assert_eq!(case.touched(|at| fs::write(at.join("p/q/f"), "3").unwrap()), [3]);
    let chmod = |at: &Path| fs::set_permissions(at.join("p"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(case.touched(chmod), [0; 0], "what only changes above does not matter");
}

#[test]
fn links_are_themselves_and_lead_on_above() {
    let mut case = Case::new();
    fs::create_dir(case.at("real")).unwrap();
    case.write("real/f", "1");
    std::os::unix::fs::symlink("real", case.at("way")).unwrap();
    case.add("way", 1, Depth::Itself);
    case.add("way/f", 2, Depth::Itself);
    assert_eq!(case.touched(|at| fs::write(at.join("real/f"), "2").unwrap()), [2]);
    assert_eq!(case.touched(|at| fs::write(at.join("real/other"), "2").unwrap()), [0; 0]);
    fs::create_dir(case.at("second")).unwrap();
    let turn = |at: &Path| {
        std::os::unix::fs::symlink("second", at.join("new")).unwrap();
        fs::rename(at.join("new"), at.join("way")).unwrap();
    };
    assert_eq!(case.touched(turn), [1, 2]);
    assert_eq!(case.touched(|at| fs::write(at.join("second/f"), "3").unwrap()), [2]);
    assert_eq!(case.touched(|at| fs::write(at.join("real/f"), "4").unwrap()), [0; 0]);
}

#[test]
fn a_tree_is_watched_with_what_comes_to_it() {
    let mut case = Case::new();
    fs::create_dir_all(case.at("t/a/b")).unwrap();
    case.add("t", 5, Depth::All);
    assert_eq!(case.touched(|at| fs::write(at.join("t/a/b/f"), "1").unwrap()), [5]);
    assert_eq!(case.touched(|at| fs::create_dir_all(at.join("t/n/m")).unwrap()), [5]);
    assert_eq!(case.touched(|at| fs::write(at.join("t/n/m/f"), "1").unwrap()), [5]);
    assert_eq!(case.touched(|at| fs::remove_dir_all(at.join("t")).unwrap()), [5]);
    assert_eq!(case.touched(|at| fs::create_dir_all(at.join("t/z")).unwrap()), [5]);
    assert_eq!(case.touched(|at| fs::write(at.join("t/z/f"), "1").unwrap()), [5]);
    // Entries only are another matter.
    fs::create_dir_all(case.at("e/deep")).unwrap();
    case.add("e", 6, Depth::Entries);
    assert_eq!(case.touched(|at| fs::write(at.join("e/f"), "1").unwrap()), [6]);
    assert_eq!(case.touched(|at| fs::write(at.join("e/deep/f"), "1").unwrap()), [0; 0]);
}

#[test]
fn lost_events_are_told_and_everything_is_watched_again() {
    let mut case = Case::new();
    case.write("a", "1");
    case.add("a", 1, Depth::Itself);
    let most: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if most > 100_000 {
        return;
    }
    // Two names in turn, since the kernel puts equal events together.
    for _ in 0..=most / 2 {
        fs::write(case.at("x"), "").unwrap();
        fs::remove_file(case.at("x")).unwrap();
    }
    let mut lost = false;
    for _ in 0..=most / 1000 {
        lost |= case.watch.read().unwrap().lost;
    }
    assert!(lost);
    case.watch.arm();
    assert_eq!(case.touched(|at| fs::write(at.join("a"), "2").unwrap()), [1]);
}

#[test]
fn a_limit_is_told_once_for_its_reason() {
    let mut case = Case::new();
    fs::create_dir_all(case.at("t/a/b/c/d")).unwrap();
    let path = case.at("t");
    case.watch.most = path.ancestors().count() + 2;
    case.watch.add(path, 1, Depth::All);
    let missed = case.watch.arm();
    assert_eq!(missed.iter().map(|missed| missed.reason).collect::<Vec<_>>(), [Reason::TooMany]);
    assert!(missed[0].path.starts_with(case.at("t")));
    assert!(case.watch.len() <= case.watch.most);
}

#[test]
fn watches_end_with_what_they_watched() {
    let mut case = Case::new();
    case.write("a", "1");
    case.add("a", 1, Depth::Itself);
    let before = case.watch.len();
    for round in 0..50 {
        fs::write(case.at("new"), format!("{round}")).unwrap();
        fs::rename(case.at("new"), case.at("a")).unwrap();
        case.watch.read().unwrap();
        case.watch.arm();
    }
    case.watch.read().unwrap();
    assert_eq!(case.watch.len(), before);
}
