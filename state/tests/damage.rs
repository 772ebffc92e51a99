//! Files that were damaged behind the store's back.

mod sample;

use std::{
    fs::{self, File},
    path::Path,
};

use redb::{Database, TableDefinition};

use cm_state::{
    AuditEntry, HostState, NodeUpdate, RedbStore, RunMode, RunState, StateError, Store, TaskFilter,
};
use sample::{NOON, finish, minutes, new_run, noise64, varied};

/// Everything a store says, as text.
fn everything(store: &dyn Store) -> Result<String, StateError> {
    let mut text = String::new();
    for run in store.runs(100)? {
        let results = store.run_results(&run.id, TaskFilter::All)?;
        let hosts = store.run_hosts(&run.id)?;
        text.push_str(&format!("{run:?}\n{hosts:?}\n{results:?}\n"));
    }
    let nodes = store.nodes()?;
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    text.push_str(&format!("{nodes:?}\n{:?}\n", store.facts(&names)?));
    for name in names.iter().filter(|name| name.starts_with("web")) {
        text.push_str(&format!("{:?}\n", store.resources(name)?));
    }
    text.push_str(&format!("{:?}", store.audit(100)?));
    Ok(text)
}

fn write_some(store: &dyn Store) -> Result<(), StateError> {
    let id = store.begin_run(&new_run(RunMode::Apply, minutes(100), &["web1"]))?;
    store.record_hosts(&id, &[varied("web1", HostState::Ok).into(), sample::large(&id, 3, 20, 2)])?;
    store.append_audit(&[AuditEntry {
        at: NOON,
        who: "x".into(),
        what: "y".into(),
        run: Some(id.clone()),
    }])?;
    store.finish_run(&id, &[], &finish(RunState::Ok, minutes(101)))?;
    Ok(())
}

/// How whoever wrote a file last left it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// Closed in order, and damaged by someone who wrote to it.
    Closed,
    /// Closed in order, and damaged by the disk: the file's times tell nothing.
    ClosedSilently,
    /// Killed after a commit; the map of free pages is in the file (as the store writes it).
    KilledWithMap,
    /// Killed after a commit without that: the library goes over everything when it opens it.
    KilledWithoutMap,
}

/// The bytes of a file with some of everything in it.
fn filled(path: &Path, left: Left) -> Vec<u8> {
    fill(path);
    if matches!(left, Left::Closed | Left::ClosedSilently) {
        return fs::read(path).unwrap();
    }
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("cm.meta");
    let database = Database::create(path).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_quick_repair(left == Left::KilledWithMap);
    transaction.open_table(table).unwrap().insert(&b"more"[..], &b""[..]).unwrap();
    transaction.commit().unwrap();
    // What a kill at this moment leaves.
    fs::read(path).unwrap()
}

fn fill(path: &Path) {
    let store = RedbStore::open(path).unwrap();
    // Enough of them that they lie under branches of branches.
    let nodes: Vec<_> = (0..1500).map(|number| NodeUpdate::new(format!("node{number:04}"))).collect();
    store.upsert_nodes(&nodes).unwrap();
    for minute in 0..3 {
        let id = store.begin_run(&new_run(RunMode::Apply, minutes(minute), &["web1", "web9"])).unwrap();
        let mut records = vec![varied("web1", HostState::Failed).into()];
        records.extend((0..6).map(|host| sample::large(&id, host, 30, 3)));
        store.record_hosts(&id, &records).unwrap();
        store.append_audit(&[AuditEntry { at: NOON, who: "a".into(), what: "b".into(), run: None }]).unwrap();
        store.finish_run(&id, &[], &finish(RunState::Changed, minutes(minute))).unwrap();
    }
}

/// Applies each damage to a fresh copy, then reads and writes. Nothing may panic or hang, and
/// what is read must be what was written.
///
/// Silent damage is read only: in the middle of a write it may make the library abort. What of
/// it goes unnoticed (an old page in the place of its successor holds nothing that does not fit)
/// the full check must find.
fn survive(left: Left, count: u64, damage: impl Fn(u64, &mut Vec<u8>)) -> (usize, usize) {
    let folder = sample::quick_folder();
    let good = folder.path().join("good.redb");
    let bytes = filled(&good, left);
    let modified = fs::metadata(&good).unwrap().modified().unwrap();
    let expected = everything(&RedbStore::open(&good).unwrap()).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    for number in 0..count {
        let path = folder.path().join("bad.redb");
        let mut bad = bytes.clone();
        damage(number, &mut bad);
        fs::write(&path, &bad).unwrap();
        if left == Left::ClosedSilently {
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        match RedbStore::open(&path).and_then(|store| everything(&store)) {
            Ok(text) if text == expected => harmless += 1,
            Err(error) => {
                assert!(error.hint().is_some(), "{error}");
                noticed += 1;
            }
            Ok(_) if left == Left::ClosedSilently => {
                RedbStore::open(&path).and_then(|store| store.check()).unwrap_err();
                noticed += 1;
            }
            Ok(text) => {
                let difference = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
                panic!(
                    "damage {number} went unnoticed: {difference:?}, {} of {} bytes",
                    text.len(),
                    expected.len()
                )
            }
        }
        if left != Left::ClosedSilently {
            // Refused, or the damage was mended: it lay where nothing is.
            fs::write(&path, &bad).unwrap();
            let _ = RedbStore::open(&path).and_then(|store| write_some(&store));
        }
        fs::write(&path, &bad).unwrap();
        let _ = RedbStore::open(&path).and_then(|store| store.check());
    }
    (noticed, harmless)
}

fn flip_bits(left: Left) {
    let (noticed, harmless) = survive(left, 100, |number, bytes| {
        let bit = noise64(number) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    });
    assert!(noticed > 0 && harmless > 0, "{noticed} {harmless}");
}

fn flip_header_bits(left: Left) {
    // The header and its two commit slots are 320 bytes.
    survive(left, 100, |number, bytes| {
        let bit = noise64(number) as usize % (320 * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    });
}

fn flip_branch_bits(left: Left) {
    // A page whose first byte is 2 is a branch (redb's design document).
    let (noticed, _) = survive(left, 60, |number, bytes| {
        let branches: Vec<_> = (1..bytes.len() / 4096).filter(|page| bytes[page * 4096] == 2).collect();
        let page = branches[noise64(number) as usize % branches.len()];
        let used = usize::from(u16::from_le_bytes([bytes[page * 4096 + 2], bytes[page * 4096 + 3]])) * 60;
        let bit = noise64(number + 4444) as usize % (used.clamp(64, 4096) * 8);
        bytes[page * 4096 + bit / 8] ^= 1 << (bit % 8);
    });
    assert!(noticed > 5, "{noticed}");
}

fn overwrite_stretches(left: Left) {
    let (noticed, _) = survive(left, 60, |number, bytes| {
        let start = noise64(number) as usize % (bytes.len() - 600);
        let length = noise64(number + 9999) as usize % 600;
        let seed = noise64(number + 777);
        for (position, byte) in bytes[start..start + length].iter_mut().enumerate() {
            *byte = if seed.is_multiple_of(3) { 0 } else { noise64(seed + position as u64) as u8 };
        }
    });
    assert!(noticed > 0);
}

fn swap_pages(left: Left) {
    survive(left, 40, |number, bytes| {
        let pages = bytes.len() / 4096;
        let (a, b) = (noise64(number) as usize % pages, noise64(number + 5555) as usize % pages);
        for offset in 0..4096 {
            bytes.swap(a * 4096 + offset, b * 4096 + offset);
        }
    });
}

fn truncate(left: Left) {
    let (noticed, harmless) = survive(left, 50, |number, bytes| {
        let length = noise64(number) as usize % bytes.len();
        bytes.truncate(length);
    });
    assert_eq!(harmless, 0, "of {noticed}");
}

macro_rules! damages {
    ($module:ident, $left:expr) => {
        mod $module {
            use super::Left;
            #[test]
            fn flipped_bits() {
                super::flip_bits($left);
            }
            #[test]
            fn flipped_header_bits() {
                super::flip_header_bits($left);
            }
            #[test]
            fn flipped_branch_bits() {
                super::flip_branch_bits($left);
            }
            #[test]
            fn overwritten_stretches() {
                super::overwrite_stretches($left);
            }
            #[test]
            fn swapped_pages() {
                super::swap_pages($left);
            }
            #[test]
            fn truncated() {
                super::truncate($left);
            }
        }
    };
}

damages!(closed, Left::Closed);
damages!(closed_silently, Left::ClosedSilently);
damages!(killed_with_map, Left::KilledWithMap);
damages!(killed_without_map, Left::KilledWithoutMap);
