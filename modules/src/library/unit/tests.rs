use std::collections::BTreeMap;

use cm_wire::{Digest, Mode};

use super::*;
use crate::{
    Contents, Empty, Overlay,
    bench::context,
    node::{Content, Files, Units},
    registry,
};

const TEXT: &str =
    "[Service]\nExecStart=/bin/app\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n";

/// Contents held in memory.
struct Held(BTreeMap<Digest, Vec<u8>>);

impl Contents for Held {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        Ok(Content::Bytes(self.0[digest].clone()))
    }
}

fn held() -> Held {
    Held(BTreeMap::from([(Digest::of(TEXT.as_bytes()), TEXT.as_bytes().to_vec())]))
}

fn text() -> Value {
    Value::Content(ContentRef { digest: Digest::of(TEXT.as_bytes()), size: TEXT.len() as u64 })
}

fn compiled(name: &str, params: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut all = Params::from([("name".to_owned(), name.into())]);
    all.extend(params.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    registry::compile("unit", &all)
}

fn prepared<'a>() -> Overlay<'a> {
    let node = Overlay::new(&Empty);
    let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
    for folder in ["/etc", "/etc/systemd", FOLDER] {
        node.make_directory(folder.as_ref(), root).unwrap();
    }
    node
}

fn attributes(seen: &Seen) -> Vec<&str> {
    match seen {
        Seen::Differs(changes) => changes.iter().map(|change| change.attribute.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn state(node: &Overlay<'_>, name: &str) -> UnitState {
    node.units(&[name.to_owned()]).unwrap().remove(name).unwrap()
}

#[test]
fn a_new_unit_can_be_run_and_enabled() {
    let (node, contents) = (prepared(), held());
    let context = Context { contents: &contents, ..context(&node, Mode::Plan) };
    let unit = compiled("app.service", &[("content", text())]).unwrap();
    assert_eq!(attributes(&unit.look(&context).unwrap()), ["state", "content"]);
    unit.change(&context).unwrap();
    assert_eq!(unit.look(&context).unwrap(), Seen::AsWanted);
    let loaded = state(&node, "app.service");
    assert_eq!((loaded.load.as_str(), loaded.file.as_str(), loaded.can_reload), ("loaded", "disabled", true));
    let params = Params::from([
        ("name".into(), "app".into()),
        ("enabled".into(), true.into()),
        ("state".into(), "running".into()),
    ]);
    let service = registry::compile("service", &params).unwrap();
    service.change(&context).unwrap();
    assert_eq!(service.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn an_absent_unit_is_stopped_and_disabled_first() {
    let (node, contents) = (prepared(), held());
    let context = Context { contents: &contents, ..context(&node, Mode::Apply) };
    compiled("app.service", &[("content", text())]).unwrap().change(&context).unwrap();
    node.unit("app.service", UnitAction::Start, context.deadline).unwrap();
    node.unit("app.service", UnitAction::Enable, context.deadline).unwrap();
    let absent = compiled("app.service", &[("state", "absent".into())]).unwrap();
    assert_eq!(attributes(&absent.look(&context).unwrap()), ["state"]);
    absent.change(&context).unwrap();
    assert_eq!(absent.look(&context).unwrap(), Seen::AsWanted);
    let unit = state(&node, "app.service");
    assert_eq!((unit.load.as_str(), unit.active.as_str()), ("not-found", "inactive"));
}

/// A run was cut after the file was written and before systemd read it.
#[test]
fn a_reload_that_is_owed_is_a_difference() {
    let (node, contents) = (prepared(), held());
    let context = Context { contents: &contents, ..context(&node, Mode::Apply) };
    let unit = compiled("app.service", &[("content", text())]).unwrap();
    unit.change(&context).unwrap();
    node.prepare_unit(
        "app.service",
        UnitState { stale: true, load: "loaded".into(), ..UnitState::default() },
    );
    assert_eq!(attributes(&unit.look(&context).unwrap()), ["loaded"]);
    unit.change(&context).unwrap();
    assert_eq!(unit.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_drop_in_brings_and_takes_its_folder() {
    let (node, contents) = (prepared(), held());
    let context = Context { contents: &contents, ..context(&node, Mode::Apply) };
    let folder = Path::new("/etc/systemd/system/web.service.d");
    let unit = compiled("web.service.d/limits.conf", &[("content", text())]).unwrap();
    assert_eq!(unit.touches().makes, [Thing::Path(folder.join("limits.conf"))]);
    unit.change(&context).unwrap();
    assert_eq!(unit.look(&context).unwrap(), Seen::AsWanted);
    assert_eq!(node.stat(folder).unwrap().unwrap().mode, 0o755);
    let absent = compiled("web.service.d/limits.conf", &[("state", "absent".into())]).unwrap();
    absent.change(&context).unwrap();
    assert_eq!(absent.look(&context).unwrap(), Seen::AsWanted);
    assert_eq!(node.stat(folder).unwrap(), None);
}

#[test]
fn names_are_checked() {
    assert_eq!(Name::parse("a@.service"), Ok(Name::Template("a@.service".into())));
    assert_eq!(Name::parse("a.timer"), Ok(Name::Unit("a.timer".into())));
    assert_eq!(Name::parse("a.service.d/x.conf"), Ok(Name::DropIn(Some("a.service".into()))));
    assert_eq!(Name::parse("a@.service.d/x.conf"), Ok(Name::DropIn(None)));
    assert_eq!(Name::parse("service.d/x.conf"), Ok(Name::DropIn(None)));
    for wrong in
        ["app", "../x.service", "a.service.d/x", "a.service/x.conf", "a.service.d/b/x.conf", "/a.service"]
    {
        assert!(Name::parse(wrong).is_err(), "{wrong}");
    }
    assert!(compiled("app.service", &[]).is_err());
    assert!(compiled("app.service", &[("state", "absent".into()), ("content", text())]).is_err());
}
