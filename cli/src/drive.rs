//! Runs a run: events to the reporter and the recorder, the summary at the end.

use std::io::IsTerminal;

use cm_engine::{Run, RunEvent};
use cm_wire::Mode;
use tokio::sync::mpsc;

use crate::{
    exit::Exit,
    failure::Failure,
    interrupt::Interrupt,
    options::Options,
    record::Recorder,
    report::{JsonReporter, PlainReporter, Reporter, RunHeader, Summary, TerminalReporter},
};

/// Events that may wait for a slow terminal or disk before hosts are made to wait.
const BACKLOG: usize = 4096;

/// The reporter for this standard output.
pub fn reporter(options: &Options, header: RunHeader) -> Box<dyn Reporter> {
    if options.json {
        Box::new(JsonReporter::new(header))
    } else if std::io::stderr().is_terminal() && std::io::stdout().is_terminal() {
        Box::new(TerminalReporter::new(header))
    } else {
        Box::new(PlainReporter::new(header))
    }
}

/// A runtime for commands that go to hosts.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the program could not start its threads", &error))
}

/// Runs to the end and says how the program exits. A run without a recorder leaves no record.
pub async fn drive(
    run: Run,
    mut reporter: Box<dyn Reporter>,
    mut recorder: Option<Recorder>,
    interrupt: Interrupt,
    mut listen: impl FnMut(&RunEvent),
) -> Result<Exit, Failure> {
    let mode = run.options.mode;
    let (sender, mut events) = mpsc::channel(BACKLOG);
    let work = tokio::spawn(cm_engine::run(run, interrupt.stop.clone(), sender));
    let mut summary = Summary::default();
    while let Some(event) = events.recv().await {
        if let RunEvent::Connected { agent_sent, .. } = &event {
            summary.agents_sent += usize::from(*agent_sent > 0);
        }
        if let RunEvent::HostEnded(report) = &event {
            summary.add(report);
        }
        reporter.event(&event);
        listen(&event);
        if let Some(recorder) = &mut recorder {
            // A database that fails must not take the run down: what happens on the hosts matters more.
            if let Err(error) = recorder.event(event) {
                anstream::eprintln!("warning: the results of some hosts could not be recorded: {error}");
            }
        }
    }
    let died = work.await.err();
    let exit = Exit::of(&summary, mode, interrupt.hit());
    if let Some(recorder) = recorder
        && let Err(error) = recorder.finish(&summary, exit)
    {
        anstream::eprintln!("warning: the run could not be recorded: {error}");
    }
    reporter.finish(&summary);
    match died {
        Some(error) => Err(Failure::because("the run ended by a bug of cm", &error)),
        None => Ok(exit),
    }
}

/// Whether a run of this kind is recorded as a plan, an apply or a verify.
pub fn recorded_mode(mode: Mode) -> cm_state::RunMode {
    match mode {
        Mode::Plan => cm_state::RunMode::Plan,
        Mode::Apply => cm_state::RunMode::Apply,
        Mode::Verify => cm_state::RunMode::Verify,
    }
}
