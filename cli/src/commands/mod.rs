//! The commands, one file each: arguments, what they do, and a line here.

mod apply;
mod cleanup;
mod completions;
mod facts;
mod graph;
mod history;
mod init;
mod inventory;
mod lab;
mod lint;
mod modules;
mod node;
mod rollback;
mod rollout;
mod run;
mod schema;
mod secrets;
mod show;
mod state;
mod test;
mod vars;
mod verify;

pub use rollback::NoTasks;
pub use run::OneCommand;

use clap::Subcommand;

use crate::{exit::Exit, failure::Failure, options::Options};

/// What `cm` can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a small working repository.
    Init(init::Arguments),
    /// Show hosts, groups and variables, whatever files and sources they come from.
    Inventory(inventory::Arguments),
    /// Check the whole repository; needs no host.
    Lint(lint::Arguments),
    /// Show what apply would do: exactly that.
    Plan(apply::Arguments),
    /// Make it so.
    Apply(apply::Arguments),
    /// Has anything drifted? Looks and checks, changes nothing.
    Verify(verify::Arguments),
    /// Run one command now.
    Run(run::Arguments),
    /// Show what hosts say about themselves.
    Facts(facts::Arguments),
    /// Draw the graph of a role, each edge with its reason.
    Graph(graph::Arguments),
    /// Show the variables of a host and where each comes from.
    Vars(vars::Arguments),
    /// List what was run.
    History(history::Arguments),
    /// Show one run.
    Show(show::Arguments),
    /// Apply in batches with gates, watched and steered from any terminal.
    Rollout(Box<rollout::Arguments>),
    /// Take back what a run changed: hosts as they were before it.
    Rollback(rollback::Arguments),
    /// Take roles off hosts: what they put there becomes what it was before.
    Cleanup(cleanup::Arguments),
    /// The state database.
    State(state::Arguments),
    /// Hosts as the state database knows them, and their host keys.
    Node(node::Arguments),
    /// Keep secrets encrypted in the repository.
    Secrets(secrets::Arguments),
    /// Print JSON Schema of roles or inventories, for editors and validators.
    Schema(schema::Arguments),
    /// The reference of modules and checks.
    Modules(modules::Arguments),
    /// Try roles on fresh throw-away hosts: apply, apply again, verify, damage, cleanup.
    Test(test::Arguments),
    /// Throw-away real hosts on this machine.
    Lab(lab::Arguments),
    /// Print completions for a shell.
    Completions(completions::Arguments),
    /// Write the manual pages.
    #[command(name = "man")]
    ManualPages(completions::ManualArguments),
}

impl Command {
    /// The command that only reads.
    pub fn lint() -> Self {
        Self::Lint(lint::Arguments::default())
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    match &options.command {
        Command::Init(arguments) => init::run(options, arguments),
        Command::Inventory(arguments) => inventory::run(options, arguments),
        Command::Lint(arguments) => lint::run(options, arguments),
        Command::Plan(arguments) => apply::run(options, arguments, cm_wire::Mode::Plan),
        Command::Apply(arguments) => apply::run(options, arguments, cm_wire::Mode::Apply),
        Command::Verify(arguments) => verify::run(options, arguments),
        Command::Run(arguments) => run::run(options, arguments),
        Command::Facts(arguments) => facts::run(options, arguments),
        Command::Graph(arguments) => graph::run(options, arguments),
        Command::Vars(arguments) => vars::run(options, arguments),
        Command::History(arguments) => history::run(options, arguments),
        Command::Show(arguments) => show::run(options, arguments),
        Command::Rollout(arguments) => rollout::run(options, arguments),
        Command::Rollback(arguments) => rollback::run(options, arguments),
        Command::Cleanup(arguments) => cleanup::run(options, arguments),
        Command::State(arguments) => state::run(options, arguments),
        Command::Node(arguments) => node::run(options, arguments),
        Command::Secrets(arguments) => secrets::run(options, arguments),
        Command::Schema(arguments) => schema::run(options, arguments),
        Command::Modules(arguments) => modules::run(options, arguments),
        Command::Test(arguments) => test::run(options, arguments),
        Command::Lab(arguments) => lab::run(options, arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::ManualPages(arguments) => completions::manual_pages(arguments),
    }
}
