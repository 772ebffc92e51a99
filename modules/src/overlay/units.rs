//! Units of an overlay: changes in memory over those of the node below; and of the empty node.
//!
//! A unit whose file an earlier task would write is there and stopped; one that may come with a package
//! is there as soon as something is done with it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Empty, Overlay};
use crate::{
    Node, Problem,
    node::{FileKind, Files, UnitAction, UnitState, Units},
};

/// Where unit files are, the strongest first (systemd.unit(5)).
const FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// Longest unit file that is read, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct UnitsLayer {
    units: Mutex<BTreeMap<String, UnitState>>,
}

impl UnitsLayer {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, UnitState>> {
        // Poisoned: another thread panicked between two whole states.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Units for Overlay<'_> {
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        let mut found = self.below.units(names)?;
        for (name, unit) in &mut found {
            let changed = self.units.lock().get(name).cloned();
            let known = changed.unwrap_or_else(|| unit.clone());
            *unit = self.with_file(name, known);
        }
        Ok(found)
    }

    fn may_bring_unit(&self, name: &str) -> bool {
        self.packages.may_bring_unit(name) || self.below.may_bring_unit(name)
    }

    fn unit(&self, name: &str, action: UnitAction, _deadline: Instant) -> Result<(), Problem> {
        let mut unit = self.units(&[name.to_owned()])?.remove(name).unwrap_or_default();
        if unit.load == "not-found" && !matches!(action, UnitAction::Mask | UnitAction::Unmask) {
            if !self.may_appear() {
                return Err(Problem::new(format!("there is no unit {name}")));
            }
            unit = loaded(name);
        }
        let masked = unit.load == "masked";
        match action {
            UnitAction::Start | UnitAction::Restart | UnitAction::Enable if masked => {
                return Err(Problem::new(format!("{name} is masked")).hint("`masked: false` unmasks it"));
            }
            UnitAction::Start | UnitAction::Restart => {
                unit.active = "active".into();
                unit.sub = "running".into();
                unit.result = "success".into();
                unit.started += 1;
                if unit.kind == "oneshot" && !unit.remains {
                    unit.active = "inactive".into();
                    unit.sub = "dead".into();
                    unit.conditions = true;
                }
            }
            UnitAction::Reload => {}
            UnitAction::Forget if unit.active == "failed" => {
                unit.active = "inactive".into();
                unit.sub = "dead".into();
            }
            UnitAction::Forget => {}
            UnitAction::Stop => {
                unit.active = "inactive".into();
                unit.sub = "dead".into();
            }
            UnitAction::Enable
                if matches!(unit.file.as_str(), "static" | "indirect" | "generated" | "alias") => {}
            UnitAction::Enable => unit.file = "enabled".into(),
            UnitAction::Disable if unit.file == "static" => {}
            UnitAction::Disable => unit.file = "disabled".into(),
            UnitAction::Mask => {
                unit.load = "masked".into();
                unit.file = "masked".into();
            }
            UnitAction::Unmask if masked => {
                unit.load = "loaded".into();
                unit.file = "disabled".into();
            }
            UnitAction::Unmask => {}
        }
        self.units.lock().insert(name.to_owned(), unit);
        Ok(())
    }

    fn settle(&self, _name: &str, _during: Duration, _deadline: Instant) -> Result<(), Problem> {
        Ok(())
    }

    fn unit_names(&self) -> Result<Vec<String>, Problem> {
        let mut names = self.below.unit_names()?;
        names.extend(self.units.lock().keys().cloned());
        names.extend(
            self.list(Path::new(FOLDERS[0]))
                .unwrap_or_default()
                .into_iter()
                .filter_map(|name| name.into_string().ok()),
        );
        crate::in_order::sort(&mut names);
        names.dedup();
        Ok(names)
    }

    fn reload_units(&self, _deadline: Instant) -> Result<(), Problem> {
        let names: Vec<String> = self.units.lock().keys().cloned().collect();
        for name in names {
            if let Some(unit) = self.units.lock().get_mut(&name) {
                unit.stale = false;
            }
        }
        Ok(())
    }
}

impl Overlay<'_> {
    /// Puts a unit in a state that a test starts from.
    pub fn prepare_unit(&self, name: &str, unit: UnitState) {
        self.units.lock().insert(name.to_owned(), unit);
    }

    /// Follows the unit's file, which a task may have written or taken away in this overlay.
    fn with_file(&self, name: &str, unit: UnitState) -> UnitState {
        let file = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| {
            matches!(self.stat(path), Ok(Some(stat)) if matches!(stat.kind, FileKind::File | FileKind::Link))
        });
        match file {
            Some(path) if unit.load == "not-found" => self.read_unit(name, path),
            None if !unit.fragment.is_empty() && self.is_gone(&unit.fragment) => {
                UnitState { load: "not-found".into(), file: String::new(), fragment: String::new(), ..unit }
            }
            _ => unit,
        }
    }

    /// Whether the file a unit was loaded from is not there any more.
    fn is_gone(&self, fragment: &str) -> bool {
        matches!(self.stat(Path::new(fragment)), Ok(None))
    }

    /// A unit as systemd would load it from a file that only this overlay has.
    fn read_unit(&self, name: &str, path: PathBuf) -> UnitState {
        let text = self.read(&path, FILE_LIMIT).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))
                .next_back()
        };
        let kind = value("Type").map_or("simple", str::trim);
        UnitState {
            file: if text.lines().any(|line| line.trim() == "[Install]") { "disabled" } else { "static" }
                .into(),
            can_reload: value("ExecReload").is_some(),
            kind: if name.ends_with(".service") { kind.to_owned() } else { String::new() },
            remains: matches!(value("RemainAfterExit").map(str::trim), Some("yes" | "true" | "1" | "on")),
            fragment: path.to_string_lossy().into_owned(),
            ..loaded(name)
        }
    }
}

/// A unit that is there, stopped and not enabled.
fn loaded(name: &str) -> UnitState {
    UnitState {
        load: "loaded".into(),
        active: "inactive".into(),
        sub: "dead".into(),
        file: "disabled".into(),
        result: "success".into(),
        id: name.to_owned(),
        can_reload: true,
        kind: if name.ends_with(".service") { "simple".into() } else { String::new() },
        ..UnitState::default()
    }
}

/// A machine run by systemd that has no units.
impl Units for Empty {
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        let absent =
            |name: &String| UnitState { load: "not-found".into(), file: String::new(), ..loaded(name) };
        Ok(names.iter().map(|name| (name.clone(), absent(name))).collect())
    }

    fn unit(&self, name: &str, _action: UnitAction, _deadline: Instant) -> Result<(), Problem> {
        Err(Problem::new(format!("there is no unit {name}")))
    }

    fn settle(&self, _name: &str, _during: Duration, _deadline: Instant) -> Result<(), Problem> {
        Ok(())
    }

    fn unit_names(&self) -> Result<Vec<String>, Problem> {
        Ok(Vec::new())
    }

    fn reload_units(&self, _deadline: Instant) -> Result<(), Problem> {
        Ok(())
    }
}
