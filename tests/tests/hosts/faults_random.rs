//! Any fault at any moment, many rounds: what no list of cases thinks of.
//!
//! `CM_FAULT_ROUNDS=50 CM_FAULT_SEED=7 cargo test --package cm-tests --test hosts faults_random -- --ignored`;
//! a round that fails tells its seed, and with it alone the same faults come again.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use cm_tests::{
    Hosts, Repository,
    faults::{AGENT, Shell, left_over, no_agent, records_are_whole},
    measured,
};

use crate::silence::fragile_hosts;

const HOST: &str = "agents";
/// The longest a run without faults takes here, about.
const RUN: Duration = Duration::from_millis(1500);

/// Numbers that are the same for the same seed (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one, below this bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Some forty tasks of many kinds, most of them free to run beside each other.
fn role() -> String {
    let mut text = String::from(
        "params:\n  tone: { type: string, default: a }\ntasks:\n  - group: rounds\n    system: true\n  - user: rounds\n    system: true\n    group: rounds\n  - directory: /srv/rounds\n    owner: rounds\n",
    );
    for n in 0..12 {
        let size = [1, 10, 5_000, 200_000][n % 4];
        let _ = write!(
            text,
            "  - file: /srv/rounds/file{n}\n    content: \"{{{{ tone * {size} }}}}\\n\"\n    owner: rounds\n"
        );
    }
    for n in 0..4 {
        let _ = write!(
            text,
            "  - directory: /srv/rounds/dir{n}\n    mode: \"0750\"\n  - file: /srv/rounds/dir{n}/inner\n    content: \"{{{{ tone }}}}{n}\\n\"\n    group: rounds\n  - link: /srv/rounds/dir{n}/link\n    target: \"{{{{ tone }}}}\"\n"
        );
    }
    for n in 0..5 {
        let _ = write!(
            text,
            "  - line: /etc/rounds.conf\n    text: \"key{n} = {{{{ tone }}}}\"\n    match: \"^key{n} \"\n    create: true\n    restarts: rounds\n"
        );
    }
    text.push_str(
        "  - unit: rounds.service\n    content: \"[Unit]\\nDescription=rounds {{ tone }}\\n[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n\"\n    restarts: rounds\n  - service: rounds\n    state: running\n    enabled: true\n",
    );
    for n in 0..4 {
        let _ = write!(
            text,
            "  - command: \"sleep 0.05; touch '/srv/rounds/ran{n}-{{{{ tone }}}}'\"\n    creates: \"/srv/rounds/ran{n}-{{{{ tone }}}}\"\n"
        );
    }
    text
}

/// Everything the role makes, as text; but for the marks of commands, which stay when the tone changes.
fn state(hosts: &Hosts) -> String {
    hosts.sh(
        HOST,
        "cd /srv/rounds && find . ! -name 'ran*' -printf '%p %y %m %u:%g %l\\n' | sort && find . -type f ! -name 'ran*' | sort | xargs sha256sum && cat /etc/rounds.conf /etc/systemd/system/rounds.service && id -nG rounds && systemctl is-active rounds && systemctl is-enabled rounds && systemctl show -p NeedDaemonReload rounds",
    )
}

fn wipe(hosts: &Hosts) {
    hosts.sh(
        HOST,
        "systemctl disable -q --now rounds 2>/dev/null; rm -rf /srv/rounds /etc/rounds.conf /etc/systemd/system/rounds.service; systemctl daemon-reload; userdel rounds 2>/dev/null; groupdel rounds 2>/dev/null; true",
    );
}

/// One fault at a moment of a run.
fn strike(hosts: &Hosts, repository: &Repository, what: &str, numbers: &mut Numbers) -> &'static str {
    let mut shell = Shell::on(hosts, HOST);
    let fault = numbers.below(7);
    let moment = Duration::from_micros(numbers.below(RUN.as_micros() as u64));
    let mut run = repository.watch(&format!("apply {what} --timeout 20s"));
    let begun = Instant::now();
    let wait = || thread::sleep(moment.saturating_sub(begun.elapsed()));
    let told = match fault {
        0 | 1 => {
            run.until(|event| event["event"] == "connected");
            shell.say(&format!("agent=$(pgrep -x -f '{AGENT}')"));
            // Changes come within a few tenths of a second after that.
            thread::sleep(moment / 6);
            shell.say("kill -9 $agent");
            "the agent is killed"
        }
        2 => {
            wait();
            run.kill();
            "the controller is killed"
        }
        3 => {
            wait();
            hosts.lab.cut(HOST).expect("a host of the lab");
            thread::sleep(Duration::from_millis(numbers.below(2500)));
            hosts.lab.restore(HOST).expect("a host of the lab");
            "the link is cut for a moment"
        }
        4 => {
            wait();
            hosts.lab.kill(HOST).expect("a host of the lab");
            hosts.lab.boot(HOST).expect("a host of the lab");
            "the power fails"
        }
        5 => {
            shell.say("rm -f /srv/rounds.filler; mkdir -p /srv/rounds; mount -t tmpfs -o mode=0755,size=1000k tmpfs /srv/rounds");
            "there is little room"
        }
        _ => {
            wait();
            shell.say("mount -o remount,bind,ro /");
            "the root becomes read-only"
        }
    };
    drop(shell);
    let ran = run.finish();
    assert!(!ran.said().contains("panicked"), "{}", ran.said());
    // A controller that was killed has no code; all others tell in their own ways.
    assert!(matches!(ran.code, None | Some(0 | 3 | 4)), "{told}: {:?} {}", ran.code, ran.said());
    hosts.sh(HOST, "mount -o remount,bind,rw /; umount -l /srv/rounds 2>/dev/null; true");
    told
}

#[test]
#[ignore = "minutes: run by name, with CM_FAULT_ROUNDS and CM_FAULT_SEED"]
fn any_fault_at_any_moment() {
    let Some(hosts) = fragile_hosts() else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let rounds = number("CM_FAULT_ROUNDS").unwrap_or(10);
    let seed = number("CM_FAULT_SEED").unwrap_or_else(clock);
    measured(&format!("faults by seed {seed}, {rounds} rounds"));
    let repository = Repository::with_groups(hosts, "  g: { hosts: [agents] }\n");
    repository.role("rounds", &role());
    // What it should be like in the end, in either tone.
    wipe(hosts);
    let wanted: Vec<String> = ["a", "b"]
        .map(|tone| {
            let _ = repository.cm(&format!("apply rounds on agents --set tone={tone}")).exits(0);
            state(hosts)
        })
        .into();
    for round in 0..rounds {
        let mut numbers = Numbers(seed.wrapping_add(round));
        if numbers.below(3) == 0 {
            wipe(hosts);
        }
        let tone = numbers.below(2);
        let what = format!("rounds on agents --set tone={}", ["a", "b"][tone as usize]);
        let mut faults = Vec::new();
        for _ in 0..=numbers.below(2) {
            faults.push(strike(hosts, &repository, &what, &mut numbers));
        }
        let here = format!(
            "CM_FAULT_SEED={} CM_FAULT_ROUNDS=1: {}",
            seed.wrapping_add(round),
            faults.join(", then ")
        );
        measured(&here);
        no_agent(hosts, HOST, Duration::from_secs(30));
        let next = repository.cm(&format!("apply {what} --json"));
        assert_eq!(next.code, Some(0), "{here}\n{}", next.said());
        let again = repository.cm(&format!("apply {what} --json"));
        assert_eq!((again.code, cm_tests::differences(&again)), (Some(0), vec![]), "{here}");
        assert_eq!(state(hosts), wanted[tone as usize], "{here}");
        assert_eq!(left_over(hosts, HOST), "", "{here}");
        records_are_whole(&repository);
    }
}
