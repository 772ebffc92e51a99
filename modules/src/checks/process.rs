//! `process`: whether programs of a name run.

use std::{path::Path, time::Duration};

use super::{Check, Miss, Probe, Seeing};
use crate::{Context, Doing, Int, Module, ParamError, Params, Problem, Resource, choice, params};

/// Longest command line that is read, in bytes.
const LINE_LIMIT: u64 = 4 * 1024 * 1024;
/// The kernel keeps this many bytes of a program's name (TASK_COMM_LEN of proc(5)).
const KEPT: usize = 15;

choice! {
    /// What is wanted of a process.
    pub enum ProcessState {
        /// It runs.
        Running = "running",
        /// None of that name runs.
        Absent = "absent",
    }
}

params! {
    /// Programs of a name run: by the kernel's name for them, or the file name of their command line's
    /// first word.
    pub struct ProcessCheck = "process" {
        /// The name, without a path: `nginx`.
        subject name: String,
        /// `running` or `absent`.
        state: ProcessState = ProcessState::Running,
        /// How many must run at the least.
        at_least: Int<1, 1_000_000> = Int(1),
        /// The user they must run as, by name or number; others do not count.
        user: Option<String>,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &ProcessCheck::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let check = ProcessCheck::from_params(params)?;
    if check.name.is_empty() || check.name.contains('/') {
        return Err(ParamError::new("name", "wants a program's name without a path, such as `nginx`"));
    }
    let within = check.within;
    Ok(Box::new(Check { probe: ProcessProbe(check), within }))
}

/// Counts the processes.
#[derive(Clone, Debug)]
struct ProcessProbe(ProcessCheck);

impl Probe for ProcessProbe {
    fn subject(&self) -> String {
        format!("process {}", self.0.name)
    }

    fn look(&self, context: &Context<'_>, _limit: Duration) -> Result<Seeing, Problem> {
        let check = &self.0;
        let mut running = 0;
        for entry in context.node.list(Path::new("/proc")).doing("listing /proc")? {
            if entry.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                running += i64::from(self.counts(&Path::new("/proc").join(entry), context));
            }
        }
        let seen = match running {
            0 => "none runs".to_owned(),
            1 => "1 runs".to_owned(),
            more => format!("{more} run"),
        };
        Ok(match check.state {
            ProcessState::Absent if running > 0 => Err(Miss::new("state", "absent", seen)),
            ProcessState::Running if running < check.at_least.0 => {
                let wanted = match check.at_least.0 {
                    1 => "running".to_owned(),
                    least => format!("at least {least} running"),
                };
                Err(Miss::new("state", wanted, seen))
            }
            _ => Ok(()),
        })
    }
}

impl ProcessProbe {
    /// Whether this entry of /proc is one of them. A process that ends meanwhile is not.
    fn counts(&self, process: &Path, context: &Context<'_>) -> bool {
        let check = &self.0;
        let read = |name: &str| context.node.read(&process.join(name), LINE_LIMIT).unwrap_or_default();
        let stat = read("stat");
        let Some((name, state)) = name_and_state(&stat) else { return false };
        // Zombies have ended.
        if state == b'Z' || state == b'X' {
            return false;
        }
        let kept = &check.name.as_bytes()[..check.name.len().min(KEPT)];
        let named = if check.name.len() > KEPT || name != kept {
            let line = read("cmdline");
            let first = line.split(|&byte| byte == 0 || byte == b' ').next().unwrap_or_default();
            let file = first.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            // `nginx: worker process` is how some servers tell their processes apart.
            file.strip_suffix(b":").unwrap_or(file) == check.name.as_bytes()
        } else {
            true
        };
        let Some(user) = check.user.as_ref().filter(|_| named) else { return named };
        context
            .node
            .stat(process)
            .ok()
            .flatten()
            .is_some_and(|stat| *user == stat.uid.to_string() || *user == context.node.user_name(stat.uid))
    }
}

/// The name in parentheses (it may hold any character) and the letter after it, of /proc/PID/stat.
fn name_and_state(stat: &[u8]) -> Option<(&[u8], u8)> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    Some((stat.get(open + 1..close)?, *stat.get(close + 2)?))
}

#[cfg(test)]
mod tests {
    use cm_wire::{Mode, Value};

    use super::*;
    use crate::{Real, Seen, bench::context};

    fn look(name: &str, more: &[(&str, Value)]) -> Seen {
        let mut params: Params =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("name".into(), name.into());
        let real = Real::new();
        compile(&params).unwrap().look(&context(&real, Mode::Verify)).unwrap()
    }

    #[test]
    fn this_process_is_found_by_its_long_name() {
        let name = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.len() > KEPT);
        let uid = rustix::process::geteuid().as_raw().to_string();
        assert_eq!(look(&name, &[("user", uid.into())]), Seen::AsWanted);
        assert!(matches!(look(&name, &[("user", "4242424".into())]), Seen::Differs(_)));
        assert!(matches!(look(&name, &[("at_least", Value::Int(1000))]), Seen::Differs(_)));
        assert!(matches!(look(&name, &[("state", "absent".into())]), Seen::Differs(_)));
        assert_eq!(look("no-such-program-here", &[("state", "absent".into())]), Seen::AsWanted);
    }

    #[test]
    fn names_may_hold_anything() {
        assert_eq!(name_and_state(b"12 (a) b (c) S 1 2"), Some((&b"a) b (c"[..], b'S')));
        assert_eq!(name_and_state(b""), None);
        assert_eq!(name_and_state(b")("), None);
    }
}
