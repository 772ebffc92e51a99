//! Distance: the same run over links that take their time, counted in round trips.

use anyhow::Result;

use crate::{
    findings::{Claim, Findings},
    ground::{Ground, Site},
    measure::{Comparison, Cost, alternate, median, run, run_together, shown, spread, typical},
    plot::{Plot, Series},
    role::{Role, Size},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "distance",
    title: "Distance",
    about: "\
Nothing to change (100 tasks) over links whose round trip is longer by 10, 50 and 200 ms, against plain cold \
`ssh HOST true` over the same links at the same time. The delay is the kernel's netem where it is, else a process that \
holds every frame between the host's cable and the bridge, half of the time in either direction. What `cm` takes longer \
than ssh is divided by the round trip; below 0 means that it is done before ssh is.",
    quick: true,
    run: measure,
};

/// What is measured over one link.
struct Link {
    /// Milliseconds of a round trip.
    delay: u32,
    /// `cm` and ssh.
    costs: Comparison,
}

impl Link {
    /// How many round trips later `cm` was done than ssh, round by round.
    fn extra(&self) -> Vec<f64> {
        let wall = |cost: &Cost| cost.wall.as_secs_f64() * 1e3;
        let trip = f64::from(self.delay);
        self.costs.a.iter().zip(&self.costs.b).map(|(cm, ssh)| (wall(cm) - wall(ssh)) / trip).collect()
    }
}

fn measure(ground: &Ground) -> Result<Findings> {
    let site = ground.applied(ground.pick(16, 4))?;
    let role = Role::sized(Size::Usual).name;
    site.prove_unchanged(&role)?;
    let delays: &[u32] = ground.pick(&[0, 10, 50, 200], &[0, 50]);
    let mut findings = Findings {
        notes: vec![
            "`cm plan` ended with 0 (nothing would change) before anything was measured. The work of hosts and \
             controller is in all figures, and weighs most where the link is short: 10 ms are little beside it. The slope \
             of the lines is what a longer link adds: round trips alone."
                .into(),
        ],
        ..Findings::default()
    };
    for count in [1, 4] {
        let measured: Result<Vec<Link>> =
            delays.iter().map(|delay| over(ground, &site, &role, count, *delay)).collect();
        // The hosts go on to other sections.
        let restored = set_delay(&site, count, 0);
        let links = measured?;
        restored?;
        tell(&mut findings, count, &links);
    }
    findings.commands =
        vec![shown(&site.ssh("n01", &["true"])?), shown(&site.cm(&["apply", &role, "on", "n01"]))];
    Ok(findings)
}

fn set_delay(site: &Site, hosts: usize, delay: u32) -> Result<()> {
    site.hosts.iter().take(hosts).try_for_each(|host| Ok(site.lab.delay(host, delay)?))
}

/// `cm apply` and ssh to the first hosts in turn, over a link with this delay.
fn over(ground: &Ground, site: &Site, role: &str, hosts: usize, delay: u32) -> Result<Link> {
    let rounds = ground.pick(11, 5);
    ground.say(&format!("{hosts} hosts, {delay} ms: cm apply and ssh in turn, {rounds} rounds"));
    set_delay(site, hosts, delay)?;
    let names = &site.hosts[..hosts];
    let target = names.join(",");
    let apply = || run(&mut site.cm(&["apply", role, "on", &target]), &[0]);
    let ssh = || {
        let all = names.iter().map(|name| site.ssh(name, &["true"])).collect::<Result<_>>()?;
        run_together(all).map(|(all, _)| all)
    };
    // The first frames over a new link ask for hardware addresses.
    ssh()?;
    Ok(Link { delay, costs: alternate(rounds, apply, ssh)? })
}

/// Table, claims and plot for so many hosts.
fn tell(findings: &mut Findings, hosts: usize, links: &[Link]) {
    let noun = if hosts == 1 { "host" } else { "hosts" };
    let mut table = Table::new(
        format!("{hosts} {noun}, nothing to change"),
        &[
            "round trip of the link",
            "plain ssh, median",
            "`cm apply`, median",
            "more than ssh, in round trips",
        ],
    );
    let wall = |costs: &[Cost]| typical(costs).wall.as_secs_f64() * 1e3;
    for link in links {
        let more = match link.delay {
            0 => "–".to_owned(),
            _ => format!("{:+.1}", median(&link.extra())),
        };
        let (ssh, cm) = (wall(&link.costs.b), wall(&link.costs.a));
        table.row([format!("{} ms", link.delay), format!("{ssh:.0} ms"), format!("{cm:.0} ms"), more]);
    }
    for link in links.iter().filter(|link| link.delay > 0) {
        let extra = link.extra();
        let text = format!("round trips more than plain ssh, {hosts} {noun}, {} ms", link.delay);
        findings.claims.push(Claim::at_most(&text, median(&extra), 3.0, "").between(spread(&extra)));
    }
    let line = |name: &str, costs: fn(&Comparison) -> &[Cost]| Series {
        name: name.to_owned(),
        points: links.iter().map(|link| (f64::from(link.delay), wall(costs(&link.costs)))).collect(),
    };
    let lines = vec![line("ssh host true", |costs| &costs.b), line("cm apply", |costs| &costs.a)];
    let title = format!("Nothing to change over distance, {hosts} {noun}");
    findings.plots.push(Plot::lines(
        &format!("distance-{hosts}"),
        &title,
        "round trip of the link, ms",
        "wall time, ms",
        lines,
    ));
    findings.tables.push(table);
}
