//! Reports read back by others' readers.

use std::{collections::HashMap, sync::Arc};

use cm_engine::{HostEnd, Orphan, TaskLabel, Trouble, Verdict, VerdictKind};
use cm_plan::{Day, Waiver};
use cm_wire::{Change, Mode, Outcome, TaskResult};

use super::*;

struct Silent;

impl Reporter for Silent {
    fn event(&mut self, _: &RunEvent) {}
    fn finish(&mut self, _: &Summary) {}
}

fn header() -> RunHeader {
    RunHeader {
        run: "20261123-000000-abc".into(),
        mode: Mode::Verify,
        command: "verify",
        hosts: 2,
        diff: true,
        verbosity: 1,
    }
}

fn label(id: &str, check: bool) -> TaskLabel {
    TaskLabel {
        id: id.into(),
        role: "web".into(),
        place: "roles/web/role.yaml:1:1".into(),
        check,
        added: false,
    }
}

fn result(task: u32, outcome: Outcome, changes: Vec<Change>) -> TaskResult {
    TaskResult { task, outcome, changes, started: 0, took: 1500, output: None, attempts: 1 }
}

fn verdict(kind: VerdictKind, waived: bool) -> Arc<Verdict> {
    let waiver = Waiver {
        resource: "file:*".into(),
        hosts: None,
        attributes: Vec::new(),
        until: Day::parse("2026-12-31").unwrap(),
        reason: "known & \"let be\"".into(),
        by: Some("anna".into()),
        place: "waivers.yaml:1:3".into(),
    };
    Arc::new(Verdict {
        kind,
        drift: Vec::new(),
        applied: None,
        traces: Vec::new(),
        waived: if waived { vec![Arc::new(waiver)] } else { Vec::new() },
        expired: Vec::new(),
    })
}

fn reports() -> Vec<HostReport> {
    let wicked = "<x> & \"\u{1b}[31m\n\u{0}]]>";
    let change = Change::new("content", Some(wicked.into()), Some("b".into())).with_diff(Some(wicked.into()));
    let labels: Arc<[TaskLabel]> = [
        label("file:/ok", false),
        label("file:/drift<&>", false),
        label("file:/waived", false),
        label("file:/pending", false),
        label("port:80", true),
        label("service:x", false),
        label("file:/skipped", false),
    ]
    .into();
    let failed = || Outcome::Failed { error: format!("refused {wicked}"), hint: None };
    let web1 = HostReport {
        host: "web1".into(),
        end: HostEnd::Failed,
        labels,
        results: vec![
            result(0, Outcome::Ok, Vec::new()),
            result(1, Outcome::Changed, vec![change.clone()]),
            result(2, Outcome::Changed, vec![change.clone()]),
            result(3, Outcome::Changed, vec![change]),
            result(4, failed(), Vec::new()),
            result(5, failed(), Vec::new()),
            result(6, Outcome::Skipped { because: 5 }, Vec::new()),
        ],
        verdicts: HashMap::from([
            (1, verdict(VerdictKind::Drift, false)),
            (2, verdict(VerdictKind::Drift, true)),
            (3, verdict(VerdictKind::Pending, false)),
        ]),
        orphans: vec![Orphan {
            item: "path:/old".into(),
            task: "file:/old".into(),
            role: "web".into(),
            pruned: false,
        }],
        ledger: None,
        took: 2_000_000,
        facts: None,
    };
    let web2 = HostReport {
        host: "web2".into(),
        end: HostEnd::Unreachable(Trouble::new("could not reach", "no route to host")),
        labels: Vec::new().into(),
        results: Vec::new(),
        verdicts: HashMap::new(),
        orphans: Vec::new(),
        ledger: None,
        took: 10,
        facts: None,
    };
    vec![web1, web2]
}

fn written(kind: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report");
    let wanted: Wanted = format!("{kind}:{}", path.display()).parse().unwrap();
    let Ok(mut filed) = Filed::open(header(), Box::new(Silent), &[wanted]) else {
        panic!("it can be written")
    };
    let mut summary = Summary::default();
    for report in reports() {
        summary.add(&report);
        filed.event(&RunEvent::HostEnded(report));
    }
    assert!(!path.exists(), "it is there when it is whole");
    filed.finish(&summary);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_junit_report_is_well_formed_whatever_nodes_say_and_its_counts_are_true() {
    let text = written("junit");
    let document = roxmltree::Document::parse(&text).unwrap();
    let suites: Vec<_> = document.root_element().children().filter(roxmltree::Node::is_element).collect();
    assert_eq!(suites.len(), 2);
    for suite in &suites {
        let cases: Vec<_> = suite.children().filter(roxmltree::Node::is_element).collect();
        let count = |name: &str| {
            let inside =
                |case: &&roxmltree::Node<'_, '_>| case.children().any(|node| node.has_tag_name(name));
            cases.iter().filter(inside).count().to_string()
        };
        assert_eq!(suite.attribute("tests"), Some(cases.len().to_string().as_str()));
        assert_eq!(suite.attribute("failures"), Some(count("failure").as_str()));
        assert_eq!(suite.attribute("errors"), Some(count("error").as_str()));
        assert_eq!(suite.attribute("skipped"), Some(count("skipped").as_str()));
    }
    let kinds: Vec<(&str, Option<&str>)> = document
        .descendants()
        .filter(|node| node.has_tag_name("failure") || node.has_tag_name("error"))
        .map(|node| (node.tag_name().name(), node.attribute("type")))
        .collect();
    assert_eq!(
        kinds,
        [
            ("failure", Some("drift")),
            ("failure", Some("pending")),
            ("failure", Some("check")),
            ("error", Some("look")),
            ("error", Some("host")),
        ]
    );
    let named =
        |name: &str| document.descendants().find(|node| node.attribute("name") == Some(name)).unwrap();
    let waived = named("file:/waived").first_element_child().unwrap();
    assert!(
        waived
            .attribute("message")
            .unwrap()
            .starts_with("waived until 2026-12-31 by anna: known & \"let be\"")
    );
    assert!(named("file:/drift<&>").first_element_child().unwrap().text().unwrap().contains("<x> & "));
    assert!(named("orphan path:/old").first_element_child().unwrap().has_tag_name("skipped"));
}

#[test]
fn a_json_report_is_one_document() {
    let value: serde_json::Value = serde_json::from_str(&written("json")).unwrap();
    assert_eq!(value["run"], "20261123-000000-abc");
    assert_eq!(value["hosts"][0]["resources"][0]["verdict"]["kind"], "drift");
    assert_eq!(value["hosts"][0]["resources"][1]["verdict"]["waived"], true);
    assert_eq!(value["hosts"][0]["orphans"][0]["item"], "path:/old");
    assert_eq!(value["hosts"][1]["trouble"]["causes"][0], "no route to host");
    let drift = &value["totals"]["drift"];
    assert_eq!((&drift["drift"], &drift["waived"], &drift["pending"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((&drift["orphaned"], &drift["hosts_drifted"]), (&1.into(), &1.into()));
}

#[test]
fn a_report_that_cannot_be_or_has_no_kind_is_refused_before_anything_happens() {
    for wrong in ["junit", "junit:", "html:x", ""] {
        assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
    }
    let wanted: Wanted = "junit:/nowhere/at/all.xml".parse().unwrap();
    assert!(Filed::open(header(), Box::new(Silent), &[wanted]).is_err());
}
