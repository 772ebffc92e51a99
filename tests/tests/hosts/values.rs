//! What templates see: facts of this host and of others, groups; and values that are not to be seen.

use cm_tests::{Repository, hosts};

#[test]
fn templates_see_other_hosts() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  web: { hosts: [d11, d12], vars: { tier: front } }\n  db: { hosts: [d13] }\n",
    );
    repository.write(
        "roles/peers/templates/peers.j2",
        "{% for name in groups.web.hosts %}{{ name }} {{ hosts[name].address }} {{ hosts[name].facts.os.codename }}\n{% endfor %}me {{ host.name }} {{ node.os.version }} {{ node.arch }}\ndb {{ hosts.d13.facts.hostname }}\n",
    );
    repository.role("peers", "tasks:\n  - file: /etc/peers\n    template: peers.j2\n");
    repository.converges("peers on web,db");
    let wanted = format!(
        "d11 {} bullseye\nd12 {} bookworm\nme d13 13 {}\ndb d13\n",
        hosts.address("d11"),
        hosts.address("d12"),
        std::env::consts::ARCH
    );
    assert_eq!(hosts.sh("d13", "cat /etc/peers"), wanted);
    // Facts of hosts that are not part of a run are those of the last one.
    repository.is_converged("peers on d13");
}

#[test]
fn sensitive_tasks_show_nothing() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "hush",
        "tasks:\n  - file: /srv/hushed\n    content: \"{{ token }}\"\n    sensitive: true\n  - command: \"echo {{ token }}; echo {{ token }} >&2; exit 1\"\n    id: talks\n    sensitive: true\nparams:\n  token: { type: string, default: unspeakable-1 }\n",
    );
    let _ = repository
        .cm("plan hush on d12 -v")
        .exits(2)
        .says(&["file:/srv/hushed"])
        .never_says(&["unspeakable"]);
    let _ = repository.cm("apply hush on d12 -v").exits(3).never_says(&["unspeakable"]);
    let _ = repository
        .cm("apply hush on d12 --json --set token=unspeakable-2")
        .exits(3)
        .never_says(&["unspeakable"]);
    let _ = repository.cm("show last --all").exits(0).never_says(&["unspeakable"]);
    assert_eq!(hosts.sh("d12", "cat /srv/hushed"), "unspeakable-2");
    let state = std::fs::read(repository.folder().join(".cm/state.redb")).expect("a state file");
    assert!(!state.windows(11).any(|window| window == b"unspeakable"));
}

#[test]
fn a_task_runs_as_another_user() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("as", "tasks:\n  - command: id -un > /tmp/who-ran; pwd >> /tmp/who-ran\n    become: ops\n    creates: /tmp/who-ran\n");
    repository.converges("as on releases");
    for host in cm_tests::Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "head -n 1 /tmp/who-ran; stat -c %U /tmp/who-ran; rm /tmp/who-ran"),
            "ops\nops\n",
            "on {host}"
        );
    }
}

#[test]
fn a_group_takes_names_ranges_and_exclusions_of_the_command_line() {
    let Some(hosts) = hosts() else { return };
    let repository =
        Repository::with_groups(hosts, "  web: { hosts: [d11, d12, d13] }\n  even: { hosts: [d12, e12] }\n");
    let on = |target: &str| {
        let ran = repository.cm(&format!("facts on {target} --json --forks 1")).exits(0);
        let mut names: Vec<String> = ran
            .events()
            .iter()
            .filter(|event| event["event"] == "host")
            .filter_map(|event| Some(event["host"].as_str()?.to_owned()))
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(on("web:!d11"), "d12 d13");
    assert_eq!(on("web:&even"), "d12");
    assert_eq!(on("web[0:1]"), "d11 d12");
    assert_eq!(on("even,d13"), "d12 d13 e12");
    assert_eq!(on("all"), "d11 d12 d13 e12");
}
