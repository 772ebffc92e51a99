//! Looking once, looking until it holds, and the resource that does both.

use std::time::{Duration, Instant};

use cm_wire::{Change, Mode};

use crate::{Class, Context, Effect, Prefetch, Problem, Resource, Seen, Touches};

/// How long a check of a run that has just changed something waits, where it says nothing itself.
const AFTER_CHANGES: Duration = Duration::from_secs(10);
/// How long one look may wait for an answer.
pub const ONE_LOOK: Duration = Duration::from_secs(30);
/// How long a look may wait that begins when the time is all but out.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Between two looks: short at first, since most things come up at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Between two questions whether the run is being stopped.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// What a look that does not hold saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The attribute that is not as wanted: `state`, `status`, `content`, …
    pub attribute: &'static str,
    /// What is wanted.
    pub wanted: String,
    /// What was seen instead.
    pub seen: String,
}

impl Miss {
    /// A look that saw something else.
    pub fn new(attribute: &'static str, wanted: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { attribute, wanted: wanted.into(), seen: seen.into() }
    }
}

/// The answer of a look that could be made: it holds, or what was seen instead.
pub type Seeing = Result<(), Miss>;

/// Something that can be looked at and holds or not; a look changes nothing.
pub trait Probe: Send + Sync {
    /// What is looked at, for messages: `http://127.0.0.1/`.
    fn subject(&self) -> String;

    /// Looks once and waits no longer than `limit` for an answer. That is all the time that is left: a
    /// probe whose question may get lost asks again sooner.
    ///
    /// # Errors
    /// When it cannot be looked at at all, whatever its state: waiting would not help.
    fn look(&self, context: &Context<'_>, limit: Duration) -> Result<Seeing, Problem>;

    /// Names what looks want to read in one go.
    fn prefetch(&self, _wants: &mut Prefetch) {}
}

/// Looks until it holds, `within` is over, the attempt's time is out or the run is stopped; the last look's
/// answer. Looks at least once.
///
/// # Errors
/// What the probe returns.
pub fn poll(probe: &dyn Probe, within: Duration, context: &Context<'_>) -> Result<Seeing, Problem> {
    let end = (Instant::now() + within).min(context.deadline);
    let mut pause = PAUSES.0;
    loop {
        // A single look still gets the time that an answer takes, and so does the last one.
        let left = if within.is_zero() { ONE_LOOK } else { end.saturating_duration_since(Instant::now()) };
        let limit = left.max(LAST_LOOK).min(one_attempt(context));
        let seeing = probe.look(context, limit)?;
        let Err(miss) = seeing else { return Ok(Ok(())) };
        let next = Instant::now() + pause;
        if next >= end {
            return Ok(Err(miss));
        }
        while Instant::now() < next {
            if (context.stopping)() {
                return Ok(Err(miss));
            }
            std::thread::sleep(STOP_CHECK.min(next.saturating_duration_since(Instant::now())));
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// What is left of the attempt, but never nothing: a limit of zero is an error of some system calls.
fn one_attempt(context: &Context<'_>) -> Duration {
    context.remaining().max(Duration::from_millis(1))
}

/// A probe as an entry of a role's `verify:` list.
pub struct Check<P> {
    /// What is looked at.
    pub probe: P,
    /// How long to go on looking; none: ten seconds after changes, else not at all.
    pub within: Option<Duration>,
}

impl<P: Probe> Resource for Check<P> {
    fn touches(&self) -> Touches {
        Touches::new(Class::Check)
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        self.probe.prefetch(wants);
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        if context.at_start {
            return Ok(Seen::Later);
        }
        if context.planning() {
            // Nothing has been changed that could be checked.
            return Ok(Seen::AsWanted);
        }
        // In apply `change` does the waiting; verify has this look alone.
        let within =
            if context.mode == Mode::Verify { self.within.unwrap_or_default() } else { Duration::ZERO };
        Ok(match poll(&self.probe, within, context)? {
            Ok(()) => Seen::AsWanted,
            Err(miss) => Seen::Differs(vec![Change::new(miss.attribute, Some(miss.seen), Some(miss.wanted))]),
        })
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let default = if context.disturbed { AFTER_CHANGES } else { Duration::ZERO };
        let within = self.within.unwrap_or(default);
        let nothing = Effect { changed: Some(false), final_: true, ..Effect::default() };
        if context.planning() {
            return Ok(nothing);
        }
        match poll(&self.probe, within, context)? {
            Ok(()) => Ok(nothing),
            Err(miss) => {
                let time =
                    if within.is_zero() { String::new() } else { format!(" within {}", seconds(within)) };
                let Miss { attribute, wanted, seen } = miss;
                Err(Problem::new(format!(
                    "{}: {attribute} should be {wanted}{time}, but was: {seen}",
                    self.probe.subject()
                )))
            }
        }
    }
}

/// A duration for a person: `10 s`, `1.5 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{Empty, Overlay, bench::context};

    /// Holds from a certain look on.
    struct After(u32, AtomicU32);

    impl Probe for After {
        fn subject(&self) -> String {
            "it".into()
        }
        fn look(&self, _: &Context<'_>, limit: Duration) -> Result<Seeing, Problem> {
            assert!(!limit.is_zero());
            let looks = self.1.fetch_add(1, Ordering::Relaxed) + 1;
            if looks >= self.0 {
                Ok(Ok(()))
            } else {
                Ok(Err(Miss::new("state", "up", format!("look {looks}"))))
            }
        }
    }

    fn check(after: u32, within: Option<Duration>) -> Check<After> {
        Check { probe: After(after, AtomicU32::new(0)), within }
    }

    #[test]
    fn it_is_asked_when_all_else_is_done_and_never_in_a_plan() {
        let node = Overlay::new(&Empty);
        let start = Context { at_start: true, ..context(&node, Mode::Apply) };
        assert_eq!(check(9, None).look(&start), Ok(Seen::Later));
        assert_eq!(check(9, None).look(&context(&node, Mode::Plan)), Ok(Seen::AsWanted));
    }

    #[test]
    fn apply_waits_after_changes_and_verify_only_when_told() {
        let node = Overlay::new(&Empty);
        let apply = context(&node, Mode::Apply);
        let Seen::Differs(changes) = check(3, None).look(&apply).unwrap() else { panic!() };
        assert_eq!(changes, [Change::new("state", Some("look 1".into()), Some("up".into()))]);
        let disturbed = Context { disturbed: true, ..context(&node, Mode::Apply) };
        assert_eq!(check(3, None).change(&disturbed).unwrap().changed, Some(false));
        let problem = check(3, None).change(&apply).unwrap_err();
        assert_eq!(problem.message, "it: state should be up, but was: look 1");
        let verify = context(&node, Mode::Verify);
        assert!(matches!(check(3, None).look(&verify), Ok(Seen::Differs(_))));
        assert_eq!(check(3, Some(Duration::from_secs(20))).look(&verify), Ok(Seen::AsWanted));
    }

    #[test]
    fn it_gives_up_in_time_and_when_the_run_is_stopped() {
        let node = Overlay::new(&Empty);
        let start = Instant::now();
        let apply = context(&node, Mode::Apply);
        let problem = check(u32::MAX, Some(Duration::from_millis(120))).change(&apply).unwrap_err();
        assert!(
            problem.message.starts_with("it: state should be up within 0.1 s, but was: look "),
            "{problem}"
        );
        let stopped = Context { stopping: &|| true, ..context(&node, Mode::Apply) };
        assert!(check(u32::MAX, Some(Duration::from_secs(600))).change(&stopped).is_err());
        let out_of_time = Context { deadline: Instant::now(), ..context(&node, Mode::Apply) };
        assert!(check(u32::MAX, Some(Duration::from_secs(600))).change(&out_of_time).is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
