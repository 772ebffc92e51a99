//! Runs a run: events to the reporter and the recorder, the summary at the end.

use std::{io::IsTerminal, time::Duration};

use cm_engine::{Run, RunEvent};
use cm_state::StateError;
use cm_wire::Mode;
use tokio::time::timeout;

use crate::{
    exit::Exit,
    failure::Failure,
    interrupt::Interrupt,
    options::Options,
    record::Recorder,
    report::{JsonReporter, PlainReporter, Reporter, RunHeader, Summary, TerminalReporter},
};

/// Results of hosts are written when nothing has happened for this long: a killed `cm` loses little.
const PAUSE: Duration = Duration::from_millis(500);

/// The reporter for this standard output.
pub fn reporter(options: &Options, header: RunHeader) -> Box<dyn Reporter> {
    if options.json {
        Box::new(JsonReporter::new(header))
    } else if is_watched() {
        Box::new(TerminalReporter::new(header))
    } else {
        Box::new(PlainReporter::new(header))
    }
}

/// Whether a person sits at a terminal.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
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
    let (sender, mut events) = cm_engine::event_channel();
    let work = tokio::spawn(cm_engine::run(run, interrupt.stop.clone(), sender));
    let mut summary = Summary::default();
    let mut writable = true;
    loop {
        let event = match (events.here(), &mut recorder) {
            (Some(event), _) => Some(event),
            (None, Some(recorder)) if writable && recorder.has_waiting() => {
                match timeout(PAUSE, events.recv()).await {
                    Ok(event) => event,
                    Err(_) => {
                        // What could not be written is tried again at the end, not at every pause.
                        writable = warn_unrecorded(recorder.flush());
                        continue;
                    }
                }
            }
            (None, _) => events.recv().await,
        };
        let Some(event) = event else { break };
        if let RunEvent::Connected { agent_sent, .. } = &event {
            summary.agents_sent += usize::from(*agent_sent > 0);
        }
        if let RunEvent::HostEnded(report) = &event {
            summary.add(report);
        }
        reporter.event(&event);
        listen(&event);
        if let Some(recorder) = &mut recorder {
            writable &= warn_unrecorded(recorder.event(event));
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

/// A database that fails must not take the run down: what happens on the hosts matters more. Whether all is well.
fn warn_unrecorded(written: Result<(), StateError>) -> bool {
    if let Err(error) = &written {
        anstream::eprintln!("warning: the results of some hosts could not be recorded: {error}");
    }
    written.is_ok()
}

/// Whether a run of this kind is recorded as a plan, an apply or a verify.
pub fn recorded_mode(mode: Mode) -> cm_state::RunMode {
    match mode {
        Mode::Plan => cm_state::RunMode::Plan,
        Mode::Apply => cm_state::RunMode::Apply,
        Mode::Verify => cm_state::RunMode::Verify,
    }
}
