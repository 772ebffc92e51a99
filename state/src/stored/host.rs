//! A host's part of a run in the file.
//!
//! Hosts of one role have the same tasks, so the ids stand once a run in a [`TaskList`], and a
//! host tells only of the few tasks that were not as wanted, or took their time. A task that was as
//! wanted in less than [`QUICK`] costs nothing.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    HostResult, HostState, HostSummary, QUICK, StateError, TaskChange, TaskCounts, TaskFilter, TaskOutcome,
    TaskOutput, TaskResult, Timestamp, tables::Table,
};

use super::{
    Malformed, Stored, bytes_field,
    codes::Code,
    envelope::{exactly, postcard_bytes, unknown_version},
    packing::{pack, unpack},
    text_limit::{TextBudget, short},
};

/// Names a task list within its run: the beginning of its BLAKE3 hash.
pub(crate) type TaskListDigest = [u8; 16];

/// An id and a role.
type TaskName = (Arc<str>, Option<Arc<str>>);

/// Ids and roles of tasks, in the order of the first host that has them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskList(pub(crate) Vec<TaskName>);

/// A host's part of a run, its tasks still packed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredHost {
    pub(crate) head: HostHead,
    list: TaskListDigest,
    tasks: Tasks,
}

/// The tasks of a host, packed.
#[derive(Clone, Debug, PartialEq)]
enum Tasks {
    /// Packed [`ColumnsV1`].
    Columns(Vec<u8>),
    /// Packed list of [`ToldV2`].
    Told(Vec<u8>),
}

/// A host's part of a run without its tasks and its name, which is in the key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostHead {
    pub(crate) state: HostState,
    pub(crate) error: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) duration_us: u64,
    pub(crate) tasks: TaskCounts,
}

#[derive(Serialize, Deserialize)]
struct TaskListV1<'a> {
    /// Packed postcard of ids and roles.
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    packed: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct HostV1<'a> {
    state: u8,
    error: Option<String>,
    started: i64,
    duration_us: u64,
    tasks: [u64; 6],
    list: TaskListDigest,
    /// Packed [`ColumnsV1`].
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    columns: &'a [u8],
}

/// One entry a task in each of the first three, in the order of the task list.
#[derive(Serialize, Deserialize)]
struct ColumnsV1 {
    outcomes: Vec<u8>,
    /// Microseconds + 1; 0: not started.
    started: Vec<u64>,
    durations: Vec<u64>,
    details: Vec<(u32, DetailV1)>,
}

#[derive(Serialize, Deserialize)]
struct HostV2<'a> {
    state: u8,
    error: Option<String>,
    started: i64,
    duration_us: u64,
    tasks: [u64; 6],
    list: TaskListDigest,
    /// Packed list of [`ToldV2`].
    #[serde(borrow, serialize_with = "bytes_field::serialize")]
    told: &'a [u8],
}

/// A task of which there is more to tell than that it was as wanted, at once.
#[derive(Serialize, Deserialize)]
struct ToldV2 {
    /// Tasks of the list before this one, since the one told of before.
    after: u32,
    outcome: u8,
    /// Microseconds + 1; 0: not started.
    started: u64,
    duration: u64,
    detail: Option<DetailV1>,
}

#[derive(Serialize, Deserialize)]
struct DetailV1 {
    changes: Vec<ChangeV1>,
    output: Option<(i32, String, String)>,
    error: Option<String>,
    hint: Option<String>,
    because: Vec<String>,
    attempts: u16,
}

#[derive(Serialize, Deserialize)]
struct ChangeV1 {
    attribute: String,
    before: Option<String>,
    after: Option<String>,
    diff: Option<String>,
}

/// Packs a host's part of a run. Task lists not yet in `lists` are added to it.
pub(crate) fn pack_host(
    lists: &mut HashMap<TaskListDigest, TaskList>,
    result: &HostResult,
) -> Result<StoredHost, StateError> {
    let tasks = &result.tasks;
    let list = digest_of(tasks);
    lists
        .entry(list)
        .or_insert_with(|| TaskList(tasks.iter().map(|task| (task.id.clone(), task.role.clone())).collect()));
    let mut budget = TextBudget::new();
    let mut told = Vec::new();
    let mut after = 0;
    for task in tasks {
        let detail = detail(task, &mut budget);
        if detail.is_none() && task.outcome == TaskOutcome::Ok && task.duration_us < QUICK {
            after += 1;
            continue;
        }
        told.push(ToldV2 {
            after,
            outcome: task.outcome.code(),
            started: task.started_us.map_or(0, |micros| micros.saturating_add(1)),
            duration: task.duration_us,
            detail,
        });
        after = 0;
    }
    Ok(StoredHost {
        head: HostHead {
            state: result.state,
            error: result.error.as_deref().map(short),
            started: result.started,
            duration_us: result.duration_us,
            tasks: TaskCounts::of(tasks),
        },
        list,
        tasks: Tasks::Told(pack("the result of a host", &postcard_bytes(&told)?)?),
    })
}

/// What tells lists of tasks apart.
fn digest_of(tasks: &[TaskResult]) -> TaskListDigest {
    // In one piece: that takes a fifth of the time of many small ones.
    let mut text = Vec::with_capacity(tasks.len() * 64);
    for task in tasks {
        // Lengths keep neighbours apart.
        for part in [Some(&task.id), task.role.as_ref()] {
            text.extend_from_slice(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.map_or(&[], |part| part.as_bytes()));
        }
    }
    let mut digest = TaskListDigest::default();
    digest.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
    digest
}

/// What there is to tell of a task beside outcome and times; none: nothing.
fn detail(task: &TaskResult, budget: &mut TextBudget) -> Option<DetailV1> {
    let TaskResult { changes, output, error, hint, because, attempts, .. } = task;
    if changes.is_empty()
        && output.is_none()
        && error.is_none()
        && hint.is_none()
        && because.is_empty()
        && *attempts == 1
    {
        return None;
    }
    let mut change = |change: &TaskChange| ChangeV1 {
        attribute: short(&change.attribute),
        before: budget.long_option(change.before.as_deref()),
        after: budget.long_option(change.after.as_deref()),
        diff: budget.long_option(change.diff.as_deref()),
    };
    Some(DetailV1 {
        changes: changes.iter().map(&mut change).collect(),
        output: output
            .as_ref()
            .map(|output| (output.status, budget.long(&output.stdout), budget.long(&output.stderr))),
        error: error.as_deref().map(short),
        hint: hint.as_deref().map(short),
        because: because.iter().map(|text| short(text)).collect(),
        attempts: *attempts,
    })
}

impl StoredHost {
    /// The list its tasks are named in.
    pub(crate) fn list(&self) -> TaskListDigest {
        self.list
    }

    /// The whole result, its tasks named by the list of [`StoredHost::list`].
    pub(crate) fn unpack(
        self,
        host: &str,
        list: &TaskList,
        filter: TaskFilter,
    ) -> Result<HostResult, Malformed> {
        let told = match &self.tasks {
            Tasks::Columns(packed) => of_columns(packed, list.0.len())?,
            Tasks::Told(packed) => exactly(&unpack(packed)?)?,
        };
        let spans = told.iter().map(|told| told.after as usize + 1).sum::<usize>();
        if spans > list.0.len() {
            return Err(Malformed(format!("it tells of {spans} tasks of {}", list.0.len())));
        }
        let all = filter == TaskFilter::All;
        let quick = |(id, role): &TaskName| TaskResult {
            role: role.clone(),
            ..TaskResult::new(Arc::clone(id), TaskOutcome::Ok)
        };
        let mut tasks = Vec::with_capacity(if all { list.0.len() } else { told.len() });
        let mut rest = &list.0[..];
        for told in told {
            // Within the list: the spans were added up.
            let (passed, others) = rest.split_at(told.after as usize);
            let Some(((id, role), others)) = others.split_first() else { break };
            rest = others;
            if all {
                tasks.extend(passed.iter().map(quick));
            }
            let outcome = Code::from_code(told.outcome)?;
            if all || outcome != TaskOutcome::Ok {
                tasks.push(told.result(id, role.as_ref(), outcome));
            }
        }
        if all {
            tasks.extend(rest.iter().map(quick));
        }
        tasks.sort_by(|a, b| {
            let start = |task: &TaskResult| task.started_us.unwrap_or(u64::MAX);
            start(a).cmp(&start(b)).then_with(|| a.id.cmp(&b.id))
        });
        let HostHead { state, error, started, duration_us, .. } = self.head;
        Ok(HostResult { host: host.to_owned(), state, error, started, duration_us, tasks })
    }
}

/// What the first format told of each of `count` tasks.
fn of_columns(packed: &[u8], count: usize) -> Result<Vec<ToldV2>, Malformed> {
    let ColumnsV1 { outcomes, started, durations, details } = exactly(&unpack(packed)?)?;
    if [outcomes.len(), started.len(), durations.len()] != [count; 3] {
        return Err(Malformed(format!("{} outcomes of {count} tasks", outcomes.len())));
    }
    let mut details: HashMap<u32, DetailV1> = details.into_iter().collect();
    let times = started.into_iter().zip(durations);
    let told = outcomes.into_iter().zip(times).zip(0..).map(|((outcome, (started, duration)), index)| {
        ToldV2 { after: 0, outcome, started, duration, detail: details.remove(&index) }
    });
    Ok(told.collect())
}

impl ToldV2 {
    fn result(self, id: &Arc<str>, role: Option<&Arc<str>>, outcome: TaskOutcome) -> TaskResult {
        let mut task = TaskResult {
            role: role.cloned(),
            started_us: self.started.checked_sub(1),
            duration_us: self.duration,
            ..TaskResult::new(Arc::clone(id), outcome)
        };
        if let Some(detail) = self.detail {
            task.changes = detail.changes.into_iter().map(TaskChange::from).collect();
            task.output = detail.output.map(|(status, stdout, stderr)| TaskOutput { status, stdout, stderr });
            task.error = detail.error;
            task.hint = detail.hint;
            task.because = detail.because;
            task.attempts = detail.attempts;
        }
        task
    }
}

impl From<ChangeV1> for TaskChange {
    fn from(ChangeV1 { attribute, before, after, diff }: ChangeV1) -> Self {
        Self { attribute, before, after, diff }
    }
}

impl HostHead {
    /// The summary of the host of this name.
    pub(crate) fn summary(self, host: &str) -> HostSummary {
        HostSummary {
            host: host.to_owned(),
            state: self.state,
            error: self.error,
            started: Some(self.started),
            duration_us: self.duration_us,
            tasks: self.tasks,
        }
    }
}

impl Stored for StoredHost {
    const TABLE: Table = Table::HostResults;
    const WHAT: &'static str = "the result of the host";
    const VERSION: u8 = 2;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let Tasks::Told(told) = &self.tasks else {
            let detail = "a result of an older format is not written again".to_owned();
            return Err(StateError::Encode { detail });
        };
        postcard_bytes(&HostV2 {
            state: self.head.state.code(),
            error: self.head.error.clone(),
            started: self.head.started.as_micros(),
            duration_us: self.head.duration_us,
            tasks: self.head.tasks.to_array(),
            list: self.list,
            told,
        })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let (head, list, tasks) = match version {
            1 => {
                let HostV1 { state, error, started, duration_us, tasks, list, columns } = exactly(payload)?;
                ((state, error, started, duration_us, tasks), list, Tasks::Columns(columns.to_vec()))
            }
            2 => {
                let HostV2 { state, error, started, duration_us, tasks, list, told } = exactly(payload)?;
                ((state, error, started, duration_us, tasks), list, Tasks::Told(told.to_vec()))
            }
            _ => return unknown_version(version),
        };
        let (state, error, started, duration_us, counts) = head;
        Ok(Self {
            head: HostHead {
                state: Code::from_code(state)?,
                error,
                started: Timestamp::from_micros(started),
                duration_us,
                tasks: TaskCounts::from_array(counts),
            },
            list,
            tasks,
        })
    }
}

impl Stored for TaskList {
    const TABLE: Table = Table::TaskLists;
    const WHAT: &'static str = "the task list";
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let packed = pack(Self::WHAT, &postcard_bytes(&self.0)?)?;
        postcard_bytes(&TaskListV1 { packed: &packed })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        match version {
            1 => {
                let TaskListV1 { packed } = exactly(payload)?;
                Ok(Self(exactly(&unpack(packed)?)?))
            }
            _ => unknown_version(version),
        }
    }
}
