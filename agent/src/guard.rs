//! The dead-man switch: changes made under guard are taken back by the node itself unless the controller comes
//! back over a new connection in time.
//!
//! Before the first guarded change a file is written under the state folder and a process of its own is
//! started that outlives the connection; a unit file brings it back after a reboot. Whoever renames the
//! file first wins: the confirmation, or the process whose time is over.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cm_modules::Real;
use cm_wire::{Begin, Event, Mode, Outcome};
use serde::{Deserialize, Serialize};

use crate::{
    boot::{boot_id, clock, seconds, started},
    contents::{ContentStore, FromJournal},
    journal::{Journal, Owner},
    lock::RunLock,
    outbox::Outbox,
    runner::{self, Surroundings},
    state_dir::StateDir,
    undo,
};

/// Where systemd looks for units that outlive a reboot.
const UNITS: &str = "/etc/systemd/system";
/// How often the file is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long the agent that made the changes may take to let go of the node.
const LETTING_GO: Duration = Duration::from_secs(60);

/// What is guarded, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Orders {
    run: String,
    /// Whose changes are taken back.
    tasks: Vec<Owner>,
    /// Seconds.
    limit: u32,
    /// On the clock that runs through suspension and starts at boot, in milliseconds.
    deadline: u64,
    /// The boot that clock belongs to (random(4)).
    boot_id: String,
    /// The process that makes the changes, and when it was started, in clock ticks since boot.
    agent: (u32, u64),
}

/// The guard of a run.
#[derive(Clone, Debug)]
pub struct Guard {
    folder: PathBuf,
    run: String,
}

impl Guard {
    /// The guard of this run, set or not.
    #[must_use]
    pub fn of(state: &StateDir, run: &str) -> Self {
        Self { folder: state.path().join("guard"), run: run.to_owned() }
    }

    fn file(&self, state: &str) -> PathBuf {
        // A run's id comes from the controller: it names a file here and nothing elsewhere.
        let name: String =
            self.run.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        self.folder.join(format!("{name}.{state}"))
    }

    fn unit(&self) -> String {
        let name = self.file("service");
        format!("cm-guard-{}", name.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Sets the guard, before the first change it is for.
    ///
    /// # Errors
    /// When it cannot be set; then the change must not be made.
    pub fn set(&self, tasks: Vec<Owner>, limit: u32) -> io::Result<()> {
        let agent = std::process::id();
        let started = started(agent).unwrap_or(0);
        let orders = Orders {
            run: self.run.clone(),
            tasks,
            limit,
            deadline: clock() + u64::from(limit) * 1000,
            boot_id: boot_id(),
            agent: (agent, started),
        };
        std::fs::DirBuilder::new().recursive(true).create(&self.folder)?;
        self.write(&orders)?;
        self.start().inspect_err(|_| {
            let _ = std::fs::remove_file(self.file("armed"));
        })
    }

    fn write(&self, orders: &Orders) -> io::Result<()> {
        let bytes = postcard::to_extend(orders, Vec::new()).map_err(io::Error::other)?;
        let temporary = self.file("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.file("armed"))?;
        File::open(&self.folder)?.sync_all()
    }

    fn orders(&self, state: &str) -> Option<Orders> {
        postcard::from_bytes(&std::fs::read(self.file(state)).ok()?).ok()
    }

    /// Starts the process that waits, in a place of its own: under systemd, else in a session of its own.
    fn start(&self) -> io::Result<()> {
        let program = std::env::current_exe()?;
        let arguments = ["guard", &self.run];
        if Path::new("/run/systemd/system").is_dir() {
            self.write_unit(&program)?;
            let unit = format!("{}-now", self.unit().trim_end_matches(".service"));
            let started = Command::new("systemd-run")
                .args(["--quiet", "--collect", "--no-block", "--unit", &unit])
                .arg(&program)
                .args(arguments)
                .stdin(Stdio::null())
                .output();
            if started.is_ok_and(|output| output.status.success()) {
                return Ok(());
            }
        }
        Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map(drop)
    }

    /// For a reboot before the time is over: systemd starts the process again.
    fn write_unit(&self, program: &Path) -> io::Result<()> {
        let units = Path::new(UNITS);
        let wants = units.join("multi-user.target.wants");
        std::fs::create_dir_all(&wants)?;
        let text = format!(
            "[Unit]\nDescription=Takes back what cm changed under guard\n\n[Service]\nType=oneshot\nExecStart=\"{}\" guard \"{}\"\n",
            program.display(),
            self.run
        );
        let place = units.join(self.unit());
        let mut file = File::create(&place)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let link = wants.join(self.unit());
        let _ = std::fs::remove_file(&link);
        symlink(&place, &link)
    }

    fn remove_unit(&self) {
        let units = Path::new(UNITS);
        let _ = std::fs::remove_file(units.join("multi-user.target.wants").join(self.unit()));
        let _ = std::fs::remove_file(units.join(self.unit()));
    }

    /// The changes are made: the time counts from now.
    pub fn count_from_now(&self) {
        self.until(|orders| clock() + u64::from(orders.limit) * 1000);
    }

    fn until(&self, deadline: impl Fn(&Orders) -> u64) {
        if let Some(mut orders) = self.orders("armed") {
            orders.deadline = deadline(&orders);
            // The old deadline holds where the new one cannot be written.
            let _ = self.write(&orders);
        }
    }

    /// Has the changes taken back now, and waits for it: the sentences that tell it.
    pub fn fire(&self) -> Vec<String> {
        self.until(|_| 0);
        let limit = Instant::now() + LETTING_GO;
        while Instant::now() < limit {
            if let Ok(report) = std::fs::read_to_string(self.file("reverted")) {
                let _ = std::fs::remove_file(self.file("reverted"));
                return report.lines().map(str::to_owned).collect();
            }
            std::thread::sleep(TICK);
        }
        vec!["the guarded changes are not taken back yet; the node goes on trying".into()]
    }

    /// What guards of earlier runs took back without anybody being told, as sentences; told once.
    #[must_use]
    pub fn untold(state: &StateDir) -> Vec<String> {
        let mut said = Vec::new();
        for entry in std::fs::read_dir(state.path().join("guard")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "reverted")
                && let Ok(report) = std::fs::read_to_string(&path)
                && std::fs::remove_file(&path).is_ok()
            {
                let run = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                said.extend(report.lines().map(|line| format!("guard of run {run}: {line}")));
            }
        }
        said
    }

    /// The controller is back: the changes stay. False: they were taken back already, or never guarded.
    #[must_use]
    pub fn confirm(&self) -> bool {
        let confirmed = std::fs::rename(self.file("armed"), self.file("confirmed")).is_ok();
        if confirmed {
            let _ = std::fs::remove_file(self.file("confirmed"));
            self.remove_unit();
        }
        confirmed
    }

    /// What the process of its own does: waits, and takes the changes back when the time is over.
    pub fn stand(&self, state: &StateDir) {
        // Nothing of the connection it was started over holds it any more.
        let _ = rustix::process::setsid();
        let after_boot = Instant::now();
        loop {
            let Some(orders) = self.orders("armed").or_else(|| self.orders("firing")) else {
                self.remove_unit();
                return;
            };
            let over = if orders.boot_id == boot_id() {
                clock() >= orders.deadline
            } else {
                after_boot.elapsed() >= Duration::from_secs(u64::from(orders.limit))
            };
            let interrupted = !self.file("armed").exists();
            if interrupted || (over && std::fs::rename(self.file("armed"), self.file("firing")).is_ok()) {
                let report = self.take_back(state, &orders);
                let _ = std::fs::write(self.file("reverted"), report.join("\n"));
                let _ = std::fs::remove_file(self.file("firing"));
                self.remove_unit();
                return;
            }
            std::thread::sleep(TICK);
        }
    }

    fn take_back(&self, state: &StateDir, orders: &Orders) -> Vec<String> {
        let (agent, its_start) = orders.agent;
        let held = |wait: Duration| RunLock::take(&state.lock(), "a guard of cm", wait, |_| {}, || false);
        let lock = held(Duration::from_secs(1)).or_else(|_| {
            // The agent that made the changes still holds the node and does not get through to anybody.
            if orders.boot_id == boot_id()
                && started(agent) == Some(its_start)
                && let Ok(process) = i32::try_from(agent)
                && let Some(process) = rustix::process::Pid::from_raw(process)
            {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
            held(LETTING_GO)
        });
        let mut said = Vec::new();
        match lock.map_err(|_| "the node is held by another run".to_owned()).and_then(|lock| {
            let taken = revert(state, orders, &mut said);
            drop(lock);
            taken
        }) {
            Ok(()) => {}
            Err(reason) => said.push(format!("the guarded changes could not be taken back: {reason}")),
        }
        said
    }
}

/// Takes the guarded tasks' changes back, as a run of its own.
fn revert(state: &StateDir, orders: &Orders, said: &mut Vec<String>) -> Result<(), String> {
    let journal = Journal::open(state, 0).map_err(|error| error.to_string())?;
    let run = format!("{}.guard", orders.run);
    journal.begin(&run, "the node itself", seconds());
    let real = Real::new();
    runner::tell_modules(&journal, &real);
    let taken = journal.read(|ledger| undo::of_tasks(ledger, &orders.run, &orders.tasks));
    let added = undo::order(taken, &real, 0);
    let names: Vec<String> = added.iter().map(|added| added.task.id.clone()).collect();
    let begin = Begin::new(run.clone(), "the node itself", Mode::Apply);
    let results = std::sync::Mutex::new(Vec::new());
    let send = |event: Event| {
        if let Event::Ended(result) = event {
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
        }
    };
    let store = ContentStore::new(state.spool(), Outbox::to_nobody());
    store.close();
    let contents = FromJournal { journal: &journal, store: &store };
    let around = Surroundings {
        node: &real,
        journal: &journal,
        contents: &contents,
        store: &store,
        send: &send,
        flush: &|| {},
        announce: &|_| {},
        guard: None,
        looked: &|_| {},
        confirm: &|_| {},
        restart: &|_, _| "a guard restarts no host".into(),
        stopping: &|| false,
    };
    runner::run_added(&begin, added, around);
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for result in results {
        let name = names.get(result.task as usize).map_or("a change", String::as_str);
        match result.outcome {
            Outcome::Changed => said.push(format!("{name} was taken back")),
            Outcome::Failed { error, .. } => said.push(format!("{name} could not be taken back: {error}")),
            Outcome::Skipped { .. } => said.push(format!("{name} was not taken back, since another failed")),
            _ => {}
        }
    }
    journal.finish(&run).map_err(|error| error.to_string())
}
