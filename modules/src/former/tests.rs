//! Whatever a path was and whatever became of it: restored, it is what it was, on the image of a plan as on
//! the disk.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Mutex,
};

use cm_wire::{Digest, Mode};

use super::*;
use crate::{
    Contents, Context, Overlay, Problem, Real, Seen, Thing,
    bench::context,
    node::{Content, SettingKind, Stat},
};

#[derive(Default)]
struct Shelf(Mutex<HashMap<Digest, Vec<u8>>>);

impl Keep for Shelf {
    fn keep(&self, node: &dyn crate::Node, path: &Path, _stat: &Stat) -> std::io::Result<(Digest, bool)> {
        let bytes = node.read(path, 1 << 20)?;
        let digest = Digest::of(&bytes);
        self.0.lock().unwrap().insert(digest, bytes);
        Ok((digest, true))
    }
}

impl Contents for Shelf {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        let shelf = self.0.lock().unwrap();
        shelf.get(digest).cloned().map(Content::Bytes).ok_or_else(|| Problem::new("not kept"))
    }
}

fn with<'a>(context: Context<'a>, shelf: &'a Shelf) -> Context<'a> {
    Context { contents: shelf, ..context }
}

/// Ways a path can be.
fn ways() -> Vec<fn(&Path)> {
    vec![
        |_| {},
        |path| fs::write(path, "one").unwrap(),
        |path| {
            fs::write(path, "two\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o4711)).unwrap();
        },
        |path| symlink("somewhere", path).unwrap(),
        |path| symlink("elsewhere", path).unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o1700)).unwrap();
        },
    ]
}

fn clear(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
}

fn item(path: &Path) -> Item {
    Item::of(&Thing::Path(path.to_owned())).unwrap()
}

#[test]
fn every_way_a_path_can_be_is_restored_from_every_other() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a \"name\"\nwith everything");
    let (shelf, real) = (Shelf::default(), Real::new());
    for (was, make_was) in ways().into_iter().enumerate() {
        for (now, make_now) in ways().into_iter().enumerate() {
            clear(&path);
            make_was(&path);
            let former = capture(&real, &item(&path), Some(&shelf)).unwrap();
            clear(&path);
            make_now(&path);
            let resource = restore(&item(&path), &former, Manner::default()).unwrap();
            let image = Overlay::new(&real);
            let planned = {
                let context = with(context(&image, Mode::Plan), &shelf);
                let planned = resource.look(&context).unwrap();
                if planned != Seen::AsWanted {
                    resource.change(&context).unwrap();
                }
                assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted, "planned {was} from {now}");
                planned
            };
            let context = with(context(&real, Mode::Apply), &shelf);
            assert_eq!(resource.look(&context).unwrap(), planned, "{was} from {now}");
            assert_eq!(planned == Seen::AsWanted, was == now, "{was} from {now}");
            if planned != Seen::AsWanted {
                resource.change(&context).unwrap();
            }
            assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted, "{was} from {now}");
            let after = capture(&real, &item(&path), None).unwrap();
            assert!(after.same(&former), "{was} from {now}: {after:?}");
        }
    }
}

#[test]
fn a_restored_file_has_its_time_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let (shelf, real) = (Shelf::default(), Real::new());
    crate::node::Files::set_modified(&real, &path, 1_500_000_000_123_456_789).unwrap();
    let former = capture(&real, &item(&path), Some(&shelf)).unwrap();
    fs::write(&path, "new").unwrap();
    let resource = restore(&item(&path), &former, Manner::default()).unwrap();
    resource.change(&with(context(&real, Mode::Apply), &shelf)).unwrap();
    assert_eq!(capture(&real, &item(&path), None).unwrap_or(Former::Absent), {
        let Former::File(file) = former else { unreachable!() };
        Former::File(FormerFile { kept: false, ..file })
    });
}

#[test]
fn what_somebody_else_made_of_a_file_is_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf");
    fs::write(&path, "by hand").unwrap();
    let (shelf, real) = (Shelf::default(), Real::new());
    let resource =
        restore(&item(&path), &Former::Absent, Manner { keep_beside: true, ..Manner::default() }).unwrap();
    let effect = resource.change(&with(context(&real, Mode::Apply), &shelf)).unwrap();
    assert!(effect.notes[0].contains("conf.cm-kept"), "{:?}", effect.notes);
    assert!(!path.exists());
    assert_eq!(fs::read_to_string(folder.path().join("conf.cm-kept")).unwrap(), "by hand");
}

#[test]
fn a_directory_with_something_of_others_stays_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("theirs"), "").unwrap();
    let real = Real::new();
    let resource = restore(&item(&path), &Former::Absent, Manner::default()).unwrap();
    let effect = resource.change(&context(&real, Mode::Apply)).unwrap();
    assert!(effect.final_ && effect.changed == Some(false));
    assert!(effect.notes[0].contains("theirs"), "{:?}", effect.notes);
}

#[test]
fn settings_come_back() {
    let below = crate::Empty;
    let node = Overlay::new(&below);
    let item = Item::Setting(SettingKind::Sysctl, "net.x".into());
    let former = capture(&node, &item, None).unwrap();
    assert_eq!(former, Former::Absent);
    let resource = restore(&item, &Former::Setting("1".into()), Manner::default()).unwrap();
    let context = context(&node, Mode::Apply);
    assert!(matches!(resource.look(&context).unwrap(), Seen::Differs(_)));
    resource.change(&context).unwrap();
    assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted);
    assert_eq!(capture(&node, &item, None).unwrap(), Former::Setting("1".into()));
}
