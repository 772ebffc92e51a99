//! Wakes the watch from another thread: an eventfd(2) that poll(2) listens to.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{EventfdFlags, eventfd};

/// Rung by whoever hears the controller.
pub struct Bell {
    fd: OwnedFd,
}

impl Bell {
    /// Makes one that is not ringing.
    ///
    /// # Errors
    /// When the process has too many files open.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Rings; it goes on ringing until it is heard.
    pub fn ring(&self) {
        // A counter that is full rings already.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Stops the ringing.
    pub fn hear(&self) {
        // One that does not ring has nothing to read.
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }

    /// What poll(2) listens to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
