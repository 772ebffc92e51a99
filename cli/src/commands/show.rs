//! `cm show RUN`: one run with every host's results.

use clap::Args;
use cm_state::{HostResult, HostState, RunState, RunSummary, Store, TaskFilter, TaskOutcome, TaskResult};
use cm_wire::Change;
use owo_colors::OwoColorize;

use crate::{exit::Exit, failure::Failure, fleet, options::Options, report, report::waterfall};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The run's id or the beginning or end of it; `last` is the newest.
    run: String,
    /// Only this host.
    #[arg(long)]
    host: Option<String>,
    /// Tasks that were as wanted, too.
    #[arg(long)]
    all: bool,
    /// Show where the time went: a bar for each host of the run, or with `--host` for each of its tasks.
    #[arg(long)]
    waterfall: bool,
    /// Write the waterfall to this file as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<std::path::PathBuf>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = fleet::open_state(options)?;
    let summary = match arguments.run.as_str() {
        "last" => {
            let newest = store.runs(1).map_err(fleet::state_failure)?.into_iter().next();
            newest.ok_or_else(|| Failure::new("nothing was run yet"))?
        }
        given => store.find_run(given).map_err(fleet::state_failure)?,
    };
    let filter = if arguments.all || options.verbose { TaskFilter::All } else { TaskFilter::NotOk };
    let mut without: Vec<String> = Vec::new();
    if summary.hosts.unfinished() > 0 {
        let hosts = store.run_hosts(&summary.id).map_err(fleet::state_failure)?;
        let unfinished = hosts.into_iter().filter(|host| host.state == HostState::Unfinished);
        without.extend(unfinished.map(|host| host.host));
    }
    let hosts = match &arguments.host {
        Some(host) => {
            without.retain(|other| other == host);
            let found = store.run_host(&summary.id, host).map_err(fleet::state_failure)?;
            if found.is_none() && without.is_empty() {
                return Err(Failure::new(format!("run {} has no host `{host}`", summary.id)));
            }
            found.into_iter().collect()
        }
        None => store.run_results(&summary.id, filter).map_err(fleet::state_failure)?,
    };
    if arguments.waterfall || arguments.svg.is_some() {
        return draw(arguments, &store, &summary);
    }
    if options.json {
        let mut value = serde_json::json!(summary);
        value["host_results"] = serde_json::json!(hosts);
        value["hosts_without_result"] = serde_json::json!(without);
        report::print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "run {}: {} of {} on {}, {}\n  started {} by {}: {}\n  hosts: {}   tasks: {}\n",
        summary.id.to_string().bold(),
        report::json_word(&summary.mode),
        if summary.roles.is_empty() { "each host's own roles".into() } else { summary.roles.join(", ") },
        summary.target,
        report::json_word(&summary.state),
        summary.started,
        summary.user,
        summary.command_line,
        report::counts(&summary.hosts),
        report::counts(&summary.tasks),
    );
    if let Some(error) = &summary.error {
        let finished = summary.finished.map_or_else(String::new, |time| format!("; last heard of {time}"));
        text.push_str(&format!(
            "  {}: {}{finished}\n",
            report::json_word(&summary.state),
            report::printable(error)
        ));
    }
    for host in &hosts {
        host_text(host, &mut text);
    }
    let told = match summary.state {
        RunState::Running => "is at work or waits for its turn",
        _ => "unknown: the run ended before it had a result for this host; `cm verify` tells how it is now",
    };
    for host in &without {
        text.push_str(&format!("{}: {told}\n", host.bold()));
    }
    report::print(&text);
    Ok(Exit::Ok)
}

fn draw(arguments: &Arguments, store: &impl Store, run: &RunSummary) -> Result<Exit, Failure> {
    let results = |filter| store.run_results(&run.id, filter).map_err(fleet::state_failure);
    let chart = match &arguments.host {
        Some(host) => {
            let found = store.run_host(&run.id, host).map_err(fleet::state_failure)?;
            let found = found
                .ok_or_else(|| Failure::new(format!("run {} has no result of host `{host}`", run.id)))?;
            waterfall::of_host(&found, arguments.all)
        }
        None => match results(TaskFilter::All)?.as_slice() {
            [one] => waterfall::of_host(one, arguments.all),
            hosts => waterfall::of_hosts(run, hosts),
        },
    };
    if let Some(file) = &arguments.svg {
        std::fs::write(file, waterfall::svg(&chart))
            .map_err(|error| Failure::because(format!("{} cannot be written", file.display()), &error))?;
    }
    if arguments.waterfall {
        report::print(&waterfall::text(&chart, report::columns()));
    }
    Ok(Exit::Ok)
}

fn host_text(host: &HostResult, text: &mut String) {
    let seconds = host.duration_us as f64 / 1e6;
    text.push_str(&format!("{}: {} ({seconds:.2} s)\n", host.host.bold(), report::json_word(&host.state)));
    if let Some(error) = &host.error {
        text.push_str(&format!("    {}\n", report::indented(error)));
    }
    for task in &host.tasks {
        let (verdict, because) = verdict_of(task);
        let word = verdict.map_or_else(|| report::json_word(&task.outcome), |word| word.replace('_', " "));
        let word = match task.outcome {
            TaskOutcome::Ok => word.green().to_string(),
            TaskOutcome::Changed | TaskOutcome::Unknown => word.yellow().to_string(),
            _ => word.red().to_string(),
        };
        let milliseconds = task.duration_us as f64 / 1e3;
        text.push_str(&format!("  {word} {} ({milliseconds:.1} ms)\n", report::one_line(&task.id)));
        let changes: Vec<Change> = task
            .changes
            .iter()
            .map(|change| Change {
                attribute: change.attribute.clone(),
                before: change.before.clone(),
                after: change.after.clone(),
                diff: change.diff.clone(),
            })
            .collect();
        for line in report::change_lines(&changes, true) {
            text.push_str(&format!("      {line}\n"));
        }
        for line in task.error.iter().flat_map(|error| error.lines()) {
            text.push_str(&format!("      {}\n", report::printable(line)));
        }
        if let Some(hint) = &task.hint {
            text.push_str(&format!("      hint: {}\n", report::indented(hint)));
        }
        for sentence in because.iter().filter(|_| verdict.is_some()) {
            text.push_str(&format!("      {}\n", report::one_line(sentence)));
        }
        if verdict.is_none() && !because.is_empty() {
            text.push_str(&format!("      because of {}\n", report::one_line(&because.join(", "))));
        }
    }
}

/// The word of a verdict, where there is one, and what else is said of why a task came out as it did.
fn verdict_of(task: &TaskResult) -> (Option<&str>, &[String]) {
    match task.because.split_first() {
        Some((word, rest)) if task.outcome == TaskOutcome::Changed => (Some(word), rest),
        _ => (None, &task.because),
    }
}
