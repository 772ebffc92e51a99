//! A process by its pid and its start time, so that a pid used again is never taken for it.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    /// Its pid on the machine.
    pub(crate) pid: i32,
    /// When it was started, in clock ticks since the machine's start: field 22 of `proc_pid_stat(5)`.
    pub(crate) started: u64,
}

impl ProcessIdentity {
    /// The process that has this pid now; none if it is gone or only waits to be reaped.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started) = state_and_start(&stat)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends SIGKILL to exactly this process.
    pub(crate) fn kill(self) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        // The pidfd is opened first and the start time compared after: from then on the pid may be
        // used again, the pidfd still means the old process.
        if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
            && self.is_alive()
        {
            // A process that ended meanwhile is what was wanted.
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

/// Whether the process is the init of a pid namespace directly below ours.
pub(crate) fn is_container_init(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|ids| ids.split_whitespace().skip(1).eq(["1"]))
}

/// The state letter and the start time. The command's name may hold blanks and parentheses.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the start time field 22.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!(state_and_start(stat), Some(('S', 4711)));
    }

    #[test]
    fn a_recycled_pid_is_not_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let real = ProcessIdentity::of(child.id() as i32).unwrap();
        let former = ProcessIdentity { started: real.started - 1, ..real };
        former.kill();
        assert!(!former.is_alive() && real.is_alive());
        real.kill();
        child.wait().unwrap();
        assert!(!real.is_alive());
    }

    #[test]
    fn this_process_is_no_init_of_a_container() {
        assert!(!is_container_init(std::process::id() as i32));
    }
}
