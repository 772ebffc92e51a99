//! Files that were damaged behind the store's back.

mod sample;

use std::{fs, path::Path};

use cm_state::{AuditEntry, HostState, RedbStore, RunMode, RunState, StateError, Store, TaskFilter};
use sample::{NOON, finish, minutes, new_run, noise64, varied};

/// Everything a store says, as text.
fn everything(store: &dyn Store) -> Result<String, StateError> {
    let mut text = String::new();
    for run in store.runs(100)? {
        let results = store.run_results(&run.id, TaskFilter::All)?;
        let hosts = store.run_hosts(&run.id)?;
        text.push_str(&format!("{run:?}\n{hosts:?}\n{results:?}\n"));
    }
    for node in store.nodes()? {
        let resources = store.resources(&node.name)?;
        let facts = store.facts(&[&node.name])?;
        text.push_str(&format!("{node:?}\n{resources:?}\n{facts:?}\n"));
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
    store.finish_run(&id, &finish(RunState::Ok, minutes(101)))?;
    Ok(())
}

/// A file with some of everything in it.
fn fill(path: &Path) {
    let store = RedbStore::open(path).unwrap();
    for minute in 0..6 {
        let id = store.begin_run(&new_run(RunMode::Apply, minutes(minute), &["web1", "web9"])).unwrap();
        let mut records = vec![varied("web1", HostState::Failed).into()];
        records.extend((0..8).map(|host| sample::large(&id, host, 40, 4)));
        store.record_hosts(&id, &records).unwrap();
        store.append_audit(&[AuditEntry { at: NOON, who: "a".into(), what: "b".into(), run: None }]).unwrap();
        store.finish_run(&id, &finish(RunState::Changed, minutes(minute))).unwrap();
    }
}

/// Applies each damage to a fresh copy, then reads and writes. Nothing may panic or hang, and
/// nothing that is read may differ from what was written, unless pages may be `stale`: then the
/// full check must tell.
fn survive(count: u64, stale: bool, damage: impl Fn(u64, &mut Vec<u8>)) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.redb");
    fill(&good);
    let expected = everything(&RedbStore::open(&good).unwrap()).unwrap();
    let bytes = fs::read(&good).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    for number in 0..count {
        let path = folder.path().join("bad.redb");
        let mut bad = bytes.clone();
        damage(number, &mut bad);
        fs::write(&path, &bad).unwrap();
        match RedbStore::open(&path).and_then(|store| everything(&store)) {
            Ok(text) if text == expected => harmless += 1,
            // An old page in the place of its successor holds nothing that does not fit. Only
            // reading everything tells.
            Ok(_) if RedbStore::open(&path).and_then(|store| store.check()).is_err() && stale => noticed += 1,
            Ok(text) => {
                let difference = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
                panic!(
                    "damage {number} went unnoticed: {difference:?}, {} of {} bytes",
                    text.len(),
                    expected.len()
                )
            }
            Err(error) => {
                assert!(error.hint().is_some(), "{error}");
                noticed += 1;
            }
        }
        // Writing may succeed where the damage lies elsewhere; it must not panic.
        let _ = RedbStore::open(&path).and_then(|store| write_some(&store));
        fs::write(&path, &bad).unwrap();
        let _ = RedbStore::open(&path).and_then(|store| store.check());
    }
    (noticed, harmless)
}

#[test]
fn flipped_bits() {
    let (noticed, harmless) = survive(300, false, |number, bytes| {
        let bit = noise64(number) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    });
    assert!(noticed > 0 && harmless > 0, "{noticed} {harmless}");
}

#[test]
fn flipped_bits_in_the_header() {
    // The header and its two commit slots are 320 bytes.
    survive(853, false, |number, bytes| bytes[number as usize * 3 / 8] ^= 1 << (number * 3 % 8));
}

#[test]
fn overwritten_stretches() {
    let (noticed, _) = survive(200, false, |number, bytes| {
        let start = noise64(number) as usize % (bytes.len() - 600);
        let length = noise64(number + 9999) as usize % 600;
        let seed = noise64(number + 777);
        for (position, byte) in bytes[start..start + length].iter_mut().enumerate() {
            *byte = if seed % 3 == 0 { 0 } else { noise64(seed + position as u64) as u8 };
        }
    });
    assert!(noticed > 0);
}

#[test]
fn swapped_pages() {
    survive(100, true, |number, bytes| {
        let pages = bytes.len() / 4096;
        let (a, b) = (noise64(number) as usize % pages, noise64(number + 5555) as usize % pages);
        for offset in 0..4096 {
            bytes.swap(a * 4096 + offset, b * 4096 + offset);
        }
    });
}

#[test]
fn truncated() {
    let (noticed, harmless) = survive(150, false, |number, bytes| {
        let length = noise64(number) as usize % bytes.len();
        bytes.truncate(length);
    });
    assert_eq!(harmless, 0, "of {noticed}");
}
