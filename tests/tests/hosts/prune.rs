//! Orphans: what an earlier version of a role put on a host and the role no longer wants.

use cm_tests::{Repository, undoing_hosts};

#[test]
fn what_a_role_no_longer_wants_is_told_and_taken_back_where_that_is_wanted() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    hosts.sh("pruned", "printf 'before\\n' >/etc/pruned.conf");
    let keep =
        "tasks:\n  - directory: /srv/prune\n  - file: /srv/prune/keep\n    content: x\n    tags: keep\n";
    let drop =
        "  - file: /srv/prune/drop\n    content: x\n  - file: /etc/pruned.conf\n    content: \"of cm\\n\"\n";
    repository.role("prune", &format!("{keep}{drop}"));
    let _ = repository.cm("apply prune on pruned").exits(0);
    repository.role("prune", keep);

    let plan = repository.cm("plan prune on pruned").exits(0);
    let _ = plan.says(&["orphaned: path:/srv/prune/drop of role prune on pruned; `--prune` takes it back"]);
    let events = repository.cm("plan prune on pruned --json").exits(0).events();
    let orphans: Vec<_> = events.iter().filter(|event| event["event"] == "orphan").collect();
    assert_eq!(orphans.len(), 2, "{orphans:#?}");
    assert_eq!(orphans[0]["task"], "file:/etc/pruned.conf");
    // A part of a role says nothing about the rest.
    let _ = repository.cm("plan prune on pruned --tags keep").exits(0).never_says(&["orphaned"]);
    let _ = repository.cm("apply prune on pruned --tags keep --prune").exits(1).says(&["--prune", "--tags"]);
    let _ = repository.cm("apply prune on pruned").exits(0).says(&["orphaned"]);
    assert!(hosts.holds("pruned", "test -e /srv/prune/drop"));

    let planned = repository.cm("plan prune on pruned --prune").exits(2).never_says(&["orphaned"]);
    let _ = planned.says(&["path:/srv/prune/drop would change", "-of cm", "+before"]);
    let _ = repository.cm("apply prune on pruned --prune").exits(0);
    assert!(!hosts.holds("pruned", "test -e /srv/prune/drop"));
    assert_eq!(hosts.sh("pruned", "cat /etc/pruned.conf; ls /srv/prune"), "before\nkeep\n");
    let _ = repository.cm("plan prune on pruned --prune").exits(0).never_says(&["orphaned"]);
    let known = repository.cm("node show pruned --json").exits(0);
    assert!(!known.stdout.contains("pruned.conf"), "{}", known.stdout);

    // A role that says so itself.
    repository.role("prune", &format!("prune: true\n{keep}{drop}"));
    let _ = repository.cm("apply prune on pruned").exits(0);
    repository.role("prune", &format!("prune: true\n{keep}"));
    let _ = repository.cm("apply prune on pruned").exits(0);
    assert_eq!(hosts.sh("pruned", "cat /etc/pruned.conf; ls /srv/prune"), "before\nkeep\n");
}
