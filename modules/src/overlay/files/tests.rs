//! The overlay does to its image what the machine does to the disk: the same operations in the same
//! order give the same answers and the same tree, over nothing and over a real directory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Node, Real};

#[derive(Clone, Debug)]
enum Operation {
    Write { path: &'static str, content: &'static str, mode: u32 },
    MakeDirectory { path: &'static str, mode: u32 },
    MakeLink { path: &'static str, target: Target },
    SetMode { path: &'static str, mode: u32 },
    SetOwner { path: &'static str, id: u32 },
    Remove { path: &'static str },
    RemoveTree { path: &'static str },
}

#[derive(Clone, Debug)]
enum Target {
    Relative(&'static str),
    /// Below the directory under test.
    Absolute(&'static str),
}

const PATHS: &[&str] = &["a", "b", "a/c", "a/d", "b/c", "a/c/e", "a/d/e", "b/c/e", "c/e"];

fn operation() -> impl Strategy<Value = Operation> {
    let path = || prop::sample::select(PATHS);
    let content = prop::sample::select(&["", "x", "some text\n"][..]);
    let mode = || prop::sample::select(&[0o644, 0o755, 0o700, 0o2755, 0o4711, 0o2711, 0o1777][..]);
    let target = prop_oneof![
        prop::sample::select(&["a", "../b", "c", ".", "..", "nowhere", "../a/c", "../../y/../a"][..])
            .prop_map(Target::Relative),
        prop::sample::select(&["a", "b/c", "a/d", ""][..]).prop_map(Target::Absolute),
    ];
    prop_oneof![
        3 => (path(), content, mode()).prop_map(|(path, content, mode)| Operation::Write { path, content, mode }),
        4 => (path(), mode()).prop_map(|(path, mode)| Operation::MakeDirectory { path, mode }),
        3 => (path(), target).prop_map(|(path, target)| Operation::MakeLink { path, target }),
        1 => (path(), mode()).prop_map(|(path, mode)| Operation::SetMode { path, mode }),
        2 => (path(), 0..3u32).prop_map(|(path, id)| Operation::SetOwner { path, id }),
        2 => path().prop_map(|path| Operation::Remove { path }),
        1 => path().prop_map(|path| Operation::RemoveTree { path }),
    ]
}

/// What an operation answered: nothing, or the kind of its error.
type Answer = Result<(), String>;

fn told<T>(result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{:?}", error.kind()))
}

fn perform(node: &dyn Node, base: &Path, operation: &Operation) -> Answer {
    told(match operation {
        Operation::Write { path, content, mode } => {
            node.attributes_of_new(&base.join(path), *mode, FileKind::File).and_then(|attributes| {
                let content = Content::Bytes(content.as_bytes().to_vec());
                node.write(&base.join(path), &content, attributes, None)
                    .map(|written| assert_eq!(written, Ok(())))
            })
        }
        Operation::MakeDirectory { path, mode } => {
            let attributes = node.attributes_of_new(&base.join(path), *mode, FileKind::Directory);
            attributes.and_then(|attributes| node.make_directory(&base.join(path), attributes))
        }
        Operation::MakeLink { path, target: Target::Relative(target) } => {
            node.make_link(&base.join(path), Path::new(target))
        }
        Operation::MakeLink { path, target: Target::Absolute(target) } => {
            node.make_link(&base.join(path), &base.join(target))
        }
        Operation::SetMode { path, mode } => node.set_mode(&base.join(path), *mode),
        Operation::SetOwner { path, id } => {
            let (uid, gid) = node.own_ids();
            // Only root can give things away.
            let (uid, gid) = if uid == 0 { (*id, *id) } else { (uid, gid) };
            node.set_owner(&base.join(path), uid, gid)
        }
        Operation::Remove { path } => node.remove(&base.join(path)),
        Operation::RemoveTree { path } => node.remove_tree(&base.join(path)),
    })
}

/// Kind, mode, owner, group and, of a file, the size.
type Looks = (FileKind, u32, u32, u32, u64);

/// Everything that a node shows of a path.
#[derive(Debug, PartialEq)]
struct Shown {
    stat: Result<Option<Looks>, String>,
    content: Result<Vec<u8>, String>,
    digest: Result<Digest, String>,
    target: Result<PathBuf, String>,
    names: Result<Vec<OsString>, String>,
}

fn picture(node: &dyn Node, base: &Path) -> BTreeMap<PathBuf, Shown> {
    let more = ["", "a/c/c", "a/a", "b/b/c", "a/c/a/d", "a/d/c"];
    let shown = PATHS.iter().chain(&more).map(|path| {
        let place = if path.is_empty() { base.to_owned() } else { base.join(path) };
        let stat = told(node.stat(&place)).map(|stat| {
            stat.map(|stat| {
                let size = if stat.kind == FileKind::File { stat.size } else { 0 };
                (stat.kind, stat.mode, stat.uid, stat.gid, size)
            })
        });
        let target = told(node.read_link(&place)).map(|target| {
            target.strip_prefix(base).map(|rest| Path::new("BASE").join(rest)).unwrap_or(target)
        });
        let shown = Shown {
            stat,
            content: told(node.read(&place, 5)),
            digest: told(node.digest(&place)),
            target,
            names: told(node.list(&place)),
        };
        (PathBuf::from(path), shown)
    });
    shown.collect()
}

/// The paths that look different, for a short message.
fn different(found: &BTreeMap<PathBuf, Shown>, wanted: &BTreeMap<PathBuf, Shown>) -> Vec<String> {
    let pairs = found.iter().zip(wanted.values()).filter(|((_, found), wanted)| found != wanted);
    pairs.map(|((path, found), wanted)| format!("{}: {found:?} and not {wanted:?}", path.display())).collect()
}

/// A directory in memory with all that is above it, like the one that a test has on disk.
fn image(base: &Path) -> Overlay<'static> {
    let overlay = Overlay::new(&Empty);
    let (uid, gid) = Real::new().own_ids();
    for part in base.ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
        overlay.make_directory(part, Attributes { mode: 0o700, uid, gid }).unwrap();
    }
    overlay
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_overlay_agrees_with_the_machine(
        first in prop::collection::vec(operation(), 0..12),
        second in prop::collection::vec(operation(), 0..12),
    ) {
        if Real::new().own_ids().0 != 0 {
            // The image over nothing belongs to root.
            return Ok(());
        }
        let (on_disk, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Deep enough that no link leads out of the temporary directory.
        let deep = |directory: &Path| directory.join("w/x/y/z");
        let (on_disk, below) = (&deep(on_disk.path()), &deep(below.path()));
        let real = Real::new();
        for base in [on_disk, below] {
            std::fs::create_dir_all(base).unwrap();
            for part in base.ancestors().take(5) {
                real.set_mode(part, 0o700).unwrap();
            }
        }
        let image = image(on_disk);
        for operation in &first {
            let answer = perform(&real, on_disk, operation);
            prop_assert_eq!(&perform(&image, on_disk, operation), &answer, "{:?}", operation);
            prop_assert_eq!(&perform(&real, below, operation), &answer, "{:?}", operation);
        }
        let plan = Overlay::new(&real);
        let untouched = picture(&real, below);
        for operation in &second {
            let answer = perform(&real, on_disk, operation);
            prop_assert_eq!(&perform(&image, on_disk, operation), &answer, "over nothing: {:?}", operation);
            prop_assert_eq!(&perform(&plan, below, operation), &answer, "over the machine: {:?}", operation);
        }
        let wanted = picture(&real, on_disk);
        let nothing: Vec<String> = Vec::new();
        prop_assert_eq!(different(&picture(&image, on_disk), &wanted), &nothing[..], "over nothing");
        prop_assert_eq!(different(&picture(&plan, below), &wanted), &nothing[..], "over the machine");
        prop_assert_eq!(different(&picture(&real, below), &untouched), &nothing[..], "the machine below");
    }
}

#[test]
fn missing_parents_are_assumed_once_something_may_appear() {
    let overlay = Overlay::new(&Empty);
    let path = Path::new("/etc/nginx/nginx.conf");
    let content = Content::Bytes(b"x".to_vec());
    let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
    let error = overlay.write(path, &content, attributes, None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    overlay.things_may_appear();
    overlay.write(path, &content, attributes, None).unwrap().unwrap();
    assert_eq!(overlay.read(path, 10).unwrap(), b"x");
    assert_eq!(overlay.list(Path::new("/etc")).unwrap(), ["nginx"]);
}

#[test]
fn what_was_spooled_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    std::fs::write(&spool, "large").unwrap();
    let overlay = Overlay::new(&Empty);
    let content = Content::Spooled { path: spool, digest: Digest::of(b"large"), size: 5 };
    let path = Path::new("/file");
    overlay.write(path, &content, Attributes { mode: 0o644, uid: 0, gid: 0 }, None).unwrap().unwrap();
    assert_eq!(overlay.read(path, 5).unwrap(), b"large");
    assert_eq!(overlay.read(path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(overlay.digest(path).unwrap(), Digest::of(b"large"));
}
