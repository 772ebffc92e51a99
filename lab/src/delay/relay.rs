//! The process that holds frames: one thread that sleeps until a frame comes or is due.
//!
//! It is forked from a process that may have many threads, so from the fork on it makes system calls only and
//! allocates nothing.

#![expect(unsafe_code, reason = "a process is forked, and may then make system calls only")]

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use super::held::{Held, LONGEST};
use super::sockets::{Sockets, checked};
use crate::process::ProcessIdentity;

/// Bytes that may be on their way in one direction: 100 MiB/s for 160 ms.
const ON_THE_WAY: usize = 16 * 1024 * 1024;

/// Frames taken from one side before the other has its turn.
const TURN: usize = 64;

/// Starts the process; it runs until it is killed or one of its ends is gone.
pub(super) fn start(sockets: &Sockets, half: Duration) -> io::Result<ProcessIdentity> {
    // Made here: the child must not allocate.
    let mut ways = [Held::new(ON_THE_WAY), Held::new(ON_THE_WAY)];
    let mut spare = vec![0; LONGEST];
    let half = half.as_nanos() as u64;
    let (mut answer, told) = io::pipe()?;
    let (cable, port) = (sockets.cable.as_raw_fd(), sockets.port.as_raw_fd());
    // SAFETY: the child makes system calls only, touches no lock and never returns.
    match checked(unsafe { libc::fork() })? {
        0 => {
            // A child of the child is left to init: nobody here has to wait for it.
            // SAFETY: as above.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                run(cable, port, half, &mut ways, &mut spare);
            }
            let bytes = pid.to_ne_bytes();
            // SAFETY: the bytes are read in their length; `_exit` runs nothing of the parent's.
            unsafe {
                libc::write(told.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
                libc::_exit(0)
            }
        }
        child => {
            drop(told);
            // SAFETY: no status is asked for.
            while unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
    }
    let mut pid = [0; 4];
    answer.read_exact(&mut pid)?;
    ProcessIdentity::of(i32::from_ne_bytes(pid)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The whole life of the process.
fn run(cable: RawFd, port: RawFd, half: u64, ways: &mut [Held; 2], spare: &mut [u8]) -> ! {
    // SAFETY: system calls with numbers and a static string.
    unsafe {
        libc::setsid();
        // Nothing else of the parent's stays open: its locks and pipes are its own.
        if libc::dup2(cable, 0) != 0 || libc::dup2(port, 1) != 1 {
            libc::_exit(1);
        }
        libc::syscall(libc::SYS_close_range, 2_u32, u32::MAX, 0_u32);
        libc::prctl(libc::PR_SET_NAME, c"cm-lab-delay".as_ptr());
        // Sleeps end when they should, and other work does not make the link longer.
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
    }
    // Way 0 is from the cable (0) to the port (1), way 1 back.
    while pass_on(ways) && wait(ways) && take_in(half, ways, spare) {}
    // SAFETY: runs nothing of the parent's.
    unsafe { libc::_exit(0) }
}

/// Hands on what has arrived; false when an end is gone.
fn pass_on(ways: &mut [Held; 2]) -> bool {
    let now = now();
    for (from, way) in ways.iter_mut().enumerate() {
        let to = 1 - from as RawFd;
        while let Some(frame) = way.arrived(now) {
            // SAFETY: the frame is read in its length.
            let sent = unsafe { libc::write(to, frame.as_ptr().cast(), frame.len()) };
            // What the other side cannot take is lost, as on a link.
            if sent < 0 && is_gone() {
                return false;
            }
        }
    }
    true
}

/// Sleeps until something comes or is due.
fn wait(ways: &[Held; 2]) -> bool {
    let due = ways.iter().filter_map(Held::due).min();
    let left = due.map(|due| due.saturating_sub(now()));
    let limit = left.map(|left| libc::timespec {
        tv_sec: (left / 1_000_000_000) as libc::time_t,
        tv_nsec: (left % 1_000_000_000) as libc::c_long,
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), |limit| &raw const *limit);
    let mut ends = [0, 1].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: two entries, a limit that lives as long as the call, no signals.
    let ready = unsafe { libc::ppoll(ends.as_mut_ptr(), 2, limit, std::ptr::null()) };
    ready >= 0 || errno() == libc::EINTR
}

/// Takes in what has come; false when an end is gone.
fn take_in(half: u64, ways: &mut [Held; 2], spare: &mut [u8]) -> bool {
    for (from, way) in ways.iter_mut().enumerate() {
        for _ in 0..TURN {
            let room = way.room();
            let full = room.is_none();
            let to = room.unwrap_or(&mut *spare);
            // SAFETY: at most the buffer's length is written.
            let read = unsafe { libc::read(from as RawFd, to.as_mut_ptr().cast(), to.len()) };
            match usize::try_from(read) {
                Ok(length) if full || length == 0 => {}
                Ok(length) => way.take(length, now() + half),
                Err(_) if is_gone() => return false,
                Err(_) => break,
            }
        }
    }
    true
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one `timespec` is written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn errno() -> libc::c_int {
    // SAFETY: the address of this thread's own number.
    unsafe { *libc::__errno_location() }
}

/// Whether the last call failed because an interface was taken down or away.
fn is_gone() -> bool {
    matches!(errno(), libc::ENETDOWN | libc::ENODEV | libc::ENXIO | libc::EBADFD | libc::EBADF)
}
