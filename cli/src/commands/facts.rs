//! `cm facts on TARGET`.

use std::{collections::BTreeMap, sync::Arc};

use clap::Args;
use cm_engine::RunEvent;
use cm_plan::{Expression, FactsBook, Project};
use cm_wire::{Facts, Mode};
use serde_json::Value;

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{Fleet, Selection},
    interrupt::Interrupt,
    options::{Options, RunArguments, WhatOnTarget},
    report::{self, Reporter, RunHeader, Summary},
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `on TARGET`.
    #[arg(required = true, value_name = "on TARGET")]
    words: Vec<String>,
    /// Columns of the table: facts by their names in templates, such as os.version or memory.total.
    #[arg(long, value_name = "FACT", value_delimiter = ',')]
    columns: Vec<String>,
    /// Only hosts for which this holds, such as 'node.os.version == "12" and node.memory.total > 8e9'.
    #[arg(long = "where", value_name = "EXPRESSION")]
    condition: Option<String>,
    #[command(flatten)]
    run: RunArguments,
}

/// The columns where nobody names any.
const COLUMNS: [&str; 6] = ["os.name", "os.version", "kernel", "cpus", "memory.total", "addresses"];

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let target = words.target.or_else(|| words.what.first().cloned()).unwrap_or_default();
    check_columns(&arguments.columns)?;
    let fleet = Fleet::load(options)?.resolve(options, &target, &arguments.run)?;
    let selection = fleet.select(&target, &arguments.run)?;
    let runtime = drive::runtime()?;
    runtime.block_on(gather(options, &fleet, selection, arguments))
}

async fn gather(
    options: &Options,
    fleet: &Fleet,
    selection: Selection,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    let header = RunHeader {
        run: "-".into(),
        mode: Mode::Verify,
        command: "facts",
        hosts: selection.hosts.len(),
        diff: false,
        verbosity: options.verbosity(),
    };
    let run = fleet.run(selection, &arguments.run, Mode::Verify, "facts".into(), None)?;
    let interrupt = Interrupt::watch();
    let as_table = header.hosts > 1 || !arguments.columns.is_empty();
    let chosen = Where::of(fleet, arguments.condition.as_deref())?;
    let mut rows = BTreeMap::new();
    let shown = chosen.clone();
    let show = |event: &RunEvent| {
        if let RunEvent::Connected { host, facts, .. } = event
            && !options.json
            && shown.holds(host, facts)
        {
            if as_table {
                rows.insert(Arc::clone(host), Arc::clone(facts));
            } else {
                report::print(&text(host, facts));
            }
        }
    };
    let reporter = Box::new(Filtered { inner: drive::reporter(options, header), chosen });
    let exit = drive::drive(run, reporter, None, interrupt, show).await?;
    if !rows.is_empty() {
        let default = || COLUMNS.map(str::to_owned).to_vec();
        let columns = Some(arguments.columns.clone()).filter(|columns| !columns.is_empty());
        report::print_table(&table(&rows, &columns.unwrap_or_else(default)));
    }
    Ok(fleet.exit(exit))
}

/// Which hosts are shown.
#[derive(Clone)]
struct Where(Option<(Project, Arc<Expression>)>);

impl Where {
    fn of(fleet: &Fleet, condition: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = condition else { return Ok(Self(None)) };
        let project = fleet.project.clone();
        let expression = project
            .condition("--where", text)
            .map_err(|diagnostics| Failure::Diagnostics(diagnostics, project.sources().clone()))?;
        Ok(Self(Some((project, Arc::new(expression)))))
    }

    fn holds(&self, host: &str, facts: &Facts) -> bool {
        let Some((project, condition)) = &self.0 else { return true };
        let id = project.inventory().host_id(host);
        id.is_some_and(|id| project.values_of(id, Some(facts), FactsBook::default()).holds(condition))
    }
}

/// Tells nothing of hosts that are not shown.
struct Filtered {
    inner: Box<dyn Reporter>,
    chosen: Where,
}

impl Reporter for Filtered {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Connected { host, facts, .. } if !self.chosen.holds(host, facts) => {}
            _ => self.inner.event(event),
        }
    }

    fn finish(&mut self, summary: &Summary) {
        self.inner.finish(summary);
    }
}

/// A row a host.
fn table(rows: &BTreeMap<Arc<str>, Arc<Facts>>, columns: &[String]) -> comfy_table::Table {
    let headers: Vec<&str> = std::iter::once("host").chain(columns.iter().map(String::as_str)).collect();
    let mut table = report::table(&headers);
    for (host, facts) in rows {
        let facts = serde_json::to_value(facts.as_ref()).unwrap_or_default();
        let cell = |column: &String| {
            let value = column.split('.').try_fold(&facts, |value, key| match key.parse::<usize>() {
                Ok(index) => value.get(index),
                Err(_) => value.get(key),
            });
            report::one_line(&value.map(|value| shown(column, value)).unwrap_or_default())
        };
        table.add_row(std::iter::once(host.to_string()).chain(columns.iter().map(cell)));
    }
    table
}

fn shown(column: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| shown("", item)).collect::<Vec<_>>().join(", "),
        Value::Number(bytes) if column.starts_with("memory.") => {
            format!("{:.1} GiB", bytes.as_f64().unwrap_or(0.0) / f64::from(1 << 30))
        }
        other => other.to_string(),
    }
}

/// The columns must be facts: a wrong name would give a column of blanks.
fn check_columns(columns: &[String]) -> Result<(), Failure> {
    let facts = serde_json::to_value(Facts::default()).unwrap_or_default();
    let mut known: Vec<String> = Vec::new();
    for (name, value) in facts.as_object().into_iter().flatten() {
        known.push(name.clone());
        known.extend(value.as_object().into_iter().flatten().map(|(inner, _)| format!("{name}.{inner}")));
    }
    for column in columns {
        // Below a list anything may be: `mounts.0.path`.
        let list = column.split_once('.').is_some_and(|(first, _)| facts[first].is_array());
        if !list && !known.contains(column) {
            let near = cm_syntax::nearest(column, known.iter().map(String::as_str));
            let near = near.map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::new(format!("there is no fact `{column}`")).maybe_hint(near));
        }
    }
    Ok(())
}

fn text(host: &str, facts: &Facts) -> String {
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut table = report::table(&["", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), report::one_line(&value)]);
    };
    row("hostname", facts.hostname.clone());
    row("fqdn", facts.fqdn.clone());
    row(
        "os",
        format!("{} {} ({}), family {}", facts.os.name, facts.os.version, facts.os.codename, facts.os.family),
    );
    row("kernel", format!("{} {}", facts.kernel, facts.arch));
    row("cpus", facts.cpus.to_string());
    row(
        "memory",
        format!(
            "{:.1} GiB, {:.1} GiB available",
            gibibytes(facts.memory.total),
            gibibytes(facts.memory.available)
        ),
    );
    row("addresses", facts.addresses.join(", "));
    row("init", facts.init.clone());
    row("package manager", facts.package_manager.clone());
    row("virtualization", facts.virtualization.clone());
    let mounts: Vec<String> =
        facts.mounts.iter().map(|mount| format!("{} ({})", mount.path, mount.fstype)).collect();
    row("mounts", mounts.join(", "));
    format!("{host}\n{}\n", table.to_string().lines().skip(1).collect::<Vec<_>>().join("\n"))
}
