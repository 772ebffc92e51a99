//! Things that may lie where the state file is looked for. None of them may be changed, each
//! must be told apart, and each message must say what to do.

mod sample;

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cm_state::{AuditEntry, RedbStore, StateError, Store};
use redb::{Database, TableDefinition};
use sample::{NOON, noise64};

const BYTES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("cm.meta");

fn entry() -> AuditEntry {
    AuditEntry { at: NOON, who: "anna".into(), what: "looked".into(), run: None }
}

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    Place { _folder: folder, path }
}

/// The error of both reading and writing, after which the file must be as it was.
fn refusal(path: &Path) -> StateError {
    let before = fs::read(path).ok();
    let error = RedbStore::open(path).map(|_| ()).unwrap_err();
    // A program that had the store open before the file was replaced.
    let elsewhere = place();
    let moved = elsewhere.path.with_file_name("moved.redb");
    let store = RedbStore::open(&moved).unwrap();
    if before.is_some() {
        fs::copy(path, &moved).unwrap();
        let written = store.append_audit(&[entry()]).unwrap_err();
        assert_eq!(std::mem::discriminant(&written), std::mem::discriminant(&error), "{written:?} {error:?}");
        assert!(fs::read(&moved).ok() == before, "something was written");
    }
    assert!(fs::read(path).ok() == before, "something was written");
    assert!(error.hint().is_some_and(|hint| hint.len() > 20), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

fn is_foreign(path: &Path, because: &str) {
    let error = refusal(path);
    assert!(matches!(error, StateError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains(because), "{error}");
}

fn is_damaged(path: &Path) {
    let error = refusal(path);
    assert!(matches!(error, StateError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_text() {
    let place = place();
    fs::write(&place.path, "hosts:\n  web1: {}\n").unwrap();
    is_foreign(&place.path, "begins with \"hosts:\\n");
}

#[test]
fn a_short_text_and_random_bytes() {
    let place = place();
    fs::write(&place.path, "x").unwrap();
    is_foreign(&place.path, "begins with \"x\"");
    for seed in 0..20 {
        let bytes: Vec<u8> = (0..5000).map(|n| noise64(seed * 5000 + n) as u8).collect();
        fs::write(&place.path, bytes).unwrap();
        is_foreign(&place.path, "begins with");
    }
}

#[test]
fn no_bytes() {
    let place = place();
    fs::write(&place.path, "").unwrap();
    let error = refusal(&place.path);
    assert!(matches!(error, StateError::Empty { .. }), "{error:?}");
}

#[test]
fn the_beginning_of_a_state_file() {
    let place = place();
    RedbStore::open(&place.path).unwrap().append_audit(&[entry()]).unwrap();
    let bytes = fs::read(&place.path).unwrap();
    for length in
        [1, 5, 9, 10, 63, 64, 300, 320, 4096, 5000, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1]
    {
        fs::write(&place.path, &bytes[..length]).unwrap();
        is_damaged(&place.path);
    }
}

#[test]
fn the_right_first_bytes_and_then_nonsense() {
    let place = place();
    for seed in 0..20 {
        let mut bytes = b"redb\x1A\x0A\xA9\x0D\x0A".to_vec();
        bytes.extend((0..80_000).map(|n| noise64(seed * 80_000 + n) as u8));
        fs::write(&place.path, bytes).unwrap();
        let error = refusal(&place.path);
        assert!(matches!(error, StateError::Damaged { .. } | StateError::Foreign { .. }), "{error:?}");
    }
}

#[test]
fn a_folder_a_link_a_fifo_and_a_socket() {
    let place = place();
    fs::create_dir(&place.path).unwrap();
    is_foreign(&place.path, "is a folder");

    let link = place.path.with_file_name("link.redb");
    symlink("nowhere", &link).unwrap();
    is_foreign(&link, "is a symbolic link");
    fs::remove_file(&link).unwrap();
    let target = place.path.with_file_name("target.redb");
    RedbStore::open(&target).unwrap().append_audit(&[entry()]).unwrap();
    symlink(&target, &link).unwrap();
    let error = RedbStore::open(&link).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is a symbolic link"), "{error}");

    let fifo = place.path.with_file_name("fifo.redb");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let error = RedbStore::open(&fifo).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is a FIFO"), "{error}");

    let socket = place.path.with_file_name("socket.redb");
    let _listener = UnixListener::bind(&socket).unwrap();
    is_foreign(&socket, "is a socket");
}

#[test]
fn a_database_of_another_program() {
    let place = place();
    let other: TableDefinition<'_, &str, u64> = TableDefinition::new("customers");
    let database = Database::create(&place.path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(other).unwrap().insert("anna", 7).unwrap();
    transaction.commit().unwrap();
    database.close().unwrap();
    is_foreign(&place.path, "of another program (its tables: customers)");
}

#[test]
fn a_database_with_nothing_in_it() {
    let place = place();
    Database::create(&place.path).unwrap().close().unwrap();
    is_foreign(&place.path, "without any table");
}

#[test]
fn a_table_of_ours_with_other_types() {
    let place = place();
    let other: TableDefinition<'_, &str, u64> = TableDefinition::new("cm.meta");
    let database = Database::create(&place.path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(other).unwrap().insert("format", 1).unwrap();
    transaction.commit().unwrap();
    database.close().unwrap();
    is_foreign(&place.path, "with other contents");
}

fn set_format(path: &Path, format: &[u8]) {
    RedbStore::open(path).unwrap().append_audit(&[entry()]).unwrap();
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(BYTES).unwrap().insert(&b"format"[..], format).unwrap();
    transaction.commit().unwrap();
    database.close().unwrap();
}

#[test]
fn a_state_file_of_a_newer_cm() {
    let place = place();
    set_format(&place.path, &7_u32.to_le_bytes());
    let error = refusal(&place.path);
    assert!(matches!(error, StateError::Newer { found: 7, supported: 2, .. }), "{error:?}");
}

#[test]
fn files_of_others_that_were_not_closed() {
    let [new, open] = [place(), place()];
    set_format(&open.path, &7_u32.to_le_bytes());
    for quick in [true, false] {
        let database = Database::create(&open.path).unwrap();
        let mut transaction = database.begin_write().unwrap();
        transaction.set_quick_repair(quick);
        transaction.open_table(BYTES).unwrap().insert(&b"more"[..], &b""[..]).unwrap();
        transaction.commit().unwrap();
        // What a kill at this moment leaves. redb would repair it as soon as it opens it.
        fs::copy(&open.path, &new.path).unwrap();
        let error = refusal(&new.path);
        assert!(matches!(error, StateError::Newer { found: 7, .. }), "{error:?}");
    }
}

#[test]
fn a_state_file_without_a_format() {
    for format in [&b""[..], b"\0\0\0\0", b"12345"] {
        let place = place();
        set_format(&place.path, format);
        is_damaged(&place.path);
    }
}

#[test]
fn a_path_through_a_file() {
    let place = place();
    fs::write(&place.path, "x").unwrap();
    let below = place.path.join("state.redb");
    let error = RedbStore::open(&below).map(|_| ()).unwrap_err();
    assert!(matches!(error, StateError::Create { .. }), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn the_file_and_its_folder_are_for_their_owner_alone() {
    let place = place();
    let path = place.path.with_file_name("new").join("deeper").join("state.redb");
    let store = RedbStore::open(&path).unwrap();
    assert!(!path.parent().unwrap().exists(), "reading creates nothing");
    store.append_audit(&[entry()]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["state.redb"]);
}

#[test]
fn a_file_moved_away_while_in_use_is_made_anew() {
    let place = place();
    let store = RedbStore::open(&place.path).unwrap();
    store.append_audit(&[entry(), entry()]).unwrap();
    fs::rename(&place.path, place.path.with_file_name("old.redb")).unwrap();
    assert_eq!(store.audit(9).unwrap(), []);
    store.append_audit(&[entry()]).unwrap();
    assert_eq!(store.audit(9).unwrap().len(), 1);
    assert_eq!(RedbStore::open(place.path.with_file_name("old.redb")).unwrap().audit(9).unwrap().len(), 2);
}

#[test]
fn a_file_that_others_hold_is_waited_for_and_then_told() {
    let place = place();
    let store = RedbStore::open_with_wait(&place.path, Duration::from_millis(50)).unwrap();
    store.append_audit(&[entry()]).unwrap();
    let holder = Database::open(&place.path).unwrap();
    for error in [store.audit(1).unwrap_err(), store.append_audit(&[entry()]).unwrap_err()] {
        let StateError::Busy { holders, waited, .. } = &error else { panic!("{error:?}") };
        assert!(*waited >= Duration::from_millis(50));
        assert_eq!(holders, &[std::process::id()]);
        assert!(error.to_string().contains("holds it"), "{error}");
    }
    drop(holder);
    store.append_audit(&[entry()]).unwrap();
}

/// Not a test of its own: what [`without_rights`] runs as another user.
#[test]
fn as_another_user() {
    let Some(folder) = std::env::var_os("CM_STATE_TEST_RIGHTS").map(PathBuf::from) else { return };
    let mut output = std::io::stdout().lock();
    for (name, expected) in [("unreadable", "read"), ("read-only", "write")] {
        let path = folder.join(name).join("state.redb");
        let error = RedbStore::open(&path).and_then(|store| store.append_audit(&[entry()])).unwrap_err();
        assert!(matches!(error, StateError::Denied { action, .. } if action == expected), "{error:?}");
        assert!(error.hint().unwrap().contains("chown"));
    }
    let store = RedbStore::open(folder.join("read-only/state.redb")).unwrap();
    assert_eq!(store.audit(9).unwrap().len(), 1, "what may be read is read");
    for name in ["closed/state.redb", "closed/new/state.redb"] {
        let error =
            RedbStore::open(folder.join(name)).and_then(|store| store.append_audit(&[entry()])).unwrap_err();
        assert!(matches!(error, StateError::Create { .. }), "{error:?}");
    }
    writeln!(output, "all refused").unwrap();
}

#[test]
fn without_rights() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (name, file_mode) in [("unreadable", Some(0o000)), ("read-only", Some(0o444)), ("closed", None)] {
        let inner = folder.path().join(name);
        fs::create_dir(&inner).unwrap();
        if let Some(file_mode) = file_mode {
            let path = inner.join("state.redb");
            RedbStore::open(&path).unwrap().append_audit(&[entry()]).unwrap();
            mode(&path, file_mode);
        }
        mode(&inner, 0o555);
    }
    mode(folder.path(), 0o755);
    // The test's own program may lie where another user cannot reach it.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let mut command = Command::new(&program);
    command.args(["--exact", "as_another_user", "--nocapture"]).env("CM_STATE_TEST_RIGHTS", folder.path());
    // Root may do everything; rights mean something only to others.
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.current_dir("/");
    let output = command.output().unwrap();
    for name in ["unreadable", "read-only", "closed"] {
        mode(&folder.path().join(name), 0o755);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("all refused"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
