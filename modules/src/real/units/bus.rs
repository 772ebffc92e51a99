//! The states of units from systemd itself: all questions about all units go out in one write, over the bus, or
//! over systemd's own socket where root finds no bus.
//!
//! Asking costs a tenth of what `systemctl show` does, which is a process of its own and asks for everything; and
//! on the bus half of what it costs systemd's own socket, where systemd sets up a whole bus for each who comes.

use std::{collections::BTreeMap, io, path::Path};

use crate::{
    dbus::{
        Call, Connection, SYSTEMD, SYSTEMD_SOCKET,
        codec::{Kind, Message, Value, unit_path},
    },
    node::UnitState,
};

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What only services have. One by one: all of them together make systemd measure the service's processes.
const OF_SERVICES: &[&str] = &["Result", "Type", "RemainAfterExit", "NRestarts", "ExecMainStatus"];

/// The states of these units, by the names that were asked for.
///
/// # Errors
/// When systemd cannot be asked in this way, or refuses a question: `systemctl` knows what to say then.
pub(super) fn ask(names: &[&str]) -> io::Result<BTreeMap<String, UnitState>> {
    let over_bus = Connection::to_bus().and_then(|mut bus| ask_over(&mut bus, names));
    if over_bus.is_err() && rustix::process::geteuid().is_root() {
        return ask_over(&mut Connection::to(Path::new(SYSTEMD_SOCKET))?, names);
    }
    over_bus
}

fn ask_over(connection: &mut Connection, names: &[&str]) -> io::Result<BTreeMap<String, UnitState>> {
    let mut states = BTreeMap::new();
    // So many that neither side's buffers fill up while the other still writes.
    for names in names.chunks(20) {
        let paths: Vec<String> = names.iter().map(|name| unit_path(name)).collect();
        let questions: Vec<Question<'_>> =
            names.iter().zip(&paths).flat_map(|(name, path)| of(name, path)).collect();
        let calls: Vec<Call<'_>> = questions.iter().map(Question::call).collect();
        let mut units: BTreeMap<&str, UnitState> = BTreeMap::new();
        for (question, answer) in questions.iter().zip(connection.ask_all(&calls)?) {
            let unit = units.entry(question.path).or_default();
            take(unit, question, answer)?;
        }
        let states_of = |path: &String| units.get(path.as_str()).cloned().unwrap_or_default();
        states.extend(names.iter().map(|name| (*name).to_owned()).zip(paths.iter().map(states_of)));
    }
    Ok(states)
}

/// A question for a property of a unit, or for all that an interface of it has.
struct Question<'a> {
    path: &'a str,
    member: &'static str,
    /// The interface, and the property.
    arguments: [&'static str; 2],
}

impl Question<'_> {
    fn call(&self) -> Call<'_> {
        let all = self.member == "GetAll";
        Call {
            destination: SYSTEMD,
            path: self.path,
            interface: PROPERTIES,
            member: self.member,
            arguments: if all { &self.arguments[..1] } else { &self.arguments },
        }
    }
}

/// What is asked of a unit of this name.
fn of<'a>(name: &str, path: &'a str) -> impl Iterator<Item = Question<'a>> {
    let kind = name.rsplit('.').next().unwrap_or_default();
    let (interface, own): (_, &[&str]) = match kind {
        "service" => ("org.freedesktop.systemd1.Service", OF_SERVICES),
        "socket" => ("org.freedesktop.systemd1.Socket", &["Result"]),
        "mount" => ("org.freedesktop.systemd1.Mount", &["Result"]),
        "automount" => ("org.freedesktop.systemd1.Automount", &["Result"]),
        "swap" => ("org.freedesktop.systemd1.Swap", &["Result"]),
        "timer" => ("org.freedesktop.systemd1.Timer", &["Result"]),
        "path" => ("org.freedesktop.systemd1.Path", &["Result"]),
        "scope" => ("org.freedesktop.systemd1.Scope", &["Result"]),
        _ => ("", &[]),
    };
    let all = Question { path, member: "GetAll", arguments: ["org.freedesktop.systemd1.Unit", ""] };
    let own =
        own.iter().map(move |property| Question { path, member: "Get", arguments: [interface, property] });
    std::iter::once(all).chain(own)
}

fn take(unit: &mut UnitState, question: &Question<'_>, answer: Message) -> io::Result<()> {
    if answer.kind == Kind::Error {
        // An older systemd has not all of them.
        let unknown = answer.error.ends_with(".UnknownProperty");
        return if unknown { Ok(()) } else { Err(io::Error::other(answer.error)) };
    }
    for (name, value) in answer.properties {
        set(unit, if name.is_empty() { question.arguments[1] } else { &name }, value);
    }
    Ok(())
}

fn set(unit: &mut UnitState, property: &str, value: Value) {
    match (property, value) {
        ("Id", Value::Text(text)) => unit.id = text,
        ("LoadState", Value::Text(text)) => unit.load = text,
        ("ActiveState", Value::Text(text)) => unit.active = text,
        ("SubState", Value::Text(text)) => unit.sub = text,
        ("UnitFileState", Value::Text(text)) => unit.file = text,
        ("NeedDaemonReload", Value::Flag(flag)) => unit.stale = flag,
        ("CanReload", Value::Flag(flag)) => unit.can_reload = flag,
        ("Result", Value::Text(text)) => unit.result = text,
        ("InactiveExitTimestampMonotonic", Value::Number(number)) => {
            unit.started = u64::try_from(number).unwrap_or(0);
        }
        ("Type", Value::Text(text)) => unit.kind = text,
        ("RemainAfterExit", Value::Flag(flag)) => unit.remains = flag,
        ("NRestarts", Value::Number(number)) => unit.restarts = number.try_into().unwrap_or(0),
        ("ExecMainStatus", Value::Number(number)) => unit.exit = number.try_into().unwrap_or(0),
        ("ConditionResult", Value::Flag(flag)) => unit.conditions = flag,
        ("FragmentPath", Value::Text(text)) => unit.fragment = text,
        _ => {}
    }
}
