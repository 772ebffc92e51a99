//! Nothing to change: `cm apply` against plain `ssh HOST true` to the same hosts.

use anyhow::Result;

use super::figures::{cost_row, costs, ratio_claim};
use crate::{
    findings::Findings,
    ground::Ground,
    measure::{Cost, alternate, run, run_together, shown, typical},
    plot::Plot,
    role::{Role, Size},
    section::Section,
};

/// The section.
pub const SECTION: Section = Section {
    name: "unchanged",
    title: "Nothing to change",
    about: "\
The most frequent run of all: everything is as wanted. `cm apply` of a role of 100 tasks (11 packages, 60 \
templated files of 1 KiB, 10 directories, 5 links, 5 users, 3 groups, 3 line edits, 2 sysctl files, 1 service) to 16 \
hosts, against plain cold `ssh HOST true` to the same 16 hosts at once, with the same key exchange: what any tool \
that pushes has to pay before it does anything. sshd and the work on the hosts share the machine's cores with the \
controller, so wall time holds both sides; processor time is the controller's alone.",
    quick: true,
    run: measure,
};

fn measure(ground: &Ground) -> Result<Findings> {
    let hosts = ground.pick(16, 4);
    let site = ground.applied(hosts)?;
    let role = |size: Size| Role::sized(size).name;
    let (small, usual, large) = (role(Size::Small), role(Size::Usual), role(Size::Large));
    let apply = |role: &str| run(&mut site.cm(&["apply", role, "on", "all"]), &[0]);
    let ssh = || run_together(site.ssh_to_all(&["true"])?).map(|(all, _)| all);

    site.prove_unchanged(&usual)?;
    let rounds = ground.pick(21, 7);
    ground.say(&format!("cm apply and {hosts} ssh in turn, {rounds} rounds"));
    // What is only slow the first time (host keys, caches of the hosts) is so for both.
    apply(&usual)?;
    ssh()?;
    let against_ssh = alternate(rounds, || apply(&usual), ssh)?;

    ground.say("first apply of 300 tasks");
    apply(&large)?;
    site.prove_unchanged(&large)?;
    site.prove_unchanged(&small)?;
    apply(&small)?;
    ground.say(&format!("300 and 20 tasks in turn, {rounds} rounds"));
    let by_size = alternate(rounds, || apply(&large), || apply(&small))?;

    let ssh_name = format!("{hosts} × plain `ssh host true`, cold, all at once");
    let mut table = costs(&format!("{hosts} hosts, nothing to change"));
    cost_row(&mut table, &ssh_name, &against_ssh.b);
    cost_row(&mut table, "`cm apply`, 20 tasks", &by_size.b);
    cost_row(&mut table, "`cm apply`, 100 tasks", &against_ssh.a);
    cost_row(&mut table, "`cm apply`, 300 tasks", &by_size.a);
    let bar = |name: &str, costs: &[Cost]| (name.to_owned(), typical(costs).wall.as_secs_f64() * 1e3);
    let bars = vec![
        bar(&format!("{hosts} × ssh host true"), &against_ssh.b),
        bar("cm apply, 20 tasks", &by_size.b),
        bar("cm apply, 100 tasks", &against_ssh.a),
        bar("cm apply, 300 tasks", &by_size.a),
    ];
    Ok(Findings {
        tables: vec![table],
        claims: vec![
            ratio_claim("wall time, 100 tasks / plain ssh", against_ssh.wall_ratio(), 1.0),
            ratio_claim("controller CPU, 100 tasks / plain ssh clients", against_ssh.cpu_ratio(), 1.0),
            ratio_claim("wall time, 300 tasks / 20 tasks", by_size.wall_ratio(), 1.2),
        ],
        plots: vec![Plot::bars("unchanged", &format!("Nothing to change, {hosts} hosts: wall time"), "ms", bars)],
        commands: vec![
            shown(&site.ssh("n01", &["true"])?) + "   # to every host, all at once",
            shown(&site.cm(&["apply", &usual, "on", "all"])),
            shown(&site.cm(&["apply", &large, "on", "all"])),
            shown(&site.cm(&["apply", &small, "on", "all"])),
        ],
        notes: vec![
            "`cm plan` ended with 0 (nothing would change) before anything was measured. The ssh clients are started \
             by the benchmark itself, without a shell between."
                .into(),
        ],
        ..Findings::default()
    })
}
