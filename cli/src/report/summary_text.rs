//! The summary for a person: what happened, grouped, readable in five seconds.

use cm_wire::{Mode, Output};
use owo_colors::OwoColorize;

use super::{
    RunHeader, Summary, change_lines, changed_word,
    changes::{indented, one_line, printable},
    drift_text, name_hosts,
    summary::{FailureGroup, HostTrouble, TroubleKind},
};

/// Groups of changes that are told; the rest is counted. `cm show` has all of them.
const GROUPS_SHOWN: usize = 60;
/// Lines of a failed command's output that are shown.
const OUTPUT_SHOWN: usize = 20;

/// The whole summary; changes first, then failures, then the totals.
pub fn render(header: &RunHeader, summary: &Summary) -> String {
    let mut out = String::new();
    if header.verbosity > 0 && header.command != "run" && header.command != "facts" {
        out.push_str(&drift_text::render(header, &summary.drift));
        changes(header, summary, &mut out);
    }
    if header.verbosity > 0 {
        orphans(summary, &mut out);
    }
    for failure in &summary.failures {
        failed(failure, &mut out);
    }
    if summary.more_failures > 0 {
        line(&mut out, &format!("… and {} more failures: `cm show {}`", summary.more_failures, header.run));
    }
    out.push_str(&without_answers(header, summary));
    out
}

/// The end of a summary whose tasks are told otherwise: hosts in trouble, and the totals.
pub fn without_answers(header: &RunHeader, summary: &Summary) -> String {
    let mut out = String::new();
    for trouble in &summary.troubles {
        troubled(trouble, &mut out);
    }
    totals(header, summary, &mut out);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn changes(header: &RunHeader, summary: &Summary, out: &mut String) {
    for group in summary.changes.iter().take(GROUPS_SHOWN) {
        let word = changed_word(header.mode);
        line(
            out,
            &format!("{} {} on {}", one_line(&group.task.id).bold(), word.yellow(), name_hosts(&group.hosts)),
        );
        for text in change_lines(&group.changes, header.diff) {
            line(out, &format!("    {text}"));
        }
    }
    let more = summary.changes.len().saturating_sub(GROUPS_SHOWN) + summary.more_changes;
    if more > 0 {
        line(out, &format!("… and {more} more changes: `cm show {}`", header.run));
    }
    for group in &summary.unknown {
        let because =
            if group.because.is_empty() { "itself".to_owned() } else { one_line(&group.because.join(", ")) };
        line(
            out,
            &format!(
                "{} {} on {}: it hangs on what {because} leaves behind",
                one_line(&group.task.id).bold(),
                "unknown".cyan(),
                name_hosts(&group.hosts)
            ),
        );
    }
}

fn orphans(summary: &Summary, out: &mut String) {
    for group in summary.orphans.iter().take(GROUPS_SHOWN) {
        let orphan = &group.orphan;
        line(
            out,
            &format!(
                "{}: {} of role {} on {}; `--prune` takes it back",
                "orphaned".yellow(),
                one_line(&orphan.item).bold(),
                one_line(&orphan.role),
                name_hosts(&group.hosts)
            ),
        );
    }
    let more = summary.orphans.len().saturating_sub(GROUPS_SHOWN) + summary.more_orphans;
    if more > 0 {
        line(out, &format!("… and {more} more that are orphaned"));
    }
}

fn failed(failure: &FailureGroup, out: &mut String) {
    let hosts = match failure.hosts.len() {
        1 => format!("`{}`", failure.hosts[0]),
        many => format!("{many} hosts: {}", failure.hosts.join(", ")),
    };
    let what = if failure.task.check { "check" } else { "task" };
    line(
        out,
        &format!("{}: {what} `{}` failed on {hosts}", "error".red().bold(), one_line(&failure.task.id)),
    );
    line(out, &format!("  Caused by: {}", indented(&failure.error)));
    if let Some(output) = &failure.output {
        for text in output_lines(output) {
            line(out, &format!("    {text}"));
        }
    }
    if let Some(text) = &failure.hint {
        hint(out, &indented(text));
    }
    let skipped = match failure.skipped {
        0 => String::new(),
        1 => "; 1 task that needs it was skipped".into(),
        many => format!("; {many} tasks that need it were skipped"),
    };
    hint(out, &format!("the {what} is at `{}`{skipped}", failure.task.place));
}

fn output_lines(output: &Output) -> Vec<String> {
    let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect();
    if lines.len() <= OUTPUT_SHOWN {
        return lines;
    }
    let left = lines.len() - OUTPUT_SHOWN;
    let mut shown = vec![format!("… {left} lines before")];
    shown.extend_from_slice(&lines[left..]);
    shown
}

fn troubled(trouble: &HostTrouble, out: &mut String) {
    let hosts = name_hosts(&trouble.hosts);
    let error = "error".red().bold().to_string();
    match trouble.kind {
        TroubleKind::Invalid => {
            // Already rendered as diagnostics.
            line(
                out,
                &format!("{error}: the roles of {hosts} do not compile there; nothing was changed on it"),
            );
            for text in trouble.trouble.causes.iter().flat_map(|cause| cause.lines()) {
                line(out, text);
            }
        }
        _ => match &trouble.trouble.headline {
            Some(headline) => line(out, &format!("{error}: {}", indented(headline))),
            None => line(out, &format!("{error}: {} `{hosts}`", trouble.trouble.what)),
        },
    }
    if trouble.kind != TroubleKind::Invalid {
        for cause in &trouble.trouble.causes {
            line(out, &format!("  Caused by: {}", indented(cause)));
        }
    }
    for detail in &trouble.trouble.details {
        line(out, &format!("    {}", indented(detail)));
    }
    for text in &trouble.trouble.hints {
        hint(out, &indented(text));
    }
}

fn hint(out: &mut String, text: &str) {
    line(out, &format!("{}: {text}", "hint".cyan().bold()));
}

fn totals(header: &RunHeader, summary: &Summary, out: &mut String) {
    let hosts = summary.hosts;
    let changed = match header.mode {
        Mode::Plan => "would change",
        Mode::Apply => "changed",
        Mode::Verify => "different",
    };
    let mut parts = vec![format!("{} ok", hosts.ok).green().to_string()];
    let mut add = |count: usize, word: &str, colour: fn(String) -> String| {
        if count > 0 {
            parts.push(colour(format!("{count} {word}")));
        }
    };
    let drift = summary.drift.tally;
    if header.mode == Mode::Verify {
        add(drift.hosts_drifted, "drifted", |text| text.red().to_string());
        add(drift.hosts_pending, "pending", |text| text.yellow().to_string());
        let otherwise = hosts.changed.saturating_sub(drift.hosts_drifted + drift.hosts_pending);
        add(otherwise, changed, |text| text.yellow().to_string());
    } else {
        add(hosts.changed, changed, |text| text.yellow().to_string());
    }
    add(hosts.failed, "failed", |text| text.red().to_string());
    add(hosts.unreachable, "unreachable", |text| text.red().to_string());
    add(hosts.cancelled, "not finished", |text| text.yellow().to_string());
    let tasks = summary.tasks;
    let mut counts = vec![format!("{} ok", tasks.ok)];
    // Those of a verify have verdicts.
    let judged = drift.drift + drift.drift_and_pending + drift.pending + drift.never_applied + drift.waived;
    for (count, word) in [
        (drift.drift + drift.drift_and_pending, "drifted"),
        (drift.pending, "pending"),
        (drift.never_applied, "never applied"),
        (drift.waived, "waived"),
        (tasks.changed.saturating_sub(judged), changed),
        (tasks.unknown, "unknown"),
        (tasks.failed, "failed"),
        (tasks.skipped, "skipped"),
        (tasks.cancelled, "not done"),
    ] {
        if count > 0 {
            counts.push(format!("{count} {word}"));
        }
    }
    let total = header.hosts;
    let noun = if total == 1 { "host" } else { "hosts" };
    line(
        out,
        &format!(
            "{total} {noun}: {}   tasks: {}   {:.1} s   run {}",
            parts.join(", "),
            counts.join(", "),
            summary.elapsed().as_secs_f64(),
            header.run
        ),
    );
}
