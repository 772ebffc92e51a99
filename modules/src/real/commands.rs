//! Commands of this machine: started with a fixed environment, watched by one poll loop, ended as a group.

mod capture;

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, ChildStdin, Stdio},
    time::{Duration, Instant},
};

use cm_wire::{Output, Stream};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, StatVfsMountFlags, fcntl_getfl, fcntl_setfl},
    io::{FdFlags, fcntl_setfd},
    process::{
        Gid, Pid, PidfdFlags, Signal, Uid, WaitId, WaitIdOptions, geteuid, kill_process_group, pidfd_open,
        setsid, umask, waitid,
    },
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};

use self::capture::Capture;
use super::Real;
use crate::node::{Command, Commands, Finished};

/// Where programs are looked for, whoever started the agent.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Between the polite and the final signal to a group that is out of time.
const GRACE: Duration = Duration::from_secs(2);
/// Final signals before a process that does not end is given up.
const MOST_KILLS: u32 = 3;
/// How long output may still come after the process itself has ended (from a child it left behind).
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Whose rights a process gets.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

impl Commands for Real {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        let (program, arguments) = command
            .argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        let identity = match &command.run_as {
            Some(name) => Some(self.identity(name)?),
            None => None,
        };
        let cwd = command.cwd.as_deref().unwrap_or(Path::new("/"));
        if let Err(error) = std::fs::metadata(cwd) {
            let reason =
                if error.kind() == io::ErrorKind::NotFound { "is not there" } else { "cannot be entered" };
            return Err(io::Error::new(
                error.kind(),
                format!("its working directory {} {reason}", cwd.display()),
            ));
        }
        let mut environment = self.environment(identity.as_ref());
        if command.foreign {
            environment.retain(|name, _| matches!(name.as_str(), "PATH" | "LANG"));
        }
        // Only a change of rights needs rights: a user may name itself.
        let switch = identity.filter(|identity| identity.uid != geteuid().as_raw() || geteuid().is_root());
        let held = match &switch {
            Some(_) if command.foreign => Some(hold(Path::new(program))?),
            _ => None,
        };
        let path = held.as_ref().map(|held| format!("/proc/self/fd/{}", held.as_raw_fd()));
        let mut process = std::process::Command::new(path.as_deref().unwrap_or(program));
        process
            .args(arguments)
            .current_dir(cwd)
            .env_clear()
            .envs(environment)
            .envs(&command.env)
            .stdin(match command.input {
                Some(input) => Stdio::from(input.try_clone_to_owned()?),
                None if command.stdin.is_some() => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(match command.output {
                Some(output) => Stdio::from(output.try_clone_to_owned()?),
                None => Stdio::piped(),
            })
            .stderr(Stdio::piped());
        let prepare = move || {
            if let Some(held) = &held {
                // In the child alone: an interpreter opens the script by its descriptor.
                fcntl_setfd(held, FdFlags::empty())?;
            }
            enter(switch.as_ref())
        };
        #[expect(unsafe_code, reason = "std has no safe way to set a session and groups before exec")]
        // SAFETY: `enter` only makes system calls that are safe after fork: no allocation, no lock.
        unsafe {
            process.pre_exec(prepare)
        };
        let child = process.spawn().map_err(|error| explain(error, program, command))?;
        let finished = watch(child, command);
        if command.changes {
            // Whatever it did may have started, stopped or brought units.
            self.units.forget();
        }
        finished
    }
}

impl Real {
    /// The fixed environment: nothing of the agent's own leaks into it.
    fn environment(&self, identity: Option<&Identity>) -> BTreeMap<String, String> {
        let own;
        let (name, home) = match identity {
            Some(identity) => (identity.name.as_str(), identity.home.as_str()),
            None => {
                own = self.own_account();
                (own.0.as_str(), own.1.as_str())
            }
        };
        let all = [
            ("PATH", PATH),
            ("LANG", "C.UTF-8"),
            ("HOME", home),
            ("USER", name),
            ("LOGNAME", name),
            ("SHELL", "/bin/sh"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ];
        crate::in_order::map(all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())))
    }
}

/// What the child does before it becomes the program.
fn enter(identity: Option<&Identity>) -> io::Result<()> {
    // A session of its own: one group to signal, and no terminal that a program could ask for a password.
    setsid()?;
    umask(Mode::from_raw_mode(0o022));
    if let Some(identity) = identity {
        // The child has one thread, so the system calls for one thread are those for the process.
        let mut groups = [Gid::ROOT; MOST_GROUPS];
        let count = identity.groups.len().min(MOST_GROUPS);
        for (slot, &group) in groups.iter_mut().zip(&identity.groups) {
            *slot = Gid::from_raw(group);
        }
        set_thread_groups(&groups[..count])?;
        set_thread_gid(Gid::from_raw(identity.gid))?;
        set_thread_uid(Uid::from_raw(identity.uid))?;
    }
    Ok(())
}

/// Opens a program that lies where its user cannot go, and lets every user execute what is open.
fn hold(program: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::open(program, flags, Mode::empty())?;
    rustix::fs::fchmod(&held, Mode::from_raw_mode(0o755))?;
    Ok(held)
}

/// Supplementary groups handed to a process; further ones are left out.
const MOST_GROUPS: usize = 256;

/// Says what could not be started, where the bare error would only say "no such file".
fn explain(error: io::Error, program: &str, command: &Command<'_>) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => io::Error::new(
            error.kind(),
            format!("there is no program {program} on the node, or its interpreter is missing"),
        ),
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("there is no program `{program}` on the node"))
        }
        io::ErrorKind::PermissionDenied if program.contains('/') && is_noexec(program) => io::Error::new(
            error.kind(),
            format!("{program} is on a file system that is mounted noexec, where nothing can be executed"),
        ),
        io::ErrorKind::PermissionDenied => match &command.run_as {
            Some(user) if !geteuid().is_root() => {
                io::Error::new(error.kind(), format!("only root can run commands as `{user}`"))
            }
            Some(user) => io::Error::new(error.kind(), format!("`{user}` may not execute `{program}`")),
            None => io::Error::new(error.kind(), format!("`{program}` is not executable")),
        },
        _ => error,
    }
}

fn is_noexec(program: &str) -> bool {
    rustix::fs::statvfs(program).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Input that is still to be written.
struct Input<'a> {
    pipe: ChildStdin,
    left: &'a [u8],
}

/// An output that may still come.
struct Source {
    pipe: OwnedFd,
    index: usize,
}

/// Feeds the child, takes its output and waits for its end or its deadline.
fn watch(mut child: Child, command: &Command<'_>) -> io::Result<Finished> {
    // A process id is never negative or zero.
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    // Kernels before 5.3 have none; then the loop asks now and then.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut input = match (child.stdin.take(), &command.stdin) {
        (Some(pipe), Some(bytes)) => {
            do_not_block(pipe.as_fd())?;
            Some(Input { pipe, left: bytes })
        }
        _ => None,
    };
    let mut captures = [Capture::new(Stream::Stdout), Capture::new(Stream::Stderr)];
    let mut sources = Vec::with_capacity(2);
    let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    for (index, pipe) in pipes.into_iter().enumerate() {
        if let Some(pipe) = pipe {
            do_not_block(pipe.as_fd())?;
            sources.push(Source { pipe, index });
        }
    }

    let mut buffer = vec![0; 64 * 1024];
    let mut timed_out = false;
    let mut last_words: Option<Instant> = None;
    let mut until = command.deadline;
    let mut kills = 0;
    loop {
        let now = Instant::now();
        if last_words.is_none() && has_ended(pid)? {
            if timed_out {
                // What ignored the polite signal goes with the leader.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            last_words = Some(now + LAST_WORDS);
        }
        match last_words {
            Some(end) if sources.is_empty() || now >= end => break,
            Some(_) => {}
            None if now < until => {}
            None if timed_out && kills == MOST_KILLS => break,
            None if timed_out => {
                let _ = kill_process_group(pid, Signal::KILL);
                kills += 1;
                until = now + GRACE;
            }
            None => {
                timed_out = true;
                let _ = kill_process_group(pid, Signal::TERM);
                until = now + GRACE;
            }
        }
        let mut wait = last_words.unwrap_or(until).saturating_duration_since(now);
        if pidfd.is_none() && last_words.is_none() {
            wait = wait.min(Duration::from_millis(10));
        }
        let mut ready = Vec::with_capacity(4);
        ready.extend(sources.iter().map(|source| PollFd::new(&source.pipe, PollFlags::IN)));
        ready.extend(input.as_ref().map(|input| PollFd::new(&input.pipe, PollFlags::OUT)));
        if let Some(pidfd) = pidfd.as_ref().filter(|_| last_words.is_none()) {
            ready.push(PollFd::new(pidfd, PollFlags::IN));
        }
        match poll(&mut ready, Some(&timespec(wait))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(ready);
        sources.retain(|source| take(source, &mut captures[source.index], &mut buffer, command));
        input = input.and_then(feed);
    }
    // One that even SIGKILL does not end (it hangs in the kernel) is left to itself.
    let status = if last_words.is_some() { Some(child.wait()?) } else { None };
    let [stdout, stderr] = captures.map(|capture| capture.finish(command.live));
    let status = match status {
        Some(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        None => 128 + Signal::KILL.as_raw(),
    };
    Ok(Finished { output: Output { status, stdout, stderr }, timed_out })
}

/// Whether the process has ended; it stays a zombie, so that its group's number cannot be taken by others.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes what has come; whether more may come.
fn take(source: &Source, capture: &mut Capture, buffer: &mut [u8], command: &Command<'_>) -> bool {
    loop {
        match rustix::io::read(&source.pipe, &mut *buffer) {
            Ok(0) => return false,
            Ok(count) => capture.push(&buffer[..count], command.live),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return true,
            Err(_) => return false,
        }
        // A process that never stops writing must not keep the loop from looking at the clock.
        if Instant::now() >= command.deadline {
            return true;
        }
    }
}

/// Writes what the child takes now; none when all is written or it does not want more.
fn feed(mut input: Input<'_>) -> Option<Input<'_>> {
    while !input.left.is_empty() {
        match rustix::io::write(&input.pipe, input.left) {
            Ok(count) => input.left = &input.left[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Some(input),
            Err(_) => return None,
        }
    }
    None
}

fn do_not_block(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests;
