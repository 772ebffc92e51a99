//! Ctrl-C: once, no new task starts and running ones end; twice, now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cm_engine::Stop;
use tokio::signal::unix::{SignalKind, signal};

/// Watches for SIGINT and SIGTERM while a run lasts.
#[derive(Clone, Default)]
pub struct Interrupt {
    /// What the run listens to.
    pub stop: Stop,
    hit: Arc<AtomicBool>,
}

impl Interrupt {
    /// Starts to watch; inside a runtime.
    pub fn watch() -> Self {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        tokio::spawn(async move {
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if watched.hit.swap(true, Ordering::SeqCst) {
                    anstream::eprintln!("stopping now; what runs on the hosts ends by itself");
                    watched.stop.now.cancel();
                } else {
                    anstream::eprintln!("stopping: no new task starts, running ones end (again: stop now)");
                    watched.stop.gently.cancel();
                }
            }
        });
        interrupt
    }

    /// Whether the user has interrupted.
    pub fn hit(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }
}
