//! What runs did on hosts.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use crate::{
    FailedHosts, HostCounts, HostRecord, HostResult, HostState, HostSummary, RunId, RunMode, RunState,
    RunSummary, StateError, TaskCounts, TaskFilter,
    stored::{
        self, Lesson, Malformed, PlannedHosts, Stored, StoredHost, StoredRun, TaskList, TaskListDigest,
        pack_host,
    },
    tables::{Direction, ReadTables, Table, WriteTables},
};

use super::{look_up, name_of, nodes, resources, runs};

/// Results made ready to be written, without a transaction being held meanwhile.
pub(crate) struct Packed {
    hosts: Vec<StoredHost>,
    lists: HashMap<TaskListDigest, TaskList>,
    lessons: Vec<Option<Lesson>>,
}

pub(crate) fn pack(records: &[HostRecord]) -> Result<Packed, StateError> {
    let mut lists = HashMap::new();
    let hosts =
        records.iter().map(|record| pack_host(&mut lists, &record.result)).collect::<Result<_, _>>()?;
    let lessons = records.iter().map(|record| Lesson::of(&record.resources)).collect();
    Ok(Packed { hosts, lists, lessons })
}

pub(crate) fn record(
    tables: &mut dyn WriteTables,
    id: &RunId,
    packed: &Packed,
    records: &[HostRecord],
) -> Result<(), StateError> {
    let mut run = runs::require(tables, id)?;
    for (digest, list) in &packed.lists {
        let key = list_key(id, digest);
        if tables.get(Table::TaskLists, &key)?.is_none() {
            run.bytes += put(tables, &key, list)?;
        }
    }
    for ((record, host), lesson) in records.iter().zip(&packed.hosts).zip(&packed.lessons) {
        let key = host_key(id, &record.result.host);
        if let Some(value) = tables.get(Table::HostResults, &key)? {
            let previous: StoredHost = stored::decode(tables, &key, &value)?;
            run.bytes = run.bytes.saturating_sub((key.len() + value.len()) as u64);
            count(&mut run.summary, previous.head.state, previous.head.tasks, |n, by| n.saturating_sub(by));
        }
        count(&mut run.summary, host.head.state, host.head.tasks, u64::saturating_add);
        run.bytes += put(tables, &key, host)?;
        let micros = i64::try_from(record.result.duration_us).unwrap_or(i64::MAX);
        run.last_sign = run.last_sign.max(record.result.started.plus_micros(micros));
        if let Some(update) = &record.node {
            nodes::upsert(tables, std::slice::from_ref(update))?;
        }
        resources::merge(tables, &record.result.host, &record.resources, *lesson)?;
    }
    // A host that nobody announced belongs to the run all the same.
    let HostCounts { total, .. } = run.summary.hosts;
    run.summary.hosts.total = total.max(run.summary.hosts.finished());
    stored::put(tables, id.as_str().as_bytes(), &run)
}

/// Writes a record of the run; the bytes it takes.
fn put<R: Stored>(tables: &mut dyn WriteTables, key: &[u8], record: &R) -> Result<u64, StateError> {
    let value = stored::encode(key, record)?;
    tables.put(R::TABLE, key, &value)?;
    Ok((key.len() + value.len()) as u64)
}

fn count(run: &mut RunSummary, state: HostState, tasks: TaskCounts, apply: impl Fn(u64, u64) -> u64) {
    if let Some(slot) = run.hosts.slot(state) {
        *slot = apply(*slot, 1);
    }
    let mut sums = run.tasks.to_array();
    for (sum, by) in sums.iter_mut().zip(tasks.to_array()) {
        *sum = apply(*sum, by);
    }
    run.tasks = TaskCounts::from_array(sums);
}

/// Every host of the run, those without a result included, by name.
pub(crate) fn summaries(tables: &dyn ReadTables, id: &RunId) -> Result<Vec<HostSummary>, StateError> {
    let run = runs::require(tables, id)?;
    let planned = look_up::<PlannedHosts>(tables, id.as_str().as_bytes())?;
    let unfinished = |host: String| {
        let summary = HostSummary {
            host: host.clone(),
            state: HostState::Unfinished,
            error: None,
            started: None,
            duration_us: 0,
            tasks: TaskCounts::default(),
        };
        (host, summary)
    };
    let mut hosts: BTreeMap<String, HostSummary> =
        planned.into_iter().flat_map(|planned| planned.0).map(unfinished).collect();
    each_host(tables, &run.summary, |host, stored| {
        let summary = stored.head.summary(&host);
        hosts.insert(host, summary);
        Ok(())
    })?;
    Ok(hosts.into_values().collect())
}

pub(crate) fn one(tables: &dyn ReadTables, id: &RunId, host: &str) -> Result<Option<HostResult>, StateError> {
    let run = runs::require(tables, id)?;
    match stored::get::<StoredHost>(tables, &host_key(id, host))? {
        Some(stored) => Unpacking::of(tables, id).unpack(host, stored, TaskFilter::All).map(Some),
        // Not there, or hidden by damage? Going over all of them tells.
        None => each_host(tables, &run.summary, |other, _| {
            if other == host {
                let malformed = Malformed("it is there, but not found where it should be".to_owned());
                return Err(malformed.at(tables, StoredHost::WHAT, &host_key(id, host)));
            }
            Ok(())
        })
        .map(|()| None),
    }
}

pub(crate) fn all(
    tables: &dyn ReadTables,
    id: &RunId,
    filter: TaskFilter,
) -> Result<Vec<HostResult>, StateError> {
    let run = runs::require(tables, id)?;
    let mut unpacking = Unpacking::of(tables, id);
    let mut results = Vec::new();
    each_host(tables, &run.summary, |host, stored| {
        results.push(unpacking.unpack(&host, stored, filter)?);
        Ok(())
    })?;
    Ok(results)
}

pub(crate) fn failed(tables: &dyn ReadTables) -> Result<Option<FailedHosts>, StateError> {
    let mut last = None;
    runs::each_newest_first(tables, |StoredRun { summary: run, .. }| {
        // One that gave up before it touched anything says nothing about hosts.
        let in_vain = run.state == RunState::Aborted && run.hosts.unfinished() == run.hosts.total;
        if run.state == RunState::Running || run.mode == RunMode::Plan || in_vain {
            return Ok(ControlFlow::Continue(()));
        }
        last = Some(run.id);
        Ok(ControlFlow::Break(()))
    })?;
    let Some(run) = last else { return Ok(None) };
    let (mut failed, mut unfinished) = (Vec::new(), Vec::new());
    for host in summaries(tables, &run)? {
        match host.state {
            HostState::Ok | HostState::Changed => {}
            HostState::Failed | HostState::Unreachable => failed.push(host.host),
            HostState::Interrupted | HostState::Skipped | HostState::Unfinished => unfinished.push(host.host),
        }
    }
    Ok(Some(FailedHosts { run, failed, unfinished }))
}

fn each_host(
    tables: &dyn ReadTables,
    run: &RunSummary,
    mut visit: impl FnMut(String, StoredHost) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let prefix = run_prefix(&run.id);
    let mut found = 0;
    tables.scan(Table::HostResults, &prefix, Direction::Ascending, &mut |key, value| {
        let host = name_of(tables, StoredHost::WHAT, &key[prefix.len()..])?;
        visit(host, stored::decode(tables, key, value)?)?;
        found += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    // Damage may hide results without spoiling any.
    let expected = run.hosts.finished();
    if found == expected {
        return Ok(());
    }
    let detail = format!("{found} of the {expected} results of the run `{}` are found", run.id);
    Err(StateError::Damaged { path: tables.place().to_owned(), detail })
}

/// Unpacks hosts of one run, reading each task list once.
struct Unpacking<'t> {
    tables: &'t dyn ReadTables,
    id: &'t RunId,
    lists: HashMap<TaskListDigest, TaskList>,
}

impl<'t> Unpacking<'t> {
    fn of(tables: &'t dyn ReadTables, id: &'t RunId) -> Self {
        Self { tables, id, lists: HashMap::new() }
    }

    fn unpack(
        &mut self,
        host: &str,
        stored: StoredHost,
        filter: TaskFilter,
    ) -> Result<HostResult, StateError> {
        let key = host_key(self.id, host);
        let digest = stored.list();
        if !self.lists.contains_key(&digest) {
            let list =
                stored::get::<TaskList>(self.tables, &list_key(self.id, &digest))?.ok_or_else(|| {
                    Malformed("its task list is missing".to_owned()).at(self.tables, StoredHost::WHAT, &key)
                })?;
            self.lists.insert(digest, list);
        }
        stored
            .unpack(host, &self.lists[&digest], filter)
            .map_err(|malformed| malformed.at(self.tables, StoredHost::WHAT, &key))
    }
}

/// The beginning of every key that belongs to the run. An id holds no NUL, so no run's keys are
/// among those of another whose id is longer.
pub(crate) fn run_prefix(id: &RunId) -> Vec<u8> {
    [id.as_str().as_bytes(), &[0]].concat()
}

pub(crate) fn host_key(id: &RunId, host: &str) -> Vec<u8> {
    [id.as_str().as_bytes(), &[0], host.as_bytes()].concat()
}

fn list_key(id: &RunId, digest: &TaskListDigest) -> Vec<u8> {
    [id.as_str().as_bytes(), &[0], digest].concat()
}
