//! What becomes of contents on their way: asked for once, kept, given away.

use std::sync::{Arc, atomic::AtomicBool};

use cm_wire::{ContentRef, decode};

use super::*;

/// A store, and what it asks for.
fn store(folder: &std::path::Path) -> (ContentStore, impl FnOnce(ContentStore) -> Vec<Digest>) {
    let (reading, output) = std::io::pipe().unwrap();
    let (outbox, writer) = Outbox::start(output, Arc::new(AtomicBool::new(false))).unwrap();
    let asked = move |store: ContentStore| {
        drop(store);
        writer.join().unwrap();
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut { reading }, &mut bytes).unwrap();
        let (mut rest, mut asked) = (bytes.strip_prefix(cm_wire::AGENT_MARK).unwrap(), Vec::new());
        while let Some((message, used)) = decode(rest).unwrap() {
            rest = &rest[used..];
            if let FromAgent::Need(digests) = message {
                asked.extend(digests);
            }
        }
        asked
    };
    (ContentStore::new(folder.to_owned(), outbox), asked)
}

fn wanting(contents: &[(Digest, u64)]) -> Vec<Task> {
    let task = |(n, (digest, size)): (usize, &(Digest, u64))| Task {
        params: [("source".to_owned(), Value::Content(ContentRef { digest: *digest, size: *size }))].into(),
        ..Task::new(&format!("file:{n}"), "file")
    };
    contents.iter().enumerate().map(task).collect()
}

#[test]
fn a_large_content_wanted_once_is_given_away_and_asked_for_again_if_need_be() {
    let folder = tempfile::tempdir().unwrap();
    let (store, asked) = store(folder.path());
    let (once, twice) = (vec![1; 300_000], vec![2; 300_000]);
    let [first, second] = [&once, &twice].map(|bytes| (Digest::of(bytes), bytes.len() as u64));
    store.expect(&wanting(&[second, first, second]));
    store.announce(&[first, second]);
    store.receive(first.0, &once[..1000], false);
    store.receive(first.0, &once[1000..], true);
    store.receive(second.0, &twice, true);
    let Content::Spooled { path, .. } = store.fetch(&second.0, second.1).unwrap() else {
        panic!("it is wanted in two places");
    };
    assert!(path.exists());
    let Content::Given { path, digest, size } = store.fetch(&first.0, first.1).unwrap() else {
        panic!("it is wanted in one place");
    };
    assert_eq!((digest, size), first);
    assert_eq!(std::fs::read(&path).unwrap(), once);
    assert!(matches!(store.fetch(&first.0, first.1).unwrap(), Content::Given { .. }), "nobody took it");
    std::fs::rename(&path, folder.path().join("taken")).unwrap();
    std::thread::scope(|scope| {
        let again = scope.spawn(|| store.fetch(&first.0, first.1).unwrap());
        // It is gone from the shelf, and then asked for.
        let asked = || {
            let shelf = store.shelf();
            !shelf.here.contains_key(&first.0) && shelf.asked.contains(&first.0)
        };
        while !asked() {
            std::thread::yield_now();
        }
        store.receive(first.0, &once, true);
        let Content::Given { path, .. } = again.join().unwrap() else { panic!("the same again") };
        assert_eq!(std::fs::read(path).unwrap(), once);
    });
    assert_eq!(asked(store), [first.0, second.0, first.0]);
}
