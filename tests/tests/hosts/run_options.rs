//! What all commands share: selection, tags, order, `each`, `when`, `needs`, exit codes, history.

use cm_tests::{Repository, hosts};

#[test]
fn tasks_are_repeated_left_out_and_handed_values() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "outer",
        "needs: [{ role: inner, with: { word: given } }]\ntasks:\n  - file: \"/srv/each-{{ item }}\"\n    content: \"{{ item }}\\n\"\n    each: [a, b]\n  - file: /srv/only-eleven\n    content: x\n    when: node.os.version == \"11\"\n  - file: /srv/tagged\n    content: x\n    tags: [special]\n",
    );
    repository.role("inner", "params:\n  word: { type: string, default: unset }\ntasks:\n  - file: /srv/inner\n    content: \"{{ word }}\\n\"\n");
    repository.converges("outer on releases --tags special");
    assert!(!hosts.holds("d12", "test -e /srv/each-a"));
    repository.converges("outer on releases --limit d11,d12");
    assert!(!hosts.holds("d13", "test -e /srv/each-a"));
    repository.converges("outer on releases");
    assert_eq!(
        hosts.sh(
            "d13",
            "cat /srv/each-a /srv/each-b /srv/inner; ls /srv/only-eleven 2>/dev/null || echo none"
        ),
        "a\nb\ngiven\nnone\n"
    );
    assert_eq!(hosts.sh("d11", "ls /srv/only-eleven"), "/srv/only-eleven\n");
}

#[test]
fn a_group_is_finished_before_the_next_begins() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  db: { hosts: [d13] }\n  web: { hosts: [d11, d12] }\n  all_services: { groups: [web, db], order: [db, web] }\n",
    );
    repository.role("stamp", "tasks:\n  - command: sleep 0.3\n    changed_when: false\n");
    let ran = repository.cm("apply stamp on all_services --json").exits(0);
    let events = ran.events();
    let at = |kind: &str, host: &str| {
        events
            .iter()
            .position(|event| event["event"] == kind && event["host"] == host)
            .unwrap_or_else(|| panic!("{kind} {host}: {}", ran.said()))
    };
    assert!(at("host", "d13") < at("connecting", "d11"));
    assert!(at("host", "d13") < at("connecting", "d12"));
}

#[test]
fn exit_codes_failed_hosts_and_history() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    hosts.sh("d12", "rm -f /srv/may-pass");
    hosts.sh("d11", "touch /srv/may-pass");
    hosts.sh("d13", "touch /srv/may-pass");
    repository.role("gate", "tasks:\n  - command: test -e /srv/may-pass\n    id: gate\n    changed_when: false\n  - file: /srv/passed\n    content: \"{{ text }}\"\n    needs: gate\nparams:\n  text: { type: string, default: a }\n");
    let _ = repository.cm("plan gate on nowhere").exits(1).says(&["nowhere"]);
    let _ = repository.cm("plan gate").exits(1).says(&["needs a target"]);
    let _ =
        repository.cm("apply gate on releases").exits(3).says(&["task `gate` failed on `d12`", "1 failed"]);
    hosts.sh("d12", "touch /srv/may-pass");
    let ran = repository.cm("apply gate on @failed --json").exits(0);
    assert!(
        ran.events().iter().all(|event| event["host"].is_null() || event["host"] == "d12"),
        "{}",
        ran.said()
    );
    let ran = repository.cm("apply gate on releases --limit @failed");
    assert!(!ran.said().contains("panicked"), "{}", ran.said());
    let _ = repository.cm("plan gate on releases --set text=b").exits(2).says(&["would change", "+b", "-a"]);
    let _ = repository.cm("plan gate on releases --set text=b --no-diff").exits(2).never_says(&["+b"]);
    let history = repository
        .cm("history")
        .exits(0)
        .says(&["apply gate on @failed", "plan gate on releases --set text="]);
    assert_eq!(history.stdout.matches("apply gate on releases").count(), 2, "{}", history.stdout);
    let lines = repository.cm("history --json").exits(0).events();
    let failed = lines.iter().find(|run| run["state"] == "failed").unwrap_or_else(|| panic!("{lines:#?}"));
    let id = failed["id"].as_str().unwrap_or_else(|| panic!("{failed:#?}"));
    let _ = repository.cm(&format!("show {id}")).exits(0).says(&["d12", "gate", "failed"]);
    let _ = repository.cm("show last --json").exits(0);
    let _ = repository.cm("show no-such-run").exits(1);
    let _ = repository.cm("node list").exits(0).says(&["d11", "d12", "d13"]);
    let _ = repository.cm("node show d12").exits(0).says(&["d12"]);
}

#[test]
fn one_command_now_and_facts() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let _ = repository.cm_words(&["run", "--stream", "hostname; id -un", "on", "releases"]).exits(0).says(&[
        "d11 | d11",
        "d12 | root",
        "d13 | d13",
    ]);
    let _ = repository
        .cm_words(&["run", "hostname >&2; id -un", "on", "d11,d12"])
        .exits(0)
        .says(&["d11\n    root\n  ! d11\n", "d12\n    root\n  ! d12\n"]);
    let same = "cat /etc/timezone; echo none >&2; [ \"$(hostname)\" != d13 ]";
    let ran = repository.cm_words(&["run", same, "on", "releases"]).exits(3);
    let _ = ran.says(&["d11, d12\n", "d13: exit status 1\n"]);
    let _ = repository.cm_words(&["run", "echo oops >&2; exit 3", "on", "d12"]).exits(3).says(&["oops", "3"]);
    let ran = repository.cm("facts on releases --columns os.version,os.codename,hostname").exits(0);
    let ran = ran.says(&["host  os.version  os.codename  hostname", "d11   11          bullseye     d11"]);
    assert!(!ran.stdout.contains("GiB"), "{}", ran.stdout);
    let newer = ["facts", "on", "releases", "--where", "node.os.version | int > 11"];
    let ran = repository.cm_words(&newer).exits(0).says(&["d12", "d13"]).never_says(&["d11 "]);
    assert_eq!(ran.stdout.matches("debian").count(), 2, "{}", ran.stdout);
    let ran = repository.cm_words(&[&newer[..], &["--json"]].concat()).exits(0);
    let told = ran.events().iter().filter(|event| event["facts"].is_object()).count();
    assert_eq!(told, 2, "{}", ran.stdout);
    let _ = repository.cm_words(&["facts", "on", "releases", "--where", "nod.cpus"]).exits(1).says(&["nod"]);
    let _ =
        repository.cm("facts on releases --columns os.verson").exits(1).says(&["did you mean `os.version`?"]);
    let ran = repository.cm("facts on releases --json").exits(0);
    for (host, version, codename) in
        [("d11", "11", "bullseye"), ("d12", "12", "bookworm"), ("d13", "13", "trixie")]
    {
        let events = ran.events();
        let found = events.iter().find(|event| event["event"] == "connected" && event["host"] == host);
        let facts = found.unwrap_or_else(|| panic!("{}", ran.stdout))["facts"].clone();
        assert_eq!(facts["hostname"], host, "{facts}");
        assert_eq!(
            (&facts["os"]["family"], &facts["os"]["version"], &facts["os"]["codename"]),
            (&"debian".into(), &version.into(), &codename.into())
        );
        let addresses = facts["addresses"].to_string();
        assert!(addresses.contains(&hosts.address(host)), "{addresses}");
    }
}

#[test]
fn a_failure_stops_the_rest_where_that_is_asked_for() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "fast",
        "tasks:\n  - command: exit 1\n    id: first\n    parallel: true\n  - command: sleep 1\n    id: second\n    parallel: true\n    changed_when: false\n  - file: /srv/after-fail-fast\n    content: x\n    needs: second\n",
    );
    let ran = repository.cm("apply fast on d12 --fail-fast --json").exits(3);
    assert_eq!(
        ran.outcome("d12", "file:/srv/after-fail-fast").as_deref(),
        Some("cancelled"),
        "{}",
        ran.said()
    );
    assert!(!hosts.holds("d12", "test -e /srv/after-fail-fast"));
    let ran = repository.cm("apply fast on d12 --json").exits(3);
    assert_eq!(ran.outcome("d12", "file:/srv/after-fail-fast").as_deref(), Some("changed"), "{}", ran.said());
}

#[test]
fn values_disagree_or_lack_before_any_host_is_touched() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  a: { hosts: [d11], vars: { x: 1 } }\n  b: { hosts: [d11], vars: { x: 2 } }\n",
    );
    repository.role("r", "tasks:\n  - file: /srv/x\n    content: \"{{ x }}\"\n");
    let _ = repository.cm("apply r on d11").exits(1).says(&["`x`", "inventory.yaml"]);
    let _ = repository.cm("apply r on d12").exits(1);
    assert!(!hosts.holds("d11", "test -e /srv/x"));
}
