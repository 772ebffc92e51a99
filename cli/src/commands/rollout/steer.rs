//! What an operator says to a rollout, from any terminal: to the driver that lives, or else by becoming the driver.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use cm_rollout::{Command, Input, Moment};

use super::begin::Going;
use crate::{
    chosen::Asked,
    drive,
    exit::Exit,
    failure::Failure,
    fleet,
    interrupt::Interrupt,
    names,
    options::{Options, RoleArguments, RunArguments},
    report,
    rollout::{Control, Crew, Kept, find, survey},
};

/// How long a living driver is given to hear; it listens several times a second.
const HEARING: Duration = Duration::from_secs(20);

#[derive(Args, Debug)]
pub struct Which {
    /// The rollout's id or the beginning or end of it; otherwise the newest.
    id: Option<String>,
}

#[derive(Args, Debug)]
pub struct Drives {
    #[command(flatten)]
    which: Which,
    /// Stay while it is paused.
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    drives: Drives,
    /// Try failed nodes again; else they stay out of service, and count.
    #[arg(long)]
    retry_failed: bool,
    /// Go on although something else would be rolled out now than on the nodes that are done.
    #[arg(long)]
    accept_changes: bool,
}

fn who() -> String {
    format!("by {}", names::holder())
}

pub fn pause(options: &Options, which: &Which) -> Result<Exit, Failure> {
    let command = Command::Pause { why: who() };
    let (store, mut control, mut kept) = opened(options, which)?;
    if !control.take()? {
        return tell(options, &mut control, &kept, &command);
    }
    if let Some(why) = kept.rollout.refuses(&command) {
        return Err(refused(&kept, why));
    }
    // Nobody drives it: what it would do next is for whoever resumes it.
    let _ = kept.rollout.step(now(), Input::Command(command));
    kept.keep(&store)?;
    report::print(&format!("rollout {} is paused\n", kept.rollout.id));
    Ok(Exit::Ok)
}

pub fn resume(options: &Options, resume: &Resume) -> Result<Exit, Failure> {
    let command = Command::Resume { retry_failed: resume.retry_failed };
    steer(options, &resume.drives, Some(command), !resume.accept_changes)
}

pub fn promote(options: &Options, drives: &Drives) -> Result<Exit, Failure> {
    steer(options, drives, Some(Command::Promote), true)
}

pub fn abort(options: &Options, drives: &Drives) -> Result<Exit, Failure> {
    steer(options, drives, Some(Command::Abort { why: who() }), false)
}

pub fn roll_back(options: &Options, drives: &Drives) -> Result<Exit, Failure> {
    steer(options, drives, Some(Command::RollBack { why: who() }), false)
}

fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn refused(kept: &Kept, why: &str) -> Failure {
    Failure::new(format!("rollout {}: {why}", kept.rollout.id))
        .hint(format!("cm rollout status {}", kept.rollout.id))
}

fn opened(options: &Options, which: &Which) -> Result<(cm_state::RedbStore, Control, Kept), Failure> {
    let state = fleet::state_file_of(options)?;
    let store = fleet::open_state(options)?;
    let kept = find(&store, which.id.as_deref())?;
    let control = Control::of(&state, &kept.rollout.id)?;
    Ok((store, control, kept))
}

/// Tells the driver that lives, and waits until it has heard.
fn tell(options: &Options, control: &mut Control, kept: &Kept, command: &Command) -> Result<Exit, Failure> {
    if let Some(why) = kept.rollout.refuses(command) {
        return Err(refused(kept, why));
    }
    let said = control.say(command)?;
    let until = Instant::now() + HEARING;
    while said.exists() {
        if Instant::now() > until {
            let _ = std::fs::remove_file(&said);
            return Err(Failure::new("the rollout's driver does not listen")
                .hint("it may be stopped (SIGSTOP) or its disk full; when it is gone, the same command does it itself"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if !options.quiet && !options.json {
        report::print(&format!("rollout {}: its driver has heard\n", kept.rollout.id));
    }
    Ok(Exit::Ok)
}

/// Says it to the driver, or becomes the driver.
fn steer(
    options: &Options,
    drives: &Drives,
    command: Option<Command>,
    compares: bool,
) -> Result<Exit, Failure> {
    let (store, mut control, kept) = opened(options, &drives.which)?;
    let resumes = matches!(command, Some(Command::Resume { .. }));
    if !control.take()? {
        return match command {
            Some(command) => tell(options, &mut control, &kept, &command),
            None => Ok(Exit::Ok),
        };
    }
    // Read again: until now another driver may have lived.
    let kept = find(&store, Some(&kept.rollout.id))?;
    // After a crash there is nothing to resume from but the record.
    let idle = resumes && kept.rollout.ended.is_none() && kept.rollout.paused.is_empty();
    if let Some(command) = &command
        && !idle
        && let Some(why) = kept.rollout.refuses(command)
    {
        return Err(refused(&kept, why));
    }
    let run = RunArguments { limit: kept.asking.limit.clone(), ..drives.run.clone() };
    let role = RoleArguments { set: kept.asking.set.clone(), ..RoleArguments::default() };
    let asked =
        Asked { command: "rollout", words: &kept.asking.words, role: &role, run: &run, everywhere: false };
    let again = Options::of_repository(fleet::root(options)?, kept.asking.inventory.clone());
    let chosen = asked.choose(&again)?;
    let spec = chosen.rollout(&kept.asking.overrides(&kept.rollout.strategy))?;
    if spec.hooks() != kept.rollout.hooks {
        return Err(Failure::new("the hooks or gates of the roles have changed since the rollout began")
            .hint("put them back as they were, and resume, abort or roll back then"));
    }
    let runtime = drive::runtime()?;
    let survey = runtime.block_on(survey(&chosen, &spec, &role, &run))?;
    if compares {
        let changed: Vec<&str> = survey
            .digests
            .iter()
            .filter(|(host, digest)| kept.digests.get(*host).is_some_and(|before| before != *digest))
            .map(|(host, _)| host.as_str())
            .collect();
        if !changed.is_empty() {
            return Err(Failure::new(format!(
                "something else would be rolled out now than when rollout {} began: on {}",
                kept.rollout.id,
                changed.join(", ")
            ))
            .hint(
                "`cm rollout resume --accept-changes` goes on all the same; or roll back, and begin anew",
            ));
        }
    }
    let interrupt = runtime.block_on(async { Interrupt::watch() });
    let asking = kept.asking.clone();
    let crew = Crew::new(options, chosen, spec, survey.facts, asking, role, run)?.with_stop(&interrupt.stop);
    let first = command.filter(|_| !idle).into_iter().collect();
    let going = Going { store, control, kept, crew: Arc::new(crew), first, stay: drives.stay };
    going.go(options, &runtime, interrupt)
}
