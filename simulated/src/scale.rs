//! What the controller takes as the number of hosts grows, and what hosts that hang do to the others.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    address::name,
    fleet::{Fleet, Hanging},
    measured::{Measured, measure},
};

/// One number of hosts.
#[derive(Clone, Debug)]
pub struct Point {
    /// How many hosts.
    pub hosts: u32,
    /// `cm apply` with nothing to change: the run of median CPU.
    pub apply: Measured,
    /// The same connections with `true` in place of the agent: the run of median CPU.
    pub handshakes: Measured,
    /// Processor time of the nodes in that many applies, per host: SSH servers and agents together.
    pub node_cpu: Duration,
}

impl Point {
    /// The controller's own CPU a host.
    #[must_use]
    pub fn cpu_per_host(&self) -> Duration {
        self.apply.cpu / self.hosts
    }

    /// What of it the connections alone take.
    #[must_use]
    pub fn handshake_per_host(&self) -> Duration {
        self.handshakes.cpu / self.hosts
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Numbers of hosts with how often each is measured.
    pub counts: Vec<(u32, usize)>,
    /// Hosts at work at once, in both.
    pub forks: usize,
}

/// Measures all numbers of hosts in turn, round by round, on nodes that have been applied to once before.
///
/// # Errors
/// When a run fails or changes anything.
pub fn scale(fleet: &mut Fleet, wanted: &Scale, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Point>> {
    let most = wanted.counts.iter().map(|&(hosts, _)| hosts).max().context("no numbers of hosts")?;
    fleet.up(most, &Hanging::default())?;
    let forks = wanted.forks.to_string();
    for &(hosts, _) in &wanted.counts {
        let settled = fleet.apply(&fleet.repository(hosts)?, &["--forks", &forks])?;
        tell(&format!("{hosts} hosts are settled: {:.1} s", settled.wall.as_secs_f64()));
    }
    let mut applies: BTreeMap<u32, Vec<Measured>> = BTreeMap::new();
    let mut connections: BTreeMap<u32, Vec<Measured>> = BTreeMap::new();
    let mut nodes: BTreeMap<u32, u64> = BTreeMap::new();
    let rounds = wanted.counts.iter().map(|&(_, times)| times).max().unwrap_or(0);
    for round in 0..rounds {
        let mut turn: Vec<u32> =
            wanted.counts.iter().filter(|&&(_, times)| round < times).map(|&(hosts, _)| hosts).collect();
        // There and back: a machine that grows slower does not do so to the same number each time.
        if round % 2 == 1 {
            turn.reverse();
        }
        for hosts in turn {
            let before = fleet.ticks();
            let apply = fleet.apply_unchanged(hosts, &["--forks", &forks])?;
            *nodes.entry(hosts).or_default() += fleet.ticks() - before;
            let handshakes = fleet.handshakes(hosts, wanted.forks)?;
            tell(&format!(
                "{hosts} hosts: {:.2} ms a host, {:.2} ms of it handshakes; {:.1} MiB, {} files, {:.1} s",
                apply.cpu.as_secs_f64() * 1e3 / f64::from(hosts),
                handshakes.cpu.as_secs_f64() * 1e3 / f64::from(hosts),
                apply.memory as f64 / 1048576.0,
                apply.files,
                apply.wall.as_secs_f64(),
            ));
            applies.entry(hosts).or_default().push(apply);
            connections.entry(hosts).or_default().push(handshakes);
        }
    }
    let mut points = Vec::new();
    for (hosts, all) in applies {
        let (times, ticks) = (all.len() as u32, nodes.get(&hosts).copied().unwrap_or(0));
        let handshakes = connections.remove(&hosts).and_then(median).context("not measured")?;
        let node_cpu = Duration::from_millis(ticks * 10) / (hosts * times);
        points.push(Point { hosts, apply: median(all).context("not measured")?, handshakes, node_cpu });
    }
    Ok(points)
}

/// The one of median CPU, with the greatest memory and number of files of all.
fn median(mut all: Vec<Measured>) -> Option<Measured> {
    all.sort_by_key(|one| one.cpu);
    let memory = all.iter().map(|one| one.memory).max()?;
    let files = all.iter().map(|one| one.files).max()?;
    Some(Measured { memory, files, ..*all.get(all.len() / 2)? })
}

/// What hosts that hang did to a run.
#[derive(Clone, Debug)]
pub struct Hung {
    /// When the last of the sound hosts had ended, all sound.
    pub without: Duration,
    /// When the last of the sound hosts had ended beside those that hang.
    pub with: Duration,
    /// How many sound hosts ended well.
    pub sound: usize,
    /// What was told of each that hangs, and when.
    pub told: Vec<(&'static str, Duration, String)>,
}

/// Applies to so many hosts, without and with one that never says a word and, where `silent`, one that falls silent
/// after its hello, for which its controller waits a minute.
///
/// # Errors
/// When a run cannot be made.
pub fn hanging(fleet: &mut Fleet, hosts: u32, forks: usize, silent: bool) -> anyhow::Result<Hung> {
    let hanging = Hanging { mute: vec![3], silent: if silent { vec![4] } else { Vec::new() } };
    let mut odd = vec![(name(3), "never says a word")];
    odd.extend(silent.then(|| (name(4), "falls silent after its hello")));
    let mut ends = Vec::new();
    for hanging in [Hanging::default(), hanging] {
        fleet.up(hosts, &hanging)?;
        // The first run of all finds nothing in the caches of the machine.
        if ends.is_empty() {
            host_ends(fleet, hosts, forks)?;
        }
        ends.push(host_ends(fleet, hosts, forks)?);
    }
    let last = |ends: &BTreeMap<String, HostEnd>| {
        let sound = ends.iter().filter(|(host, _)| odd.iter().all(|(name, _)| name != *host));
        sound.map(|(_, end)| end.after).max().unwrap_or_default()
    };
    let (without, with) = (&ends[0], &ends[1]);
    let mut told = Vec::new();
    for (host, what) in &odd {
        let end = with.get(host).with_context(|| format!("nothing was told of {host}"))?;
        told.push((*what, end.after, format!("{}: {}", end.state, end.causes.join(": "))));
    }
    Ok(Hung {
        without: last(without),
        with: last(with),
        sound: with.values().filter(|end| end.state == "ok").count(),
        told,
    })
}

struct HostEnd {
    after: Duration,
    state: String,
    causes: Vec<String>,
}

/// How and when each host of an apply ended.
fn host_ends(fleet: &Fleet, hosts: u32, forks: usize) -> anyhow::Result<BTreeMap<String, HostEnd>> {
    let forks = forks.to_string();
    let mut command = fleet.command(&fleet.repository(hosts)?, &["--forks", &forks, "--json"]);
    let mut ends = BTreeMap::new();
    let start = Instant::now();
    measure(command.stdout(Stdio::piped()), |child| {
        let Some(output) = child.stdout.take() else { return };
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if event["event"] != "host" {
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let causes = event["trouble"]["causes"].as_array();
            let end = HostEnd {
                after: start.elapsed(),
                state: text(&event["state"]),
                causes: causes.into_iter().flatten().map(text).collect(),
            };
            ends.insert(text(&event["host"]), end);
        }
    })?;
    Ok(ends)
}
