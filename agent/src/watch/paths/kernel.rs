//! inotify(7) itself: which events are asked for, and what they mean to us.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};

/// Events of one reading at most; more stay for the next.
const EVENTS: usize = 4096;

/// What is asked of a path.
pub type How = WatchFlags;

const NAMES: How =
    WatchFlags::CREATE.union(WatchFlags::DELETE).union(WatchFlags::MOVED_FROM).union(WatchFlags::MOVED_TO);
const SELF: How = WatchFlags::DELETE_SELF.union(WatchFlags::MOVE_SELF);
const CONTENT: How = WatchFlags::MODIFY.union(WatchFlags::ATTRIB);

/// A directory on the way to a target, which may be a link to one: names in it.
pub const ON_THE_WAY: How = NAMES.union(SELF).union(WatchFlags::ONLYDIR).union(WatchFlags::MASK_ADD);
/// A target of any kind: its content and attributes.
pub const TARGET: How = CONTENT.union(SELF).union(WatchFlags::DONT_FOLLOW).union(WatchFlags::MASK_ADD);
/// A directory with what is in it.
pub const WHOLE_FOLDER: How = NAMES
    .union(SELF)
    .union(CONTENT)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name stands for something else now, or for nothing.
    Name {
        /// It came to stand for a directory.
        folder: bool,
    },
    /// Content or attributes.
    Content,
    /// The kernel has ended the watch.
    Gone,
    /// Events were lost.
    Lost,
}

/// An event.
#[derive(Debug)]
pub struct Event {
    pub watch: i32,
    pub kind: Kind,
    /// In the directory that is watched; none: what is watched itself.
    pub name: Option<Vec<u8>>,
}

pub struct Inotify {
    fd: OwnedFd,
}

impl Inotify {
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)? })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn add(&self, path: &Path, how: How) -> io::Result<i32> {
        Ok(add_watch(&self.fd, path, how)?)
    }

    pub fn remove(&self, watch: i32) {
        // One that has ended by itself cannot be ended again.
        let _ = remove_watch(&self.fd, watch);
    }

    /// What has happened, in order; empty where nothing has.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut events = Vec::new();
        loop {
            // What was read must be taken to its end.
            if events.len() >= EVENTS && reader.is_buffer_empty() {
                return Ok(events);
            }
            match reader.next() {
                Ok(event) => events.extend(understood(&event)),
                Err(rustix::io::Errno::AGAIN) => return Ok(events),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn understood(event: &rustix::fs::inotify::Event<'_>) -> Option<Event> {
    let flags = event.events();
    let kind = if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        Kind::Lost
    } else if flags.contains(ReadFlags::IGNORED) {
        Kind::Gone
    } else if flags.intersects(
        ReadFlags::CREATE
            | ReadFlags::DELETE
            | ReadFlags::MOVED_FROM
            | ReadFlags::MOVED_TO
            | ReadFlags::DELETE_SELF
            | ReadFlags::MOVE_SELF
            | ReadFlags::UNMOUNT,
    ) {
        let came = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        Kind::Name { folder: came && flags.contains(ReadFlags::ISDIR) }
    } else if flags.intersects(ReadFlags::MODIFY | ReadFlags::ATTRIB) {
        Kind::Content
    } else {
        return None;
    };
    Some(Event { watch: event.wd(), kind, name: event.file_name().map(|name| name.to_bytes().to_vec()) })
}
