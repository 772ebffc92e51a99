//! `cm vars HOST`: each variable, its value, and the file and line it comes from.

use clap::Args;
use cm_plan::{FactsBook, LoadOptions, ShownValue};
use cm_wire::Value;
use serde_json::json;

use crate::{exit::Exit, failure::Failure, fleet::Fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The host.
    host: String,
    /// The roles whose parameters are shown; otherwise those the host's groups assign.
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    role: Vec<String>,
    /// Set a variable, stronger than everything else.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let fleet = Fleet::load_with(
        options,
        LoadOptions { set: arguments.set.clone(), roles: arguments.role.clone(), ..LoadOptions::default() },
    )?;
    let project = &fleet.project;
    let inventory = project.inventory();
    let host = inventory.host_id(&arguments.host).ok_or_else(|| {
        let near = inventory.nearest_host(&arguments.host).map(|near| format!("did you mean `{near}`?"));
        Failure::new(format!("there is no host `{}` in the inventory", arguments.host)).maybe_hint(near)
    })?;
    let remembered = fleet.remembered_facts();
    let own = remembered.get(&arguments.host).cloned();
    let roles = (!arguments.role.is_empty()).then_some(arguments.role.as_slice());
    let variables = project
        .variables(host, own.as_deref(), &FactsBook::new(remembered), roles)
        .map_err(|diagnostics| Failure::Diagnostics(diagnostics, project.sources().clone()))?;
    let mut table = report::table(&["variable", "value", "set by", "at", "instead of"]);
    for variable in &variables {
        let value = match &variable.value {
            ShownValue::Value(value) => to_json(value),
            ShownValue::Secret => json!("[secret]"),
            ShownValue::Unrendered(text) => json!(text),
        };
        let place = project.sources().place(variable.span);
        let hidden: Vec<String> = variable
            .hidden
            .iter()
            .map(|(kind, span)| format!("{kind} ({})", project.sources().place(*span)))
            .collect();
        if options.json {
            let line = json!({
                "name": variable.name, "role": variable.role, "value": value, "set_by": variable.kind.to_string(),
                "place": place, "hidden": hidden,
            });
            report::print(&format!("{line}\n"));
        } else {
            table.add_row(vec![
                variable.name.clone(),
                value.to_string(),
                variable.kind.to_string(),
                place,
                hidden.join(", "),
            ]);
        }
    }
    if !options.json {
        report::print_table(&table);
    }
    Ok(Exit::Ok)
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Content(_) | Value::Tree(_) => serde_json::Value::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
    }
}
