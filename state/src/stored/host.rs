//! A host's part of a run in the file.
//!
//! Hosts of one role have the same tasks, so the ids stand once a run in a [`TaskList`], and a
//! host says only how each came out and when. What more there is to tell (a change, an error)
//! is kept apart for the few tasks that have it. An ok task costs about five bytes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    HostResult, HostState, HostSummary, StateError, TaskChange, TaskCounts, TaskFilter, TaskOutcome,
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

/// Ids and roles of tasks, sorted by id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskList(pub(crate) Vec<(String, Option<String>)>);

/// A host's part of a run, its tasks still packed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredHost {
    pub(crate) head: HostHead,
    list: TaskListDigest,
    columns: Vec<u8>,
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
    let mut tasks: Vec<&TaskResult> = result.tasks.iter().collect();
    tasks.sort_by(|a, b| a.id.cmp(&b.id));
    let mut hasher = blake3::Hasher::new();
    for task in &tasks {
        // Lengths keep neighbours apart.
        for text in [Some(&task.id), task.role.as_ref()] {
            hasher.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hasher.update(text.map_or(&[], |text| text.as_bytes()));
        }
    }
    let mut list = TaskListDigest::default();
    list.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    lists
        .entry(list)
        .or_insert_with(|| TaskList(tasks.iter().map(|task| (task.id.clone(), task.role.clone())).collect()));

    let mut budget = TextBudget::new();
    let columns = ColumnsV1 {
        outcomes: tasks.iter().map(|task| task.outcome.code()).collect(),
        started: tasks
            .iter()
            .map(|task| task.started_us.map_or(0, |micros| micros.saturating_add(1)))
            .collect(),
        durations: tasks.iter().map(|task| task.duration_us).collect(),
        details: tasks
            .iter()
            .enumerate()
            .filter_map(|(index, task)| Some((index as u32, detail(task, &mut budget)?)))
            .collect(),
    };
    Ok(StoredHost {
        head: HostHead {
            state: result.state,
            error: result.error.as_deref().map(short),
            started: result.started,
            duration_us: result.duration_us,
            tasks: TaskCounts::of(&result.tasks),
        },
        list,
        columns: pack("the result of a host", &postcard_bytes(&columns)?)?,
    })
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
        let ColumnsV1 { outcomes, started, durations, details } = exactly(&unpack(&self.columns)?)?;
        if [outcomes.len(), started.len(), durations.len()] != [list.0.len(); 3] {
            return Err(Malformed(format!("{} outcomes of {} tasks", outcomes.len(), list.0.len())));
        }
        let mut details: HashMap<u32, DetailV1> = details.into_iter().collect();
        let mut tasks = Vec::new();
        for (index, (id, role)) in list.0.iter().enumerate() {
            let outcome: TaskOutcome = Code::from_code(outcomes[index])?;
            if filter == TaskFilter::NotOk && outcome == TaskOutcome::Ok {
                continue;
            }
            let mut task = TaskResult {
                role: role.clone(),
                started_us: started[index].checked_sub(1),
                duration_us: durations[index],
                ..TaskResult::new(id.as_str(), outcome)
            };
            if let Some(detail) = details.remove(&(index as u32)) {
                task.changes = detail.changes.into_iter().map(TaskChange::from).collect();
                task.output =
                    detail.output.map(|(status, stdout, stderr)| TaskOutput { status, stdout, stderr });
                task.error = detail.error;
                task.hint = detail.hint;
                task.because = detail.because;
                task.attempts = detail.attempts;
            }
            tasks.push(task);
        }
        // Stable, and the list is sorted by id.
        tasks.sort_by_key(|task| task.started_us.unwrap_or(u64::MAX));
        let HostHead { state, error, started, duration_us, .. } = self.head;
        Ok(HostResult { host: host.to_owned(), state, error, started, duration_us, tasks })
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
    const VERSION: u8 = 1;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        postcard_bytes(&HostV1 {
            state: self.head.state.code(),
            error: self.head.error.clone(),
            started: self.head.started.as_micros(),
            duration_us: self.head.duration_us,
            tasks: self.head.tasks.to_array(),
            list: self.list,
            columns: &self.columns,
        })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let host: HostV1<'_> = match version {
            1 => exactly(payload)?,
            _ => return unknown_version(version),
        };
        Ok(Self {
            head: HostHead {
                state: Code::from_code(host.state)?,
                error: host.error,
                started: Timestamp::from_micros(host.started),
                duration_us: host.duration_us,
                tasks: TaskCounts::from_array(host.tasks),
            },
            list: host.list,
            columns: host.columns.to_vec(),
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
