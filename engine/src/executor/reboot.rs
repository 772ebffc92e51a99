//! Waits for a host that one of its tasks restarts, until it is there in a new boot.

use std::time::{Duration, Instant};

use super::{confirm::once, link::Link};
use crate::{Trouble, dispatcher::Shared, target::HostTarget};

/// Seconds that a host may take where its task does not say.
const LIMIT: u64 = 600;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a host is waited for, in seconds, by the limit of its task.
pub(super) fn limit(timeout: u32) -> u64 {
    if timeout == 0 { LIMIT } else { u64::from(timeout) }
}

/// Waits until the host can be reached in another boot than `boot_id`.
pub(super) async fn come_back(
    target: &HostTarget,
    shared: &Shared,
    boot_id: &str,
    limit: u64,
) -> Result<Link, Trouble> {
    let until = Instant::now() + Duration::from_secs(limit);
    let target = once(target);
    let mut why = "there was no answer".to_owned();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::new(
                "waited in vain for",
                format!("it was restarted and was not back within {limit} s: {why}"),
            )
            .hint(Some("look at its console; once it is back, the same command goes on".into())));
        }
        match tokio::time::timeout(left, Link::open(&target, shared)).await {
            Ok(Ok(link)) if link.facts.boot_id != boot_id => return Ok(link),
            Ok(Ok(link)) => {
                why = "it is still in the same boot".into();
                link.close().await;
            }
            Ok(Err(trouble)) => why = trouble.causes.join(": "),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
    }
}
