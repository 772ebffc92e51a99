//! `cm` beside the tools of today, each with the same role on fresh hosts.

use anyhow::{Context as _, Result};

use crate::{
    findings::{Claim, Findings, number},
    ground::Ground,
    measure::{Cost, run, shown, typical},
    peers::{
        TOOLS, Tool, end_state,
        unchanged::{first_difference, unchanged},
    },
    plot::Plot,
    role::{Role, Size},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "peers",
    title: "Beside other tools",
    about: "\
The role of 100 tasks by every tool on fresh hosts of its own, from one image, with the same packages in apt's \
caches: a first apply, then one with nothing to change (of `cm` the median of several). Each tool has the role as one who knows it would write \
it: loops and lists where it has them, one transaction for the packages, pipelining, no facts that nobody needs, as \
many hosts at once as there are. Afterwards the end state of every host (contents, owners, modes, links, accounts, \
packages, services) is read from it and must be the same as that of `cm`, or the tool gets no ratio. The hosts have \
Python for the tools that need it; it was installed before the time ran. The tools are from PyPI, at the versions of \
`bench/peers/`, under Debian's Python.",
    quick: true,
    run: measure,
};

/// How a tool did.
struct Done {
    tool: &'static Tool,
    hosts: usize,
    first: Cost,
    again: Vec<Cost>,
    /// Why its figures are not comparable.
    differs: Option<String>,
    line: String,
}

fn measure(ground: &Ground) -> Result<Findings> {
    let role = Role::sized(ground.pick(Size::Usual, Size::Small));
    let mut all: Vec<Done> = Vec::new();
    let mut states: Vec<String> = Vec::new();
    for tool in TOOLS.iter().filter(|tool| !ground.quick || ["cm", "pyinfra", "ansible"].contains(&tool.name))
    {
        // Plain ansible takes minutes for each host that shares the machine.
        let hosts = if tool.name == "ansible" { ground.pick(4, 2) } else { ground.pick(16, 2) };
        ground.say(&format!("installing {}", tool.title));
        tool.install()?;
        let site = ground.fresh(hosts)?;
        site.fill_apt_caches()?;
        ground.say("installing Python on the hosts");
        site.install_python()?;
        let folder = ground.folder(&format!("peer-{}", tool.name))?;
        let mut command = tool.prepare(&site, &role, &folder)?;
        ground.say(&format!("{}: first apply to {hosts} hosts", tool.title));
        let first = run(&mut command, &[0]).with_context(|| tool.title.to_owned())?;
        ground.say(&format!(
            "{}: nothing to change, first took {:.1} s",
            tool.title,
            first.wall.as_secs_f64()
        ));
        let rounds = if tool.name == "cm" { ground.pick(9, 3) } else { 1 };
        let again = unchanged(&site, &role, &mut command, rounds)?;
        let found = end_state::of(&site, &role)?;
        let differs = if states.is_empty() {
            states = found;
            None
        } else {
            first_difference(&site, &found, &states)
        };
        let differs = differs.or(again.wrote);
        if let Some(differs) = &differs {
            ground.say(&format!("{} is not comparable: {differs}", tool.title));
        }
        all.push(Done { tool, hosts, first, again: again.costs, differs, line: shown(&command) });
    }
    Ok(tell(&role, &all))
}

fn tell(role: &Role, all: &[Done]) -> Findings {
    let mut findings = Findings::default();
    let mut table = Table::new(
        format!("{} tasks", role.tasks()),
        &[
            "tool",
            "hosts",
            "first apply",
            "nothing to change",
            "CPU of it",
            "memory of a process",
            "times ours, nothing to change",
        ],
    );
    let seconds = |time: std::time::Duration| format!("{} s", number(time.as_secs_f64()));
    let ours = all.first().map(|done| typical(&done.again).wall.as_secs_f64()).unwrap_or_default();
    let mut bars = Vec::new();
    for done in all {
        let again = typical(&done.again);
        let times = match &done.differs {
            Some(_) => "refused".to_owned(),
            // Ours was taken on another number of hosts.
            None if all.first().is_some_and(|first| first.hosts != done.hosts) => "–".to_owned(),
            None => format!("{:.0}", again.wall.as_secs_f64() / ours),
        };
        table.row([
            done.tool.title.to_owned(),
            done.hosts.to_string(),
            seconds(done.first.wall),
            seconds(again.wall),
            seconds(again.cpu),
            format!("{} MiB", again.peak_kib.max(done.first.peak_kib) / 1024),
            times,
        ]);
        bars.push((format!("{}, {} hosts", done.tool.title, done.hosts), again.wall.as_secs_f64()));
        findings.commands.push(done.line.clone());
        if let Some(differs) = &done.differs {
            findings.notes.push(format!(
                "{} has no ratio, its hosts are not as those of `cm`: {differs}.",
                done.tool.title
            ));
        }
    }
    let same_hosts: Vec<&Done> = all
        .iter()
        .skip(1)
        .filter(|done| all.first().is_some_and(|first| first.hosts == done.hosts))
        .collect();
    let best = same_hosts
        .iter()
        .filter(|done| done.differs.is_none() && all.first().is_some_and(|first| first.differs.is_none()))
        .map(|done| typical(&done.again).wall.as_secs_f64() / ours)
        .min_by(f64::total_cmp);
    let text = "the best peer's time with nothing to change / ours";
    findings.claims.push(match best {
        Some(best) if role.tasks() >= 100 => Claim::at_least(text, best, 50.0, "×"),
        Some(best) => Claim::at_least(format!("{text}, {} tasks", role.tasks()), best, 1.0, "×"),
        None => Claim::refused(text, 50.0, "×", "no tool reached the same end state on as many hosts"),
    });
    findings.tables.push(table);
    findings.plots.push(Plot::bars("peers", "Nothing to change: wall time", "s", bars));
    findings
}
