//! What went wrong with a host, for a person.

use cm_wire::Refusal;

use crate::{Trouble, bounds::cut, session::AgentError};

/// The longest reason of a refusal that is told, in bytes.
pub(super) const REASON: usize = 4096;
/// Reasons of a refusal that are told.
const REASONS: usize = 200;

pub(super) const REACH: &str = "could not reach";
pub(super) const LOST: &str = "lost the agent on";
const REFUSED: &str = "nothing was changed on";

pub(super) fn told(error: &AgentError) -> Trouble {
    let what = match error {
        AgentError::Died { .. }
        | AgentError::Session(_)
        | AgentError::Silent { .. }
        | AgentError::Protocol(_) => LOST,
        AgentError::Excess(_) => "broke off with",
        _ => "could not start the agent on",
    };
    Trouble::new(what, error.to_string()).hint(error.hint())
}

pub(super) fn refused(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Locked { holder } => {
            Trouble::new(REFUSED, format!("{} holds the node", cut(holder, REASON)))
                .hint(Some("wait for it to end; `--lock-wait SECONDS` waits longer".into()))
        }
        Refusal::State { reason } => Trouble::new(REFUSED, cut(reason, REASON))
            .hint(Some("/var/lib/cm must be writable: `df -h /var/lib/cm` and `mount` on the node".into())),
        Refusal::Undo { reasons, hint } => {
            let count = reasons.len();
            let mut told: Vec<String> =
                reasons.into_iter().take(REASONS).map(|reason| cut(reason, REASON)).collect();
            let hints = hint.map(|hint| cut(hint, REASON)).into_iter().collect();
            if count == 1 {
                return Trouble { causes: told, ..Trouble::new(REFUSED, "") }.hint_all(hints);
            }
            if count > REASONS {
                told.push(format!("… and {} more", count - REASONS));
            }
            let cause = format!("{count} things stand in the way");
            Trouble { details: told, ..Trouble::new(REFUSED, cause) }.hint_all(hints)
        }
        Refusal::Moved { tasks } => {
            let count = tasks.len();
            let named = tasks.into_iter().take(REASONS).map(|task| cut(task, REASON)).collect();
            let things = if count == 1 { "1 task finds" } else { &format!("{count} tasks find") };
            moved(&format!("it has changed since it was planned: {things} something else now"), named)
        }
        Refusal::Protocol { reason } => {
            Trouble::new(REFUSED, format!("the agent refused the catalog: {}", cut(reason, REASON)))
                .hint(Some("this is a bug of cm; nothing was changed".into()))
        }
    }
}

/// A host that is not as its plan says.
pub(super) fn moved(why: &str, details: Vec<String>) -> Trouble {
    Trouble { details, ..Trouble::new(REFUSED, why) }
        .hint(Some("plan again: `cm plan … -o FILE`, read it, then `cm apply FILE`".into()))
}

/// An error and its causes, outermost first.
pub(super) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}
