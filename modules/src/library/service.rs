//! `service`: a systemd unit that runs or does not, at boot and now.
//!
//! Restarts and reloads that other tasks ask for ([`Context::notices`]) are differences of this task.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use cm_wire::{Change, Notice};

use crate::{
    Class, Context, Effect, Module, ParamError, Params, Prefetch, Problem, Resource, Seen, Thing, Touches,
    choice,
    nearest_name::nearest_name,
    node::{UnitAction, UnitState},
    params,
    unit_name::UnitName,
};

choice! {
    /// Whether the unit is to run now.
    pub enum State {
        /// It runs. A service that does its work and ends (`Type=oneshot`) has run since boot.
        Running = "running",
        /// It does not.
        Stopped = "stopped",
    }
}

/// Where the administrator's unit files are, and where masks are made.
const ADMIN_FOLDER: &str = "/etc/systemd/system/";

params! {
    /// A systemd unit: whether it runs now, and whether it starts at boot. Tasks that say `restarts` or
    /// `reloads` with its name have it restarted or reloaded when they change something; a restart that a
    /// cut run still owes is made by the next one. A unit that cannot reload is restarted instead.
    pub struct Service = "service" {
        /// Its name; `nginx` stands for `nginx.service`.
        subject name: String,
        /// `running` or `stopped`. Where neither this nor `enabled` nor `masked` is given: `running`.
        state: Option<State>,
        /// Whether it starts at boot.
        enabled: Option<bool>,
        /// Whether nothing can start it at all.
        masked: Option<bool>,
        /// How long it must stay up after a start before it counts as running.
        settle: Duration = Duration::from_millis(300),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Service::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let service = Service::from_params(params)?;
    let unit = UnitName::parse(&service.name).map_err(|message| ParamError::new("name", message))?;
    if unit.is_template() {
        let message = format!(
            "{:?} is a template; name one of its instances, such as {}",
            service.name,
            unit.instance("x")
        );
        return Err(ParamError::new("name", message));
    }
    let mut state = service.state;
    if state.is_none() && service.enabled.is_none() && service.masked.is_none() {
        state = Some(State::Running);
    }
    if service.masked == Some(true) {
        if state == Some(State::Running) {
            return Err(ParamError::new("masked", "cannot be true for a service that is to run"));
        }
        if service.enabled == Some(true) {
            return Err(ParamError::new("masked", "cannot be true for a service that is enabled"));
        }
    }
    Ok(Box::new(Wanted {
        unit: unit.to_string(),
        state,
        enabled: service.enabled,
        masked: service.masked,
        settle: service.settle,
        was_missing: AtomicBool::new(false),
        settled: AtomicBool::new(false),
    }))
}

struct Wanted {
    /// With its suffix.
    unit: String,
    state: Option<State>,
    enabled: Option<bool>,
    masked: Option<bool>,
    settle: Duration,
    /// The look at the start of the run found no such unit.
    was_missing: AtomicBool,
    /// It came since, and was made as wanted.
    settled: AtomicBool,
}

/// What has to be done, by systemctl's words, each with the difference that it takes away.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    changes: Vec<Change>,
    unmask: bool,
    enable: Option<bool>,
    /// Start, stop, restart or reload.
    run: Option<UnitAction>,
    mask: bool,
}

impl Wanted {
    fn read(&self, context: &Context<'_>) -> Result<UnitState, Problem> {
        let mut units = context.node.units(std::slice::from_ref(&self.unit))?;
        units.remove(&self.unit).ok_or_else(|| Problem::new(format!("systemd said nothing of {}", self.unit)))
    }

    fn difference(&self, unit: &UnitState, context: &Context<'_>) -> Difference {
        let mut found = Difference::default();
        let missing = unit.load == "not-found";
        let masked = unit.load == "masked";
        match self.masked {
            Some(true) if !masked => {
                found.mask = true;
                let before = (!missing).then(|| "false".to_owned());
                found.changes.push(Change::new("masked", before, Some("true".into())));
            }
            Some(false) if masked => {
                found.unmask = true;
                found.changes.push(Change::new("masked", Some("true".into()), Some("false".into())));
            }
            _ => {}
        }
        let up = is_up(unit);
        match self.state {
            Some(State::Running) if !up => {
                found.run = Some(UnitAction::Start);
                let before = (!missing).then(|| run_word(unit).to_owned());
                found.changes.push(Change::new("state", before, Some("running".into())));
            }
            None if missing && self.enabled == Some(true) => {
                found.changes.push(Change::new("state", None, Some("present".into())));
            }
            Some(State::Stopped) if !missing && !is_down(unit) => {
                found.run = Some(UnitAction::Stop);
                found.changes.push(Change::new("state", Some(run_word(unit).into()), Some("stopped".into())));
            }
            _ => {}
        }
        if let Some(wanted) = self.enabled
            && (wanted || !missing)
            && is_enabled(unit).is_some_and(|enabled| enabled != wanted)
        {
            found.enable = Some(wanted);
            let before = match unit.file.as_str() {
                _ if missing => None,
                "enabled" => Some("true".to_owned()),
                "disabled" | "" => Some("false".to_owned()),
                word => Some(word.to_owned()),
            };
            found.changes.push(Change::new("enabled", before, Some(wanted.to_string())));
        }
        // What was not running reads its files when it starts; what is to stop needs no new ones.
        if up && self.state != Some(State::Stopped) && self.masked != Some(true) && found.run.is_none() {
            let notice = context.notices.iter().map(|(notice, _)| *notice).max();
            if let Some(notice) = notice {
                found.run = Some(match notice {
                    Notice::Restart => UnitAction::Restart,
                    Notice::Reload => UnitAction::Reload,
                });
                let mut because: Vec<&str> =
                    context.notices.iter().map(|(_, because)| because.as_str()).collect();
                // They come in the order in which their tasks ended.
                crate::in_order::sort(&mut because);
                because.dedup();
                found.changes.push(Change::notice(notice, &because.join(", ")));
            }
        }
        found
    }

    /// Whether the unit came to the node in this run (in a plan: would come) and has not been seen to yet.
    ///
    /// A package starts and enables its service, or does not: nobody can say before. So that a plan lists what
    /// apply then reports, a unit that was not there at the start is told by all that is wanted of it.
    fn has_come(&self, unit: &UnitState, context: &Context<'_>) -> bool {
        let missing = unit.load == "not-found";
        self.was_missing.load(Ordering::Relaxed)
            && !self.settled.load(Ordering::Relaxed)
            && (!missing || (context.disturbed && context.node.may_bring_unit(&self.unit)))
    }

    /// What is wanted of a unit that was not there.
    fn everything(&self) -> Vec<Change> {
        let new = |attribute: &str, value: String| Change::new(attribute, None, Some(value));
        let mut changes = vec![new("state", self.state.map_or("present", State::word).to_owned())];
        changes.extend(self.enabled.map(|enabled| new("enabled", enabled.to_string())));
        changes.extend(self.masked.filter(|&masked| masked).map(|masked| new("masked", masked.to_string())));
        changes
    }

    /// The unit as it is now; one that systemd does not know yet is looked for once more.
    fn read_to_change(&self, context: &Context<'_>) -> Result<UnitState, Problem> {
        let unit = self.read(context)?;
        let missing = unit.load == "not-found";
        if !missing && !unit.stale {
            return Ok(unit);
        }
        context.node.reload_units(context.deadline)?;
        let unit = self.read(context)?;
        if unit.load == "not-found" && !context.node.may_appear() && self.masked != Some(true) {
            return Err(self.no_such_unit(context));
        }
        Ok(unit)
    }

    fn no_such_unit(&self, context: &Context<'_>) -> Problem {
        let problem = Problem::new(format!("there is no unit {} on the node", self.unit));
        let names = context.node.unit_names().unwrap_or_default();
        let suffix = self.unit.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let stems = names.iter().filter_map(|name| name.strip_suffix(suffix)?.strip_suffix('.'));
        let stem = self.unit.strip_suffix(suffix).unwrap_or(&self.unit).trim_end_matches('.');
        match nearest_name(stem, stems) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("a task `package` or `unit` that brings it must come before"),
        }
    }

    /// Runs a change of the running state and sees that the unit stays up.
    fn run(
        &self,
        action: UnitAction,
        unit: &UnitState,
        context: &Context<'_>,
    ) -> Result<Vec<String>, Problem> {
        let node = context.node;
        let mut notes = Vec::new();
        let mut action = action;
        if action == UnitAction::Reload && !unit.can_reload {
            notes.push(format!("{} cannot reload, so it was restarted", self.unit));
            action = UnitAction::Restart;
        }
        node.unit(&self.unit, action, context.deadline)?;
        match action {
            UnitAction::Start | UnitAction::Restart => {
                node.settle(&self.unit, self.settle, context.deadline)?;
                let after = self.read(context)?;
                if after.kind == "oneshot" && !is_up(&after) {
                    return Err(Problem::new(format!(
                        "{} has done its work and ended, and systemd does not remember that it ran",
                        self.unit
                    ))
                    .hint("`running` needs `RemainAfterExit=yes` in the unit; to run it at times, enable a timer"));
                }
            }
            UnitAction::Reload => node.settle(&self.unit, Duration::ZERO, context.deadline)?,
            _ => {}
        }
        Ok(notes)
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::Service)
            .makes(Thing::Service(self.unit.clone()))
            .needs(Thing::Unit(self.unit.clone()))
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        wants.units.push(self.unit.clone());
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let unit = self.read(context)?;
        if context.at_start {
            self.was_missing.store(unit.load == "not-found", Ordering::Relaxed);
        } else if self.has_come(&unit, context) {
            return Ok(Seen::Differs(self.everything()));
        }
        Ok(Seen::from_changes(self.difference(&unit, context).changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let node = context.node;
        let mut unit = self.read_to_change(context)?;
        self.settled.store(true, Ordering::Relaxed);
        if unit.load == "not-found" && context.planning() {
            // It is there from now on, in the plan.
            node.unit(&self.unit, UnitAction::Stop, context.deadline)?;
        }
        let mut wanted = self.difference(&unit, context);
        if wanted.unmask {
            node.unit(&self.unit, UnitAction::Unmask, context.deadline)?;
            // systemd has not read the masked unit's own file before.
            unit = self.read_to_change(context)?;
            wanted = self.difference(&unit, context);
        }
        let starts = wanted.run == Some(UnitAction::Start) || wanted.enable == Some(true);
        if unit.load == "masked" && starts {
            return Err(Problem::new(format!("{} is masked, so nothing can start it", self.unit))
                .hint("`masked: false` in the task unmasks it"));
        }
        if wanted.mask && unit.fragment.starts_with(ADMIN_FOLDER) {
            return Err(Problem::new(format!(
                "{} cannot be masked: its own file is where the mask would be ({})",
                self.unit, unit.fragment
            ))
            .hint("`- unit: NAME` with `state: absent` removes the file"));
        }
        // An alias cannot be enabled or masked; what it stands for can.
        let own_name = if unit.id.is_empty() { &self.unit } else { &unit.id };
        if wanted.enable == Some(true) {
            node.unit(own_name, UnitAction::Enable, context.deadline)?;
        }
        let mut effect = Effect::default();
        if let Some(action) = wanted.run {
            effect.notes = self.run(action, &unit, context)?;
        }
        if wanted.enable == Some(false) {
            node.unit(own_name, UnitAction::Disable, context.deadline)?;
        }
        if wanted.mask {
            node.unit(own_name, UnitAction::Mask, context.deadline)?;
        }
        Ok(effect)
    }
}

/// Whether it runs, or has done its work.
fn is_up(unit: &UnitState) -> bool {
    let done = unit.kind == "oneshot"
        && !unit.remains
        && unit.active == "inactive"
        && unit.started > 0
        && unit.result == "success"
        && unit.conditions;
    done || matches!(unit.active.as_str(), "active" | "reloading" | "refreshing")
}

fn is_down(unit: &UnitState) -> bool {
    matches!(unit.active.as_str(), "inactive" | "failed")
}

/// Whether it starts at boot; none: that cannot be chosen, because the unit has no `[Install]` part or is
/// made anew at each boot.
fn is_enabled(unit: &UnitState) -> Option<bool> {
    match unit.file.as_str() {
        "enabled" => Some(true),
        "static" | "indirect" | "generated" | "transient" | "alias" => None,
        // `enabled-runtime` and `linked` are gone or not started after the next boot.
        _ => Some(false),
    }
}

fn run_word(unit: &UnitState) -> &str {
    match unit.active.as_str() {
        "active" | "reloading" | "refreshing" => "running",
        "inactive" => "stopped",
        "activating" if unit.sub == "auto-restart" => "failing",
        other => other,
    }
}

#[cfg(test)]
mod tests;
