//! The states of units from systemd itself: all questions about all units go out in one write, over its own
//! socket for root and over the bus for others.
//!
//! Asking costs a tenth of what `systemctl show` does, which is a process of its own and asks for everything.

use std::{collections::BTreeMap, io, path::Path};

use crate::{
    dbus::{
        Call, Connection, SYSTEMD, SYSTEMD_SOCKET,
        codec::{Kind, Message, Value, unit_path},
    },
    node::UnitState,
};

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What is asked of every unit.
const OF_UNITS: &[&str] = &[
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "CanReload",
    "InactiveExitTimestampMonotonic",
    "ConditionResult",
    "FragmentPath",
];
/// What only services have.
const OF_SERVICES: &[&str] = &["Result", "Type", "RemainAfterExit", "NRestarts", "ExecMainStatus"];

/// The states of these units, by the names that were asked for.
///
/// # Errors
/// When systemd cannot be asked in this way, or refuses a question: `systemctl` knows what to say then.
pub(super) fn ask(names: &[&str]) -> io::Result<BTreeMap<String, UnitState>> {
    let mut connection = if rustix::process::geteuid().is_root() {
        Connection::to(Path::new(SYSTEMD_SOCKET))?
    } else {
        Connection::to_bus()?
    };
    ask_over(&mut connection, names)
}

fn ask_over(connection: &mut Connection, names: &[&str]) -> io::Result<BTreeMap<String, UnitState>> {
    let mut states = BTreeMap::new();
    // So many that neither side's buffers fill up while the other still writes.
    for names in names.chunks(20) {
        let paths: Vec<String> = names.iter().map(|name| unit_path(name)).collect();
        let questions: Vec<(usize, [&str; 2])> =
            names.iter().enumerate().flat_map(|(at, name)| of(name).map(move |words| (at, words))).collect();
        let calls: Vec<Call<'_>> = questions
            .iter()
            .map(|(at, words)| Call {
                destination: SYSTEMD,
                path: &paths[*at],
                interface: PROPERTIES,
                member: "Get",
                arguments: words,
            })
            .collect();
        let mut units: Vec<UnitState> = names.iter().map(|_| UnitState::default()).collect();
        for ((at, [_, property]), answer) in questions.iter().zip(connection.ask_all(&calls)?) {
            set(&mut units[*at], property, answer)?;
        }
        states.extend(names.iter().map(|name| (*name).to_owned()).zip(units));
    }
    Ok(states)
}

/// What is asked of a unit of this name: interface and property.
fn of(name: &str) -> impl Iterator<Item = [&'static str; 2]> {
    let kind = name.rsplit('.').next().unwrap_or_default();
    let own: &[(&str, &[&str])] = match kind {
        "service" => &[(SERVICE, OF_SERVICES)],
        "socket" => &[("org.freedesktop.systemd1.Socket", &["Result"])],
        "mount" => &[("org.freedesktop.systemd1.Mount", &["Result"])],
        "automount" => &[("org.freedesktop.systemd1.Automount", &["Result"])],
        "swap" => &[("org.freedesktop.systemd1.Swap", &["Result"])],
        "timer" => &[("org.freedesktop.systemd1.Timer", &["Result"])],
        "path" => &[("org.freedesktop.systemd1.Path", &["Result"])],
        "scope" => &[("org.freedesktop.systemd1.Scope", &["Result"])],
        _ => &[],
    };
    [(UNIT, OF_UNITS)]
        .into_iter()
        .chain(own.iter().copied())
        .flat_map(|(interface, properties)| properties.iter().map(move |property| [interface, *property]))
}

fn set(unit: &mut UnitState, property: &str, answer: Message) -> io::Result<()> {
    let Message { kind, value, error, .. } = answer;
    match (property, value) {
        ("Id", Some(Value::Text(text))) => unit.id = text,
        ("LoadState", Some(Value::Text(text))) => unit.load = text,
        ("ActiveState", Some(Value::Text(text))) => unit.active = text,
        ("SubState", Some(Value::Text(text))) => unit.sub = text,
        ("UnitFileState", Some(Value::Text(text))) => unit.file = text,
        ("NeedDaemonReload", Some(Value::Flag(flag))) => unit.stale = flag,
        ("CanReload", Some(Value::Flag(flag))) => unit.can_reload = flag,
        ("Result", Some(Value::Text(text))) => unit.result = text,
        ("InactiveExitTimestampMonotonic", Some(Value::Number(number))) => {
            unit.started = u64::try_from(number).unwrap_or(0);
        }
        ("Type", Some(Value::Text(text))) => unit.kind = text,
        ("RemainAfterExit", Some(Value::Flag(flag))) => unit.remains = flag,
        ("NRestarts", Some(Value::Number(number))) => unit.restarts = number.try_into().unwrap_or(0),
        ("ExecMainStatus", Some(Value::Number(number))) => unit.exit = number.try_into().unwrap_or(0),
        ("ConditionResult", Some(Value::Flag(flag))) => unit.conditions = flag,
        ("FragmentPath", Some(Value::Text(text))) => unit.fragment = text,
        // An older systemd has not all of them.
        _ if kind == Kind::Error && error.ends_with(".UnknownProperty") => {}
        _ => return Err(io::Error::other(format!("{property}: {error}"))),
    }
    Ok(())
}
