//! Fills a database as 1,000 hosts × 200 tasks do, run after run, and prints what that cost as one line of JSON:
//! `cargo run --release -p cm-state --example figures FILE RUNS`. The file stays, for `cm history` and its like.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::{io::Write, path::PathBuf};

use cm_state::{HostRecord, HostState, RedbStore, Retention, RunId, RunMode, RunState, StateError, Store};
use sample::{finish, minutes, new_run};

const HOSTS: usize = 1000;
const TASKS: usize = 200;
/// As `cm` hands them over.
const BATCH: usize = 64;

/// One run in ten changes something.
fn records(run: &RunId, number: usize) -> Vec<HostRecord> {
    let changed = usize::from(number.is_multiple_of(10));
    (0..HOSTS).map(|host| sample::large(run, host, TASKS, changed)).collect()
}

/// Processor time of this process so far, in microseconds.
fn cpu() -> Result<f64, Box<dyn std::error::Error>> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3)
}

fn record(store: &RedbStore, names: &[&str], number: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let id = store.begin_run(&new_run(RunMode::Apply, minutes(number as i64), names))?;
    let mut records = records(&id, number);
    let quiet = !number.is_multiple_of(10);
    for record in &mut records {
        record.result.state = if quiet { HostState::Ok } else { HostState::Changed };
    }
    let began = cpu()?;
    let recorded: Result<(), StateError> =
        records.chunks(BATCH).try_for_each(|batch| store.record_hosts(&id, batch));
    recorded?;
    let state = if quiet { RunState::Ok } else { RunState::Changed };
    store.finish_run(&id, &[], &finish(state, minutes(number as i64)))?;
    Ok(cpu()? - began)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("FILE RUNS")?);
    let runs: usize = arguments.next().ok_or("FILE RUNS")?.parse()?;
    let store = RedbStore::open(&path)?;
    let names: Vec<String> = (0..HOSTS).map(|host| format!("web{host:04}.example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut quiet, mut changing) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let cost = record(&store, &names, number)?;
        // The first of them learn everything anew.
        if number > 2 {
            if number.is_multiple_of(10) { changing.push(cost) } else { quiet.push(cost) }
        }
    }
    let filled = store.size()?;
    // As many again, with the past bounded: the file must not grow.
    let rules = Retention { keep_newest: Some(runs), ..Retention::default() };
    for number in runs..runs * 2 {
        record(&store, &names, number)?;
        store.prune(&Retention { keep_newest: Some(runs / 2), least: 10, most: Some(20), ..rules })?;
    }
    let bounded = store.size()?;
    let few = path.with_extension("few");
    std::fs::copy(&path, &few)?;
    let fewer = RedbStore::open(&few)?;
    fewer.prune(&Retention { keep_newest: Some(runs / 20), ..rules })?;
    let compaction = fewer.compact()?;
    fewer.check()?;
    let median = |costs: &mut Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len() / 2).copied().unwrap_or_default() / HOSTS as f64
    };
    writeln!(
        std::io::stdout().lock(),
        "{{\"quiet_us_a_host\":{:.2},\"changing_us_a_host\":{:.2},\"filled\":{filled},\"bounded\":{bounded},\"before\":{},\"after\":{}}}",
        median(&mut quiet),
        median(&mut changing),
        compaction.before,
        compaction.after
    )?;
    Ok(())
}
