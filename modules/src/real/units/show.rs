//! What `systemctl show` prints, read.

use crate::{node::UnitState, unit_name::UnitName};

/// The properties that are asked for.
pub(super) const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,CanReload,Result,\
    InactiveExitTimestampMonotonic,Type,RemainAfterExit,NRestarts,ExecMainStatus,ConditionResult,FragmentPath";

/// The state of a unit that systemd has never heard of.
pub(super) fn not_found(name: &str) -> UnitState {
    UnitState {
        load: "not-found".into(),
        active: "inactive".into(),
        sub: "dead".into(),
        id: name.to_owned(),
        ..UnitState::default()
    }
}

/// One block for each unit that was asked for, in their order, with a blank line between.
pub(super) fn blocks(text: &str) -> Vec<UnitState> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(block).collect()
}

fn block(text: &str) -> UnitState {
    let mut unit = UnitState::default();
    for line in text.lines() {
        let Some((property, value)) = line.split_once('=') else { continue };
        match property {
            "Id" => unit.id = value.to_owned(),
            "LoadState" => unit.load = value.to_owned(),
            "ActiveState" => unit.active = value.to_owned(),
            "SubState" => unit.sub = value.to_owned(),
            "UnitFileState" => unit.file = value.to_owned(),
            "NeedDaemonReload" => unit.stale = value == "yes",
            "CanReload" => unit.can_reload = value == "yes",
            "Result" => unit.result = value.to_owned(),
            "InactiveExitTimestampMonotonic" => unit.started = value.parse().unwrap_or(0),
            "Type" => unit.kind = value.to_owned(),
            "RemainAfterExit" => unit.remains = value == "yes",
            "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
            "ExecMainStatus" => unit.exit = value.parse().unwrap_or(0),
            "ConditionResult" => unit.conditions = value == "yes",
            "FragmentPath" => unit.fragment = value.to_owned(),
            _ => {}
        }
    }
    unit
}

/// Whether this is a name that systemd can be asked about: a suffix it knows, no characters it refuses, not
/// a template.
pub(super) fn is_unit_name(name: &str) -> bool {
    UnitName::parse(name).is_ok_and(|unit| unit.as_str() == name && !unit.is_template())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 252 prints it for `systemctl show -p … ssh.service no-such.service tmp.mount`.
    const SHOWN: &str = "\
Type=notify
RemainAfterExit=no
NRestarts=0
Result=success
ExecMainStatus=0
Id=ssh.service
LoadState=loaded
ActiveState=active
FragmentPath=/lib/systemd/system/ssh.service
SubState=running
UnitFileState=enabled
InactiveExitTimestampMonotonic=2031344
CanReload=yes
NeedDaemonReload=no
ConditionResult=yes

Type=simple
Id=no-such.service
LoadState=not-found
ActiveState=inactive
FragmentPath=
SubState=dead
UnitFileState=
InactiveExitTimestampMonotonic=0
CanReload=no
NeedDaemonReload=no
ConditionResult=no

Result=success
Id=tmp.mount
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled
NeedDaemonReload=yes
";

    #[test]
    fn each_unit_has_its_block() {
        let units = blocks(SHOWN);
        assert_eq!(units.len(), 3);
        let ssh = &units[0];
        assert_eq!(
            (ssh.load.as_str(), ssh.active.as_str(), ssh.file.as_str()),
            ("loaded", "active", "enabled")
        );
        assert!(ssh.can_reload && !ssh.stale && ssh.conditions && ssh.started == 2_031_344);
        assert_eq!(units[1].load, "not-found");
        assert!(units[2].stale && units[2].kind.is_empty());
    }

    #[test]
    fn only_names_that_can_be_asked_for_are() {
        for name in ["nginx.service", "getty@tty1.service", r"dev-disk-by\x2dlabel-a.swap", "a.b.timer"] {
            assert!(is_unit_name(name), "{name}");
        }
        for name in
            ["nginx", "getty@.service", "a*.service", "a b.service", "-/x.service", ".service", "x.conf"]
        {
            assert!(!is_unit_name(name), "{name}");
        }
    }
}
