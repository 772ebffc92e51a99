//! What hosts answered to one command: each answer once, with all hosts that gave it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cm_engine::RunEvent;
use cm_wire::{Outcome, Output};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;

use super::{
    Reporter, RunHeader, Summary,
    changes::{one_line, printable},
    name_hosts,
    plain::{event_line, print},
    summary_text,
};

/// Different answers that are kept whole.
const ANSWERS_KEPT: usize = 500;
/// Bytes of answers that are kept.
const BYTES_KEPT: usize = 64 << 20;
/// Answers that have a line of their own while the command runs.
const LINES: usize = 6;

/// One answer and who gave it.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    output: Output,
    /// Why it failed where that is more than its exit status.
    error: Option<String>,
    hosts: Vec<Arc<str>>,
}

/// All answers so far.
#[derive(Debug, Default)]
struct Answers {
    all: Vec<Answer>,
    by_content: HashMap<[u8; 32], usize>,
    bytes: usize,
    /// Hosts whose answers are not kept for want of room.
    beyond: usize,
}

impl Answers {
    /// Adds a host's answer and says which it is; none: there was no room for another one.
    fn add(&mut self, host: &Arc<str>, output: &Output, error: Option<&str>) -> Option<usize> {
        let key = cm_wire::Digest::of(format!("{output:?}\0{error:?}").as_bytes()).0;
        let index = match self.by_content.get(&key) {
            Some(&index) => index,
            None => {
                let size = output.stdout.len() + output.stderr.len();
                if self.all.len() >= ANSWERS_KEPT || self.bytes + size > BYTES_KEPT {
                    self.beyond += 1;
                    return None;
                }
                self.bytes += size;
                self.by_content.insert(key, self.all.len());
                let error = error.map(str::to_owned);
                self.all.push(Answer { output: output.clone(), error, hosts: Vec::new() });
                self.all.len() - 1
            }
        };
        self.all[index].hosts.push(Arc::clone(host));
        Some(index)
    }

    /// The answers, those of most hosts first; equal ones as they came.
    fn ordered(&self) -> Vec<&Answer> {
        let mut ordered: Vec<&Answer> = self.all.iter().collect();
        ordered.sort_by_key(|answer| std::cmp::Reverse(answer.hosts.len()));
        ordered
    }

    fn text(&self, run: &str) -> String {
        let mut text: String = self.ordered().into_iter().map(Answer::text).collect();
        if self.beyond > 0 {
            text.push_str(&format!("… and the answers of {} more hosts: `cm show {run}`\n", self.beyond));
        }
        text
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut hosts = self.hosts.clone();
        hosts.sort_unstable();
        let mut text = name_hosts(&hosts).bold().to_string();
        if self.output.status != 0 {
            text.push_str(&format!(": {}", format!("exit status {}", self.output.status).red()));
        } else if let Some(error) = &self.error {
            text.push_str(&format!(": {}", one_line(error).red()));
        }
        text.push('\n');
        for line in self.output.stdout.lines() {
            text.push_str(&format!("    {}\n", printable(line)));
        }
        for line in self.output.stderr.lines() {
            text.push_str(&format!("  {} {}\n", "!".red(), printable(line)));
        }
        text
    }

    /// In one line, for the picture that lives while others are still at work.
    fn line(&self) -> String {
        let first =
            self.output.stdout.lines().chain(self.output.stderr.lines()).next().unwrap_or("(nothing)");
        let status =
            if self.output.status == 0 { String::new() } else { format!(" [{}]", self.output.status) };
        format!("{}{status}: {}", name_hosts(&self.hosts), one_line(first))
    }
}

/// Gathers the answers; draws them while they come where somebody watches, and tells each once at the end.
pub struct AnswersReporter {
    header: RunHeader,
    answers: Answers,
    picture: Option<Picture>,
}

struct Picture {
    bars: MultiProgress,
    lines: Vec<ProgressBar>,
    total: ProgressBar,
}

impl AnswersReporter {
    /// Reports a run of one command.
    pub fn new(header: RunHeader, watched: bool) -> Self {
        let picture = (watched && header.verbosity > 0).then(|| Picture::new(header.hosts));
        Self { header, answers: Answers::default(), picture }
    }
}

impl Picture {
    fn new(hosts: usize) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let total = bars.add(ProgressBar::new(hosts as u64));
        // The templates are constants.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24.cyan/blue} {pos}/{len} hosts answered  {elapsed}")
        {
            total.set_style(style);
        }
        total.enable_steady_tick(Duration::from_millis(200));
        Self { bars, lines: Vec::new(), total }
    }

    fn draw(&mut self, answers: &Answers) {
        let ordered = answers.ordered();
        while self.lines.len() < ordered.len().min(LINES) {
            let line = self.bars.insert_before(&self.total, ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                line.set_style(style);
            }
            self.lines.push(line);
        }
        for (line, answer) in self.lines.iter().zip(&ordered) {
            line.set_message(answer.line());
        }
    }

    fn clear(&self) {
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }
}

impl Reporter for AnswersReporter {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::TaskEnded { host, result, .. } => {
                let error = match &result.outcome {
                    Outcome::Failed { error, .. } => Some(error.as_str()),
                    Outcome::Ok | Outcome::Changed => None,
                    _ => return,
                };
                let nothing = Output { status: 0, stdout: String::new(), stderr: String::new() };
                self.answers.add(host, result.output.as_ref().unwrap_or(&nothing), error);
                if let Some(picture) = &mut self.picture {
                    picture.draw(&self.answers);
                }
            }
            // They are told with those that gave the same.
            RunEvent::Output { .. } | RunEvent::TaskStarted { .. } => {}
            RunEvent::HostEnded(_) => {
                if let Some(picture) = &self.picture {
                    picture.total.inc(1);
                }
            }
            _ => {
                if self.header.verbosity > 0
                    && let Some(line) = event_line(&self.header, event)
                {
                    match &self.picture {
                        Some(picture) => picture.bars.suspend(|| print(&format!("{line}\n"))),
                        None => print(&format!("{line}\n")),
                    }
                }
            }
        }
    }

    fn finish(&mut self, summary: &Summary) {
        if let Some(picture) = self.picture.take() {
            picture.clear();
        }
        print(&self.answers.text(&self.header.run));
        print(&summary_text::without_answers(&self.header, summary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(status: i32, stdout: &str, stderr: &str) -> Output {
        Output { status, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn equal_answers_are_told_once_and_those_of_most_hosts_first() {
        let mut answers = Answers::default();
        answers.add(&"db1".into(), &output(3, "", "no such thing\n"), Some("exit status 3"));
        for host in ["web1", "web2"] {
            answers.add(&host.into(), &output(0, "12.8\nof \u{1b}[31mit\n", ""), None);
        }
        answers.add(&"web3".into(), &output(0, "12.9\n", ""), None);
        let text = anstream::adapter::strip_str(&answers.text("r")).to_string();
        assert_eq!(
            text,
            "web1, web2\n    12.8\n    of \u{fffd}[31mit\nexit status"
                .replace("exit status", "db1: exit status 3\n  ! no such thing\nweb3\n    12.9\n")
        );
        assert_eq!(answers.ordered()[0].line(), "web1, web2: 12.8");
    }

    #[test]
    fn memory_is_bounded_whatever_hosts_answer() {
        let mut answers = Answers::default();
        for number in 0..ANSWERS_KEPT + 7 {
            answers.add(&format!("h{number}").into(), &output(0, &number.to_string(), ""), None);
        }
        // One that is known has room still.
        assert_eq!(answers.add(&"late".into(), &output(0, "0", ""), None), Some(0));
        assert_eq!((answers.all.len(), answers.beyond), (ANSWERS_KEPT, 7));
        assert!(answers.text("r7").ends_with("… and the answers of 7 more hosts: `cm show r7`\n"));
    }
}
