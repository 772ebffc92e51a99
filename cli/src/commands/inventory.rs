//! `cm inventory`: hosts, groups and variables as they were understood, from whatever files and sources they come.

use std::collections::BTreeMap;

use clap::Args;
use cm_plan::LoadOptions;
use serde_json::{Map, Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    fleet::Fleet,
    options::{Options, RunArguments},
    report,
};

/// What stands for a value that is not to be shown.
const HIDDEN: &str = "[secret]";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Only these hosts, and the groups they are in.
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Print what `ansible-inventory --list` prints: for programs that read inventories of Ansible.
    #[arg(long)]
    list: bool,
    /// Ask hosts for the facts that groups with rules want; otherwise those of the last run count.
    #[arg(long)]
    ask: bool,
    #[command(flatten)]
    run: RunArguments,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let load = LoadOptions { hosts_only: true, ..LoadOptions::default() };
    let mut fleet = Fleet::load_with(options, load)?;
    let target = arguments.target.as_deref().unwrap_or("all");
    if arguments.ask {
        // Everybody, where everybody is shown: the target `all` alone asks for no more than it has to.
        let asked = if target == "all" { "*" } else { target };
        fleet = fleet.resolve(options, asked, &arguments.run)?;
    }
    let inventory = fleet.project.inventory();
    if arguments.list {
        report::print(&format!("{}\n", hide(inventory.ansible_list())));
        return Ok(fleet.exit(Exit::Ok));
    }
    let selection = fleet.select(target, &arguments.run)?;
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut table = report::table(&["host", "address", "groups", "vars"]);
    for &id in &selection.hosts {
        let host = inventory.host(id);
        let names: Vec<&str> = inventory
            .groups_of(id)
            .iter()
            .filter(|group| group.index() != 0)
            .map(|group| inventory.group(*group).name())
            .collect();
        for &group in &names {
            groups.entry(group).or_default().push(host.name());
        }
        let variables: Map<String, Value> = inventory
            .variables(id)
            .into_iter()
            .map(|(name, variable)| (name, json!(variable.value)))
            .collect();
        let variables = hide(Value::Object(variables));
        if options.json {
            let settings = inventory.settings(id);
            let connection = match settings.connection {
                cm_inventory::Connection::Ssh => "ssh",
                cm_inventory::Connection::Local => "local",
            };
            let line = json!({
                "event": "host",
                "host": host.name(),
                "address": host.address(),
                "groups": names,
                "vars": variables,
                "connection": connection,
                "user": settings.ssh.user.map(|user| user.value),
                "port": settings.ssh.port.map(|port| port.value),
                "become": settings.become_root.map(|wanted| wanted.value),
                "undecided": fleet.undecided().get(host.name()),
                "place": fleet.project.sources().place(host.span()),
            });
            report::print(&format!("{line}\n"));
        } else {
            let shown = variables.as_object().into_iter().flatten();
            let shown: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
            table.add_row(vec![
                host.name().to_owned(),
                host.address().to_owned(),
                names.join(" "),
                report::one_line(&shown.join(" ")),
            ]);
        }
    }
    if options.json {
        for (id, group) in inventory.groups().filter(|(_, group)| groups.contains_key(group.name())) {
            let children: Vec<&str> =
                group.children().iter().map(|child| inventory.group(*child).name()).collect();
            let roles: Vec<&str> = group.roles().iter().map(|role| role.value.as_str()).collect();
            let line = json!({
                "event": "group",
                "group": group.name(),
                "level": group.level(),
                "hosts": groups.get(group.name()),
                "groups": children,
                "roles": roles,
                "where": inventory.group(id).rule().and_then(cm_syntax::Node::as_text),
            });
            report::print(&format!("{line}\n"));
        }
    } else {
        report::print_table(&table);
        for (host, groups) in fleet.undecided() {
            anstream::eprintln!(
                "note: whether `{host}` belongs to {} hangs on facts that are not known; `--ask` asks it",
                groups.iter().map(|group| format!("`{group}`")).collect::<Vec<_>>().join(", ")
            );
        }
    }
    Ok(fleet.exit(Exit::Ok))
}

/// Passwords that inventories of others hold in clear text are not printed.
fn hide(value: Value) -> Value {
    let secret = |name: &str| name.starts_with("ansible_") && name.contains("pass");
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| {
                let value = if secret(&name) && !value.is_null() { json!(HIDDEN) } else { hide(value) };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(hide).collect(),
        other => other,
    }
}
