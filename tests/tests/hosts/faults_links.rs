//! The controller killed, the link cut for a moment and for minutes, and two controllers at once.

use std::{thread, time::Duration};

use cm_tests::{
    Hosts, Repository, eventually,
    faults::{HALTING, chain, go_on, halted, no_agent, recovers, tells, unchain},
};

use crate::silence::fragile_hosts;

const HOST: &str = "links";
/// Another one, where two are needed.
const BESIDE: &str = "beside";

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [links, beside] }\n");
    repository.role("chain", &chain("chain"));
    repository.role("halting", HALTING);
    repository
}

#[test]
fn the_controller_is_killed_at_each_boundary_between_tasks() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    for boundary in [0, 1, 3, 5, 7] {
        unchain(hosts, HOST, "chain");
        let mut run = repository.watch("apply chain on links");
        run.until(|event| event["event"] == "planned");
        run.after_tasks(boundary);
        run.kill();
        assert_eq!(run.finish().code, None);
        // sshd tells the agent at once; what runs comes to its end.
        no_agent(hosts, HOST, Duration::from_secs(20));
        recovers(hosts, &repository, HOST, "chain on links");
    }
    let runs = repository.cm("history -n 100 --json").exits(0).events();
    let interrupted: Vec<_> = runs.iter().filter(|run| run["state"] == "interrupted").collect();
    assert_eq!(interrupted.len(), 5, "{runs:#?}");
    let id = interrupted[0]["id"].as_str().unwrap_or_default();
    let _ = repository.cm(&format!("show {id}")).exits(0).says(&[
        "its controller (process",
        "links: unknown",
        "cm verify",
    ]);
}

#[test]
fn what_hosts_had_done_outlives_their_killed_controller() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    hosts.sh(BESIDE, "touch /run/h.go; rm -f /srv/h.*");
    hosts.sh(HOST, "rm -f /run/h.here /run/h.go /srv/h.*");
    let mut run = repository.watch("apply halting on g");
    run.until(|event| event["event"] == "host" && event["host"] == BESIDE);
    eventually("the halt", Duration::from_secs(20), || {
        hosts.holds(HOST, "test -e /run/h.here").then_some(())
    });
    // A host that has ended is on disk soon, though the other one is still at work.
    let id = eventually("the record of the host that has ended", Duration::from_secs(10), || {
        let runs = repository.cm("history --json").exits(0).events();
        (runs[0]["hosts"]["changed"] == 1).then(|| runs[0]["id"].as_str().unwrap_or_default().to_owned())
    });
    run.kill();
    let _ = run.finish();
    let shown = repository.cm(&format!("show {id} --json")).exits(0).events();
    assert_eq!(shown[0]["state"], "interrupted");
    assert_eq!(shown[0]["host_results"][0]["host"], BESIDE);
    assert_eq!(shown[0]["hosts_without_result"], serde_json::json!([HOST]));
    go_on(hosts, HOST);
    no_agent(hosts, HOST, Duration::from_secs(20));
    recovers(hosts, &repository, HOST, "halting on g");
}

#[test]
fn a_link_that_is_cut_for_a_second_is_not_noticed() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    let run = halted(hosts, &repository, HOST, "");
    hosts.lab.cut(HOST).expect("a host of the lab");
    go_on(hosts, HOST);
    thread::sleep(Duration::from_secs(1));
    hosts.lab.restore(HOST).expect("a host of the lab");
    let ran = run.finish().exits(0);
    assert_eq!(ran.outcome(HOST, "file:/srv/h.second").as_deref(), Some("changed"), "{}", ran.said());
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    recovers(hosts, &repository, HOST, "halting on links");
}

#[test]
fn two_controllers_at_once_both_come_to_their_end() {
    let Some(hosts) = fragile_hosts() else { return };
    let (repository, other) = (repository(hosts), self::repository(hosts));
    let first = halted(hosts, &repository, HOST, "");
    other.role("other", "tasks:\n  - file: /srv/h.other\n    content: other\n");
    // One that will not wait is told who has the node, and changes nothing.
    let refused = other.cm("apply other on links --lock-wait 0s --json").exits(3);
    tells(
        &refused,
        HOST,
        &["nothing was changed on `links`", "run ", "tester@", "holds the node", "--lock-wait"],
    );
    assert!(!hosts.holds(HOST, "test -e /srv/h.other"));
    let mut second = other.watch("apply other on links --lock-wait 60s");
    let waiting = second.until(|event| event["event"] == "waiting");
    assert!(waiting["holder"].as_str().is_some_and(|who| who.contains("tester@")), "{waiting}");
    go_on(hosts, HOST);
    let _ = first.finish().exits(0);
    let _ = second.finish().exits(0);
    assert_eq!(hosts.sh(HOST, "cat /srv/h.other"), "other");
    recovers(hosts, &repository, HOST, "halting on links");
    recovers(hosts, &other, HOST, "other on links");
    // Two of one repository, over one record, at the same moment.
    unchain(hosts, HOST, "chain");
    let (a, b) = (repository.watch("apply chain on links"), repository.watch("apply chain on links"));
    let (a, b) = (a.finish().exits(0), b.finish().exits(0));
    let changed = |ran: &cm_tests::Ran| cm_tests::differences(ran).len();
    assert_eq!(
        changed(&a) + changed(&b),
        9,
        "one changes, the other finds it done:\n{}\n{}",
        a.said(),
        b.said()
    );
    recovers(hosts, &repository, HOST, "chain on links");
}
