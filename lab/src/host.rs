//! What can be done to one host: run commands in it, cut it off, freeze it, kill it, start it again.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::boot::{host_cgroup, start, wait_until_ready};
use crate::command::{CommandError, command_line, tool};
use crate::delay;
use crate::error::LabError;
use crate::files::{FileLock, remove_if_there};
use crate::inventory_file::{key_path, known_hosts_path};
use crate::lab::Lab;
use crate::network::{forget_neighbour, is_cut, remove_cable, set_cut};
use crate::process::ProcessIdentity;
use crate::record::{self, HostRecord, LabRecord};
use crate::spec::Release;

/// How long a killed host's processes may take to go away.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// What a host is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostState {
    /// It runs and can be reached.
    Running,
    /// It runs and nothing gets to it or comes from it.
    Cut,
    /// It takes connections and never answers.
    Frozen,
    /// It does not run.
    Dead,
}

impl HostState {
    /// The state as a word for people: `running`, `cut`, `frozen`, `dead`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cut => "cut",
            Self::Frozen => "frozen",
            Self::Dead => "dead",
        }
    }
}

/// A host as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub release: Release,
    /// Its address.
    pub address: Ipv4Addr,
    /// What it does.
    pub state: HostState,
    /// The pid of its init, seen from this machine.
    pub leader: Option<u32>,
}

pub(crate) fn status(record: &LabRecord, host: &HostRecord) -> HostStatus {
    let leader = leader(record, host);
    let state = match leader {
        None => HostState::Dead,
        Some(_) if host_cgroup(record, host).is_ok_and(|cgroup| cgroup.is_frozen()) => HostState::Frozen,
        Some(_) if is_cut(record.number(), host.slot) => HostState::Cut,
        Some(_) => HostState::Running,
    };
    HostStatus {
        name: host.name.clone(),
        release: host.release,
        address: host.address,
        state,
        leader: leader.and_then(|leader| u32::try_from(leader.pid).ok()),
    }
}

/// The host's init: the recorded one while it lives, else the one a reboot has brought.
fn leader(record: &LabRecord, host: &HostRecord) -> Option<ProcessIdentity> {
    if !record.is_of_this_boot() {
        return None;
    }
    let recorded = record.load_processes(&host.name).and_then(|processes| processes.leader);
    recorded.filter(|leader| leader.is_alive()).or_else(|| host_cgroup(record, host).ok()?.leader())
}

/// Kills all of a host at once, as when its power fails, and waits until its processes are gone.
pub(crate) fn kill(record: &LabRecord, host: &HostRecord) -> Result<(), LabError> {
    let processes = record.load_processes(&host.name);
    if record.is_of_this_boot()
        && let Some(processes) = processes
    {
        // The keeper first, or it would take the host's end for something to mend.
        processes.keeper.kill();
        processes.leader.into_iter().for_each(ProcessIdentity::kill);
    }
    delay::end(record, host)?;
    let cgroup = host_cgroup(record, host)?;
    cgroup.kill(&record.name, GONE_LIMIT)?;
    // The lab's number is another machine boot's when the record is; then there is none of ours.
    if record.is_of_this_boot() {
        remove_cable(record.number(), host.slot)?;
    }
    cgroup.remove()?;
    remove_if_there(&record.processes_path(&host.name))
}

impl Lab {
    /// Runs a command in a host as root, past SSH and network, and waits for its end. A cut host runs it too.
    ///
    /// # Errors
    /// There is no such host, or it is not running. A command that fails is no error: look at the status.
    pub fn exec<A: AsRef<OsStr>>(&self, host: &str, command: &[A]) -> Result<Output, LabError> {
        self.exec_with_input(host, command, b"")
    }

    /// [`Lab::exec`] with something on the command's stdin.
    ///
    /// # Errors
    /// As [`Lab::exec`].
    pub fn exec_with_input<A: AsRef<OsStr>>(
        &self,
        host: &str,
        command: &[A],
        input: &[u8],
    ) -> Result<Output, LabError> {
        let mut enter = self.enter_command(host)?;
        enter.args(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let line = command_line(&enter);
        let failed = |source| CommandError::Start { command: line.clone(), source };
        let mut child = enter.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // Beside reading, or a command that writes much before it reads would wait for ever.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        });
        Ok(output.map_err(failed)?)
    }

    /// The beginning of a command that runs what is appended to it in a host, as root.
    ///
    /// # Errors
    /// There is no such host, or it is not running.
    pub fn enter_command(&self, host: &str) -> Result<Command, LabError> {
        let host = self.host(host)?;
        let leader = leader(&self.record, host).ok_or_else(|| self.not_running(host))?;
        let mut command = tool("nsenter");
        command.args(["--all", "--target", &leader.pid.to_string(), "--"]).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root").env("USER", "root").env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
        Ok(command)
    }

    /// An `ssh` command to a host with the lab's key and known hosts; arguments can be appended.
    ///
    /// # Errors
    /// There is no such host.
    pub fn ssh_command(&self, host: &str, user: &str) -> Result<Command, LabError> {
        let host = self.host(host)?;
        let mut command = tool("ssh");
        // The user's terminal is the user's: no locale of ours goes with it.
        command.env_remove("LC_ALL").args(["-F", "none", "-i"]).arg(key_path(&self.record.dir));
        let known_hosts: PathBuf = known_hosts_path(&self.record.dir);
        command.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()));
        command.args(["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]);
        // A session with a host that was killed ends after a while instead of never.
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        command.args(["-l", user, &host.address.to_string()]);
        Ok(command)
    }

    /// Cuts a host off: packets to it and from it vanish without a word.
    ///
    /// # Errors
    /// There is no such host, or it is not running.
    pub fn cut(&self, host: &str) -> Result<(), LabError> {
        let host = self.running(host)?;
        Ok(set_cut(self.record.number(), host.slot, true)?)
    }

    /// Gives a host its network back.
    ///
    /// # Errors
    /// As [`Lab::cut`].
    pub fn restore(&self, host: &str) -> Result<(), LabError> {
        let host = self.running(host)?;
        Ok(set_cut(self.record.number(), host.slot, false)?)
    }

    /// Makes the round trip to a host longer by so many milliseconds; 0 takes the delay away, and so does a reboot.
    ///
    /// The kernel's netem does it; where there is none, a process of the lab's that holds each frame for half of the
    /// time in either direction.
    ///
    /// # Errors
    /// As [`Lab::cut`], or this machine has neither netem nor `/dev/net/tun`.
    pub fn delay(&self, host: &str, milliseconds: u32) -> Result<(), LabError> {
        let host = self.running(host)?;
        let _work = self.work_on(host)?;
        delay::set(&self.record, host, milliseconds)
    }

    /// Stops all of a host where it stands: it still takes TCP connections and never answers.
    ///
    /// # Errors
    /// As [`Lab::cut`].
    pub fn freeze(&self, host: &str) -> Result<(), LabError> {
        host_cgroup(&self.record, self.running(host)?)?.freeze(true)
    }

    /// Lets a frozen host go on.
    ///
    /// # Errors
    /// As [`Lab::cut`].
    pub fn thaw(&self, host: &str) -> Result<(), LabError> {
        host_cgroup(&self.record, self.running(host)?)?.freeze(false)
    }

    /// Cuts a host's power: everything in it is killed at once. What it has written stays for [`Lab::boot`].
    ///
    /// # Errors
    /// There is no such host, or its processes would not go away.
    pub fn kill(&self, host: &str) -> Result<(), LabError> {
        let host = self.host(host)?;
        let _work = self.work_on(host)?;
        kill(&self.record, host)
    }

    /// Starts a dead host over what it had written, and waits until its sshd answers.
    ///
    /// # Errors
    /// There is no such host, it runs, or it does not answer within the lab's limit.
    pub fn boot(&self, host: &str) -> Result<(), LabError> {
        let host = self.host(host)?;
        let _work = self.work_on(host)?;
        if leader(&self.record, host).is_some() {
            return Err(LabError::Running { lab: self.record.name.clone(), host: host.name.clone() });
        }
        self.start_again(host)
    }

    /// Reboots a host in good order, or starts a dead one, and waits until its sshd answers. A host that
    /// was cut or frozen is neither afterwards.
    ///
    /// # Errors
    /// There is no such host, or it does not answer within the lab's limit.
    pub fn reboot(&self, host: &str) -> Result<(), LabError> {
        let host = self.host(host)?;
        let _work = self.work_on(host)?;
        let Some(former) = leader(&self.record, host) else { return self.start_again(host) };
        host_cgroup(&self.record, host)?.freeze(false)?;
        forget_neighbour(self.record.number(), host.slot);
        // The command may be gone with the host before it can say how it ended.
        self.exec(&host.name, &["systemctl", "--no-block", "reboot"])?;
        wait_until_ready(&self.record, host, Some(former))
    }

    fn start_again(&self, host: &HostRecord) -> Result<(), LabError> {
        // The remains of a host that has powered itself off.
        kill(&self.record, host)?;
        start(&self.record, host)?;
        wait_until_ready(&self.record, host, None)
    }

    fn running(&self, host: &str) -> Result<&HostRecord, LabError> {
        let host = self.host(host)?;
        if leader(&self.record, host).is_some() { Ok(host) } else { Err(self.not_running(host)) }
    }

    fn not_running(&self, host: &HostRecord) -> LabError {
        LabError::NotRunning { lab: self.record.name.clone(), host: host.name.clone() }
    }

    /// The lab stays while this is held, and nobody else starts or kills the host.
    fn work_on(&self, host: &HostRecord) -> Result<HostWork, LabError> {
        let lab = record::share_lab(&self.record.name)?;
        if LabRecord::load(&self.record.name)?.is_none() {
            return Err(LabError::NotFound { name: self.record.name.clone(), known: record::names()? });
        }
        Ok(HostWork { _host: record::host_lock(&self.record.name, &host.name)?, _lab: lab })
    }
}

/// Permission to start or kill one host, given back when it is dropped.
struct HostWork {
    _host: FileLock,
    _lab: FileLock,
}
