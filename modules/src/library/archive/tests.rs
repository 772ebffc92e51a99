//! The archive module over an image and over a real directory.

use std::process::Command as Program;

use cm_wire::{Mode, Value};
use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::{
    Node, Overlay, Real, Seen,
    library::{
        fetch::tests::Server,
        trial::{Store, at, context, converge, everywhere, lines, look, put, put_directory},
    },
    node::FileKind,
};

/// A tar archive: `dir/`, `name*` executable, `name -> target`, `name => hard link`.
pub(super) fn tar(members: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in members {
        let split = |mark: &[u8]| {
            let at = name.windows(mark.len()).position(|window| window == mark)?;
            Some((name[..at].to_vec(), name[at + mark.len()..].to_vec()))
        };
        let (name, mode, kind, target) = if let Some((name, target)) = split(b" -> ") {
            (name, 0o777, b'2', target)
        } else if let Some((name, target)) = split(b" => ") {
            (name, 0o644, b'1', target)
        } else if let Some(name) = name.strip_suffix(b"*") {
            (name.to_vec(), 0o4755, b'0', Vec::new())
        } else if name.ends_with(b"/") {
            (name.to_vec(), 0o750, b'5', Vec::new())
        } else {
            (name.to_vec(), 0o640, b'0', Vec::new())
        };
        archive.extend(member(&name, mode, kind, &target, content));
    }
    archive.extend([0; 1024]);
    archive
}

fn member(name: &[u8], mode: u32, kind: u8, target: &[u8], content: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut all = block.to_vec();
    all.extend_from_slice(content);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn app() -> Vec<u8> {
    tar(&[
        (b"app-1.0/", b""),
        (b"app-1.0/bin/run*", b"#!/bin/sh\n"),
        (b"app-1.0/etc/app.conf", b"port 1\n"),
        (b"app-1.0/current -> bin/run", b""),
        (b"app-1.0/bin/again => app-1.0/bin/run", b""),
    ])
}

/// The task, with manifests below the base.
fn wanted(base: &Path, params: &[(&str, Value)]) -> Wanted {
    let mut all: Params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    all.insert("destination".into(), at(&base.join("opt/app")));
    let mut wanted = Wanted::from_params(&all).unwrap_or_else(|error| panic!("{error}"));
    wanted.records = Some(base.join("state/archives"));
    wanted
}

fn source(store: &Store, archive: &[u8]) -> (&'static str, Value) {
    ("source", Value::Content(store.add(archive)))
}

const STRIP: (&str, Value) = ("strip", Value::Int(1));

fn mode(node: &dyn Node, path: &Path) -> u32 {
    node.stat(path).unwrap().unwrap().mode
}

#[test]
fn an_archive_is_unpacked_and_remembered() {
    everywhere(|node, base| {
        let store = Store::default();
        let archive = gzip(&app());
        let task = wanted(base, &[source(&store, &archive), STRIP]);
        let digest = Digest::of(&archive).short();
        let told =
            ["state: - -> directory".to_owned(), format!("content: - -> {digest} ({} bytes)", archive.len())];
        assert_eq!(lines(&converge(node, &store, &task).unwrap()), told);
        let place = base.join("opt/app");
        assert_eq!(node.read(&place.join("bin/again"), 100).unwrap(), b"#!/bin/sh\n");
        assert_eq!(node.read_link(&place.join("current")).unwrap(), Path::new("bin/run"));
        let modes = ["bin/run", "etc/app.conf", "etc"].map(|name| mode(node, &place.join(name)));
        assert_eq!(modes, [0o755, 0o640, 0o755], "never setuid");
        let records = base.join("state/archives");
        assert_eq!(mode(node, &records), 0o700);
        assert_eq!(mode(node, &records.join(&node.list(&records).unwrap()[0])), 0o600);
        store.fetched.lock().unwrap().clear();
        assert_eq!(look(node, &store, &task), []);
        assert!(store.fetched.lock().unwrap().is_empty(), "a look does not need the archive");
    });
}

#[test]
fn drift_of_every_kind_is_found_and_mended() {
    everywhere(|node, base| {
        let store = Store::default();
        let task = wanted(base, &[source(&store, &app()), STRIP]);
        converge(node, &store, &task).unwrap();
        let place = base.join("opt/app");
        put(node, &place.join("etc/app.conf"), b"port 2\n", 0o640);
        node.set_mode(&place.join("bin/run"), 0o700).unwrap();
        node.make_link(&place.join("current"), Path::new("etc")).unwrap();
        node.remove(&place.join("bin/again")).unwrap();
        put(node, &place.join("own"), b"", 0o644);
        let changes = lines(&look(node, &store, &task));
        let digest = |text: &str| Digest::of(text.as_bytes()).short();
        assert_eq!(
            changes,
            [
                format!("bin/again: - -> {} (10 bytes)", digest("#!/bin/sh\n")),
                "bin/run mode: 0700 -> 0755".to_owned(),
                "current: link to etc -> link to bin/run".to_owned(),
                format!("etc/app.conf: {} (7 bytes) -> {} (7 bytes)", digest("port 2\n"), digest("port 1\n")),
            ]
        );
        let kept = task.keeps(&context(node, &store, Mode::Apply));
        let names = ["", "bin/again", "bin/run", "current", "etc/app.conf"];
        assert_eq!(kept, names.map(|name| Thing::Path(task.place(name.as_bytes()))));
        converge(node, &store, &task).unwrap();
        assert!(node.stat(&place.join("own")).unwrap().is_some(), "what is beside it stays");
        // Only a mode: the archive is not needed.
        node.set_mode(&place.join("bin/run"), 0o700).unwrap();
        let none = Store::default();
        assert_eq!(lines(&converge(node, &none, &task).unwrap()), ["bin/run mode: 0700 -> 0755"]);
        // Without what was remembered the archive is read again, and nothing is written that is right.
        let record = base.join("state/archives").join(&node.list(&base.join("state/archives")).unwrap()[0]);
        node.remove(&record).unwrap();
        let before = node.stat(&place.join("etc/app.conf")).unwrap().unwrap();
        assert_eq!(converge(node, &store, &task).unwrap().len(), 1);
        assert_eq!(node.stat(&place.join("etc/app.conf")).unwrap().unwrap(), before);
    });
}

#[test]
fn everything_that_a_first_unpacking_makes_is_kept() {
    everywhere(|node, base| {
        let store = Store::default();
        let task = wanted(base, &[source(&store, &app()), STRIP]);
        let kept = task.keeps(&context(node, &store, Mode::Apply));
        task.change(&context(node, &store, Mode::Apply)).unwrap();
        for (path, _) in crate::library::walk::walk(node, base).unwrap() {
            assert!(kept.contains(&Thing::Path(path.clone())), "{path:?} is not among {kept:?}");
        }
    });
}

#[test]
fn archives_that_would_lead_out_are_refused_as_a_whole() {
    let bad: [&[(&[u8], &[u8])]; 8] = [
        &[(b"good", b"x"), (b"../evil", b"x")],
        &[(b"good", b"x"), (b"/etc/evil", b"x")],
        &[(b"good", b"x"), (b"a/../../evil", b"x")],
        &[(b"good", b"x"), (b"link -> /etc", b"")],
        &[(b"good", b"x"), (b"link -> ../..", b"")],
        &[(b"good", b"x"), (b"link -> good", b""), (b"link/evil", b"x")],
        &[(b"good", b"x"), (b"link => ../evil", b"")],
        &[(b"good", b"x"), (b"link => missing", b"")],
    ];
    everywhere(|node, base| {
        for members in bad {
            let store = Store::default();
            let task = wanted(base, &[source(&store, &tar(members))]);
            let problem = converge(node, &store, &task).unwrap_err();
            assert!(problem.message.contains("member"), "{}", problem.message);
            assert_eq!(node.stat(&base.join("opt")).unwrap(), None, "{}", problem.message);
        }
        let store = Store::default();
        let device = [member(b"tty", 0o666, b'3', b"", b""), vec![0; 1024]].concat();
        let problem = converge(node, &store, &wanted(base, &[source(&store, &device)])).unwrap_err();
        assert!(problem.message.contains("character device"), "{}", problem.message);
    });
}

/// A link that somebody put where the archive has a directory must not lead its files elsewhere.
#[test]
fn links_on_the_node_are_not_followed() {
    everywhere(|node, base| {
        let store = Store::default();
        put_directory(node, &base.join("outside"));
        put_directory(node, &base.join("opt"));
        put_directory(node, &base.join("opt/app"));
        node.make_link(&base.join("opt/app/bin"), &base.join("outside")).unwrap();
        let task = wanted(base, &[source(&store, &app()), STRIP]);
        let problem = converge(node, &store, &task).unwrap_err();
        assert!(problem.message.ends_with("opt/app/bin is a link, not a directory"), "{}", problem.message);
        assert_eq!(node.list(&base.join("outside")).unwrap().len(), 0);
        node.remove(&base.join("opt/app/bin")).unwrap();
        node.make_link(&base.join("opt/app/current"), &base.join("outside")).unwrap();
        converge(node, &store, &task).unwrap();
        assert_eq!(node.stat(&base.join("opt/app/current")).unwrap().unwrap().kind, FileKind::Link);
    });
}

#[test]
fn names_may_hold_any_bytes() {
    everywhere(|node, base| {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let store = Store::default();
        let names: [&[u8]; 4] = [b"\xff\xfe", b"new\nline", b"quote'\"", b" space "];
        let members: Vec<(&[u8], &[u8])> = names.iter().map(|name| (*name, *name)).collect();
        let task = wanted(base, &[source(&store, &tar(&members))]);
        converge(node, &store, &task).unwrap();
        for name in names {
            assert_eq!(node.read(&base.join("opt/app").join(OsStr::from_bytes(name)), 100).unwrap(), name);
        }
    });
}

#[test]
fn modes_and_owners_are_for_everything() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let store = Store::default();
        let more = [
            source(&store, &app()),
            STRIP,
            ("file_mode", "0640".into()),
            ("dir_mode", "0750".into()),
            ("owner", "4242".into()),
            ("group", "4343".into()),
        ];
        let task = wanted(base, &more);
        converge(node, &store, &task).unwrap();
        let modes =
            ["", "bin", "bin/run", "etc/app.conf"].map(|name| mode(node, &task.place(name.as_bytes())));
        assert_eq!(modes, [0o750, 0o750, 0o750, 0o640]);
        node.set_owner(&task.place(b"current"), 0, 0).unwrap();
        assert_eq!(converge(node, &store, &task).unwrap().len(), 2);
    });
}

#[test]
fn archives_come_from_servers_and_from_the_node() {
    everywhere(|node, base| {
        let (store, archive) = (Store::default(), gzip(&app()));
        let server = Server::of(&[("/app.tgz", &archive)]);
        let sum = Checksum::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let sum = sum.of_same_kind(&archive[..]).unwrap().show();
        let task =
            wanted(base, &[("url", server.url("/app.tgz").into()), ("checksum", sum.clone().into()), STRIP]);
        converge(node, &store, &task).unwrap();
        assert_eq!(server.asked().len(), 1);
        node.remove(&task.place(b"bin/again")).unwrap();
        assert_eq!(converge(node, &store, &task).unwrap().len(), 1);
        assert_eq!(server.asked().len(), 2, "only when a content is needed");
        let path = base.join("app.tgz");
        let other = wanted(base, &[("path", at(&path)), STRIP]);
        let missing = converge(node, &store, &other).unwrap_err();
        assert!(missing.message.ends_with("app.tgz is not there"), "{}", missing.message);
        put(node, &path, &archive, 0o644);
        converge(node, &store, &other).unwrap();
        // Another archive in its place is unpacked; with a checksum it must be the one.
        put(node, &path, &gzip(&tar(&[(b"x/new", b"new")])), 0o644);
        converge(node, &store, &other).unwrap();
        assert_eq!(node.read(&base.join("opt/app/new"), 10).unwrap(), b"new");
        let strict = wanted(&base.join("opt"), &[("path", at(&path)), ("checksum", sum.into()), STRIP]);
        let problem = converge(node, &store, &strict).unwrap_err();
        assert!(problem.message.contains("has the checksum"), "{}", problem.message);
    });
}

#[test]
fn a_plan_goes_on_with_what_it_cannot_read() {
    let real = Real::new();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::default();
    let image = Overlay::new(&real);
    let path = directory.path().join("yet-to-come.tgz");
    // A download of the same plan brings it, known by name alone.
    let promised = Content::Spooled { path: PathBuf::new(), digest: Digest::of(b"name"), size: 0 };
    let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
    crate::node::Files::write(&image, &path, &promised, attributes, None).unwrap().unwrap();
    for params in [
        [("path", at(&path)), ("strip", Value::Int(0))],
        [("url", "http://127.0.0.1:1/x".into()), ("unchecked", true.into())],
        [("path", at(&directory.path().join("brought-by-a-command"))), ("strip", Value::Int(1))],
    ] {
        let task = wanted(directory.path(), &params);
        let plan = context(&image, &store, Mode::Plan);
        assert!(matches!(task.look(&plan).unwrap(), Seen::Differs(_)));
        task.change(&plan).unwrap();
        assert_eq!(task.look(&plan).unwrap(), Seen::AsWanted);
        assert!(image.may_appear());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What real programs make, in every format.
#[test]
fn archives_of_real_programs_are_unpacked() {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    std::fs::create_dir_all(from.join("d".repeat(120))).unwrap();
    std::fs::write(from.join(&long), "long").unwrap();
    std::fs::write(from.join("large"), b"0123456789".repeat(100_000)).unwrap();
    std::fs::write(from.join("empty"), "").unwrap();
    std::fs::write(from.join("run"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("run", from.join("link")).unwrap();
    std::fs::set_permissions(from.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::hard_link(from.join("run"), from.join("run2")).unwrap();
    let commands = [
        ("gnu.tar", "tar -C from --format=gnu -cf gnu.tar ."),
        ("pax.tar", "tar -C from --format=pax -cf pax.tar ."),
        ("ustar.tgz", "tar -C from --format=ustar --exclude='d*' -czf ustar.tgz ."),
        ("x.tar.xz", "tar -C from -cJf x.tar.xz ."),
        ("x.tar.bz2", "tar -C from -cjf x.tar.bz2 ."),
        ("x.tar.zst", "tar -C from --zstd -cf x.tar.zst ."),
        ("x.zip", "cd from && zip -qry ../x.zip ."),
    ];
    let (real, store) = (Real::new(), Store::default());
    for (name, command) in commands {
        let made = Program::new("sh").args(["-c", command]).current_dir(directory.path()).status().unwrap();
        assert!(made.success(), "{command}");
        let base = directory.path().join(format!("to-{name}"));
        std::fs::create_dir(&base).unwrap();
        let task = wanted(&base, &[("path", at(&directory.path().join(name)))]);
        converge(&real, &store, &task).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
        let all = |name: &str| std::fs::read(base.join("opt/app").join(name)).unwrap();
        assert_eq!(all("large"), b"0123456789".repeat(100_000), "{name}");
        assert_eq!((all("empty"), all("link"), all("run2")), (vec![], all("run"), all("run")), "{name}");
        assert_eq!(mode(&real, &base.join("opt/app/run2")), 0o755, "{name}");
        if name != "ustar.tgz" {
            assert_eq!(all(&long), b"long", "{name}");
        }
    }
}

#[test]
fn damaged_archives_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::default();
    let real = Real::new();
    let plain = app();
    let mut zip_like = b"PK\x03\x04".to_vec();
    zip_like.extend([0; 600]);
    let mut flipped = plain.clone();
    flipped[512 + 148] ^= 1;
    let cases = [
        ("cut in a member", plain[..1600].to_vec(), "ends in the middle"),
        ("cut gzip", gzip(&plain)[..60].to_vec(), "reading the archive"),
        ("text", b"<html>not found</html>".repeat(50), "no archive of a kind"),
        ("nothing", Vec::new(), "no archive of a kind"),
        ("zip without an end", zip_like, "no directory at its end"),
        ("xz that is none", [b"\xfd7zXZ\0".to_vec(), vec![7; 600]].concat(), "`xz` could not unpack"),
        ("damaged head", flipped, "does not fit its checksum"),
    ];
    for (what, bytes, message) in cases {
        let task = wanted(directory.path(), &[source(&store, &bytes)]);
        let problem = task.change(&context(&real, &store, Mode::Apply)).unwrap_err();
        assert!(problem.message.contains(message), "{what}: {}", problem.message);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{what}");
    }
}

/// An unpacking that fails in the middle leaves whole files, and the next one ends it.
#[test]
fn a_failed_unpacking_is_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let (real, store) = (Real::new(), Store::default());
    let names: Vec<String> = (0..300).map(|number| format!("file{number:03}")).collect();
    let content = vec![7; 3000];
    let members: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &content[..])).collect();
    let task = wanted(directory.path(), &[source(&store, &gzip(&tar(&members)))]);
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let stopping = || calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 400;
    let stopped = Context { stopping: &stopping, ..context(&real, &store, Mode::Apply) };
    let problem = task.change(&stopped).unwrap_err();
    assert!(problem.message.starts_with("the run was stopped"), "{}", problem.message);
    let place = directory.path().join("opt/app");
    let there = std::fs::read_dir(&place).unwrap().count();
    assert!((1..300).contains(&there), "{there}");
    for entry in std::fs::read_dir(&place).unwrap() {
        assert_eq!(std::fs::read(entry.unwrap().path()).unwrap(), content);
    }
    converge(&real, &store, &task).unwrap();
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 300);
}

#[test]
fn what_contradicts_itself_is_refused_before_any_host_is_touched() {
    let refused = |more: &[(&str, Value)]| {
        let mut params: Params = [("destination".into(), "/x".into())].into();
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        compile(&params).err().expect("it is refused").to_string()
    };
    assert!(refused(&[]).contains("must say where the archive is"));
    assert!(refused(&[("url", "http://h/x".into())]).contains("`unchecked: true` says so"));
    assert!(refused(&[("url", "http://h/x".into()), ("path", "/y".into())]).contains("exclude each other"));
    assert!(refused(&[("path", "/y".into()), ("unchecked", true.into())]).contains("belongs to `url`"));
}

/// A damaged archive is mended by the `download` before: a plan has not got that, so it knows no files.
#[test]
fn what_is_told_of_an_archive_that_another_task_brings_is_what_a_plan_tells() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("app.tar"));
        let params = [("path", at(&path)), STRIP];
        put(node, &path, &app(), 0o644);
        converge(node, &store, &wanted(base, &params)).unwrap();
        node.remove(&base.join("opt/app/bin/run")).unwrap();
        put(node, &path, b"damaged", 0o644);
        let task = wanted(base, &params);
        let start = Context { at_start: true, ..context(node, &store, Mode::Apply) };
        let first = task.look(&start).unwrap();
        put(node, &path, &app(), 0o644);
        assert_eq!(task.look(&context(node, &store, Mode::Apply)).unwrap(), first);
        task.change(&context(node, &store, Mode::Apply)).unwrap();
        assert_eq!(look(node, &store, &task), []);
    });
}
