//! How roles are rolled out: one strategy out of several roles and the command line.

mod support;

use std::time::Duration;

use cm_plan::RolloutOverrides;
use cm_rollout::{OnFailure, Order, Promote, Size, Strategy};
use cm_syntax::Style;
use support::Repository;

fn strategy(first: &str, second: &str, overrides: &RolloutOverrides) -> Result<Strategy, String> {
    let role = |rollout: &str| format!("rollout:\n{rollout}tasks: []\n");
    let inventory = "hosts:\n  web1:\n";
    let repository = Repository::new(&[
        ("inventory.yaml", inventory),
        ("roles/a/role.yaml", &role(first)),
        ("roles/b/role.yaml", &role(second)),
    ]);
    let project = repository.load()?;
    match project.rollout(&["a".into(), "b".into()], overrides) {
        Ok(spec) => Ok(spec.strategy),
        Err(diagnostics) => Err(diagnostics.render(project.sources(), Style::plain())),
    }
}

const FIRST: &str = "  max_unavailable: 1\n  promote: manual\n";
const SECOND: &str = "  max_unavailable: 2\n  healthy_deadline: 7m\n";

#[test]
fn what_only_one_role_says_holds_for_all() {
    let merged = strategy("  promote: manual\n", SECOND, &RolloutOverrides::default()).unwrap();
    assert_eq!(merged.max_unavailable, Some(Size::Nodes(2)));
    assert_eq!((merged.promote, merged.healthy_deadline), (Promote::Manual, Duration::from_secs(420)));
    assert_eq!((merged.order, merged.on_failure), (Order::Given, OnFailure::Pause));
}

#[test]
fn roles_that_disagree_are_an_error_unless_the_command_line_decides() {
    let error = strategy(FIRST, SECOND, &RolloutOverrides::default()).unwrap_err();
    assert!(error.contains("disagree on `max_unavailable`"), "{error}");
    assert!(error.contains("`--max-unavailable` decides"), "{error}");
    let over = RolloutOverrides { max_unavailable: Some(Size::Nodes(3)), ..RolloutOverrides::default() };
    assert_eq!(strategy(FIRST, SECOND, &over).unwrap().max_unavailable, Some(Size::Nodes(3)));
}

/// `cm rollout resume` and whoever computed the targets again asked the roles anew, without the options that had decided
/// at the beginning: they failed with a disagreement that was none.
#[test]
fn what_was_decided_at_the_beginning_is_decided_when_the_roles_are_read_again() {
    let over = RolloutOverrides {
        max_unavailable: Some(Size::Nodes(3)),
        batches: Some(vec![Size::Nodes(1)]),
        max_failures: Some(Size::Percent(50)),
        on_failure: Some(OnFailure::RollBack),
        window: true,
        ..RolloutOverrides::default()
    };
    let (first, second) = (
        format!("{FIRST}  batch: [1, 2]\n  max_failures: 1\n  on_failure: pause\n  window: true\n"),
        format!("{SECOND}  batch: [3]\n  max_failures: 2\n  on_failure: abort\n  window: false\n"),
    );
    let begun = strategy(&first, &second, &over).unwrap();
    let again = strategy(&first, &second, &RolloutOverrides::decided(&begun)).unwrap();
    assert_eq!(again, begun);
}
