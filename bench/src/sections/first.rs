//! The first apply, against what apt alone needs for the same packages.

use anyhow::{Result, ensure};

use crate::{
    findings::{Claim, Findings, number},
    ground::{Ground, Site},
    measure::{median, run, run_together, shown, spread},
    plot::Plot,
    role::{Role, Size},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "first",
    title: "First apply",
    about: "\
The role of 100 tasks on fresh hosts, the agent's way there included, against `apt-get install` of the same packages, \
typed on equally fresh hosts all at once: the slowest host's own transaction. All else that `cm` does has to hide \
behind what apt needs anyhow. Fresh hosts are booted for every measurement, from one image; apt's lists and the \
packages are in their caches, the same bytes on all, so no network is measured.",
    quick: true,
    run: measure,
};

fn measure(ground: &Ground) -> Result<Findings> {
    let hosts = ground.pick(16, 4);
    let rounds = ground.pick(3, 1);
    let role = Role::sized(Size::Usual);
    let (mut typed, mut applied, mut cpu, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut commands = Vec::new();
    let prepared = || -> Result<Site> {
        let site = ground.fresh(hosts)?;
        ground.say("filling apt's caches");
        site.fill_apt_caches()?;
        Ok(site)
    };
    for round in 1..=rounds {
        ground.say(&format!("round {round} of {rounds}: apt-get typed"));
        let site = prepared()?;
        let packages = role.packages.join(" ");
        let line = format!(
            "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages}"
        );
        let (_, each) = run_together(site.ssh_to_all(&[&line])?)?;
        typed.push(each.iter().map(|cost| cost.wall.as_secs_f64()).fold(0.0, f64::max));
        let by_apt = installed(&site, &role)?;
        commands = vec![shown(&site.ssh("n01", &[&line])?) + "   # to every host, all at once"];
        drop(site);

        ground.say(&format!("round {round} of {rounds}: cm apply"));
        let site = prepared()?;
        let mut apply = site.cm(&["apply", &role.name, "on", "all"]);
        let cost = run(&mut apply, &[0])?;
        applied.push(cost.wall.as_secs_f64());
        cpu.push(cost.cpu.as_secs_f64());
        memory = memory.max(cost.peak_kib);
        ensure!(installed(&site, &role)? == by_apt, "apt-get and cm have not installed the same packages");
        site.prove_unchanged(&role.name)?;
        commands.push(shown(&apply));
    }
    let ratios: Vec<f64> = applied.iter().zip(&typed).map(|(applied, typed)| applied / typed).collect();
    let mut table = Table::new(
        format!("{hosts} hosts, 100 tasks, 11 of them packages"),
        &["what", "wall, median", "least–greatest", "controller CPU", "peak memory"],
    );
    let range = |figures: &[f64]| format!("{}–{} s", number(spread(figures).0), number(spread(figures).1));
    table.row([
        "`apt-get install` typed, slowest host",
        &format!("{} s", number(median(&typed))),
        &range(&typed),
    ]);
    table.row([
        "`cm apply`",
        &format!("{} s", number(median(&applied))),
        &range(&applied),
        &format!("{} s", number(median(&cpu))),
        &format!("{} MiB", memory / 1024),
    ]);
    let bars = vec![
        ("apt-get typed, slowest host".to_owned(), median(&typed)),
        ("cm apply, all of the role".to_owned(), median(&applied)),
    ];
    Ok(Findings {
        tables: vec![table],
        claims: vec![
            Claim::at_most("wall time, first apply / slowest host's own apt-get", median(&ratios), 1.3, "×")
                .between(spread(&ratios)),
        ],
        plots: vec![Plot::bars("first", &format!("First apply, {hosts} hosts: wall time"), "s", bars)],
        commands,
        notes: vec![
            "Both ways installed the same packages in the same versions on every host, dependencies included \
             (compared by dpkg-query), and `cm plan` had nothing to change afterwards."
                .into(),
        ],
        ..Findings::default()
    })
}

/// All packages of all hosts with their versions; an error if one of the role is missing.
fn installed(site: &Site, role: &Role) -> Result<Vec<String>> {
    let wanted = role.packages.join(" ");
    site.sh_on_all(&format!(
        "dpkg -s {wanted} > /dev/null && dpkg-query -W -f '${{Package}} ${{Version}} ${{Status}}\\n'"
    ))
}
