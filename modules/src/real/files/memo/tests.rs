//! The memo against a file system in memory whose clock the test sets, and on a real one.

use std::{fs, os::unix::fs::FileExt};

use super::{super::SMALL, *};
use crate::{
    Real,
    node::{Attributes, Content, Files},
};

const SECOND: i64 = 1_000_000_000;

/// Numbers of no pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 33) as i64 % sides
    }
}

/// One file as a file system keeps it that counts time in ticks.
struct Disk {
    stat: Stat,
    content: Vec<u8>,
    clock: i64,
    tick: i64,
}

impl Disk {
    fn stamp(&self) -> i64 {
        self.clock - self.clock.rem_euclid(self.tick)
    }

    fn set(&mut self, modified: i64, changed: i64) {
        (self.stat.modified, self.stat.changed) = (modified.into(), changed.into());
    }

    fn modified(&self) -> i64 {
        Times::of(&self.stat).unwrap().modified
    }

    /// What every change of the content does.
    fn write(&mut self, content: Vec<u8>) {
        self.stat.size = SMALL + content.len() as u64;
        self.content = content;
        self.set(self.stamp(), self.stamp());
    }
}

#[test]
fn every_change_is_noticed_whatever_the_clock_does() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let stat = stat(&folder.path().join("file"));
    let (mut looks, mut times_known) = (0, 0);
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let tick = [1, 4_000_000, 10_000_000, SECOND, 2 * SECOND][dice.roll(5) as usize];
        let mut disk = Disk { stat: stat.clone(), content: Vec::new(), clock: 1_700_000_000 * SECOND, tick };
        let memo = Memo::kept_in(folder.path().join("memo"), true);
        let mut content = 0_u8;
        let mut next = || {
            content = content.wrapping_add(1);
            vec![content; 70_000]
        };
        disk.write(next());
        for _ in 0..300 {
            disk.clock += match dice.roll(4) {
                0 => 0,
                1 => dice.roll(3_000_000),
                2 => dice.roll(SECOND),
                _ => dice.roll(8 * SECOND),
            };
            match dice.roll(24) {
                // In place, of the same length.
                0 | 1 => disk.write(next()),
                // The same, and its author makes it look old; or as it was. utimes(2) sets the ctime.
                2 => {
                    let before = disk.modified();
                    disk.write(next());
                    disk.clock += SECOND / 3;
                    let modified = if dice.roll(2) == 0 { before } else { 1_600_000_000 * SECOND };
                    disk.set(modified, disk.stamp());
                }
                // Another file takes its place, with its time: `cp -p`, `mv`.
                3 => {
                    disk.content = next();
                    disk.stat.inode += 1;
                    disk.set(disk.modified(), disk.stamp());
                }
                // Another inode of the same number.
                4 => disk.write(next()),
                5 => disk.write(vec![9; 70_001 + dice.roll(5) as usize]),
                // We write it, and seal it where the file system has nanoseconds.
                6 => {
                    disk.write(next());
                    disk.stat.inode += 1;
                    let exact = disk.clock + i64::from(disk.clock % tick == 0);
                    let kept = exact - exact.rem_euclid(if tick >= SECOND { tick } else { 1 });
                    disk.set(kept, disk.stamp());
                    if kept == exact && tick > 1 {
                        let digest = Digest::of(&disk.content);
                        memo.written(&disk.stat, Seal(exact), digest);
                        assert_eq!(memo.known(&disk.stat), Some(digest));
                    }
                }
                // It is hashed, and sometimes changes under the hash.
                _ => {
                    let (resting, digest) = (Resting::at(&disk.stat, disk.clock), Digest::of(&disk.content));
                    disk.clock += dice.roll(10_000_000);
                    if dice.roll(5) == 0 {
                        disk.write(next());
                    }
                    if let Some(resting) = resting {
                        memo.hashed(resting, &disk.stat, digest);
                    }
                }
            }
            if let Some(known) = memo.known(&disk.stat) {
                times_known += 1;
                assert_eq!(known, Digest::of(&disk.content), "seed {seed}, tick {tick}");
            }
            looks += 1;
        }
    }
    assert!(times_known * 12 > looks, "it is known {times_known} times of {looks}: else this proves nothing");
}

#[test]
fn what_was_just_changed_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let memo = Memo::kept_in(folder.path().join("memo"), true);
    let path = folder.path().join("file");
    fs::write(&path, [1; 70_000]).unwrap();
    let stat = Stat { size: SMALL + 1, ..stat(&path) };
    let changed = Times::of(&stat).unwrap().changed;
    assert!(Resting::at(&stat, changed + REST - 1).is_none());
    let digest = Digest::of(&[1; 70_000]);
    memo.hashed(Resting::at(&stat, changed + REST).unwrap(), &stat, digest);
    assert_eq!(memo.known(&stat), Some(digest));
    let link = Stat { kind: FileKind::Link, ..stat };
    assert_eq!(memo.known(&link), None);
}

fn known(real: &Real, path: &Path) -> Option<Digest> {
    real.known_digest(path, &real.stat(path).unwrap().unwrap()).unwrap()
}

fn stat(path: &Path) -> Stat {
    super::super::stat_of(&rustix::fs::stat(path).unwrap())
}

fn own(real: &Real) -> Attributes {
    let (uid, gid) = real.own_ids();
    Attributes { mode: 0o644, uid, gid }
}

#[test]
fn what_was_written_is_known_to_the_next_run_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (memo, path) = (folder.path().join("digests"), folder.path().join("file"));
    let real = Real::remembering(memo.clone(), true);
    for round in 0..50_u8 {
        let content = vec![round; 80_000];
        let digest = Digest::of(&content);
        real.write(&path, &Content::Bytes(content), own(&real), None).unwrap().unwrap();
        assert_eq!(known(&real, &path), None, "it is read again by the run that wrote it");
        assert_eq!(real.digest(&path).unwrap(), digest);
        real.keep_digests().unwrap();
        let next = Real::remembering(memo.clone(), true);
        assert_eq!(known(&next, &path), Some(digest));
        assert_eq!(known(&Real::remembering(memo.clone(), false), &path), None, "paranoid");
        // At once, most likely within the same tick of the kernel's clock.
        fs::File::options().write(true).open(&path).unwrap().write_all_at(b"x", 40_000).unwrap();
        assert_eq!(known(&next, &path), None, "round {round}");
        assert_ne!(next.digest(&path).unwrap(), digest);
    }
}

#[test]
fn a_change_whose_author_sets_the_time_back_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let real = Real::remembering(folder.path().join("digests"), true);
    real.write(&path, &Content::Bytes(vec![1; 300_000]), own(&real), None).unwrap().unwrap();
    let before = fs::metadata(&path).unwrap();
    assert!(known(&real, &path).is_some());
    let changed = |path: &Path| Times::of(&stat(path)).unwrap().changed;
    let first = changed(&path);
    // Until the tick of the write is over; its length is the kernel's.
    loop {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        if changed(&path) != first {
            break;
        }
    }
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before.modified().unwrap());
    assert_eq!(known(&real, &path), None);
}

#[test]
fn a_file_that_is_damaged_or_of_another_boot_says_nothing() {
    let boot = [7; 32];
    let entry = |n: u64| {
        let times = Times { size: 70_000 + n, modified: -3, changed: i64::MAX };
        (
            Key { device: n, inode: u64::MAX - n },
            Entry { times, digest: Digest::of(&n.to_le_bytes()), age: 0, is_new: false },
        )
    };
    let entries: HashMap<Key, Entry> = (0..100).map(entry).collect();
    let bytes = encode(&worth_keeping(&entries), &boot);
    let read = decode(&bytes, &boot).unwrap();
    assert_eq!(read.len(), 100);
    for (key, wanted) in &entries {
        assert_eq!(read[key], Entry { age: 1, ..*wanted });
    }
    assert!(decode(&bytes, &[8; 32]).is_none(), "of another boot");
    assert!(
        decode(&encode(&worth_keeping(&entries), &[0; 32]), &[0; 32]).is_none(),
        "of a boot without a name"
    );
    assert!(decode(&[], &boot).is_none());
    let mut dice = Dice(1);
    for _ in 0..2000 {
        let mut damaged = bytes.clone();
        let at = dice.roll(damaged.len() as i64) as usize;
        match dice.roll(3) {
            0 => damaged[at] ^= 1 << dice.roll(8),
            1 => damaged.truncate(at),
            _ => damaged.insert(at, 0),
        }
        assert!(decode(&damaged, &boot).is_none());
    }
}

#[test]
fn the_file_is_bounded_and_what_nobody_asks_for_goes() {
    let entry = |n: u64| {
        let times = Times { size: 70_000, modified: 1, changed: 1 };
        let age = if n < 10 { 0 } else { 5 };
        (Key { device: 1, inode: n }, Entry { times, digest: Digest([1; 32]), age, is_new: false })
    };
    let boot = [7; 32];
    let mut entries: HashMap<Key, Entry> = (0..2 * ENTRIES as u64).map(entry).collect();
    for round in 1..=AGE {
        let bytes = encode(&worth_keeping(&entries), &boot);
        assert!(bytes.len() <= MAGIC.len() + 64 + ENTRIES * ENTRY);
        entries = decode(&bytes, &boot).unwrap();
        let is_left = |n| entries.contains_key(&Key { device: 1, inode: n });
        assert_eq!((is_left(3), is_left(20)), (true, round <= AGE - 5), "round {round}");
    }
    assert_eq!(decode(&encode(&worth_keeping(&entries), &boot), &boot).unwrap().len(), 0);
}

#[test]
fn what_finds_no_room_is_not_written_in_every_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let (file, stat) = (folder.path().join("digests"), stat(&folder.path().join("file")));
    let run = || {
        let memo = Memo::kept_in(file.clone(), true);
        let mut new = 0;
        for inode in 0..ENTRIES as u64 + 100 {
            let stat = Stat { inode, ..stat.clone() };
            if memo.known(&stat).is_none() {
                memo.note(Key::of(&stat), Times::of(&stat).unwrap(), Digest([1; 32]));
                new += 1;
            }
        }
        memo.keep().unwrap();
        (new, fs::metadata(&file).unwrap().ino())
    };
    let (all, first) = run();
    assert_eq!(all, ENTRIES + 100);
    assert_eq!([run(), run()], [(100, first), (100, first)]);
}

#[test]
fn nothing_is_written_where_nothing_is_new_and_a_foreign_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (memo, path) = (folder.path().join("digests"), folder.path().join("file"));
    let real = Real::remembering(memo.clone(), true);
    real.keep_digests().unwrap();
    assert!(!memo.exists());
    real.write(&path, &Content::Bytes(vec![1; 80_000]), own(&real), None).unwrap().unwrap();
    real.keep_digests().unwrap();
    let first = fs::metadata(&memo).unwrap().ino();
    let again = Real::remembering(memo.clone(), true);
    assert!(known(&again, &path).is_some());
    again.keep_digests().unwrap();
    assert_eq!(fs::metadata(&memo).unwrap().ino(), first);
    fs::set_permissions(&memo, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
    assert_eq!(known(&Real::remembering(memo, true), &path), None, "others could write it");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
}
