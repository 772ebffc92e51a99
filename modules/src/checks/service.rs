//! `service`: whether a systemd unit runs and starts at boot.

use std::time::Duration;

use super::{Check, Miss, Probe, Seeing};
use crate::{
    Context, Module, ParamError, Params, Prefetch, Problem, Resource, choice, node::UnitState, params,
};

choice! {
    /// What is wanted of a service.
    pub enum ServiceState {
        /// It is active.
        Running = "running",
        /// It is not.
        Stopped = "stopped",
    }
}

params! {
    /// A systemd unit runs, and is started at boot.
    pub struct ServiceCheck = "service" {
        /// The unit; without a suffix, a service.
        subject name: String,
        /// `running` or `stopped`.
        state: ServiceState = ServiceState::Running,
        /// Whether it is started at boot; not looked at otherwise.
        enabled: Option<bool>,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &ServiceCheck::SCHEMA, compile };

/// The suffixes of systemd.unit(5).
const SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let check = ServiceCheck::from_params(params)?;
    if check.name.is_empty() || check.name.contains(|c: char| c.is_whitespace() || c == '/' || c == '\0') {
        return Err(ParamError::new("name", "wants the name of a unit, such as `nginx`"));
    }
    let full = SUFFIXES.iter().any(|suffix| check.name.ends_with(suffix));
    let unit = if full { check.name } else { format!("{}.service", check.name) };
    let probe = ServiceProbe { unit, state: check.state, enabled: check.enabled };
    Ok(Box::new(Check { probe, within: check.within }))
}

/// Asks systemd.
#[derive(Clone, Debug)]
struct ServiceProbe {
    unit: String,
    state: ServiceState,
    enabled: Option<bool>,
}

impl Probe for ServiceProbe {
    fn subject(&self) -> String {
        self.unit.clone()
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        wants.units.push(self.unit.clone());
    }

    fn look(&self, context: &Context<'_>, _limit: Duration) -> Result<Seeing, Problem> {
        let names = std::slice::from_ref(&self.unit);
        let unit = context.node.fresh_units(names)?.remove(&self.unit).unwrap_or_default();
        Ok(self.judge(&unit))
    }
}

impl ServiceProbe {
    fn judge(&self, unit: &UnitState) -> Seeing {
        let runs = matches!(unit.active.as_str(), "active" | "reloading" | "refreshing");
        let seen = || match (unit.load.as_str(), unit.active.as_str()) {
            ("not-found", "inactive" | "") => "no such unit".to_owned(),
            ("masked", "inactive" | "") => "masked".to_owned(),
            (_, "") => "unknown".to_owned(),
            (_, "failed") => format!("failed ({})", unit.result),
            (_, active) => format!("{active} ({})", unit.sub),
        };
        match self.state {
            ServiceState::Running if !runs => return Err(Miss::new("state", "running", seen())),
            // One that is on its way up or down is not stopped yet.
            ServiceState::Stopped if !matches!(unit.active.as_str(), "inactive" | "failed" | "") => {
                return Err(Miss::new("state", "stopped", seen()));
            }
            _ => {}
        }
        let Some(wanted) = self.enabled else { return Ok(()) };
        let right = match unit.file.as_str() {
            "enabled" | "enabled-runtime" | "generated" => wanted,
            // Something else says when these start.
            "static" | "alias" | "indirect" => true,
            _ => !wanted,
        };
        if right {
            return Ok(());
        }
        let seen = if unit.file.is_empty() { "not installed" } else { &unit.file };
        Err(Miss::new("enabled", wanted.to_string(), seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, sub: &str, file: &str) -> UnitState {
        UnitState {
            load: "loaded".into(),
            active: active.into(),
            sub: sub.into(),
            file: file.into(),
            result: "exit-code".into(),
            ..UnitState::default()
        }
    }

    fn judge(state: ServiceState, enabled: Option<bool>, unit: &UnitState) -> Option<(String, String)> {
        let probe = ServiceProbe { unit: "x.service".into(), state, enabled };
        probe.judge(unit).err().map(|miss| (miss.wanted, miss.seen))
    }

    #[test]
    fn states_are_judged() {
        use ServiceState::{Running, Stopped};
        let miss = |wanted: &str, seen: &str| Some((wanted.to_owned(), seen.to_owned()));
        assert_eq!(judge(Running, Some(true), &unit("active", "running", "enabled")), None);
        assert_eq!(judge(Running, None, &unit("active", "exited", "static")), None);
        assert_eq!(
            judge(Running, None, &unit("activating", "auto-restart", "enabled")),
            miss("running", "activating (auto-restart)")
        );
        assert_eq!(
            judge(Running, None, &unit("failed", "failed", "enabled")),
            miss("running", "failed (exit-code)")
        );
        assert_eq!(judge(Stopped, Some(false), &unit("inactive", "dead", "disabled")), None);
        assert_eq!(
            judge(Stopped, None, &unit("deactivating", "stop", "")),
            miss("stopped", "deactivating (stop)")
        );
        assert_eq!(
            judge(Running, Some(true), &unit("active", "running", "disabled")),
            miss("true", "disabled")
        );
        let missing =
            UnitState { load: "not-found".into(), active: "inactive".into(), ..UnitState::default() };
        assert_eq!(judge(Running, None, &missing), miss("running", "no such unit"));
    }
}
