//! Looking without changing, and mending a little, against an apply with nothing to change.

use anyhow::{Result, ensure};

use super::figures::{cost_row, costs, ratio_claim};
use crate::{
    findings::Findings,
    ground::Ground,
    measure::{alternate, run, shown},
    role::{Role, Size},
    section::Section,
};

/// The section.
pub const SECTION: Section = Section {
    name: "drift",
    title: "Plan, verify, and drift mended",
    about: "\
The same role of 100 tasks on the same hosts: `cm plan` and `cm verify`, each against an apply with nothing to change \
(they do the same looks; 5 % are left to the noise); then an apply that mends 5 files that were changed by hand on every host, against the same.",
    quick: true,
    run: measure,
};

/// How many files are changed by hand on every host.
const DRIFTED: usize = 5;

fn measure(ground: &Ground) -> Result<Findings> {
    let hosts = ground.pick(16, 4);
    let site = ground.applied(hosts)?;
    let role = Role::sized(Size::Usual);
    let cm = |command: &str| site.cm(&[command, &role.name, "on", "all"]);
    let apply = || run(&mut cm("apply"), &[0]);
    site.prove_unchanged(&role.name)?;
    apply()?;

    let rounds = ground.pick(15, 5);
    ground.say(&format!("plan and apply in turn, {rounds} rounds"));
    let plan = alternate(rounds, || run(&mut cm("plan"), &[0]), apply)?;
    ground.say(&format!("verify and apply in turn, {rounds} rounds"));
    let verify = alternate(rounds, || run(&mut cm("verify"), &[0]), apply)?;

    let drifted: Vec<&str> = role.files.iter().take(DRIFTED).map(|file| file.path.as_str()).collect();
    let spoil = format!("for f in {}; do echo spoiled >> $f; done", drifted.join(" "));
    let sums = format!("sha256sum {}", drifted.join(" "));
    let whole = site.sh_on_all(&sums)?;
    let mend = || {
        site.sh_on_all(&spoil)?;
        ensure!(site.sh_on_all(&sums)? != whole, "the files that were to be spoiled are as they were");
        let cost = apply()?;
        ensure!(site.sh_on_all(&sums)? == whole, "the spoiled files were not mended");
        Ok(cost)
    };
    // Two in a row, and only the second counts: reading files that were just written is not what is measured.
    let nothing = || apply().and_then(|_| apply());
    ground.say(&format!(
        "{DRIFTED} files of each host mended, and nothing to change, in turn, {rounds} rounds"
    ));
    let mended = alternate(rounds, mend, nothing)?;

    let mut table = costs(&format!("{hosts} hosts, 100 tasks"));
    cost_row(&mut table, "`cm apply`, nothing to change", &[plan.b.clone(), verify.b.clone()].concat());
    cost_row(&mut table, "`cm plan`", &plan.a);
    cost_row(&mut table, "`cm verify`", &verify.a);
    cost_row(&mut table, &format!("`cm apply` mending {DRIFTED} files a host"), &mended.a);
    Ok(Findings {
        tables: vec![table],
        claims: vec![
            ratio_claim("wall time, plan / apply with nothing to change", plan.wall_ratio(), 1.05),
            ratio_claim("wall time, verify / apply with nothing to change", verify.wall_ratio(), 1.05),
            ratio_claim(
                &format!("wall time, {DRIFTED} files a host mended / apply with nothing to change"),
                mended.wall_ratio(),
                1.3,
            ),
        ],
        commands: vec![
            shown(&cm("apply")),
            shown(&cm("plan")),
            shown(&cm("verify")),
            format!("{spoil}   # on every host"),
        ],
        notes: vec!["Every mending was proven by the files' sums, before and after.".into()],
        ..Findings::default()
    })
}
