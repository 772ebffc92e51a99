//! A plan kept in a file is done exactly, or not at all; where a graph is begun in its middle; where the time went.

use cm_tests::{Repository, hosts};

const ROLE: &str = "params:\n  text: { type: string, default: a }\ntasks:\n  - directory: /srv/planned\n  - file: /srv/planned/a\n    content: \"{{ text }}\\n\"\n  - file: /srv/planned/b\n    content: b\n    needs: file:/srv/planned/a\n  - command: touch /srv/planned/ran\n    creates: /srv/planned/ran\n    needs: file:/srv/planned/b\nverify:\n  - file: /srv/planned/a\n    contains: \"{{ text }}\"\n";

#[test]
fn a_plan_in_a_file_is_done_exactly_or_not_at_all() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("planned", ROLE);
    let _ = repository
        .cm("plan planned on d11,d12 --set text=one -o p1.json")
        .exits(2)
        .says(&["the plan of 2 of 2 hosts is in p1.json: `cm apply p1.json`"]);
    assert!(!hosts.holds("d12", "test -e /srv/planned"));
    let _ =
        repository.cm("apply p1.json --set text=two").exits(1).says(&["a plan is applied as it was made"]);
    let _ = repository.cm("apply planned on d12 -o x.json").exits(1).says(&["`cm apply` makes none"]);
    // Somebody is faster on one of the hosts: nothing is changed there.
    hosts.sh("d12", "mkdir /srv/planned");
    let ran = repository.cm("apply p1.json").exits(3);
    let _ = ran.says(&[
        "nothing was changed on `d12`",
        "it has changed since it was planned",
        "directory:/srv/planned",
        "cm plan … -o FILE",
    ]);
    assert!(!hosts.holds("d12", "test -e /srv/planned/a"));
    assert_eq!(hosts.sh("d11", "cat /srv/planned/a"), "one\n");
    // A plan that was carried out already finds something else, too.
    let _ = repository.cm("apply p1.json --limit d11").exits(1);
    let _ = repository.cm("apply p1.json").exits(3).says(&["d11", "d12"]);
    // The repository moves on: what was planned is not what it wants now.
    let _ = repository.cm("plan planned on d12 -o p2.json").exits(2);
    repository.role("planned", &ROLE.replace("content: b", "content: other"));
    let _ =
        repository.cm("apply p2.json").exits(3).says(&["the repository, variables or facts have changed"]);
    assert!(!hosts.holds("d12", "test -e /srv/planned/b"));
    repository.role("planned", ROLE);
    let _ = repository.cm("apply p2.json").exits(0).says(&["file:/srv/planned/a changed on d12"]);
    let _ = repository.cm("apply planned on d12").exits(0).says(&["1 ok"]);
    // A host that cannot be reached is no part of the plan.
    let _ = repository.cm("plan planned on d12 -o p3.json").exits(0);
    let _ = repository.cm("apply p3.json").exits(0).says(&["1 ok"]);
    let _ = repository.cm("apply roles/planned/role.yaml").exits(1).says(&["is no plan"]);
    hosts.sh("d11", "rm -r /srv/planned");
    hosts.sh("d12", "rm -r /srv/planned");
}

#[test]
fn a_graph_is_begun_in_its_middle_and_its_time_is_shown() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("planned", &ROLE.replace("/srv/planned", "/srv/begun"));
    hosts.sh("d13", "mkdir /srv/begun");
    let start = "apply planned on d13 --start-at file:/srv/begun/b";
    let ran = repository.cm(&format!("{start} --json")).exits(3);
    assert_eq!(ran.outcome("d13", "file:/srv/begun/a"), None, "{}", ran.said());
    assert_eq!(ran.outcome("d13", "file:/srv/begun/b").as_deref(), Some("changed"));
    assert_eq!(ran.outcome("d13", "command:touch /srv/begun/ran").as_deref(), Some("changed"));
    assert!(!hosts.holds("d13", "test -e /srv/begun/a"));
    let _ = repository.cm(&start.replace("begun/b", "begun/c")).says(&["there is no task", "did you mean"]);
    let _ = repository.cm("apply planned on d12,d13").exits(0);
    let shown = repository.cm("show last --waterfall").exits(0);
    let _ = shown.says(&["hosts, ", "d12  ", "d13  ", "--host NAME"]);
    let shown = repository.cm("show last --waterfall --host d12 --svg w.svg").exits(0);
    let _ = shown.says(&["directory:/srv/begun", "█", "connecting, planning and telling took the other"]);
    let svg = std::fs::read_to_string(repository.folder().join("w.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("file:/srv/begun/b"), "{svg}");
    hosts.sh("d12", "rm -r /srv/begun");
    hosts.sh("d13", "rm -r /srv/begun");
}
