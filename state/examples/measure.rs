//! Measures what large runs cost: `cargo run --release -p cm-state --example measure [RUNS]`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use cm_state::{RedbStore, Retention, RunMode, RunState, StateError, Store, TaskFilter};
use sample::{finish, minutes, new_run};

const HOSTS: usize = 1000;
const TASKS: usize = 200;

fn timed<R>(body: impl FnOnce() -> R) -> (R, Duration) {
    let began = Instant::now();
    let result = body();
    (result, began.elapsed())
}

/// Says how long a question took, and how many bytes of answer it gave when printed.
fn show<R: std::fmt::Debug>(
    out: &mut impl Write,
    what: &str,
    ask: impl FnOnce() -> Result<R, StateError>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (answer, time) = timed(ask);
    writeln!(out, "  {what}: {time:.1?} ({} bytes shown)", format!("{:?}", answer?).len())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(500), |text| text.parse())?;
    let folder = tempfile::tempdir_in(std::env::current_dir()?)?;
    let path = folder.path().join("state.redb");
    let store = RedbStore::open(&path)?;
    let mut out = std::io::stdout().lock();
    let size = || std::fs::metadata(&path).map(|file| file.len() as f64 / 1e6);
    let names: Vec<String> = (0..HOSTS).map(|host| format!("web{host:04}.example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();

    for (batches, changed) in [(1, 10), (20, 10), (20, 0)] {
        let id = store.begin_run(&new_run(RunMode::Apply, minutes(0), &names))?;
        let records: Vec<_> = (0..HOSTS).map(|host| sample::large(&id, host, TASKS, changed)).collect();
        let before = size()?;
        let (recorded, time) =
            timed(|| records.chunks(HOSTS / batches).try_for_each(|batch| store.record_hosts(&id, batch)));
        recorded?;
        store.finish_run(&id, &[], &finish(RunState::Ok, minutes(1)))?;
        writeln!(
            out,
            "{HOSTS} hosts x {TASKS} tasks, {changed} changed each, {batches} batches: {time:.1?}, file {before:.1} -> {:.1} MB",
            size()?
        )?;
        let bare: Vec<_> = records.into_iter().map(|record| record.result.into()).collect();
        let id = store.begin_run(&new_run(RunMode::Apply, minutes(0), &names))?;
        let before = size()?;
        let (recorded, time) = timed(|| store.record_hosts(&id, &bare));
        recorded?;
        store.finish_run(&id, &[], &finish(RunState::Ok, minutes(1)))?;
        writeln!(out, "  results alone, 1 batch: {time:.1?}, file {before:.1} -> {:.1} MB", size()?)?;
    }
    let mut last = None;
    for run in 0..runs {
        let id = store.begin_run(&new_run(RunMode::Apply, minutes(run as i64), &names))?;
        let records: Vec<_> = (0..HOSTS)
            .map(|host| sample::large(&id, host, TASKS, usize::from(run % 10 == 0)).result.into())
            .collect();
        store.record_hosts(&id, &records)?;
        store.finish_run(&id, &[], &finish(RunState::Ok, minutes(run as i64)))?;
        last = Some(id);
    }
    let last = last.ok_or("at least one run")?;
    writeln!(out, "{runs} runs of {HOSTS} hosts: file {:.1} MB", size()?)?;
    for round in ["first", "again"] {
        let fresh = RedbStore::open(&path)?;
        writeln!(out, "{round}:")?;
        show(&mut out, "open", || RedbStore::open(&path))?;
        show(&mut out, "history 20", || fresh.runs(20))?;
        show(&mut out, "history all", || fresh.runs(usize::MAX))?;
        show(&mut out, "find by id", || fresh.find_run(last.suffix()))?;
        show(&mut out, "nodes", || fresh.nodes())?;
        show(&mut out, "facts of all", || fresh.facts(&names))?;
        show(&mut out, "resources of one", || fresh.resources(names[7]))?;
        show(&mut out, "hosts of a run", || fresh.run_hosts(&last))?;
        show(&mut out, "one host of a run", || fresh.run_host(&last, names[7]))?;
        show(&mut out, "a run without ok tasks", || fresh.run_results(&last, TaskFilter::NotOk))?;
        show(&mut out, "a run with all tasks", || fresh.run_results(&last, TaskFilter::All))?;
        show(&mut out, "@failed", || fresh.failed_hosts())?;
        show(&mut out, "close interrupted, none", || fresh.close_interrupted(minutes(9)))?;
        show(&mut out, "begin a run", || fresh.begin_run(&new_run(RunMode::Plan, minutes(0), &names)))?;
    }
    show(&mut out, "check", || store.check())?;
    let half = Retention { keep_newest: Some(runs / 2), started_before: None, ..Retention::default() };
    let (pruned, time) = timed(|| store.prune(&half));
    writeln!(out, "prune {} runs: {time:.1?}, file {:.1} MB", pruned?.runs.len(), size()?)?;
    let (compaction, time) = timed(|| store.compact());
    writeln!(out, "compact: {time:.1?}, {:?}", compaction?)?;
    show(&mut out, "check", || store.check())?;
    Ok(())
}
