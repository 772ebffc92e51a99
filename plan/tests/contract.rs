//! The example of the language contract, section 2 and 3, as it stands there.

mod support;

use std::path::Path;

use cm_plan::Request;
use support::{load, outline, plan};

#[test]
fn the_example_role_becomes_the_tasks_one_expects() {
    let project = load(Path::new("tests/contract"), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let plan = plan(&project, "web03", &Request::default()).unwrap_or_else(|errors| panic!("{errors}"));
    insta::assert_snapshot!(outline(&plan));
    assert_eq!(plan.origins[plan.checks_from].place.as_ref(), "roles/web/role.yaml:25:5");
}
