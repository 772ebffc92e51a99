//! A systemd unit as it was: enabled, masked, running or not.

use cm_wire::{Change, Notice};

use super::Manner;
use crate::{
    Class, Context, Effect, Prefetch, Problem, Resource, Seen, Thing, Touches,
    node::{UnitAction, UnitState},
};

/// Whether a unit of this `ActiveState` runs.
pub(super) fn runs(active: &str) -> bool {
    matches!(active, "active" | "reloading" | "activating")
}

pub(super) struct UnitWas {
    name: String,
    running: bool,
    /// Whether it was enabled; none: neither (static, generated, or without a file).
    enabled: Option<bool>,
    masked: bool,
    manner: Manner,
}

impl UnitWas {
    pub(super) fn new(name: &str, active: &str, file: &str, load: &str, manner: Manner) -> Self {
        let enabled = match file {
            "enabled" | "enabled-runtime" => Some(true),
            "disabled" | "" => Some(false),
            _ => None,
        };
        Self { name: name.to_owned(), running: runs(active), enabled, masked: load == "masked", manner }
    }

    fn now(&self, context: &Context<'_>) -> Result<UnitState, Problem> {
        let mut units = context.node.units(std::slice::from_ref(&self.name))?;
        Ok(units.remove(&self.name).unwrap_or_default())
    }

    fn is_there(unit: &UnitState) -> bool {
        unit.load != "not-found" && !unit.load.is_empty()
    }
}

impl Resource for UnitWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::Service).makes(Thing::Service(self.name.clone()))
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        wants.units.push(self.name.clone());
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let unit = self.now(context)?;
        let mut changes = Vec::new();
        let masked = unit.load == "masked";
        if masked != self.masked {
            changes.push(Change::new("masked", Some(masked.to_string()), Some(self.masked.to_string())));
        }
        let there = Self::is_there(&unit);
        if !there && self.manner.if_there {
            return Ok(Seen::AsWanted);
        }
        let enabled = matches!(unit.file.as_str(), "enabled" | "enabled-runtime");
        if let Some(wanted) = self.enabled
            && wanted != enabled
            && matches!(unit.file.as_str(), "enabled" | "enabled-runtime" | "disabled")
            && !self.masked
        {
            changes.push(Change::new("enabled", Some(enabled.to_string()), Some(wanted.to_string())));
        }
        let running = runs(&unit.active);
        if running != self.running && (there || running || self.running) {
            let word = |running| if running { "running" } else { "stopped" };
            changes.push(Change::new(
                "state",
                Some(word(running).to_owned()),
                Some(word(self.running).to_owned()),
            ));
        } else if self.running && there {
            let notice = context.notices.iter().max_by_key(|(notice, _)| *notice);
            changes.extend(notice.map(|(notice, because)| Change::notice(*notice, because)));
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let unit = self.now(context)?;
        let act = |action| context.node.unit(&self.name, action, context.deadline);
        if unit.load == "masked" && !self.masked {
            act(UnitAction::Unmask)?;
        }
        let running = runs(&unit.active);
        if running && !self.running {
            act(UnitAction::Stop)?;
        }
        match (self.enabled, unit.file.as_str()) {
            (Some(true), "disabled") => act(UnitAction::Enable)?,
            (Some(false), "enabled" | "enabled-runtime") => act(UnitAction::Disable)?,
            _ => {}
        }
        if self.masked && unit.load != "masked" {
            act(UnitAction::Mask)?;
        }
        if self.running {
            if !running {
                act(UnitAction::Start)?;
            } else if let Some((notice, _)) = context.notices.iter().max_by_key(|(notice, _)| *notice) {
                let reload = *notice == Notice::Reload && unit.can_reload;
                act(if reload { UnitAction::Reload } else { UnitAction::Restart })?;
            }
        } else if unit.active == "failed" {
            act(UnitAction::Forget)?;
        }
        Ok(Effect::default())
    }
}
