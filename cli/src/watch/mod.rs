//! `cm verify --watch`: tells what drifts as it does, until Ctrl-C; with `--mend` it makes that right at once.

mod fights;
mod mending;
mod picture;
mod tell;

use std::time::Duration;

use cm_engine::WatchEvent;
use cm_state::Timestamp;
use cm_wire::Mode;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::{mending::Mending, picture::Picture, tell::Teller};
use crate::{
    chosen::{Asked, Chosen},
    drive,
    exit::Exit,
    failure::Failure,
    fleet::Selection,
    interrupt::Interrupt,
    names,
    options::Options,
};

/// Events on their way from the hosts to the terminal.
const EVENTS: usize = 256;
/// What drifted is mended when no more has drifted for so long.
const SETTLED: Duration = Duration::from_millis(500);

/// What is watched, and how.
pub struct Watching<'a> {
    /// How it is told.
    pub options: &'a Options,
    /// What was asked for, to be read again on SIGHUP.
    pub asked: Asked<'a>,
    /// Between looks at everything; zero: never.
    pub look_every: Duration,
    /// What drifts is made right.
    pub mend: bool,
}

/// Why one reading of the repository is no longer watched.
enum Turn {
    /// The user has interrupted.
    Over,
    /// The repository is to be read again.
    Again,
}

impl Watching<'_> {
    /// Watches until the user interrupts.
    ///
    /// # Errors
    /// When the repository is wrong before any host was touched.
    pub fn run(&self, mut chosen: Chosen) -> Result<Exit, Failure> {
        let runtime = drive::runtime()?;
        let mut picture = Picture::default();
        let teller = Teller::new(self.options, self.asked.role.diff);
        runtime.block_on(async {
            let interrupt = Interrupt::watch();
            let mut hang_up = signal(SignalKind::hangup())
                .map_err(|error| Failure::because("signals cannot be waited for", &error))?;
            loop {
                teller.begins(chosen.selection.hosts.len());
                match self.turn(&chosen, &interrupt, &mut hang_up, &mut picture, &teller).await? {
                    Turn::Over => break,
                    Turn::Again => match self.asked.choose(self.options) {
                        Ok(again) => {
                            chosen = again;
                            picture = Picture::default();
                        }
                        // What was right is watched on; the errors say what is not.
                        Err(failure) => failure.show(),
                    },
                }
            }
            teller.ends(&picture);
            Ok(picture.exit())
        })
    }

    async fn turn(
        &self,
        chosen: &Chosen,
        interrupt: &Interrupt,
        hang_up: &mut tokio::signal::unix::Signal,
        picture: &mut Picture,
        teller: &Teller,
    ) -> Result<Turn, Failure> {
        let hosts = chosen.selection.hosts.clone();
        let planner = std::sync::Arc::new(chosen.planner(self.asked.role));
        let run = chosen.fleet.run(
            Selection { hosts },
            self.asked.run,
            Mode::Verify,
            format!("watch-{}", names::holder()),
            Some(planner),
        )?;
        let run = cm_engine::Run {
            options: cm_engine::RunOptions {
                diff: !self.asked.role.no_diff,
                paranoid: self.asked.role.paranoid,
                ..run.options
            },
            ..run
        };
        // Its end ends the watch of this turn alone.
        let stop = cm_engine::Stop {
            gently: interrupt.stop.gently.child_token(),
            now: interrupt.stop.now.child_token(),
        };
        let (sender, mut events) = mpsc::channel(EVENTS);
        let watch = tokio::spawn(cm_engine::watch(run, self.look_every, stop.clone(), sender));
        let mut mending = Mending::new(self.options, &self.asked, chosen, interrupt);
        let mut mend_at: Option<Instant> = None;
        let turn = loop {
            let mend_at_last = mend_at.filter(|_| !mending.is_busy());
            let due = async {
                match mend_at_last {
                    Some(at) => sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.recv() => {
                    // All hosts end only when they are told to.
                    let Some(event) = event else { break Turn::Over };
                    teller.event(&event);
                    picture.event(&event);
                    if self.mend && matches!(&event, WatchEvent::Verdict { verdict: Some(_), .. }) {
                        mend_at = Some(Instant::now() + SETTLED);
                    }
                }
                () = due => {
                    mend_at = None;
                    mending.start(picture, |host, text| teller.note(host, text));
                }
                ended = mending.ended() => {
                    if let Err(failure) = ended {
                        failure.show();
                    }
                    // What drifted meanwhile has waited.
                    mend_at = Some(Instant::now() + SETTLED);
                }
                _ = hang_up.recv() => break Turn::Again,
                () = interrupt.stop.gently.cancelled() => break Turn::Over,
            }
        };
        mending.finish().await;
        stop.gently.cancel();
        // What comes now is of no interest, but nobody must wait with it.
        while events.recv().await.is_some() {}
        match watch.await {
            Ok(()) => Ok(turn),
            Err(error) => Err(Failure::because("the watch ended by a bug of cm", &error)),
        }
    }
}

/// Now, for people and programs.
fn now() -> String {
    let micros = Timestamp::now().as_micros();
    Timestamp::from_micros(micros / 1_000_000 * 1_000_000).to_string()
}
