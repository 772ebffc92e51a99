use cm_wire::{Mode, Value};

use super::*;
use crate::{Empty, Node, Overlay, bench::context, node::Units, registry};

fn compiled(name: &str, params: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut all = Params::from([("name".to_owned(), name.into())]);
    all.extend(params.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    registry::compile("service", &all)
}

fn service(params: &[(&str, Value)]) -> Box<dyn Resource> {
    compiled("web", params).unwrap()
}

fn unit(active: &str, file: &str) -> UnitState {
    UnitState {
        load: if file == "masked" { "masked" } else { "loaded" }.into(),
        active: active.into(),
        file: file.into(),
        result: "success".into(),
        id: "web.service".into(),
        can_reload: true,
        kind: "simple".into(),
        ..UnitState::default()
    }
}

fn told(resource: &dyn Resource, context: &Context<'_>) -> Vec<String> {
    let show = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    match resource.look(context).unwrap() {
        Seen::Differs(changes) => changes
            .into_iter()
            .map(|change| format!("{} {} {}", change.attribute, show(change.before), show(change.after)))
            .collect(),
        Seen::AsWanted => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_state_is_told_made_and_then_as_wanted() {
    let running = || ("state", Value::from("running"));
    let stopped = || ("state", Value::from("stopped"));
    let enabled = |flag: bool| ("enabled", Value::from(flag));
    let masked = |flag: bool| ("masked", Value::from(flag));
    let cases: Vec<(UnitState, Box<dyn Resource>, Vec<&str>)> = vec![
        (unit("active", "enabled"), service(&[]), vec![]),
        (unit("inactive", "enabled"), service(&[]), vec!["state stopped running"]),
        (unit("failed", "enabled"), service(&[running()]), vec!["state failed running"]),
        (unit("reloading", "enabled"), service(&[running()]), vec![]),
        (
            unit("inactive", "disabled"),
            service(&[running(), enabled(true)]),
            vec!["state stopped running", "enabled false true"],
        ),
        (
            unit("active", "enabled"),
            service(&[stopped(), enabled(false)]),
            vec!["state running stopped", "enabled true false"],
        ),
        (unit("failed", "disabled"), service(&[stopped()]), vec![]),
        (unit("inactive", "disabled"), service(&[enabled(false)]), vec![]),
        (unit("active", "static"), service(&[enabled(true)]), vec![]),
        (unit("active", "static"), service(&[enabled(false)]), vec![]),
        (unit("active", "enabled-runtime"), service(&[enabled(true)]), vec!["enabled enabled-runtime true"]),
        (
            unit("active", "enabled"),
            service(&[stopped(), masked(true)]),
            vec!["masked false true", "state running stopped"],
        ),
        (unit("inactive", "masked"), service(&[masked(true)]), vec![]),
        (
            unit("inactive", "masked"),
            service(&[masked(false), running(), enabled(true)]),
            vec!["masked true false", "state stopped running", "enabled masked true"],
        ),
    ];
    for (state, resource, expected) in cases {
        let node = Overlay::new(&Empty);
        node.prepare_unit("web.service", state.clone());
        let context = context(&node, Mode::Plan);
        assert_eq!(told(resource.as_ref(), &context), expected, "{state:?}");
        resource.change(&context).unwrap();
        assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted, "{state:?}");
    }
}

#[test]
fn a_unit_that_is_not_there_is_a_difference_and_then_an_error() {
    let node = Overlay::new(&Empty);
    node.prepare_unit("webby.service", unit("active", "enabled"));
    let context = context(&node, Mode::Apply);
    let wanted = service(&[("state", "running".into()), ("enabled", true.into())]);
    assert_eq!(told(wanted.as_ref(), &context), ["state - running", "enabled - true"]);
    let error = wanted.change(&context).unwrap_err();
    assert_eq!(error.message, "there is no unit web.service on the node");
    let error = compiled("wabby", &[]).unwrap().change(&context).unwrap_err();
    assert_eq!(error.hint.unwrap(), "did you mean `webby`?");
    // What is not there does not run.
    let unwanted = service(&[("state", "stopped".into()), ("enabled", false.into())]);
    assert_eq!(unwanted.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_unit_may_come_with_a_package() {
    let node = Overlay::new(&Empty);
    node.offer_package("web", &["1"]);
    let context = context(&node, Mode::Plan);
    let package = registry::compile("package", &Params::from([("name".into(), "web".into())])).unwrap();
    package.change(&context).unwrap();
    assert!(node.may_appear());
    let wanted = service(&[("state", "running".into()), ("enabled", true.into())]);
    assert_eq!(told(wanted.as_ref(), &context), ["state - running", "enabled - true"]);
    wanted.change(&context).unwrap();
    assert_eq!(wanted.look(&context).unwrap(), Seen::AsWanted);
}

/// The package starts and enables what is to be stopped and disabled: the plan cannot see that, and lists it.
#[test]
fn a_unit_that_comes_with_a_package_is_planned_as_it_is_applied() {
    let cases: [&[(&str, Value)]; 4] = [
        &[("state", Value::from("stopped")), ("enabled", Value::from(false))],
        &[("state", Value::from("running")), ("enabled", Value::from(true))],
        &[("enabled", Value::from(true))],
        &[("enabled", Value::from(false))],
    ];
    for params in cases {
        let node = Overlay::new(&Empty);
        node.offer_package("web-server", &["1"]);
        let plan = context(&node, Mode::Plan);
        let wanted = service(params);
        let first = told(wanted.as_ref(), &Context { at_start: true, ..context(&node, Mode::Plan) });
        let params_of = Params::from([("name".into(), "web-server".into())]);
        registry::compile("package", &params_of).unwrap().change(&plan).unwrap();
        let later = Context { disturbed: true, ..context(&node, Mode::Plan) };
        let planned = told(wanted.as_ref(), &later);
        assert!(first.is_empty() || first == planned, "{first:?} {planned:?}");
        assert!(planned[0].starts_with("state - "), "{planned:?}");
        wanted.change(&later).unwrap();
        assert_eq!(wanted.look(&later).unwrap(), Seen::AsWanted);

        for file in ["enabled", "disabled"] {
            let node = Overlay::new(&Empty);
            let applied = service(params);
            let start = Context { at_start: true, ..context(&node, Mode::Apply) };
            assert_eq!(told(applied.as_ref(), &start), first);
            node.prepare_unit(
                "web.service",
                unit(if file == "enabled" { "active" } else { "inactive" }, file),
            );
            let later = Context { disturbed: true, ..context(&node, Mode::Apply) };
            assert_eq!(told(applied.as_ref(), &later), planned);
            applied.change(&later).unwrap();
            assert_eq!(applied.look(&later).unwrap(), Seen::AsWanted);
        }
    }
}

/// What is kept from running on all hosts is no change where a package of another name comes.
#[test]
fn another_package_brings_no_such_unit() {
    let node = Overlay::new(&Empty);
    node.offer_package("curl", &["1"]);
    let start = Context { at_start: true, ..context(&node, Mode::Plan) };
    let wanted = service(&[("state", "stopped".into())]);
    assert_eq!(wanted.look(&start).unwrap(), Seen::AsWanted);
    let params = Params::from([("name".into(), "curl".into())]);
    registry::compile("package", &params).unwrap().change(&start).unwrap();
    assert_eq!(wanted.look(&Context { disturbed: true, at_start: false, ..start }).unwrap(), Seen::AsWanted);
}

#[test]
fn a_masked_unit_is_not_unmasked_behind_the_users_back() {
    let node = Overlay::new(&Empty);
    node.prepare_unit("web.service", unit("inactive", "masked"));
    let error = service(&[]).change(&context(&node, Mode::Apply)).unwrap_err();
    assert!(error.message.contains("masked") && error.hint.unwrap().contains("`masked: false`"));
}

#[test]
fn only_what_runs_owes_a_restart() {
    let notices = [(Notice::Reload, "file:/etc/a".to_owned()), (Notice::Restart, "file:/etc/b".to_owned())];
    let node = Overlay::new(&Empty);
    let context = Context { notices: &notices, ..context(&node, Mode::Apply) };
    let restart = "restart - file:/etc/a, file:/etc/b";
    let cases = [
        ("active", vec![], vec![restart], true),
        ("active", vec![("enabled", Value::from(true))], vec![restart], true),
        ("inactive", vec![], vec!["state stopped running"], true),
        ("inactive", vec![("enabled", Value::from(true))], vec![], false),
        ("active", vec![("state", Value::from("stopped"))], vec!["state running stopped"], false),
    ];
    for (active, params, expected, starts) in cases {
        node.prepare_unit("web.service", unit(active, "enabled"));
        let started = unit(active, "enabled").started;
        let wanted = service(&params);
        assert_eq!(told(wanted.as_ref(), &context), expected, "{active} {params:?}");
        wanted.change(&context).unwrap();
        let after = node.units(&["web.service".to_owned()]).unwrap().remove("web.service").unwrap();
        assert_eq!(after.started > started, starts, "{active} {params:?}");
    }
    let reload = [(Notice::Reload, "file:/etc/a".to_owned())];
    let context = Context { notices: &reload, ..context };
    node.prepare_unit("web.service", unit("active", "enabled"));
    assert_eq!(told(service(&[]).as_ref(), &context), ["reload - file:/etc/a"]);
    assert!(service(&[]).change(&context).unwrap().notes.is_empty());
    node.prepare_unit("web.service", UnitState { can_reload: false, ..unit("active", "enabled") });
    let notes = service(&[]).change(&context).unwrap().notes;
    assert_eq!(notes, ["web.service cannot reload, so it was restarted"]);
}

#[test]
fn a_oneshot_that_has_run_is_running_and_can_be_run_again() {
    let node = Overlay::new(&Empty);
    let oneshot = UnitState { kind: "oneshot".into(), ..unit("inactive", "enabled") };
    node.prepare_unit("web.service", oneshot.clone());
    let start = context(&node, Mode::Apply);
    let wanted = service(&[]);
    assert_eq!(told(wanted.as_ref(), &start), ["state stopped running"]);
    wanted.change(&start).unwrap();
    assert_eq!(wanted.look(&start).unwrap(), Seen::AsWanted);
    let notices = [(Notice::Restart, "file:/etc/b".to_owned())];
    assert_eq!(told(wanted.as_ref(), &Context { notices: &notices, ..start }), ["restart - file:/etc/b"]);
}

#[test]
fn names_are_completed_and_checked() {
    let touches = compiled("web", &[]).unwrap().touches();
    assert_eq!(touches.makes, [Thing::Service("web.service".into())]);
    assert_eq!(touches.needs, [Thing::Unit("web.service".into())]);
    assert_eq!(compiled("a.timer", &[]).unwrap().touches().makes, [Thing::Service("a.timer".into())]);
    assert!(compiled("getty@", &[]).err().unwrap().message.contains("getty@x.service"));
    assert!(compiled("a b", &[]).is_err());
    assert!(compiled("web", &[("masked", true.into()), ("state", "running".into())]).is_err());
    assert!(compiled("web", &[("masked", true.into()), ("enabled", true.into())]).is_err());
}
