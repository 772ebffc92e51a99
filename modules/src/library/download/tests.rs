//! The download module over an image and over a real directory, from a server on the loopback.

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Overlay, Real,
    library::{
        fetch::tests::Server,
        trial::{Store, at, context, converge, everywhere, lines, look, put, put_directory, task},
    },
    node::Files,
};

/// `sha256sum` of "hello\n".
const HELLO: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn download(path: &Path, url: &str, more: &[(&'static str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("path", at(path)), ("url", url.into())];
    params.extend_from_slice(more);
    task("download", &params)
}

#[test]
fn a_file_is_fetched_once_and_drift_is_mended() {
    everywhere(|node, base| {
        let server = Server::of(&[("/hello", b"hello\n")]);
        let (store, path) = (Store::default(), base.join("file"));
        let task =
            download(&path, &server.url("/hello"), &[("checksum", HELLO.into()), ("mode", "0600".into())]);
        let told = ["state: - -> file", "content: - -> sha256:5891b5b522d5", "mode: - -> 0600"];
        assert_eq!(lines(&converge(node, &store, &*task).unwrap()), told);
        assert_eq!(server.asked().len(), 1, "a plan fetches nothing");
        assert_eq!(node.read(&path, 100).unwrap(), b"hello\n");
        node.set_mode(&path, 0o644).unwrap();
        assert_eq!(lines(&converge(node, &store, &*task).unwrap()), ["mode: 0644 -> 0600"]);
        assert_eq!(server.asked().len(), 1, "what is right is not fetched again");
        put(node, &path, b"changed", 0o640);
        let changes = converge(node, &store, &*task).unwrap();
        assert_eq!(lines(&changes)[0], "content: sha256:d67e2e944994 -> sha256:5891b5b522d5");
        assert_eq!((node.read(&path, 100).unwrap(), server.asked().len()), (b"hello\n".to_vec(), 2));
    });
}

#[test]
fn a_wrong_checksum_names_both_and_keeps_the_old_file() {
    let server = Server::of(&[("/hello", b"evil\n")]);
    let directory = tempfile::tempdir().unwrap();
    let (real, store, path) = (Real::new(), Store::default(), directory.path().join("file"));
    put(&real, &path, b"old", 0o644);
    let task = download(&path, &server.url("/hello"), &[("checksum", HELLO.into())]);
    let problem = task.change(&context(&real, &store, Mode::Apply)).unwrap_err();
    assert!(
        problem.message.contains(HELLO) && problem.message.contains("sha256:886b6748"),
        "{}",
        problem.message
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn without_a_checksum_what_is_there_stays() {
    everywhere(|node, base| {
        let server = Server::of(&[("/x", b"x")]);
        let (store, path) = (Store::default(), base.join("file"));
        let task = download(&path, &server.url("/x"), &[("unchecked", true.into())]);
        let told = converge(node, &store, &*task).unwrap();
        assert_eq!(lines(&told)[1], format!("content: - -> from {}", server.url("/x")));
        put(node, &path, b"other", 0o644);
        assert_eq!(look(node, &store, &*task), []);
    });
}

#[test]
fn large_files_go_through_a_nameless_one_and_files_of_the_node_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (real, store) = (Real::new(), Store::default());
    let (from, to) = (directory.path().join("a b\n'"), directory.path().join("to"));
    let large = b"0123456789".repeat(200_000);
    put(&real, &from, &large, 0o600);
    let sum = Checksum::parse(&format!("md5:{}", "0".repeat(32))).unwrap().of_same_kind(&large[..]).unwrap();
    let url = format!("file://{}", from.to_str().unwrap().replace(' ', "%20"));
    let task = download(&to, &url, &[("checksum", sum.show().into())]);
    converge(&real, &store, &*task).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), large);
}

#[test]
fn a_link_is_replaced_and_a_directory_or_missing_folder_is_a_problem() {
    everywhere(|node, base| {
        let server = Server::of(&[("/hello", b"hello\n")]);
        let store = Store::default();
        put(node, &base.join("precious"), b"", 0o644);
        node.make_link(&base.join("link"), &base.join("precious")).unwrap();
        put_directory(node, &base.join("directory"));
        let at =
            |name: &str| download(&base.join(name), &server.url("/hello"), &[("checksum", HELLO.into())]);
        assert_eq!(lines(&converge(node, &store, &*at("link")).unwrap()), ["state: link -> file"]);
        assert_eq!(node.read(&base.join("precious"), 10).unwrap(), b"");
        assert!(converge(node, &store, &*at("directory")).unwrap_err().message.contains("is a directory"));
        let problem = converge(node, &store, &*at("no/file")).unwrap_err();
        assert!(problem.message.ends_with("/no is not there"), "{}", problem.message);
    });
}

#[test]
fn secrets_are_not_told() {
    let server = Server::of(&[("/hello", b"hello\n")]);
    let node = Overlay::new(&crate::Empty);
    let store = Store::default();
    let task = download(Path::new("/x"), &server.url("/hello"), &[("unchecked", true.into())]);
    let hidden = Context { sensitive: true, ..context(&node, &store, Mode::Verify) };
    let Seen::Differs(changes) = task.look(&hidden).unwrap() else { panic!() };
    assert_eq!(lines(&changes)[1], "content: - -> [secret]");
}

#[test]
fn a_checksum_is_required_and_headers_are_checked() {
    let refused = |more: &[(&str, Value)]| {
        let mut params: Params = [("path".into(), "/x".into()), ("url".into(), "http://h/x".into())].into();
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        compile(&params).err().expect("it is refused").to_string()
    };
    assert!(refused(&[]).contains("`unchecked: true` says so"));
    assert!(refused(&[("unchecked", true.into()), ("checksum", HELLO.into())]).contains("cannot be given"));
    let headers = Value::Map([("X".to_owned(), "secret\nY: 1".into())].into());
    let error = refused(&[("unchecked", true.into()), ("headers", headers)]);
    assert!(error.contains("one line of text") && !error.contains("secret"), "{error}");
}

#[test]
fn a_plan_goes_on_with_what_it_would_fetch() {
    let node = Overlay::new(&crate::Empty);
    let store = Store::default();
    let task = download(Path::new("/x"), "http://127.0.0.1:1/x", &[("checksum", HELLO.into())]);
    task.change(&context(&node, &store, Mode::Plan)).unwrap();
    assert_eq!(task.look(&context(&node, &store, Mode::Plan)).unwrap(), Seen::AsWanted);
    assert!(node.stat(Path::new("/x")).unwrap().is_some());
}
