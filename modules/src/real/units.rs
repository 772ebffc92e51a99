//! Units of this machine: states from systemd itself, in one question for all units of a run; changes by systemctl.

mod bus;
mod show;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cm_wire::Output;

use super::Real;
use crate::{
    Doing, Problem,
    node::{Command, Commands, Finished, UnitAction, UnitState, Units},
};

/// Between two looks at a unit that is on its way up.
const POLL: Duration = Duration::from_millis(50);
/// How far the log is read back from the moment a unit was started.
const JUST_BEFORE: Duration = Duration::from_secs(2);
/// Lines of the log that an error shows.
const LOG_LINES: &str = "10";

/// What systemd said of units.
#[derive(Default)]
pub(super) struct UnitsState {
    known: Mutex<BTreeMap<String, UnitState>>,
}

impl UnitsState {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, UnitState>> {
        // Poisoned: another look panicked; what it held is only a cache.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was done that may have changed units: the next look asks again.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// A path was written: units are made of files in these folders.
    pub(super) fn touched(&self, path: &Path) {
        let folders =
            ["/etc/systemd", "/run/systemd", "/usr/lib/systemd", "/lib/systemd", "/usr/local/lib/systemd"];
        if folders.iter().any(|folder| path.starts_with(folder)) || path.starts_with("/etc/init.d") {
            self.forget();
        }
    }
}

impl Units for Real {
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        let mut known = self.units.lock();
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| show::is_unit_name(name) && !known.contains_key(*name))
            .map(String::as_str)
            .collect();
        for missing in missing.chunks(400) {
            known.extend(self.query(missing)?);
        }
        Ok(crate::in_order::map(
            names.iter().map(|name| {
                (name.clone(), known.get(name).cloned().unwrap_or_else(|| show::not_found(name)))
            }),
        ))
    }

    fn fresh_units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        self.units.forget();
        self.units(names)
    }

    fn unit(&self, name: &str, action: UnitAction, deadline: Instant) -> Result<(), Problem> {
        let starts = matches!(action, UnitAction::Start | UnitAction::Restart);
        if starts && self.query_one(name)?.active == "failed" {
            // A service that failed too often is not started again until its count is set back.
            self.systemctl(&[verb(UnitAction::Forget), "--", name], deadline)?;
        }
        let begun = SystemTime::now();
        let finished = self.systemctl(&[verb(action), "--no-ask-password", "--", name], deadline);
        self.units.forget();
        let finished = finished?;
        if finished.success() {
            return Ok(());
        }
        let shown = format!("`systemctl {} {name}`", verb(action));
        if finished.timed_out {
            let unit = self.query_one(name)?;
            return Err(Problem::new(format!(
                "{shown} did not end in time; {name} is {}",
                state_words(&unit)
            ))
            .hint(format!(
                "a longer `timeout` waits longer; `journalctl -u {name}` on the node says what it does"
            ))
            .output(self.log(name, begun)));
        }
        if refused(&finished.output) {
            return Err(Problem::new(format!("{shown} was refused: {}", last_words(&finished.output)))
                .hint("`become: true` runs the agent as root")
                .output(finished.output));
        }
        match action {
            UnitAction::Start | UnitAction::Restart => {
                Err(self.did_not_start(name, &finished.output, begun)?)
            }
            UnitAction::Reload => Err(Problem::new(format!(
                "{name} did not reload: {}",
                last_words(&finished.output)
            ))
            .hint("it goes on with its former configuration; its log says what is wrong with the new one")
            .output(self.log(name, begun))),
            _ => Err(Problem::new(format!("{shown} failed: {}", last_words(&finished.output)))
                .output(finished.output)),
        }
    }

    fn settle(&self, name: &str, during: Duration, deadline: Instant) -> Result<(), Problem> {
        let before = self.query_one(name)?;
        // The start itself was just before.
        let begun = SystemTime::now() - JUST_BEFORE;
        let mut up_since: Option<Instant> = None;
        let mut unit = before.clone();
        loop {
            let restarted = unit.restarts > before.restarts;
            match unit.active.as_str() {
                "active" | "reloading" | "refreshing" if !restarted => {
                    let since = *up_since.get_or_insert_with(Instant::now);
                    let services = name.ends_with(".service");
                    if !services || since.elapsed() >= during {
                        return Ok(());
                    }
                }
                // A oneshot has done its work when it has ended well.
                // systemd forgets a unit that nothing refers to as soon as it has ended: only its log is left.
                "inactive" if unit.result == "success" => {
                    let log = self.log(name, begun);
                    if log.stdout.lines().next_back().is_some_and(|line| line.contains("skipped")) {
                        return Err(Problem::new(format!(
                            "systemd did not start {name}: a condition of the unit does not hold"
                        ))
                        .hint("its last log line names the condition")
                        .output(log));
                    }
                    if unit.kind == "oneshot" {
                        return Ok(());
                    }
                    return Err(Problem::new(format!("{name} ended by itself right after its start"))
                        .hint("a service that does its work and ends is `Type=oneshot`, one that forks `Type=forking`")
                        .output(log));
                }
                "activating" if unit.sub != "auto-restart" && !restarted => {}
                "deactivating" if !restarted => {}
                _ => return Err(self.did_not_stay(name, &unit, begun)),
            }
            if Instant::now() >= deadline {
                return Err(Problem::new(format!(
                    "{name} is still {} at the task's time limit",
                    state_words(&unit)
                ))
                .hint("a longer `timeout` waits longer")
                .output(self.log(name, begun)));
            }
            std::thread::sleep(POLL);
            unit = self.query_one(name)?;
        }
    }

    fn unit_names(&self) -> Result<Vec<String>, Problem> {
        let finished = self.systemctl_query(&["list-unit-files", "--no-legend"])?;
        Ok(finished
            .output
            .stdout
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    fn reload_units(&self, deadline: Instant) -> Result<(), Problem> {
        let finished = self.systemctl(&["daemon-reload", "--no-ask-password"], deadline);
        self.units.forget();
        let finished = finished?;
        if finished.success() {
            return Ok(());
        }
        let words = last_words(&finished.output);
        Err(Problem::new(format!("`systemctl daemon-reload` failed: {words}")).output(finished.output))
    }
}

impl Real {
    fn query_one(&self, name: &str) -> Result<UnitState, Problem> {
        if !show::is_unit_name(name) {
            return Ok(show::not_found(name));
        }
        Ok(self.query(&[name])?.remove(name).unwrap_or_else(|| show::not_found(name)))
    }

    /// Asks systemd, whatever is known.
    fn query(&self, names: &[&str]) -> Result<BTreeMap<String, UnitState>, Problem> {
        let mut answers = match bus::ask(names) {
            Ok(answers) => answers,
            // Whatever is wrong there, systemctl has the words for it.
            Err(_) => self.show(names)?,
        };
        for (name, unit) in &mut answers {
            if unit.file == "generated" && unit.fragment.contains("generator.late") {
                // A script of System V: systemctl asks its own tools whether that is enabled.
                let enabled = self.systemctl_query(&["is-enabled", "--", name])?;
                unit.file = enabled.output.stdout.trim().to_owned();
            }
        }
        Ok(answers)
    }

    /// The same by a process.
    fn show(&self, names: &[&str]) -> Result<BTreeMap<String, UnitState>, Problem> {
        let mut arguments = vec!["show", "-p", show::PROPERTIES, "--"];
        arguments.extend(names);
        let finished = self.systemctl_query(&arguments)?;
        let units = show::blocks(&finished.output.stdout);
        if units.len() != names.len() {
            if let [name] = names {
                return Err(Problem::new(format!(
                    "systemd says nothing of {name}: {}",
                    last_words(&finished.output)
                ))
                .output(finished.output));
            }
            // One name that systemd does not want to hear ends the answer: each alone then.
            let mut all = BTreeMap::new();
            for name in names {
                all.extend(self.show(&[name])?);
            }
            return Ok(all);
        }
        Ok(crate::in_order::map(names.iter().map(|name| (*name).to_owned()).zip(units)))
    }

    fn systemctl_query(&self, arguments: &[&str]) -> Result<Finished, Problem> {
        self.start_systemctl(Command::query(&[]), arguments)
    }

    fn systemctl(&self, arguments: &[&str], deadline: Instant) -> Result<Finished, Problem> {
        self.start_systemctl(Command::change(&[], deadline), arguments)
    }

    fn start_systemctl(&self, command: Command<'_>, arguments: &[&str]) -> Result<Finished, Problem> {
        if std::fs::symlink_metadata("/run/systemd/system").is_err() {
            return Err(Problem::new("this node is not run by systemd, so it has no units")
                .hint("`service` and `unit` tasks need systemd as the first process of the node"));
        }
        let argv = ["systemctl", "--no-pager"].iter().chain(arguments).map(|&word| word.to_owned()).collect();
        let finished = self
            .run(&Command { argv, ..command })
            .doing(format_args!("running `systemctl {}`", arguments[0]))?;
        if !finished.success() && finished.output.stderr.contains("Failed to connect to bus") {
            return Err(Problem::new("systemd does not answer: its bus cannot be reached")
                .hint("is the node still starting? `systemctl is-system-running` on the node")
                .output(finished.output));
        }
        Ok(finished)
    }

    /// The last lines of a unit's log since then; what is wrong with a service stands there and nowhere else.
    fn log(&self, name: &str, since: SystemTime) -> Output {
        // What it has been told but not written yet is often the very line that matters.
        let _ = self.run(&Command::query(&["journalctl", "--sync"]));
        // The journal's clock is the machine's, read to the second.
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let since = format!("--since=@{since}");
        let argv =
            ["journalctl", "-u", name, "-b", &since, "-n", LOG_LINES, "--no-pager", "-q", "--no-hostname"];
        match self.run(&Command::query(&argv)) {
            Ok(finished) => Output { status: 0, stdout: finished.output.stdout, stderr: String::new() },
            Err(_) => Output::default(),
        }
    }

    fn did_not_start(&self, name: &str, output: &Output, begun: SystemTime) -> Result<Problem, Problem> {
        let unit = self.query_one(name)?;
        if unit.load != "loaded" || (unit.active == "inactive" && unit.result == "success") {
            return Ok(
                Problem::new(format!("{name} did not start: {}", last_words(output))).output(output.clone())
            );
        }
        let log = self.log(name, begun);
        Ok(Problem::new(format!("{name} did not start: it is {}", state_words(&unit)))
            .hint(start_hint(name, &unit, &log.stdout))
            .output(log))
    }

    fn did_not_stay(&self, name: &str, unit: &UnitState, begun: SystemTime) -> Problem {
        let log = self.log(name, begun);
        let message = format!("{name} did not stay up after its start: it is {}", state_words(unit));
        Problem::new(message).hint(start_hint(name, unit, &log.stdout)).output(log)
    }
}

fn verb(action: UnitAction) -> &'static str {
    match action {
        UnitAction::Start => "start",
        UnitAction::Stop => "stop",
        UnitAction::Restart => "restart",
        UnitAction::Reload => "reload",
        UnitAction::Enable => "enable",
        UnitAction::Disable => "disable",
        UnitAction::Mask => "mask",
        UnitAction::Unmask => "unmask",
        UnitAction::Forget => "reset-failed",
    }
}

/// `failed (exit-code, status 1)`, `activating (auto-restart, exit-code, status 1)`.
fn state_words(unit: &UnitState) -> String {
    let mut details = Vec::new();
    if !unit.sub.is_empty() && unit.sub != unit.active {
        details.push(unit.sub.clone());
    }
    if !unit.result.is_empty() && unit.result != "success" {
        details.push(unit.result.clone());
    }
    if unit.exit != 0 {
        details.push(format!("status {}", unit.exit));
    }
    if details.is_empty() { unit.active.clone() } else { format!("{} ({})", unit.active, details.join(", ")) }
}

/// What is most likely to help, from systemd's own exit codes (systemd.exec(5)) and the log.
fn start_hint(name: &str, unit: &UnitState, log: &str) -> String {
    match unit.exit {
        203 => return "the program of its ExecStart= is not there or cannot be executed".to_owned(),
        200 => return "its WorkingDirectory= is not there".to_owned(),
        217 => return "its User= is not there".to_owned(),
        216 => return "its Group= is not there".to_owned(),
        219 => return "its control group could not be made".to_owned(),
        226 => return "one of the paths that its sandbox names is not there".to_owned(),
        _ => {}
    }
    if log.contains("ddress already in use") {
        return "another process has its port: `ss -ltnp` on the node names it".to_owned();
    }
    format!("its last log lines are shown; `journalctl -u {name} -b` on the node has more")
}

fn refused(output: &Output) -> bool {
    ["Access denied", "authentication required", "Permission denied", "Operation not permitted"]
        .iter()
        .any(|words| output.stderr.contains(words))
}

/// What systemctl said, without its advice to look at itself.
fn last_words(output: &Output) -> String {
    let lines: Vec<&str> = output
        .stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("See ") && !line.starts_with("Warning: "))
        .collect();
    match lines.first() {
        Some(line) => line.trim_end_matches('.').to_owned(),
        None => format!("status {}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_with_their_cause() {
        let unit = UnitState {
            active: "failed".into(),
            sub: "failed".into(),
            result: "exit-code".into(),
            exit: 203,
            ..UnitState::default()
        };
        assert_eq!(state_words(&unit), "failed (exit-code, status 203)");
        assert!(start_hint("a.service", &unit, "").contains("ExecStart="));
        let unit = UnitState { exit: 1, ..unit };
        assert!(start_hint("a.service", &unit, "bind(): Address already in use").contains("ss -ltnp"));
        assert!(start_hint("a.service", &unit, "").contains("journalctl -u a.service"));
    }

    #[test]
    fn systemctls_advice_is_left_out() {
        let output = Output {
            status: 5,
            stdout: String::new(),
            stderr: "Failed to start x.service: Unit x.service not found.\nSee system logs for details.\n"
                .into(),
        };
        assert_eq!(last_words(&output), "Failed to start x.service: Unit x.service not found");
    }

    #[test]
    fn written_unit_files_are_read_again() {
        let state = UnitsState::default();
        state.lock().insert("a.service".into(), UnitState::default());
        state.touched(Path::new("/etc/motd"));
        assert_eq!(state.lock().len(), 1);
        state.touched(Path::new("/etc/systemd/system/a.service.d/override.conf"));
        assert!(state.lock().is_empty());
    }
}
