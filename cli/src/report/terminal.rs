//! A live picture for a terminal: the busiest hosts and a total, then the summary.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cm_engine::{HostEnd, RunEvent};
use cm_wire::Outcome;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Reporter, RunHeader, Summary,
    changes::one_line,
    plain::{event_line, print},
    summary_text,
};

/// Hosts that have a line of their own at once.
const LINES: usize = 8;
/// A host gets its line when it has been at work this long: quick ones would only flicker.
const WORTH_A_LINE: Duration = Duration::from_millis(400);

struct Working {
    since: Instant,
    doing: String,
    bar: Option<ProgressBar>,
}

/// Draws progress on standard error and prints the summary on standard output.
pub struct TerminalReporter {
    header: RunHeader,
    bars: MultiProgress,
    total: ProgressBar,
    working: HashMap<Arc<str>, Working>,
    lines: usize,
    tally: [usize; 4],
}

impl TerminalReporter {
    /// Reports a run.
    pub fn new(header: RunHeader) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let total = bars.add(ProgressBar::new(header.hosts as u64));
        // The template is a constant.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24.cyan/blue} {pos}/{len} hosts  {msg}  {elapsed}")
        {
            total.set_style(style);
        }
        total.enable_steady_tick(Duration::from_millis(200));
        Self { header, bars, total, working: HashMap::new(), lines: 0, tally: [0; 4] }
    }

    fn doing(&mut self, host: &Arc<str>, doing: String) {
        let working = self.working.entry(Arc::clone(host)).or_insert_with(|| Working {
            since: Instant::now(),
            doing: String::new(),
            bar: None,
        });
        working.doing = doing;
        if working.bar.is_none() && self.lines < LINES && working.since.elapsed() > WORTH_A_LINE {
            let bar = self.bars.insert_before(&self.total, ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
                bar.set_style(style);
            }
            working.bar = Some(bar);
            self.lines += 1;
        }
        if let Some(bar) = &working.bar {
            bar.set_message(format!("{host}: {}", working.doing));
        }
    }

    fn ended(&mut self, host: &Arc<str>, end: &HostEnd) {
        if let Some(bar) = self.working.remove(host).and_then(|working| working.bar) {
            bar.finish_and_clear();
            self.lines -= 1;
        }
        let index = match end {
            HostEnd::Ok => 0,
            HostEnd::Changed => 1,
            HostEnd::Unreachable(_) => 3,
            _ => 2,
        };
        self.tally[index] += 1;
        let [ok, changed, failed, unreachable] = self.tally;
        self.total
            .set_message(format!("{ok} ok, {changed} changed, {failed} failed, {unreachable} unreachable"));
        self.total.inc(1);
    }
}

impl Reporter for TerminalReporter {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Connecting { host } => self.doing(host, "connecting".into()),
            RunEvent::Connected { host, .. } => self.doing(host, "looking".into()),
            RunEvent::TaskStarted { host, task } => self.doing(host, one_line(&task.id)),
            RunEvent::Waiting { host, holder } => {
                let text = format!("waits, {} holds it", one_line(holder));
                self.doing(host, text);
            }
            RunEvent::Confirming { host, .. } => self.doing(host, "coming back over a new connection".into()),
            RunEvent::Restarting { host, .. } => self.doing(host, "waiting for it to be back".into()),
            RunEvent::Back { host, .. } => self.doing(host, "going on".into()),
            RunEvent::HostEnded(report) => self.ended(&report.host, &report.end),
            _ => {}
        }
        // At a terminal single results scroll by only when asked for; failures are told at once.
        let failure = matches!(event, RunEvent::TaskEnded { result, .. } if matches!(result.outcome, Outcome::Failed { .. }));
        let shown = self.header.verbosity > 1
            || failure
            || matches!(
                event,
                RunEvent::Note { .. }
                    | RunEvent::Confirming { .. }
                    | RunEvent::Restarting { .. }
                    | RunEvent::Back { .. }
            )
            || (self.header.command == "run" && matches!(event, RunEvent::Output { .. }));
        if shown
            && self.header.verbosity > 0
            && let Some(line) = event_line(&self.header, event)
        {
            self.bars.suspend(|| print(&format!("{line}\n")));
        }
    }

    fn finish(&mut self, summary: &Summary) {
        self.total.finish_and_clear();
        print(&summary_text::render(&self.header, summary));
    }
}
