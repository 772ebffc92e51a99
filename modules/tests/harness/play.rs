//! Plays a task as a run does: a look, a plan on an image, the change, and a look that must find nothing.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use cm_modules::{
    Contents, Context, Node, Overlay, Problem, Resource, Seen, Thing,
    node::{Content, SettingKind},
    registry,
};
use cm_wire::{Change, Digest, Mode};

use crate::{
    case::{Case, Where, content_of, program_path},
    liars,
    probe::{Fault, Probe},
    snapshot::{Snapshot, difference, snapshot},
    stage::Stage,
};

/// The contents that cases have made.
struct Known;

impl Contents for Known {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        content_of(digest).map(Content::Bytes).ok_or_else(|| Problem::new("no such content"))
    }

    fn program(&self, digest: &Digest, _size: u64) -> Result<PathBuf, Problem> {
        Ok(program_path(digest))
    }
}

/// A task on a stage.
pub struct Play<'a> {
    stage: &'a Stage,
    case: &'a Case,
    /// The compiled task.
    pub resource: Box<dyn Resource>,
}

impl<'a> Play<'a> {
    /// Compiles the task of a case that was moved to this stage.
    pub fn new(module: &str, stage: &'a Stage, case: &'a Case) -> Self {
        let resource = match liars::compile(module, &case.params) {
            Some(liar) => liar,
            None => registry::compile(module, &case.params).unwrap_or_else(|error| panic!("{error}")),
        };
        Self { stage, case, resource }
    }

    /// The node as the module sees it.
    pub fn probe(&self, fault: Option<Fault>) -> Probe<'a> {
        let programs = self.case.programs.filter(|_| self.stage.place == Where::Fake);
        Probe::new(self.stage.node(), programs, fault)
    }

    /// What a module gets to look and change.
    pub fn context<'c>(&'c self, node: &'c dyn Node, mode: Mode, at_start: bool) -> Context<'c> {
        Context {
            node,
            mode,
            contents: &Known,
            diff: true,
            sensitive: false,
            at_start,
            disturbed: false,
            notices: &self.case.notices,
            edits: &[],
            deadline: Instant::now() + Duration::from_secs(60),
            run_as: None,
            live: &|_, _| {},
            stopping: &|| false,
        }
    }

    /// The same for a task that no other asks anything of.
    pub fn unasked<'c>(&'c self, node: &'c dyn Node, mode: Mode) -> Context<'c> {
        Context { notices: &[], ..self.context(node, mode, false) }
    }

    /// What a look finds: at the start of a run, or where it puts that off, before the change.
    pub fn look(&self, node: &dyn Node, mode: Mode) -> Result<Vec<Change>, Problem> {
        let mut seen = self.resource.look(&self.context(node, mode, true))?;
        if seen == Seen::Later {
            seen = self.resource.look(&self.context(node, mode, false))?;
        }
        changes(seen)
    }

    /// What a look finds once the task has been done: what was asked of it by others is paid.
    fn look_after(&self, node: &dyn Node, mode: Mode) -> Result<Vec<Change>, Problem> {
        changes(self.resource.look(&self.unasked(node, mode))?)
    }

    /// All that is compared beside the file tree.
    pub fn things(&self) -> Vec<Thing> {
        let touches = self.resource.touches();
        let mut things: Vec<Thing> = self.case.watch.clone();
        things.extend(touches.makes);
        things.extend(touches.needs);
        things.extend(self.keeps());
        // What a program tells is compared by what is there.
        things.retain(|thing| !matches!(thing, Thing::Setting(SettingKind::Custom, _)));
        things.sort();
        things.dedup();
        things
    }

    /// What the journal keeps before a change.
    pub fn keeps(&self) -> Vec<Thing> {
        let probe = self.probe(None);
        self.resource.keeps(&self.context(&probe, Mode::Apply, false))
    }

    /// The state of the stage.
    pub fn snapshot(&self, things: &[Thing]) -> Snapshot {
        snapshot(self.stage.node(), &self.stage.root, things)
    }

    /// Changes until nothing differs: what a run does with one task.
    pub fn apply(&self, fault: Option<Fault>) -> Result<usize, Problem> {
        let probe = self.probe(fault);
        let first = self.look(&probe, Mode::Apply)?;
        if first.is_empty() {
            return Ok(0);
        }
        let effect = self.resource.change(&self.context(&probe, Mode::Apply, false))?;
        let writes = probe.writes();
        if !effect.final_ {
            let left = self.look_after(&self.probe(None), Mode::Apply)?;
            if !left.is_empty() {
                return Err(Problem::new(format!("did not converge: {left:?}")));
            }
        }
        Ok(writes)
    }

    /// The promises of one run: it changes exactly what the plan and the verification tell, and nothing is
    /// left to do. Gives what was found, or what was broken.
    pub fn keeps_promises(&self) -> Result<Vec<Change>, String> {
        let said = |problem: Problem| format!("{} ({:?})", problem.message, problem.hint);
        let probe = self.probe(None);
        let things = self.things();
        let before = self.snapshot(&things);
        let verified = self.look(&probe, Mode::Verify).map_err(said)?;
        if probe.writes() != 0 {
            return Err(format!(
                "a look changes the node: {:#?}",
                difference(&before, &self.snapshot(&things))
            ));
        }
        let image = Overlay::new(&probe);
        let planned = self.look(&image, Mode::Plan).map_err(said)?;
        if planned != verified {
            return Err(format!("plan tells {planned:?} and verify {verified:?}"));
        }
        if planned.is_empty() {
            return Ok(planned);
        }
        let effect = self
            .resource
            .change(&self.context(&image, Mode::Plan, false))
            .map_err(|problem| format!("in the plan: {}", said(problem)))?;
        if !effect.final_ {
            let left = self.look_after(&image, Mode::Plan).map_err(said)?;
            if !left.is_empty() {
                return Err(format!("the plan does not converge: {left:?}"));
            }
        }
        if probe.writes() != 0 || self.snapshot(&things) != before {
            let changed = difference(&before, &self.snapshot(&things));
            return Err(format!("the plan changes the node: {changed:#?}"));
        }
        let found = self.look(&self.probe(None), Mode::Apply).map_err(said)?;
        if found != planned {
            return Err(format!("plan tells {planned:?} and apply {found:?}"));
        }
        self.apply(None).map_err(said)?;
        if effect.final_ && !self.case.foreign {
            return Ok(found);
        }
        let predicted = snapshot(&image, &self.stage.root, &things);
        let made = self.snapshot(&things);
        if predicted != made && !self.case.foreign {
            return Err(format!(
                "what the plan predicted differs from what apply made: {:#?}",
                difference(&predicted, &made)
            ));
        }
        for mode in [Mode::Apply, Mode::Plan, Mode::Verify] {
            let context = Context { notices: &[], ..self.context(&probe, mode, true) };
            let left = match self.resource.look(&context).map_err(said)? {
                Seen::Later => self.look_after(&probe, mode).map_err(said)?,
                seen => changes(seen).map_err(said)?,
            };
            if !left.is_empty() {
                return Err(format!("a second {mode:?} finds {left:?}"));
            }
        }
        Ok(found)
    }
}

fn changes(seen: Seen) -> Result<Vec<Change>, Problem> {
    match seen {
        Seen::AsWanted => Ok(Vec::new()),
        Seen::Differs(changes) if changes.is_empty() => Err(Problem::new("a difference without a change")),
        Seen::Differs(changes) => Ok(changes),
        other => Err(Problem::new(format!("it cannot be said whether it differs: {other:?}"))),
    }
}
