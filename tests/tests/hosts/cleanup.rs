//! `cm cleanup`: a role off a host, and the host as it was before.

use cm_tests::{Hosts, Repository, undoing_hosts};

const HOST: &str = "cleaned";

fn state(hosts: &Hosts) -> String {
    hosts.sh(
        HOST,
        "cat /etc/motd; find /srv -path /srv/cm-lab -prune -o -printf '%p %y %m %u:%g\\n' | sort; getent passwd | sort; \
         getent group | sort; dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'; apt-mark showmanual; \
         systemctl is-enabled cm-lab-daemon 2>&1 || true",
    )
}

#[test]
fn a_role_is_taken_off_and_nothing_of_it_stays() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    hosts.sh(HOST, "printf 'of the host\\n' >/etc/motd");
    let before = state(hosts);
    repository.role(
        "site",
        "needs: [ground]\ntasks:\n  - file: /etc/motd\n    content: \"of cm\\n\"\n  - directory: /srv/site\n    owner: siteuser\n  - file: /srv/site/page\n    content: \"page\\n\"\n    owner: siteuser\n  - user: siteuser\n    system: true\n  - package: cm-lab-daemon\n  - service: cm-lab-daemon\ncleanup:\n  - command: echo \"$(cat /srv/site/page)\" >/run/cm-said-good-bye\n",
    );
    repository
        .role("ground", "tasks:\n  - directory: /srv/ground\ncleanup:\n  - command: touch /run/ground-too\n");
    let _ = repository.cm("apply site on cleaned").exits(0);
    repository.is_converged("site on cleaned");

    let _ = repository.cm("cleanup site on cleaned").exits(2).says(&["--yes"]);
    let ran = repository.cm("cleanup site on cleaned --yes").exits(0);
    let _ = ran.says(&["package:cm-lab-daemon changed", "package:cm-lab-lib changed", "command:echo"]);
    // Its own list came first; that of the role it needs is not its own.
    assert_eq!(hosts.sh(HOST, "cat /run/cm-said-good-bye"), "page\n");
    assert!(!hosts.holds(HOST, "test -e /run/ground-too"));
    assert!(hosts.holds(HOST, "test -d /srv/ground && ! test -e /srv/site"));
    let _ = repository.cm("cleanup ground on cleaned --yes").exits(0);
    let after = state(hosts);
    let differs = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|known| known == *line)).map(str::to_owned).collect()
    };
    assert_eq!((differs(&before, &after), differs(&after, &before)), (vec![], vec![]));
    let known = repository.cm("node show cleaned --json").exits(0);
    assert!(known.stdout.contains("\"resources\":[]"), "{}", known.stdout);
    let again = repository.cm("cleanup site on cleaned --yes").exits(0);
    let _ = again.says(&["1 ok", "remembers nothing of role site"]);
}

#[test]
fn what_others_want_stays_and_what_was_edited_is_kept_beside() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    hosts.sh("forgot", "dpkg -s cm-lab-lib >/dev/null 2>&1 || { apt-get -q update && apt-get -qy install cm-lab-lib; } >/dev/null");
    let role = |name: &str| {
        format!(
            "tasks:\n  - directory: /srv/shared\n  - file: /srv/shared/both\n    content: x\n  - file: /srv/shared/{name}\n    content: \"{name}\\n\"\n  - package: cm-lab-lib\n"
        )
    };
    repository.role("left", &role("left")).role("right", &role("right"));
    let _ = repository.cm("apply left,right on forgot").exits(0);
    hosts.sh("forgot", "echo edited >>/srv/shared/left");
    // A role that is gone from the repository is still known to the node.
    std::fs::remove_dir_all(repository.folder().join("roles/left")).expect("it was written");
    let ran = repository.cm("cleanup left on forgot --yes").exits(0);
    let _ = ran.says(&["there is no role `left` in the repository", "left.cm-kept"]);
    let left = hosts.sh(
        "forgot",
        "ls /srv/shared; cat /srv/shared/left.cm-kept; dpkg-query -W -f '${Package}\\n' cm-lab-lib",
    );
    assert_eq!(left, "both\nleft.cm-kept\nright\nleft\nedited\ncm-lab-lib\n");
    repository.is_converged("right on forgot");

    // What nodes remember makes the database again.
    let known = |repository: &Repository| {
        let node = repository.cm("node show forgot --json").exits(0).events().remove(0);
        let resources = node["resources"].as_array().cloned().unwrap_or_default();
        let changed: Vec<String> = resources
            .iter()
            .filter(|resource| !resource["changed"].is_null())
            .map(|resource| format!("{} {} {}", resource["id"], resource["role"], resource["changed"]["run"]))
            .collect();
        (changed, node["host_key"].clone(), node["boot_id"].clone(), node["facts"]["hostname"].clone())
    };
    let before = known(&repository);
    assert!(!before.0.is_empty());
    let runs = |repository: &Repository| -> Vec<String> {
        let runs = repository.cm("history --json").exits(0).events();
        let changing = runs
            .iter()
            .filter(|run| run["mode"] != "plan" && run["mode"] != "verify" && run["tasks"]["changed"] != 0);
        let mut ids: Vec<String> = changing.map(|run| run["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let runs_before = runs(&repository);
    let state = repository.folder().join(".cm/state.redb");
    std::fs::rename(&state, state.with_extension("old")).expect("the database is there");
    let _ = repository.cm("state rebuild on forgot").exits(0).says(&["put back"]);
    assert_eq!(known(&repository), before);
    let runs_after = repository.cm("history --json").exits(0).stdout;
    assert!(
        runs_before.iter().all(|run| runs_after.contains(run.trim_matches('"'))),
        "{runs_before:?} {runs_after}"
    );
    // A second time there is nothing to put back, and what is known better stays.
    let _ = repository
        .cm("state rebuild on forgot")
        .exits(0)
        .says(&["0 runs with 0 results of hosts, 0 resources"]);
    let _ = repository.cm("cleanup on forgot --yes").exits(0);
    assert_eq!(hosts.sh("forgot", "ls /srv/shared"), "left.cm-kept\n");
    // A damaged file is not touched; how to move it away is said.
    std::fs::write(&state, b"redb?").expect("a writable folder");
    let _ = repository.cm("state rebuild on forgot").exits(1).says(&["mv "]);
}
