//! `cm rollout`: apply in batches with gates, watched and steered from any terminal.

mod begin;
mod look;
mod steer;
mod strategy;

use clap::{Args, Subcommand};

use crate::{exit::Exit, failure::Failure, options::Options};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    after_help = "Exit status: 0 all nodes are upgraded, 2 paused by an operator or waiting for `promote`, \
    3 failed, aborted, rolled back, or paused because of it, 4 a node could not be reached."
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    begin: begin::Begin,
}

/// What can be done with rollouts.
#[derive(Subcommand, Debug)]
enum Verb {
    /// Show the batches, and what each node would change.
    Plan(begin::Begin),
    /// Show where a rollout stands.
    Status(look::Which),
    /// Begin no more nodes; those in work go on to their end.
    Pause(steer::Which),
    /// Go on: after a pause, and after the driver was killed or interrupted.
    Resume(steer::Resume),
    /// The canary is good: go on with the rest.
    Promote(steer::Drives),
    /// Begin no more nodes, put back into service what was not changed yet, and end.
    Abort(steer::Drives),
    /// Take back what was upgraded, by the nodes' journals.
    Rollback(steer::Drives),
    /// List rollouts.
    List,
    /// Show a rollout with all its nodes.
    Show(look::Show),
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.verb {
        None => begin::begin(options, &arguments.begin),
        Some(Verb::Plan(begin)) => begin::plan(options, begin),
        Some(Verb::Status(which)) => look::status(options, which),
        Some(Verb::Show(show)) => look::show(options, show),
        Some(Verb::List) => look::list(options),
        Some(Verb::Pause(which)) => steer::pause(options, which),
        Some(Verb::Resume(resume)) => steer::resume(options, resume),
        Some(Verb::Promote(which)) => steer::promote(options, which),
        Some(Verb::Abort(which)) => steer::abort(options, which),
        Some(Verb::Rollback(which)) => steer::roll_back(options, which),
    }
}
