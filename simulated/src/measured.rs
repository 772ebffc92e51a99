//! Runs a program and tells what it took: its own CPU and memory, and the files it had open.

use std::{
    fs, io,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// How often open files are counted.
const SAMPLE: Duration = Duration::from_millis(20);

/// What a program took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// From its start to its end.
    pub wall: Duration,
    /// Of its own process, user and system together, and of children that it waited for.
    pub cpu: Duration,
    /// The most memory that it had, in bytes.
    pub memory: u64,
    /// The most files that were seen open at once.
    pub files: usize,
    /// Its exit status; -1 where a signal ended it.
    pub status: i32,
}

/// Runs a program to its end; `while_it_runs` gets its process number and may read its output.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn measure(
    command: &mut Command,
    while_it_runs: impl FnOnce(&mut std::process::Child),
) -> io::Result<Measured> {
    forget_peak();
    let start = Instant::now();
    let mut child = command.spawn()?;
    let pid = child.id();
    let files = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let process = AtomicU32::new(pid);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = format!("/proc/{}/fd", process.load(Ordering::Relaxed));
            while !over.load(Ordering::Relaxed) {
                files.fetch_max(fs::read_dir(&folder).map_or(0, Iterator::count), Ordering::Relaxed);
                std::thread::sleep(SAMPLE);
            }
        });
        while_it_runs(&mut child);
        let ended = wait(pid);
        over.store(true, Ordering::Relaxed);
        ended
    });
    let (status, usage) = ended?;
    let time = |time: libc::timeval| {
        // Never negative.
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    Ok(Measured {
        wall: start.elapsed(),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        // In KiB, see getrusage(2).
        memory: usage.ru_maxrss as u64 * 1024,
        files: files.into_inner(),
        status: if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 },
    })
}

/// Lets children begin with the memory that this process has now, not with the most that it ever had: each is it
/// for a moment, and the kernel counts that to the child's peak.
pub fn forget_peak() {
    // Where that cannot be, peaks are told too high; see proc(5), clear_refs.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[expect(unsafe_code, reason = "std has no wait4(2), and only that tells what one child took")]
fn wait(pid: u32) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: all zeros is a value of this struct of numbers; wait4 writes to the two places that it is given.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: as above. The child is waited for here alone: `Child` is dropped without.
        let found = unsafe { libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) };
        if found >= 0 {
            return Ok((status, usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
