//! `cm facts on TARGET`.

use clap::Args;
use cm_engine::RunEvent;
use cm_wire::{Facts, Mode};

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{Fleet, Selection},
    interrupt::Interrupt,
    options::{Options, RunArguments, WhatOnTarget},
    report::{self, RunHeader},
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `on TARGET`.
    #[arg(required = true, value_name = "on TARGET")]
    words: Vec<String>,
    #[command(flatten)]
    run: RunArguments,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let target = words.target.or_else(|| words.what.first().cloned()).unwrap_or_default();
    let fleet = Fleet::load(options)?;
    let selection = fleet.select(&target, &arguments.run)?;
    let runtime = drive::runtime()?;
    runtime.block_on(gather(options, &fleet, selection, arguments))
}

async fn gather(
    options: &Options,
    fleet: &Fleet,
    selection: Selection,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    let header = RunHeader {
        run: "-".into(),
        mode: Mode::Verify,
        command: "facts",
        hosts: selection.hosts.len(),
        diff: false,
        verbosity: options.verbosity(),
    };
    let run = fleet.run(selection, &arguments.run, Mode::Verify, "facts".into(), None)?;
    let interrupt = Interrupt::watch();
    let show = |event: &RunEvent| {
        if let RunEvent::Connected { host, facts, .. } = event
            && !options.json
        {
            report::print(&text(host, facts));
        }
    };
    drive::drive(run, drive::reporter(options, header), None, interrupt, show).await
}

fn text(host: &str, facts: &Facts) -> String {
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut table = report::table(&["", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), report::one_line(&value)]);
    };
    row("hostname", facts.hostname.clone());
    row("fqdn", facts.fqdn.clone());
    row(
        "os",
        format!("{} {} ({}), family {}", facts.os.name, facts.os.version, facts.os.codename, facts.os.family),
    );
    row("kernel", format!("{} {}", facts.kernel, facts.arch));
    row("cpus", facts.cpus.to_string());
    row(
        "memory",
        format!(
            "{:.1} GiB, {:.1} GiB available",
            gibibytes(facts.memory.total),
            gibibytes(facts.memory.available)
        ),
    );
    row("addresses", facts.addresses.join(", "));
    row("init", facts.init.clone());
    row("package manager", facts.package_manager.clone());
    row("virtualization", facts.virtualization.clone());
    let mounts: Vec<String> =
        facts.mounts.iter().map(|mount| format!("{} ({})", mount.path, mount.fstype)).collect();
    row("mounts", mounts.join(", "));
    format!("{host}\n{}\n", table.to_string().lines().skip(1).collect::<Vec<_>>().join("\n"))
}
