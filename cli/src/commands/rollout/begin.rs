//! `cm rollout ROLE on TARGET`, and its plan.

use std::{collections::BTreeSet, sync::Arc};

use clap::Args;
use cm_engine::rollout::{Drive, Parting, drive as drive_rollout};
use cm_plan::RolloutSpec;
use cm_rollout::{Command, NodeState, Outcome, PauseReason, Rollout, Standing};
use cm_state::RedbStore;

use super::strategy::StrategyArguments;
use crate::{
    chosen::{Asked, Chosen},
    commands::apply,
    drive,
    exit::Exit,
    failure::Failure,
    fleet,
    interrupt::Interrupt,
    options::{Options, RoleArguments, RunArguments},
    report, retention,
    rollout::{Asking, Book, Control, Crew, Kept, Survey, Teller, forget_old, open, survey},
};

#[derive(Args, Debug, Clone)]
pub struct Begin {
    /// `[ROLE[,ROLE]] on TARGET`; without roles, what the hosts' groups say belongs on them.
    #[arg(value_name = "[ROLES] on TARGET")]
    words: Vec<String>,
    /// Set a variable, stronger than everything else; the value is read as YAML.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    strategy: StrategyArguments,
    /// Try again what was rolled back before.
    #[arg(long)]
    again: bool,
    /// Stay while it is paused; else it ends, and `cm rollout resume` goes on.
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    run: RunArguments,
}

/// What was chosen, and what is known of it.
struct Prepared {
    chosen: Chosen,
    spec: RolloutSpec,
    survey: Survey,
}

impl Begin {
    fn role(&self) -> RoleArguments {
        RoleArguments { set: self.set.clone(), ..RoleArguments::default() }
    }

    fn asking(&self, options: &Options) -> Asking {
        Asking {
            words: self.words.clone(),
            set: self.set.clone(),
            limit: self.run.limit.clone(),
            inventory: options.inventory.clone(),
            spread: self.strategy.spread.clone(),
            order: self.strategy.order.clone(),
        }
    }

    /// Reads, chooses, and asks all hosts.
    fn prepare(&self, options: &Options) -> Result<Prepared, Failure> {
        let role = self.role();
        let asked =
            Asked { command: "rollout", words: &self.words, role: &role, run: &self.run, everywhere: false };
        let chosen = asked.choose(options)?;
        let spec = chosen.rollout(&self.strategy.overrides())?;
        let survey = drive::runtime()?.block_on(survey(&chosen, &spec, &role, &self.run))?;
        Ok(Prepared { chosen, spec, survey })
    }
}

fn title(chosen: &Chosen) -> String {
    let roles =
        if chosen.roles.is_empty() { "each host's own roles".into() } else { chosen.roles.join(", ") };
    format!("{roles} on {}", chosen.target)
}

fn machine(id: &str, prepared: &Prepared) -> Result<Rollout, Failure> {
    let Prepared { chosen, spec, survey } = prepared;
    Rollout::new(id, title(chosen), spec.strategy.clone(), spec.hooks(), survey.targets.clone()).map_err(
        |error| Failure::new(error.to_string()).hint("docs/rollout.md says what each of these means"),
    )
}

/// Shows the batches, and what each node would change.
pub fn plan(options: &Options, begin: &Begin) -> Result<Exit, Failure> {
    let prepared = begin.prepare(options)?;
    let rollout = machine("plan", &prepared)?;
    if options.json {
        let batches: Vec<Vec<&str>> =
            rollout.batches.iter().map(|batch| names(&rollout, &batch.nodes)).collect();
        let line = serde_json::json!({
            "event": "rollout_plan", "title": rollout.title, "batches": batches, "strategy": rollout.strategy,
            "max_unavailable": rollout.max_unavailable(),
            "unreachable": rollout.unreachable().collect::<Vec<_>>(),
        });
        report::print(&format!("{line}\n"));
    } else {
        let mut text = format!(
            "{}: {} nodes in {} batches, at most {} out of service at once\n",
            rollout.title,
            rollout.nodes.len(),
            rollout.batches.len(),
            rollout.max_unavailable()
        );
        for (number, batch) in rollout.batches.iter().enumerate() {
            text.push_str(&format!("batch {}: {}\n", number + 1, names(&rollout, &batch.nodes).join(", ")));
        }
        for node in rollout.unreachable() {
            text.push_str(&format!("{node} cannot be reached, and comes last\n"));
        }
        report::print(&text);
    }
    let role = begin.role();
    apply::show_plan(options, &begin.words, &role, &begin.run)
}

fn names<'r>(rollout: &'r Rollout, nodes: &[usize]) -> Vec<&'r str> {
    nodes.iter().filter_map(|&node| Some(rollout.nodes.get(node)?.name.as_str())).collect()
}

/// Begins a rollout and drives it.
pub fn begin(options: &Options, begin: &Begin) -> Result<Exit, Failure> {
    let prepared = begin.prepare(options)?;
    // Checked before anything is recorded.
    machine("check", &prepared)?;
    let state = prepared.chosen.fleet.state_file();
    let store = fleet::open_store(&state).map_err(fleet::state_failure)?;
    // From looking for others to being recorded nobody else may begin.
    let mut gate = Control::of(&state, "begin")?;
    if !gate.take()? {
        return Err(Failure::new("another rollout is being begun right now").hint("try again in a moment"));
    }
    refuse_others(&store, &prepared, begin.again)?;
    let remembered = retention::rollouts_kept(prepared.chosen.fleet.project.settings());
    let asking = begin.asking(options);
    let digests = prepared.survey.digests.clone();
    let targets = prepared.survey.targets.clone();
    let (strategy, hooks, title) =
        (prepared.spec.strategy.clone(), prepared.spec.hooks(), title(&prepared.chosen));
    let runtime = drive::runtime()?;
    let interrupt = runtime.block_on(async { Interrupt::watch() });
    let crew = Crew::new(
        options,
        prepared.chosen,
        prepared.spec,
        prepared.survey.facts,
        asking.clone(),
        begin.role(),
        begin.run.clone(),
    )?
    .with_stop(&interrupt.stop);
    let rollout = Rollout::new(crew.id(), title, strategy, hooks, targets)
        .map_err(|error| Failure::new(error.to_string()))?;
    let mut control = Control::of(&state, &rollout.id)?;
    if !control.take()? {
        return Err(Failure::new(format!("rollout {} is driven already", rollout.id)));
    }
    let kept = Kept::new(asking, digests, rollout);
    kept.keep(&store)?;
    forget_old(&store, &state, remembered)?;
    drop(gate);
    if !options.json && !options.quiet {
        report::print(&format!(
            "rollout {}: {}\nfrom another terminal: cm rollout status|pause|abort|rollback {}\n",
            kept.rollout.id, kept.rollout.title, kept.rollout.id
        ));
    }
    let going = Going { store, control, kept, crew: Arc::new(crew), first: Vec::new(), stay: begin.stay };
    going.go(options, &runtime, interrupt)
}

/// Two rollouts over common hosts would count each other's nodes as in service; what was rolled back is not tried again by
/// itself.
fn refuse_others(store: &RedbStore, prepared: &Prepared, again: bool) -> Result<(), Failure> {
    let targets: BTreeSet<&str> = prepared.survey.targets.iter().map(|target| target.name.as_str()).collect();
    for other in open(store)? {
        let rollout = &other.rollout;
        let common: Vec<&str> = rollout
            .nodes
            .iter()
            .filter(|node| node.state != NodeState::Gone && targets.contains(node.name.as_str()))
            .map(|node| node.name.as_str())
            .collect();
        match rollout.ended {
            None if !common.is_empty() => {
                return Err(Failure::new(format!(
                    "rollout {} ({}) is not over, and has {}",
                    rollout.id,
                    rollout.title,
                    common.join(", ")
                ))
                .hint(format!(
                    "cm rollout status {0}; `resume`, `abort` or `rollback` ends it",
                    rollout.id
                )));
            }
            Some((_, Outcome::RolledBack | Outcome::PartlyRolledBack)) if !again => {
                let same = prepared
                    .survey
                    .digests
                    .iter()
                    .filter(|(host, digest)| other.digests.get(*host) == Some(digest));
                let same: Vec<&str> = same.map(|(host, _)| host.as_str()).collect();
                if !same.is_empty() {
                    return Err(Failure::new(format!(
                        "this was rolled back before, in rollout {}: on {}",
                        rollout.id,
                        same.join(", ")
                    ))
                    .hint("`--again` tries it again as it is"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A rollout that we drive.
pub struct Going {
    pub store: RedbStore,
    pub control: Control,
    pub kept: Kept,
    pub crew: Arc<Crew>,
    pub first: Vec<Command>,
    pub stay: bool,
}

impl Going {
    /// Drives it until it is over or waits for a person.
    ///
    /// # Errors
    /// When its record cannot be kept.
    pub fn go(
        self,
        options: &Options,
        runtime: &tokio::runtime::Runtime,
        interrupt: Interrupt,
    ) -> Result<Exit, Failure> {
        let Self { store, control, kept, crew, first, stay } = self;
        let wanted = first.last().cloned();
        let teller = Teller::new(options);
        let rollout = kept.rollout.clone();
        crew.see(&rollout);
        let drive = Drive {
            hands: Arc::clone(&crew),
            run: crew.id().to_owned(),
            first,
            stays: stay,
            stop: interrupt.stop.clone(),
        };
        let book = Book { store, control, kept, crew: Arc::clone(&crew) };
        let mut watch =
            move |rollout: &Rollout, told: cm_engine::rollout::Told<'_>| teller.tell(rollout, &told);
        let driven = runtime.block_on(drive_rollout(rollout, book, drive, &mut watch));
        crew.finish();
        let (rollout, parting) = driven.map_err(|why| {
            Failure::new(format!("the rollout cannot be recorded: {why}"))
                .hint("what was begun was given up; `cm rollout resume` does it again, and goes on")
        })?;
        let exit = exit(&rollout, parting, wanted.as_ref());
        if !options.json {
            report::print(&end_text(&rollout, parting));
        } else {
            let line = serde_json::json!({
                "event": "rollout_end", "rollout": rollout.id, "standing": rollout.standing(), "nodes": rollout.counts(),
            });
            report::print(&format!("{line}\n"));
        }
        Ok(exit)
    }
}

fn end_text(rollout: &Rollout, parting: Parting) -> String {
    let picture = cm_rollout::picture::plain(&cm_rollout::picture::text(rollout, report::columns()));
    let id = &rollout.id;
    let next = match parting {
        Parting::Over(Outcome::Done) => String::new(),
        Parting::Over(Outcome::Incomplete | Outcome::Aborted) => {
            format!("what was upgraded stays so; `cm rollout rollback {id}` takes it back\n")
        }
        Parting::Over(_) => String::new(),
        Parting::Waiting if rollout.awaits_promotion() => {
            format!("next: cm rollout promote|abort|rollback {id}\n")
        }
        Parting::Waiting => format!("next: cm rollout resume|abort|rollback {id}\n"),
        Parting::Stopped => {
            format!("stopped in the middle; `cm rollout resume {id}` goes on exactly there\n")
        }
    };
    format!("{}\n{next}", picture.trim_end())
}

fn exit(rollout: &Rollout, parting: Parting, wanted: Option<&Command>) -> Exit {
    let away = rollout.unreachable().next().is_some();
    match (parting, wanted) {
        (Parting::Stopped, _) => Exit::Interrupted,
        (Parting::Over(Outcome::Done), _)
        | (Parting::Over(Outcome::Aborted), Some(Command::Abort { .. }))
        | (Parting::Over(Outcome::RolledBack), Some(Command::RollBack { .. })) => Exit::Ok,
        (Parting::Over(_), _) if away => Exit::Unreachable,
        (Parting::Over(_), _) => Exit::Failed,
        (Parting::Waiting, _) => match rollout.standing() {
            Standing::Paused { reasons }
                if reasons.iter().any(|reason| !matches!(reason, PauseReason::Operator { .. })) =>
            {
                Exit::Failed
            }
            _ => Exit::Differs,
        },
    }
}
