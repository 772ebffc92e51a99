//! Which process drives a run, and whether it still lives.
//!
//! A `cm` that was killed cannot say so. A later one finds its runs still marked as running and
//! has to tell them from those of a `cm` at work right now.

use std::fs;

use serde::Serialize;

/// Runs whose controller cannot be judged from here (another machine, another PID namespace)
/// are taken to be interrupted this long after they began, in microseconds: 24 hours.
pub const UNKNOWN_CONTROLLER_GRACE: i64 = 24 * 3600 * 1_000_000;

/// A process, so that it cannot be mistaken for a later one of the same PID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControllerId {
    /// The machine's host name.
    pub machine: String,
    /// The boot, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The PID namespace, such as `pid:[4026531836]`: a PID means nothing outside.
    pub pid_namespace: String,
    /// The PID.
    pub pid: u32,
    /// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started_ticks: u64,
}

/// Whether a process still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It lives.
    Alive,
    /// It does not.
    Dead,
    /// It is of another machine or PID namespace.
    Unknown,
}

/// What `/proc/PID/stat` tells.
struct ProcessStat {
    state: u8,
    started_ticks: u64,
}

impl ControllerId {
    /// This process. What `/proc` does not tell is left empty.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        let machine = rustix::system::uname();
        Self {
            machine: machine.nodename().to_string_lossy().into_owned(),
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|text| text.trim().to_owned())
                .unwrap_or_default(),
            pid_namespace: fs::read_link("/proc/self/ns/pid")
                .map(|link| link.to_string_lossy().into_owned())
                .unwrap_or_default(),
            pid,
            started_ticks: process_stat(pid).map_or(0, |stat| stat.started_ticks),
        }
    }

    /// Whether this process still lives, as far as one can tell from here.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.judge(&Self::current(), process_exists, process_stat)
    }

    fn judge(
        &self,
        here: &Self,
        exists: impl Fn(u32) -> bool,
        stat: impl Fn(u32) -> Option<ProcessStat>,
    ) -> Liveness {
        if self.machine != here.machine {
            return Liveness::Unknown;
        }
        if self.boot_id != here.boot_id {
            return Liveness::Dead;
        }
        if self.pid_namespace != here.pid_namespace {
            return Liveness::Unknown;
        }
        if !exists(self.pid) {
            return Liveness::Dead;
        }
        match stat(self.pid) {
            // A zombie has ended; its parent has not noticed.
            Some(stat) if matches!(stat.state, b'Z' | b'X') => Liveness::Dead,
            Some(stat) if stat.started_ticks != self.started_ticks => Liveness::Dead,
            // Hidden by hidepid: it exists, and that is all there is to know.
            _ => Liveness::Alive,
        }
    }
}

fn process_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    // "Not permitted" is said only of a process that is there.
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

fn process_stat(pid: u32) -> Option<ProcessStat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, parentheses too.
    let after_command = &text[text.iter().rposition(|byte| *byte == b')')? + 1..];
    let mut fields = std::str::from_utf8(after_command).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // Fields 4 to 21 lie between the state (3) and the start time (22).
    let started_ticks = fields.nth(18)?.parse().ok()?;
    Some(ProcessStat { state, started_ticks })
}

#[cfg(test)]
mod tests {
    use super::{ControllerId, Liveness, ProcessStat};

    fn judge(change: impl Fn(&mut ControllerId), exists: bool, stat: Option<(u8, u64)>) -> Liveness {
        let here = ControllerId {
            machine: "desk".into(),
            boot_id: "b1".into(),
            pid_namespace: "pid:[1]".into(),
            pid: 10,
            started_ticks: 500,
        };
        let mut there = here.clone();
        change(&mut there);
        there.judge(
            &here,
            |_| exists,
            |_| stat.map(|(state, started_ticks)| ProcessStat { state, started_ticks }),
        )
    }

    #[test]
    fn tells_the_living_from_the_dead_and_the_unknown() {
        assert_eq!(judge(|_| {}, true, Some((b'S', 500))), Liveness::Alive);
        assert_eq!(judge(|_| {}, true, None), Liveness::Alive, "hidden by hidepid");
        assert_eq!(judge(|_| {}, false, None), Liveness::Dead);
        assert_eq!(judge(|_| {}, true, Some((b'S', 501))), Liveness::Dead, "the PID was given again");
        assert_eq!(judge(|_| {}, true, Some((b'Z', 500))), Liveness::Dead, "a zombie");
        assert_eq!(judge(|id| id.boot_id = "b0".into(), true, Some((b'S', 500))), Liveness::Dead);
        assert_eq!(judge(|id| id.pid_namespace = "pid:[2]".into(), false, None), Liveness::Unknown);
        assert_eq!(judge(|id| id.machine = "other".into(), false, None), Liveness::Unknown);
    }

    #[test]
    fn this_process_lives_and_an_ended_child_does_not() {
        let me = ControllerId::current();
        assert_eq!(me.liveness(), Liveness::Alive);
        assert_ne!(me.started_ticks, 0);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(ControllerId { pid, ..me }.liveness(), Liveness::Dead);
    }
}
