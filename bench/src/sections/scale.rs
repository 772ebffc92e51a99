//! The controller with hundreds and thousands of hosts, which are simulated nodes (see the crate `cm-simulated`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use cm_simulated::{Fleet, Hung, Point, Scale, TASKS};

use crate::{
    findings::{Claim, Findings, number},
    ground::Ground,
    plot::{Plot, Series},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "scale",
    title: "The controller with thousands of hosts",
    about: "`cm apply` with nothing to change on simulated nodes: SSH servers in processes of their own, one address of \
            127/8 a node, which start the real agent in a private root (an overlay over a Debian 12 tree, in a mount \
            namespace of its own). Packages are those of the tree; there is no init system, so no service. Measured is the \
            controller's own process. The nodes share its two cores, eight agents at a time, so the wall time of a \
            run is mostly theirs and says nothing of a real fleet. `handshakes` are the same connections, made by the same \
            library at the same concurrency, with `true` in place of the agent.",
    quick: true,
    run,
};

/// Hosts at work at once: what `--forks` is where nobody says otherwise.
const FORKS: usize = 100;
/// Agents that run at once on the cores of this machine.
const AGENTS: usize = 8;
/// Growth of the controller's CPU a host that is borne.
const GROWTH: f64 = 1.15;
/// Bytes of a KB.
const KB: f64 = 1000.0;

fn run(ground: &Ground) -> Result<Findings> {
    let mut fleet = fleet(ground)?;
    let counts = ground.pick(vec![(100, 7), (1000, 5), (5000, 3)], vec![(50, 5), (200, 3)]);
    let wanted = Scale { counts, forks: FORKS };
    let points = cm_simulated::scale(&mut fleet, &wanted, &mut |text| ground.say(text))?;
    ground.say("hosts that hang");
    let hosts = ground.pick(500, 100);
    let hung = cm_simulated::hanging(&mut fleet, hosts, FORKS, !ground.quick)?;
    Ok(findings(&points, &hung, hosts))
}

/// Simulated nodes that run the agent inside this `cm`.
pub fn fleet(ground: &Ground) -> Result<Fleet> {
    fleet_of(ground, &ground.cm, TASKS)
}

/// Simulated nodes that run the agent inside another `cm`, with so many tasks.
pub fn fleet_of(ground: &Ground, cm: &Path, tasks: usize) -> Result<Fleet> {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { ground.folder("simulated")? };
    ground.say("making the tree that all nodes begin with");
    Fleet::prepare(cm_simulated::Ground {
        cm: cm.to_owned(),
        simulated: std::env::current_exe()?,
        parent,
        agents: AGENTS,
        tasks,
    })
}

fn findings(points: &[Point], hung: &Hung, among: u32) -> Findings {
    let mut claims = Vec::new();
    if let Some((first, later)) = points.split_first() {
        for point in later {
            let hosts = point.hosts;
            let ratio = |of: fn(&Point) -> Duration| of(point).as_secs_f64() / of(first).as_secs_f64();
            let text = format!("controller CPU a host, {hosts} hosts / {} hosts", first.hosts);
            claims.push(Claim::at_most(text, ratio(Point::cpu_per_host), GROWTH, "×"));
            let more = point.apply.memory.saturating_sub(first.apply.memory) as f64 / KB;
            let each = more / f64::from(hosts - first.hosts);
            let text = format!("controller memory a host beyond the first {}, {hosts} hosts", first.hosts);
            claims.push(Claim::at_most(text, each, 300.0, "KB"));
            let text = format!("files open in the controller, {hosts} hosts, {FORKS} at work at once");
            claims.push(Claim::at_most(text, point.apply.files as f64, FORKS as f64 + 50.0, ""));
        }
    }
    let ratio = hung.with.as_secs_f64() / hung.without.as_secs_f64();
    let text = format!("end of the last sound host of {among}, beside hosts that hang / without them");
    claims.push(Claim::at_most(text, ratio, GROWTH, "×"));
    let missing = among as usize - hung.told.len() - hung.sound;
    claims.push(Claim::at_most("sound hosts that did not end well beside them", missing as f64, 0.0, ""));
    Findings {
        tables: vec![costs(points), silence(hung)],
        claims,
        plots: vec![plot(points)],
        commands: vec![
            format!("cm apply on simulated --forks {FORKS}   # in a repository with so many hosts"),
            "cargo run --release -p cm-simulated -- target/release/cm 100x5 1000x3 5000 --hang 500".into(),
        ],
        notes: vec![
            format!(
                "Every run was refused unless all {TASKS} tasks of all hosts were as they should be. CPU is the run of \
                 median CPU, memory and files the most of all runs; files are counted every 20 ms."
            ),
            "Memory below the nodes is a tmpfs: what the agents sync costs nothing here. It is not the controller's.".into(),
        ],
        ..Findings::default()
    }
}

fn costs(points: &[Point]) -> Table {
    let heads = [
        "hosts",
        "controller CPU a host",
        "of it handshakes",
        "controller memory",
        "open files",
        "wall",
        "nodes' CPU a host",
    ];
    let mut table = Table::new(format!("Nothing to change, {TASKS} tasks"), &heads);
    for point in points {
        table.row([
            point.hosts.to_string(),
            milliseconds(point.cpu_per_host()),
            milliseconds(point.handshake_per_host()),
            format!("{} MB", number(point.apply.memory as f64 / 1e6)),
            point.apply.files.to_string(),
            format!("{} s", number(point.apply.wall.as_secs_f64())),
            milliseconds(point.node_cpu),
        ]);
    }
    table
}

fn silence(hung: &Hung) -> Table {
    let mut table = Table::new("Hosts that hang", &["what", "after", "told"]);
    let seconds = |time: Duration| format!("{} s", number(time.as_secs_f64()));
    table.row(["last sound host, none hangs", &seconds(hung.without), ""]);
    table.row(["last sound host beside those that hang", &seconds(hung.with), ""]);
    for (what, after, told) in &hung.told {
        table.row([&format!("one that {what}"), &seconds(*after), told.as_str()]);
    }
    table
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", number(time.as_secs_f64() * 1e3))
}

fn plot(points: &[Point]) -> Plot {
    let series = |name: &str, of: fn(&Point) -> Duration| Series {
        name: name.to_owned(),
        points: points.iter().map(|point| (f64::from(point.hosts), of(point).as_secs_f64() * 1e3)).collect(),
    };
    let lines =
        vec![series("cm apply", Point::cpu_per_host), series("handshakes alone", Point::handshake_per_host)];
    Plot::lines("scale", "Nothing to change: controller CPU a host", "hosts", "ms a host", lines)
}
