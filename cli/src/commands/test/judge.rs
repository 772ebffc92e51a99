//! What the answers of commands must be, one against the other. Pure.

use std::collections::BTreeSet;

use super::child::Difference;

/// What is wrong where a plan and the apply after it do not tell the same. What nobody can know may be changed or not.
pub fn plan_was_exact(planned: &[Difference], applied: &[Difference]) -> Vec<String> {
    let unknown: BTreeSet<(&str, &str)> =
        planned.iter().filter(|task| task.outcome == "unknown").map(identity).collect();
    let of_known = |task: &&Difference| !unknown.contains(&identity(task));
    let planned: Vec<&Difference> = planned.iter().filter(of_known).collect();
    let applied: Vec<&Difference> = applied.iter().filter(of_known).collect();
    let mut wrong = Vec::new();
    for task in &planned {
        match applied.iter().find(|other| identity(other) == identity(task)) {
            None => wrong.push(format!("{}: {} was planned to change and did not", task.host, task.task)),
            Some(other) if other.changes != task.changes => wrong.push(format!(
                "{}: {} changed otherwise than planned\n    planned: {}\n    changed: {}",
                task.host, task.task, task.changes, other.changes
            )),
            Some(_) => {}
        }
    }
    for task in &applied {
        if !planned.iter().any(|other| identity(other) == identity(task)) {
            wrong.push(format!(
                "{}: {} changed and was not planned to: {}",
                task.host, task.task, task.changes
            ));
        }
    }
    wrong
}

/// What is wrong where nothing may have changed.
pub fn nothing_changed(found: &[Difference]) -> Vec<String> {
    found
        .iter()
        .map(|task| format!("{}: {} is {} again: {}", task.host, task.task, task.outcome, task.changes))
        .collect()
}

/// What is wrong where verify must name exactly these tasks on each of these hosts. Checks may fail or not.
pub fn names_exactly(found: &[Difference], wanted: &[String], hosts: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for host in hosts {
        let named: BTreeSet<&str> = found
            .iter()
            .filter(|task| task.host == *host && !task.check)
            .map(|task| task.task.as_str())
            .collect();
        for task in wanted.iter().filter(|task| !named.contains(task.as_str())) {
            wrong.push(format!("{host}: verify does not name {task}"));
        }
        for task in named.iter().filter(|task| !wanted.iter().any(|wanted| wanted == *task)) {
            wrong.push(format!("{host}: verify also names {task}, which `finds` does not"));
        }
    }
    for task in found.iter().filter(|task| !task.check && !hosts.contains(&task.host)) {
        wrong.push(format!("{}: verify names {}, and the host was not damaged", task.host, task.task));
    }
    wrong
}

fn identity(task: &Difference) -> (&str, &str) {
    (&task.host, &task.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(task: &str, outcome: &str, changes: &str) -> Difference {
        Difference {
            host: "node1".into(),
            task: task.into(),
            outcome: outcome.into(),
            check: false,
            changes: changes.into(),
        }
    }

    #[test]
    fn a_plan_is_exact_but_for_what_nobody_can_know() {
        let planned =
            [task("a:1", "changed", "x"), task("b:1", "unknown", "[]"), task("c:1", "changed", "y")];
        let same = [task("a:1", "changed", "x"), task("b:1", "changed", "z"), task("c:1", "changed", "y")];
        assert_eq!(plan_was_exact(&planned, &same), [""; 0]);
        assert_eq!(plan_was_exact(&planned, &[same[0].clone(), same[2].clone()]), [""; 0]);
        let other = [task("a:1", "changed", "other"), task("d:1", "changed", "n")];
        let wrong = plan_was_exact(&planned, &other);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("a:1 changed otherwise than planned"));
        assert!(wrong[1].contains("c:1 was planned to change and did not"));
        assert!(wrong[2].contains("d:1 changed and was not planned to"));
    }

    #[test]
    fn verify_must_name_what_was_damaged_and_no_more() {
        let hosts = ["node1".to_owned()];
        let mut check = task("http:x", "failed", "[]");
        check.check = true;
        let found = [task("a:1", "changed", "x"), check];
        assert_eq!(names_exactly(&found, &["a:1".into()], &hosts), [""; 0]);
        assert!(names_exactly(&found, &["b:1".into()], &hosts)[0].contains("does not name b:1"));
        assert!(names_exactly(&found, &["b:1".into()], &hosts)[1].contains("also names a:1"));
        assert!(names_exactly(&found, &[], &["node2".into()])[0].contains("was not damaged"));
    }
}
