//! Measures with simulated nodes by hand; `cargo xtask bench scale` does the same for the page.
#![expect(clippy::print_stdout, reason = "the program's own entry point")]

use std::path::PathBuf;

use clap::Parser;
use cm_simulated::{Fleet, Ground, Scale, TASKS, hanging, process, scale};

/// Measures `cm apply` with nothing to change on simulated nodes.
#[derive(Parser)]
struct Arguments {
    /// The program to measure.
    cm: PathBuf,
    /// Numbers of hosts, each as HOSTS or HOSTSxTIMES.
    #[arg(default_values_t = [String::from("100x3"), String::from("1000")])]
    counts: Vec<String>,
    /// Where the nodes are kept.
    #[arg(long, default_value = "/dev/shm")]
    folder: PathBuf,
    /// Hosts at work at once.
    #[arg(long, default_value_t = 100)]
    forks: usize,
    /// Agents that run at once.
    #[arg(long, default_value_t = 8)]
    agents: usize,
    /// Tasks of the role.
    #[arg(long, default_value_t = TASKS)]
    tasks: usize,
    /// Tries hosts that hang, too, among so many.
    #[arg(long)]
    hang: Option<u32>,
    /// Leaves everything up and waits for a line of input.
    #[arg(long)]
    keep: bool,
}

fn main() -> anyhow::Result<()> {
    if let Some(done) = process() {
        return done;
    }
    let Arguments { cm, counts, folder, forks, agents, tasks, hang, keep } = Arguments::parse();
    let simulated = std::env::current_exe()?;
    let mut fleet = Fleet::prepare(Ground { cm, simulated, parent: folder, agents, tasks })?;
    let counts = counts.iter().map(|count| {
        let (hosts, times) = count.split_once('x').unwrap_or((count, "1"));
        anyhow::Ok((hosts.parse()?, times.parse()?))
    });
    let wanted = Scale { counts: counts.collect::<Result<_, _>>()?, forks };
    for point in scale(&mut fleet, &wanted, &mut |text| println!("{text}"))? {
        println!("{point:?}");
    }
    if keep {
        println!("all is up in {}; a line of input ends it", fleet.folder().display());
        std::io::stdin().read_line(&mut String::new())?;
    }
    if let Some(hosts) = hang {
        println!("{:?}", hanging(&mut fleet, hosts, forks, true)?);
    }
    Ok(())
}
