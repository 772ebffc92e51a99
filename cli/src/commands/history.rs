//! `cm history`: what was run, newest first.

use clap::Args;
use cm_state::{RunState, Store};
use owo_colors::OwoColorize;

use crate::{exit::Exit, failure::Failure, fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    /// How many runs.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = fleet::open_state(options)?;
    let runs = store.runs(arguments.limit).map_err(fleet::state_failure)?;
    if options.json {
        for run in &runs {
            report::print(&format!("{}\n", serde_json::json!(run)));
        }
        return Ok(Exit::Ok);
    }
    if runs.is_empty() {
        report::print("nothing was run yet\n");
    }
    let mut table = report::table(&["run", "what", "state", "hosts", "tasks", "seconds", "by", "command"]);
    for run in &runs {
        let state = report::json_word(&run.state);
        let state = match run.state {
            RunState::Ok | RunState::Changed => state.green().to_string(),
            RunState::Running => state,
            _ => state.red().to_string(),
        };
        let seconds = run.finished.map_or_else(String::new, |finished| {
            format!("{:.1}", finished.micros_since(run.started) as f64 / 1e6)
        });
        table.add_row(vec![
            run.id.to_string(),
            report::json_word(&run.mode),
            state,
            report::counts(&run.hosts),
            report::counts(&run.tasks),
            seconds,
            run.user.clone(),
            run.command_line.clone(),
        ]);
    }
    report::print_table(&table);
    Ok(Exit::Ok)
}
