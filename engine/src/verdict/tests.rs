//! The table of verdicts, every combination of it, and what waivers make of them.

use super::*;

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn change(attribute: &str) -> Change {
    Change::new(attribute, Some("found".into()), Some("wanted".into()))
}

fn applied(undone: Option<&str>) -> Option<Applied> {
    Some(Applied { run: "1".into(), time: 100, undone: undone.map(str::to_owned) })
}

fn standing(applied: Option<Applied>, moved: bool, touched: Touched) -> Standing {
    Standing { applied, moved, touched, traces: Vec::new() }
}

fn yes() -> Touched {
    Touched::Yes(vec![change("mode")])
}

fn subject(changes: &[Change]) -> Subject<'_> {
    Subject { host: "web1", task: "file:/etc/motd", changes }
}

#[test]
fn every_combination_has_its_verdict() {
    use VerdictKind::{Drift, DriftAndPending, NeverApplied, Pending};
    let table = [
        // last apply, repository moved, touched, verdict
        (None, true, Touched::No, NeverApplied),
        (None, true, Touched::Unknown, NeverApplied),
        (None, true, yes(), DriftAndPending),
        (None, false, Touched::No, NeverApplied),
        (None, false, Touched::Unknown, NeverApplied),
        (None, false, yes(), DriftAndPending),
        (applied(None), false, Touched::No, Pending),
        (applied(None), false, Touched::Unknown, Drift),
        (applied(None), false, yes(), Drift),
        (applied(None), true, Touched::No, Pending),
        (applied(None), true, Touched::Unknown, Pending),
        (applied(None), true, yes(), DriftAndPending),
        (applied(Some("run 2 took it back")), false, Touched::No, Pending),
        (applied(Some("run 2 took it back")), false, Touched::Unknown, Pending),
        (applied(Some("run 2 took it back")), false, yes(), DriftAndPending),
        (applied(Some("run 2 took it back")), true, Touched::No, Pending),
        (applied(Some("run 2 took it back")), true, Touched::Unknown, Pending),
        (applied(Some("run 2 took it back")), true, yes(), DriftAndPending),
    ];
    let changes = [change("content")];
    for (applied, moved, touched, wanted) in table {
        let standing = standing(applied, moved, touched);
        let verdict = judge(subject(&changes), standing.clone(), &Waivers::default(), day("2026-11-23"));
        assert_eq!(verdict.kind, wanted, "{standing:?}");
        assert_eq!(verdict.kind.is_drift(), !verdict.drift.is_empty(), "{standing:?}");
        assert!(!verdict.is_waived());
    }
}

#[test]
fn drift_of_which_no_former_state_is_known_is_all_that_differs_seen_from_the_other_side() {
    let changes = [change("mode")];
    let standing = standing(applied(None), false, Touched::Unknown);
    let verdict = judge(subject(&changes), standing, &Waivers::default(), day("2026-11-23"));
    assert_eq!(verdict.drift, [Change::new("mode", Some("wanted".into()), Some("found".into()))]);
}

fn waiver(attributes: &[&str], until: &str) -> Waiver {
    Waiver {
        resource: "file:*".into(),
        hosts: None,
        attributes: attributes.iter().map(|&name| name.to_owned()).collect(),
        until: day(until),
        reason: "known".into(),
        by: None,
        place: "waivers.yaml:1:1".into(),
    }
}

#[test]
fn a_waiver_lets_be_what_it_covers_and_nothing_more() {
    let changes = [change("mode"), change("owner")];
    let drifted = |waivers: Vec<Waiver>| {
        let standing = standing(applied(None), false, Touched::Yes(changes.to_vec()));
        judge(subject(&changes), standing, &Waivers::of(waivers), day("2026-11-23"))
    };
    assert!(drifted(vec![waiver(&[], "2026-11-23")]).is_waived());
    assert!(!drifted(vec![waiver(&["mode"], "2026-11-23")]).is_waived());
    let both = drifted(vec![waiver(&["mode"], "2026-11-23"), waiver(&["owner"], "2027-01-01")]);
    assert_eq!((both.waived.len(), both.is_open_drift()), (2, false));
    let expired = drifted(vec![waiver(&[], "2026-11-22")]);
    assert_eq!((expired.is_waived(), expired.expired.len(), expired.is_open_drift()), (false, 1, true));
    // A newer one takes the place of one that has expired.
    assert!(drifted(vec![waiver(&[], "2026-11-22"), waiver(&[], "2026-12-01")]).is_waived());
}

#[test]
fn waived_drift_of_what_is_pending_too_leaves_it_pending() {
    let changes = [change("content")];
    let waivers = Waivers::of(vec![waiver(&[], "2027-01-01")]);
    let verdict = judge(subject(&changes), standing(applied(None), true, yes()), &waivers, day("2026-11-23"));
    assert_eq!((verdict.kind, verdict.is_waived()), (VerdictKind::Pending, false));
    // Nobody waives what the repository itself wants.
    let pending = standing(applied(None), true, Touched::No);
    let verdict = judge(subject(&changes), pending, &waivers, day("2026-11-23"));
    assert_eq!((verdict.kind, verdict.is_waived()), (VerdictKind::Pending, false));
}
