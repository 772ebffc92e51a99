//! A storage that fails when a test says so: from its nth write on, or by losing what was not
//! synced as a power cut does. A test plans the faults of the storages its own thread opens.

use std::{
    cell::RefCell,
    io,
    ops::Bound,
    sync::{Arc, Mutex},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::backend::locks_of;

/// What shall go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every write fails as on a full disk.
    NoSpace,
    /// Every write, sync and change of size is lost, and so is a share of what was not synced
    /// before; one of the lost writes is torn. The number seeds the choice.
    PowerCut(u64),
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<Fault>,
    /// Writes that still succeed.
    countdown: u64,
    /// Writes and syncs seen.
    seen: u64,
    cut: bool,
    /// What was on the disk where unsynced writes went, oldest first.
    unsynced: Vec<(u64, Vec<u8>)>,
}

thread_local! {
    static PLAN: RefCell<Arc<Mutex<Plan>>> = RefCell::default();
}

/// Plans a fault for storages that this thread opens from now on, after so many good writes.
pub(crate) fn plan(fault: Option<Fault>, after: u64) {
    PLAN.set(Arc::new(Mutex::new(Plan { fault, countdown: after, ..Plan::default() })));
}

/// How many writes and syncs were asked for since the plan was made.
pub(crate) fn seen() -> u64 {
    PLAN.with_borrow(|plan| plan.lock().unwrap().seen)
}

#[derive(Debug)]
pub(crate) struct FaultyStorage {
    file: FileBackend,
    plan: Arc<Mutex<Plan>>,
}

impl FaultyStorage {
    pub(crate) fn new(file: FileBackend) -> Self {
        Self { file, plan: PLAN.with_borrow(Arc::clone) }
    }

    /// Counts an operation, which fails when its time has come.
    fn step(&self) -> io::Result<()> {
        let mut plan = self.plan.lock().unwrap();
        plan.seen += 1;
        let Some(fault) = plan.fault else { return Ok(()) };
        if plan.countdown > 0 {
            plan.countdown -= 1;
            return Ok(());
        }
        match fault {
            Fault::NoSpace => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Fault::PowerCut(seed) => {
                if !std::mem::replace(&mut plan.cut, true) {
                    self.lose(std::mem::take(&mut plan.unsynced), seed)?;
                }
                Err(io::Error::other("the power is gone"))
            }
        }
    }

    /// Puts back what was on the disk before some of the unsynced writes.
    fn lose(&self, unsynced: Vec<(u64, Vec<u8>)>, seed: u64) -> io::Result<()> {
        let mut random = seed;
        let mut torn = false;
        for (offset, before) in unsynced.into_iter().rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if random >> 63 == 0 {
                continue;
            }
            // Disks write sectors of 512 bytes whole.
            let kept = if std::mem::replace(&mut torn, true) { 0 } else { before.len() / 1024 * 512 };
            self.file.write(offset + kept as u64, &before[kept..])?;
        }
        Ok(())
    }
}

impl StorageBackend for FaultyStorage {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step()?;
        self.plan.lock().unwrap().unsynced.clear();
        // No test pulls a real plug, so the file system's own sync is spared.
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut before = vec![0; data.len()];
        self.file.read(offset, &mut before)?;
        self.plan.lock().unwrap().unsynced.push((offset, before));
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    locks_of!(file);
}
