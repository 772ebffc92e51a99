//! Which bars a run has.

use cm_state::{HostResult, HostState, QUICK, RunSummary, TaskOutcome, TaskResult};

use super::{Kind, Row, Waterfall, time};
use crate::report::one_line;

/// The tasks of one host, in the order they started; tasks that were as wanted only where `all` are asked for, or
/// nothing else happened.
pub fn of_host(host: &HostResult, all: bool) -> Waterfall {
    let all = all || host.tasks.iter().all(|task| task.outcome == TaskOutcome::Ok);
    let worked =
        host.tasks.iter().filter_map(|task| Some(task.started_us? + task.duration_us)).max().unwrap_or(0);
    let rows = host
        .tasks
        .iter()
        .filter(|task| task.outcome != TaskOutcome::Ok || (all && !was_quick(task)))
        .map(|task| Row {
            label: one_line(&task.id),
            kind: task.outcome.into(),
            start: task.started_us,
            took: task.duration_us,
            remark: if task.attempts > 1 { format!("{} attempts", task.attempts) } else { String::new() },
        })
        .collect();
    let rest = host.duration_us.saturating_sub(worked);
    let quick = host.tasks.iter().filter(|task| was_quick(task)).count();
    let quick = match quick {
        0 => String::new(),
        _ => format!("; {quick} tasks were as wanted in less than {} each", time(QUICK)),
    };
    Waterfall {
        title: format!("{}: tasks, {} in all", host.host, time(host.duration_us)),
        note: format!("connecting, planning and telling took the other {}{quick}", time(rest)),
        rows,
        total: worked,
    }
}

/// The hosts of a run, in the order their turns came.
pub fn of_hosts(run: &RunSummary, hosts: &[HostResult]) -> Waterfall {
    let began = hosts.iter().map(|host| host.started.as_micros()).min().unwrap_or(0);
    let mut rows: Vec<Row> = hosts
        .iter()
        .map(|host| Row {
            label: host.host.clone(),
            kind: match host.state {
                HostState::Ok => Kind::Ok,
                HostState::Changed => Kind::Changed,
                HostState::Failed | HostState::Unreachable => Kind::Failed,
                _ => Kind::Other,
            },
            start: (host.state != HostState::Skipped).then(|| host.started.as_micros().abs_diff(began)),
            took: host.duration_us,
            remark: slowest(host),
        })
        .collect();
    rows.sort_by_key(|row| (row.start.is_none(), row.start, std::cmp::Reverse(row.took)));
    let total = rows.iter().filter_map(|row| Some(row.start? + row.took)).max().unwrap_or(0);
    Waterfall {
        title: format!("run {}: hosts, {} in all", run.id, time(total)),
        note: "beside each host its slowest task; `--host NAME` shows one host's tasks".to_owned(),
        rows,
        total,
    }
}

/// Whether it was as wanted too soon for its times to be kept.
fn was_quick(task: &TaskResult) -> bool {
    task.outcome == TaskOutcome::Ok && task.started_us.is_none()
}

fn slowest(host: &HostResult) -> String {
    let worked = host.tasks.iter().filter(|task| task.started_us.is_some());
    worked
        .max_by_key(|task| task.duration_us)
        .map(|task| format!("{} {}", one_line(&task.id), time(task.duration_us)))
        .unwrap_or_default()
}
