//! Five minutes without a word from a host. They take five minutes: they begin with the first test over breakable
//! hosts, pass while all others run, on a host that no other test touches, and are judged here, near the end.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cm_tests::{
    Hosts, Repository,
    faults::{HALTING, go_on, halted, no_agent, records_are_whole, recovers, tells},
};

const HOST: &str = "mute";
const SILENCE: Duration = Duration::from_secs(300);
/// An agent counts its controller as gone after 90 s of silence; the task that runs may then still end.
const AGENT_NOTICES: Duration = Duration::from_secs(100);

static BEGUN: OnceLock<Mutex<Option<JoinHandle<()>>>> = OnceLock::new();

/// The hosts that may be broken; whoever asks first begins the silence.
pub fn fragile_hosts() -> Option<&'static Hosts> {
    let hosts = cm_tests::fragile_hosts()?;
    BEGUN.get_or_init(|| Mutex::new(Some(thread::spawn(|| silence(hosts)))));
    Some(hosts)
}

fn silence(hosts: &Hosts) {
    // In the lab's folder: where nobody waits for the end of this, nothing of it is left all the same.
    let repository = Repository::within(&hosts.folder);
    repository
        .write("inventory.yaml", repository.inventory(hosts, "  g: { hosts: [mute] }\n", "  become: true\n"));
    repository.role("halting", HALTING);
    let run = halted(hosts, &repository, HOST, "");
    let start = Instant::now();
    hosts.lab.cut(HOST).expect("a host of the lab");
    let ran = run.finish().exits(4);
    tells(&ran, HOST, &["lost the agent on `mute`", "60 s", "the link may be cut", "the next run goes on"]);
    // The agent notices by itself: no task starts that nobody sees, and the node is free.
    thread::sleep(AGENT_NOTICES.saturating_sub(start.elapsed()));
    go_on(hosts, HOST);
    no_agent(hosts, HOST, Duration::from_secs(10));
    assert!(!hosts.holds(HOST, "test -e /srv/h.second"));
    thread::sleep(SILENCE.saturating_sub(start.elapsed()));
    records_are_whole(&repository);
    hosts.lab.restore(HOST).expect("a host of the lab");
    recovers(hosts, &repository, HOST, "halting on mute");
}

#[test]
fn a_link_that_is_cut_for_five_minutes() {
    if fragile_hosts().is_none() {
        return;
    }
    let begun = BEGUN.get().and_then(|begun| begun.lock().unwrap_or_else(PoisonError::into_inner).take());
    let ended = begun.expect("only this test waits for it").join();
    assert!(ended.is_ok(), "what went wrong is told above, by the thread of the silence");
}
