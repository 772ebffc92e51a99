use std::path::Path;

use cm_wire::Value;

use super::*;
use crate::{
    Empty, Node, Overlay, ParamError,
    library::trial::{Store, context, converge, lines, look, put, task},
    node::{Files, Packages},
    registry,
};
use cm_wire::Mode;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----";

fn apt(more: &[(&str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![
        ("name", "own".into()),
        ("url", "https://packages.example.org/debian".into()),
        ("suites", "bookworm".into()),
        ("components", Value::List(vec!["main".into(), "extra".into()])),
    ];
    params.extend(more.iter().cloned());
    task("repository", &params)
}

fn absent() -> Box<dyn Resource> {
    task("repository", &[("name", "own".into()), ("state", "absent".into())])
}

fn read(node: &dyn Node, path: &str) -> Option<String> {
    let bytes = node.read(Path::new(path), 10_000).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

#[test]
fn apt_gets_a_deb822_file_and_its_key() {
    let node = Overlay::new(&Empty);
    let store = Store::default();
    let wanted = apt(&[("key", KEY.into()), ("architectures", "amd64".into())]);
    let changes = converge(&node, &store, wanted.as_ref()).unwrap();
    assert_eq!(
        changes.iter().map(|change| change.attribute.as_str()).collect::<Vec<_>>(),
        ["key", "state", "content"]
    );
    assert_eq!(
        read(&node, "/etc/apt/sources.list.d/own.sources").unwrap(),
        "Types: deb\nURIs: https://packages.example.org/debian\nSuites: bookworm\nComponents: main extra\n\
         Architectures: amd64\nSigned-By: /etc/apt/keyrings/own.asc\n"
    );
    assert_eq!(read(&node, "/etc/apt/keyrings/own.asc").unwrap(), format!("{KEY}\n"));
    assert_eq!(converge(&node, &store, wanted.as_ref()).unwrap(), []);
    // Without a key its file goes.
    let changes = converge(&node, &store, apt(&[("trusted", true.into())]).as_ref()).unwrap();
    assert_eq!(changes.len(), 2, "{:?}", lines(&changes));
    assert_eq!(read(&node, "/etc/apt/keyrings/own.asc"), None);
    assert!(read(&node, "/etc/apt/sources.list.d/own.sources").unwrap().ends_with("Trusted: yes\n"));
    assert_eq!(lines(&converge(&node, &store, absent().as_ref()).unwrap()), ["state: repository -> -"]);
    assert_eq!(converge(&node, &store, absent().as_ref()).unwrap(), []);
}

#[test]
fn a_binary_key_has_another_name_and_takes_the_place_of_an_armored_one() {
    let node = Overlay::new(&Empty);
    let store = Store::default();
    let armored = apt(&[("key_source", store.text(KEY))]);
    converge(&node, &store, armored.as_ref()).unwrap();
    let binary = apt(&[("key_source", Value::Content(store.add(b"\x98\x33\x04\x00")))]);
    converge(&node, &store, binary.as_ref()).unwrap();
    assert_eq!(read(&node, "/etc/apt/keyrings/own.asc"), None);
    assert_eq!(node.read(Path::new("/etc/apt/keyrings/own.gpg"), 99).unwrap(), b"\x98\x33\x04\x00");
    // A look at what is there needs no key from the controller.
    store.fetched.lock().unwrap().clear();
    assert_eq!(look(&node, &store, binary.as_ref()), []);
    assert!(store.fetched.lock().unwrap().is_empty());
}

#[test]
fn drift_in_every_attribute_is_found_and_mended() {
    let wanted = apt(&[("key", KEY.into())]);
    type Drift = fn(&dyn Node);
    let drifts: [Drift; 5] = [
        |node| put(node, Path::new("/etc/apt/sources.list.d/own.sources"), b"Types: deb\n", 0o644),
        |node| node.set_mode(Path::new("/etc/apt/sources.list.d/own.sources"), 0o600).unwrap(),
        |node| node.set_mode(Path::new("/etc/apt/keyrings/own.asc"), 0o600).unwrap(),
        |node| put(node, Path::new("/etc/apt/keyrings/own.asc"), b"other", 0o644),
        |node| node.make_link(Path::new("/etc/apt/keyrings/own.asc"), Path::new("/x")).unwrap(),
    ];
    for drift in drifts {
        let node = Overlay::new(&Empty);
        let store = Store::default();
        converge(&node, &store, wanted.as_ref()).unwrap();
        drift(&node);
        assert!(!converge(&node, &store, wanted.as_ref()).unwrap().is_empty());
    }
}

#[test]
fn dnf_gets_a_repo_file() {
    let node = Overlay::new(&Empty);
    node.use_package_manager(PackageManager::Dnf);
    let store = Store::default();
    let wanted = task(
        "repository",
        &[
            ("name", "own".into()),
            ("url", Value::List(vec!["https://a.example.org/9".into(), "https://b.example.org/9".into()])),
            ("key", KEY.into()),
            ("description", "Our packages".into()),
        ],
    );
    converge(&node, &store, wanted.as_ref()).unwrap();
    assert_eq!(
        read(&node, "/etc/yum.repos.d/own.repo").unwrap(),
        "[own]\nname=Our packages\nbaseurl=https://a.example.org/9\n        https://b.example.org/9\nenabled=1\n\
         gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/own.asc\n"
    );
    let error = apt(&[]).look(&context(&node, &store, Mode::Plan)).unwrap_err();
    assert!(error.message.contains("`suites`, which is apt's; this node has dnf"), "{}", error.message);
    converge(&node, &store, absent().as_ref()).unwrap();
    assert_eq!(read(&node, "/etc/pki/rpm-gpg/own.asc"), None);
    node.use_package_manager(PackageManager::Pacman);
    let error = wanted.look(&context(&node, &store, Mode::Plan)).unwrap_err();
    assert_eq!(error.message, "the sources of pacman are not managed by `repository`");
}

#[test]
fn all_that_is_written_is_kept_for_undo() {
    let node = Overlay::new(&Empty);
    let store = Store::default();
    let wanted = apt(&[("key", KEY.into())]);
    let keeps = wanted.keeps(&context(&node, &store, Mode::Apply));
    for path in [
        "/etc",
        "/etc/apt",
        "/etc/apt/keyrings",
        "/etc/apt/keyrings/own.asc",
        "/etc/apt/sources.list.d/own.sources",
    ] {
        assert!(keeps.contains(&Thing::Path(path.into())), "{path}: {keeps:?}");
    }
    assert!(wanted.touches().makes.contains(&Thing::Repository("own".into())));
}

/// A package that only a source of this plan has, an older one that needs it, and `latest` are no errors.
#[test]
fn a_plan_assumes_what_a_new_source_may_have() {
    let node = Overlay::new(&Empty);
    node.offer_package("web", &["1"]);
    node.prepare_package(
        "web",
        Some(crate::node::InstalledPackage { version: "1".into(), manual: true, ..Default::default() }),
    );
    let store = Store::default();
    let below: &dyn Node = &node;
    let plan = Overlay::new(below);
    assert!(!plan.sources_may_appear());
    let context = Context { disturbed: true, ..context(&plan, &store, Mode::Plan) };
    let latest = task("package", &[("name", "web".into()), ("state", "latest".into())]);
    assert_eq!(latest.look(&context).unwrap(), Seen::AsWanted);
    apt(&[("trusted", true.into())]).change(&context).unwrap();
    assert!(plan.sources_may_appear());
    assert_eq!(latest.look(&context).unwrap(), Seen::Unknown);
    let tool = task("package", &[("name", "tool".into()), ("version", "2.*".into())]);
    assert!(matches!(tool.look(&context).unwrap(), Seen::Differs(_)));
    tool.change(&context).unwrap();
    assert_eq!(tool.look(&context).unwrap(), Seen::AsWanted);
}

fn refused(params: &[(&str, Value)]) -> ParamError {
    let mut all: Params = [("name".to_owned(), "own".into()), ("url".to_owned(), "http://x".into())].into();
    all.extend(params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let Err(error) = registry::compile("repository", &all) else { panic!("{params:?} is taken") };
    error
}

#[test]
fn what_cannot_be_is_refused_before_any_node() {
    for (param, value) in [
        ("name", Value::from("a b")),
        ("name", "../x".into()),
        ("name", "".into()),
        ("url", "http://x\nTrusted: yes".into()),
        ("url", Value::List(vec![])),
        ("suites", "a b".into()),
        ("types", "rpm".into()),
        ("key", "mDMEZ".into()),
        ("description", "a\nb=c".into()),
        ("state", "absent".into()),
    ] {
        let error = refused(&[(param, value.clone())]);
        assert!(error.param == param || param == "state", "{param} {value:?}: {error}");
    }
    assert_eq!(refused(&[("key", KEY.into()), ("trusted", true.into())]).param, "key");
}
