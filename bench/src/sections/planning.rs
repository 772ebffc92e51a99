//! Planning: a repository read, checked and compiled for all of its hosts on one core.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::figures::{cost_row, costs};
use crate::{
    findings::{Claim, Findings, number},
    ground::Ground,
    measure::{Cost, median, run, run_to_end, shown, spread},
    planned::{Kept, Planned, WORD},
    plot::{Plot, Series},
    section::Section,
    table::Table,
};

// The one that `cargo xtask counts` plans.
#[path = "../../../counts/src/project.rs"]
mod project;

/// The section.
pub const SECTION: Section = Section {
    name: "planning",
    title: "Planning",
    about: "\
A repository with one group of hosts and one role is read, checked, rendered and compiled by a process on one core \
(`taskset`), with the library that is in `cm`. Of ten tasks two are template files and five use variables, another for \
each host; how many tasks there are is counted in the plans. Each figure is the median of processes of its own. Memory is \
the most that such a process had, once with every host's plan let go before the next is made, once with the plans of all \
hosts kept to the end, as when all are under way at a time; what it has for one host, or one task, is taken off. Last \
the whole of `cm` on such repositories.",
    quick: true,
    run: measure,
};

/// Tasks of a host where the hosts are many.
const TASKS: usize = 200;

/// Processes that planned the same.
struct Point {
    hosts: usize,
    /// Of all hosts.
    tasks: usize,
    read: Vec<f64>,
    compile: Vec<f64>,
    cpu: Vec<f64>,
    /// KiB.
    peak: Vec<f64>,
}

impl Point {
    fn both(&self) -> Vec<f64> {
        self.read.iter().zip(&self.compile).map(|(read, compile)| read + compile).collect()
    }
}

fn measure(ground: &Ground) -> Result<Findings> {
    let place = Place { core: first_core()?, rounds: ground.pick(5, 3), ground };
    let sizes: &[usize] = &[250, 500, 1000, 2000];
    let by_hosts =
        |kept| -> Result<Vec<Point>> { sizes.iter().map(|hosts| place.plan(*hosts, TASKS, kept)).collect() };
    let (one, all) = (by_hosts(Kept::One)?, by_hosts(Kept::All)?);
    let by_tasks: Vec<Point> = [2500, 5000, 10_000]
        .into_iter()
        .map(|tasks| place.plan(1, tasks, Kept::All))
        .collect::<Result<_>>()?;
    let single = |kept| place.plan(1, TASKS, kept);
    let (floor_one, floor_all) = (single(Kept::One)?, single(Kept::All)?);
    let floor_tasks = place.plan(1, 1, Kept::All)?;

    let mut findings = Findings::default();
    let mut table = Table::new(
        "On one core",
        &[
            "hosts × tasks",
            "tasks in all",
            "read and check",
            "compile",
            "both",
            "CPU of the process",
            "peak memory",
        ],
    );
    for point in one.iter().chain(&by_tasks) {
        timed(&mut table, point);
    }
    findings.tables.push(table);
    let mut memory = Table::new(
        "Memory above that for one host or one task",
        &["hosts × tasks", "plans", "peak memory", "above the floor", "a host or task"],
    );
    let hosts_of = |point: &Point| point.hosts;
    let tasks_of = |point: &Point| point.tasks;
    let mut claims = Vec::new();
    for (points, text) in
        [(&one, "read and compile 1,000 hosts × 200 tasks"), (&by_tasks, "read and compile 10,000 tasks")]
    {
        let point = points.iter().find(|point| point.hosts == 1000 || point.tasks == 10_000);
        let point = point.ok_or_else(|| anyhow!("the size is among those measured"))?;
        // On a machine with other work the core is shared: what the process itself took says more then.
        for (what, figures) in [("wall time", point.both()), ("CPU of the whole process", point.cpu.clone())]
        {
            let text = format!("{text}, {what}");
            claims.push(Claim::at_most(text, median(&figures), 1.0, "s").between(spread(&figures)));
        }
    }
    claims.push(linear(
        &mut memory,
        &one,
        &floor_one,
        hosts_of,
        "let go",
        "memory a host, 2,000 / 500 hosts, plans let go",
    )?);
    claims.push(linear(
        &mut memory,
        &all,
        &floor_all,
        hosts_of,
        "kept",
        "memory a host, 2,000 / 500 hosts, plans kept",
    )?);
    claims.push(linear(
        &mut memory,
        &by_tasks,
        &floor_tasks,
        tasks_of,
        "kept",
        "memory a task, 10,000 / 2,500 tasks",
    )?);
    findings.tables.push(memory);
    findings.claims = claims;
    findings.plots = plots(&one, &all, &by_tasks);
    place.whole(&mut findings)?;
    Ok(findings)
}

/// Where all of it is measured.
struct Place<'a> {
    core: String,
    rounds: usize,
    ground: &'a Ground,
}

impl Place<'_> {
    /// A repository of so many hosts and tasks, written when it is asked for first.
    fn repository(&self, hosts: usize, tasks: usize) -> Result<PathBuf> {
        let folder = self.ground.folder(&format!("planning-{hosts}x{tasks}"))?;
        if !folder.join("inventory.yaml").exists() {
            project::write(&folder, hosts, tasks)
                .map_err(|error| anyhow!("{}: {error}", folder.display()))?;
        }
        Ok(folder)
    }

    fn on_one_core(&self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.core]).arg(program);
        command
    }

    fn plan(&self, hosts: usize, tasks: usize, kept: Kept) -> Result<Point> {
        let folder = self.repository(hosts, tasks)?;
        self.ground.say(&format!("{hosts} × {tasks}, plans kept: {}, {} rounds", kept.word(), self.rounds));
        let program = std::env::current_exe().context("the name of this program")?;
        let (mut read, mut compile, mut cpu, mut peak) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut counted = 0;
        for _ in 0..self.rounds {
            let mut command = self.on_one_core(&program);
            command.arg(WORD).arg(&folder).arg(kept.word());
            let ended = run_to_end(&mut command)?;
            ensure!(ended.code == Some(0), "`{}` failed: {}", shown(&command), ended.output.trim());
            let planned: Planned =
                serde_json::from_str(&ended.output).with_context(|| format!("planned: {}", ended.output))?;
            read.push(planned.read);
            compile.push(planned.compile);
            cpu.push(ended.cost.cpu.as_secs_f64());
            peak.push(kib(planned.peak));
            counted = planned.tasks;
        }
        ensure!(counted == hosts * tasks, "{hosts} × {tasks} tasks should be planned, and {counted} were");
        Ok(Point { hosts, tasks: counted, read, compile, cpu, peak })
    }

    /// The program itself, from its start to its end.
    fn whole(&self, findings: &mut Findings) -> Result<()> {
        let mut table = costs("`cm` from its start to its end");
        let cases: [(usize, usize, &[&str]); 4] = [
            (1000, TASKS, &["--version"]),
            (1000, TASKS, &["plan", "--help"]),
            (1000, TASKS, &["lint"]),
            (1, 10_000, &["lint"]),
        ];
        for (hosts, tasks, words) in cases {
            let folder = self.repository(hosts, tasks)?;
            let cm = || {
                let mut command = Command::new(&self.ground.cm);
                command.args(words).current_dir(&folder);
                command
            };
            self.ground.say(&format!("{}, {hosts} × {tasks}", shown(&cm())));
            let costs: Vec<Cost> = (0..self.rounds).map(|_| run(&mut cm(), &[0])).collect::<Result<_>>()?;
            cost_row(&mut table, &format!("`{}`, {hosts} × {tasks}", shown(&cm())), &costs);
            findings.commands.push(shown(&cm()));
        }
        findings.tables.push(table);
        findings.commands.dedup();
        Ok(())
    }
}

/// The first core that this process may use.
fn first_core() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|list| list.trim().split([',', '-']).next()).unwrap_or("0");
    Ok(first.to_owned())
}

fn timed(table: &mut Table, point: &Point) {
    let seconds = |figures: &[f64]| format!("{:.0} ms", median(figures) * 1e3);
    table.row([
        named(point),
        point.tasks.to_string(),
        seconds(&point.read),
        seconds(&point.compile),
        seconds(&point.both()),
        seconds(&point.cpu),
        format!("{:.1} MiB", median(&point.peak) / 1024.0),
    ]);
}

fn named(point: &Point) -> String {
    format!("{} × {}", point.hosts, point.tasks / point.hosts.max(1))
}

/// Rows of memory, and the claim that one more of `count` costs the last point no more than the one a quarter of it.
fn linear(
    table: &mut Table,
    points: &[Point],
    floor: &Point,
    count: fn(&Point) -> usize,
    plans: &str,
    text: &str,
) -> Result<Claim> {
    let floor = median(&floor.peak);
    let each = |point: &Point| (median(&point.peak) - floor).max(0.0) / exact(count(point));
    for point in points {
        let peak = median(&point.peak);
        table.row([
            named(point),
            plans.to_owned(),
            format!("{:.1} MiB", peak / 1024.0),
            format!("{:.1} MiB", (peak - floor).max(0.0) / 1024.0),
            format!("{} KiB", number(each(point))),
        ]);
    }
    let last = points.last().context("something was measured")?;
    let quarter =
        points.iter().find(|point| count(point) * 4 == count(last)).context("a quarter was measured")?;
    if each(quarter) <= 0.0 {
        return Ok(Claim::refused(text, 1.15, "×", "the smaller one takes no memory above the floor"));
    }
    Ok(Claim::at_most(text, each(last) / each(quarter), 1.15, "×"))
}

fn plots(one: &[Point], all: &[Point], by_tasks: &[Point]) -> Vec<Plot> {
    let series = |name: &str, points: &[Point], x: fn(&Point) -> usize, y: fn(&Point) -> f64| Series {
        name: name.to_owned(),
        points: points.iter().map(|point| (exact(x(point)), y(point))).collect(),
    };
    let hosts = |point: &Point| point.hosts;
    let tasks = |point: &Point| point.tasks;
    let time = |point: &Point| median(&point.both()) * 1e3;
    let memory = |point: &Point| median(&point.peak) / 1024.0;
    vec![
        Plot::lines(
            "planning",
            "Read and compile hosts of 200 tasks on one core",
            "hosts",
            "ms",
            vec![
                series("read and check", one, hosts, |point| median(&point.read) * 1e3),
                series("read, check and compile", one, hosts, time),
            ],
        ),
        Plot::lines(
            "planning-memory",
            "Peak memory of planning hosts of 200 tasks",
            "hosts",
            "MiB",
            vec![series("plans let go", one, hosts, memory), series("plans kept", all, hosts, memory)],
        ),
        Plot::lines(
            "planning-tasks",
            "Read and compile one host's tasks on one core",
            "tasks",
            "ms",
            vec![series("read, check and compile", by_tasks, tasks, time)],
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts far below the bits of an f64")]
fn exact(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below the bits of an f64")]
fn kib(size: u64) -> f64 {
    size as f64
}
