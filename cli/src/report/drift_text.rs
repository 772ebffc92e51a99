//! What a verify found, for a person: each difference once with what is known of it, and for many hosts a table of
//! who drifts in what.

use cm_engine::{Verdict, VerdictKind};
use cm_plan::Waiver;
use cm_state::Timestamp;
use cm_wire::{Applied, Change, Trace};
use owo_colors::OwoColorize;

use super::{
    RunHeader, change_lines,
    changes::one_line,
    drift_groups::{DriftGroup, DriftGroups},
    host_ranges::counted_ranges,
    table,
};

/// Groups that are told in full; the rest is counted.
const GROUPS_SHOWN: usize = 60;
/// Traces of one group that are told.
const TRACES_SHOWN: usize = 3;
/// Characters of a value in the table.
const VALUE: usize = 24;

/// A verdict in words for the record of a run: its word, then what is known of it, a sentence each.
pub fn sentences(verdict: &Verdict) -> Vec<String> {
    let word = if verdict.is_waived() { "waived" } else { verdict.kind.word() };
    let mut sentences = vec![word.to_owned()];
    if verdict.kind == VerdictKind::DriftAndPending {
        sentences.extend(
            change_lines(&verdict.drift, false).into_iter().map(|line| format!("behind our back: {line}")),
        );
    }
    sentences.extend(verdict.applied.as_ref().map(|applied| told_applied(applied, verdict.kind, "")));
    for trace in verdict.traces.iter().take(TRACES_SHOWN) {
        sentences.extend(told_trace(trace).map(|text| format!("{}: {text}", one_line(&trace.item))));
    }
    sentences.extend(verdict.waived.iter().map(|waiver| format!("waived {}", told_waiver(waiver))));
    sentences.extend(verdict.expired.iter().map(|waiver| format!("waiver expired {}", told_waiver(waiver))));
    sentences
}

/// All groups, and the table where more than one host has something.
pub fn render(header: &RunHeader, drift: &DriftGroups) -> String {
    let mut out = String::new();
    let groups = drift.sorted();
    for group in groups.iter().take(GROUPS_SHOWN) {
        told(header, group, &mut out);
    }
    let more = groups.len().saturating_sub(GROUPS_SHOWN) + drift.more;
    if more > 0 {
        line(&mut out, &format!("… and {more} more differences: `cm show {}`", header.run));
    }
    let many = groups.len() > 1 && groups.iter().any(|group| group.hosts.len() > 1);
    if many {
        out.push_str(&overview(&groups[..groups.len().min(GROUPS_SHOWN)]));
    }
    out
}

/// The word for a group, in its colour.
fn word(kind: VerdictKind, waived: bool) -> String {
    match kind {
        _ if waived => "waived".dimmed().to_string(),
        VerdictKind::Drift => "drift".red().to_string(),
        VerdictKind::DriftAndPending => "drift, and pending".red().to_string(),
        VerdictKind::Pending => "pending".yellow().to_string(),
        VerdictKind::NeverApplied => "never applied".yellow().to_string(),
    }
}

fn told(header: &RunHeader, group: &DriftGroup, out: &mut String) {
    let Some(verdict) = group.first() else { return };
    line(
        out,
        &format!(
            "{}: {} on {}",
            word(group.kind, group.is_waived()),
            one_line(&group.task.id).bold(),
            counted_ranges(&group.hosts)
        ),
    );
    // Where the repository wants what it wanted, the change says all; else both are told.
    if group.kind == VerdictKind::DriftAndPending {
        for text in change_lines(&verdict.drift, false) {
            line(out, &format!("    behind our back: {text}"));
        }
        for (place, text) in change_lines(&group.changes, header.diff).iter().enumerate() {
            let mark = if place == 0 { "wanted now: " } else { "" };
            line(out, &format!("    {mark}{text}"));
        }
    } else if group.kind == VerdictKind::Drift {
        for text in drift_lines(&group.changes, header.diff) {
            line(out, &format!("    {text}"));
        }
    } else {
        for text in change_lines(&group.changes, header.diff) {
            line(out, &format!("    {text}"));
        }
    }
    history(group, verdict, out);
    for waiver in &verdict.waived {
        line(out, &format!("    waived {}", told_waiver(waiver)));
    }
    for waiver in &verdict.expired {
        line(out, &format!("    {} {}", "waiver expired".red(), told_waiver(waiver)));
    }
}

/// A drift is told the way it went: from what was there to what was found. The diff is the way back.
fn drift_lines(changes: &[Change], diff: bool) -> Vec<String> {
    let turned = |change: &Change| Change {
        before: change.after.clone(),
        after: change.before.clone(),
        ..change.clone()
    };
    let turned: Vec<Change> = changes.iter().map(turned).collect();
    let mut lines = Vec::new();
    for change in &turned {
        let diff = diff && change.diff.is_some();
        let mut of_one = change_lines(std::slice::from_ref(change), diff).into_iter();
        lines.extend(of_one.next());
        if diff {
            lines.push("  the way back:".to_owned());
        }
        lines.extend(of_one);
    }
    lines
}

fn history(group: &DriftGroup, verdict: &Verdict, out: &mut String) {
    if let Some(applied) = &verdict.applied {
        let of = if group.hosts.len() > 1 { format!(" on {}", group.hosts[0]) } else { String::new() };
        line(out, &format!("    {}", told_applied(applied, group.kind, &of)));
    }
    for trace in verdict.traces.iter().take(TRACES_SHOWN) {
        let of = match group.hosts.as_slice() {
            [first, _, ..] => format!(" on {first}"),
            _ => String::new(),
        };
        if let Some(text) = told_trace(trace) {
            line(out, &format!("    {}{of}: {text}", one_line(&trace.item)));
        }
    }
}

fn told_applied(applied: &Applied, kind: VerdictKind, of: &str) -> String {
    let since = format!("run {} at {}{of}", one_line(&applied.run), time(applied.time));
    match &applied.undone {
        Some(why) => format!("applied by {since}; {}", one_line(why)),
        None if kind.is_drift() => format!("as wanted since {since}, until it was changed"),
        None => format!("last applied by {since}"),
    }
}

fn told_trace(trace: &Trace) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(modified) = trace.modified {
        parts.push(format!("modified {}", time(modified)));
    }
    if let Some(changed) = trace.changed.filter(|changed| Some(*changed) != trace.modified) {
        parts.push(format!("attributes changed {}", time(changed)));
    }
    if let Some(owner) = &trace.owner {
        parts.push(format!("owner {}", one_line(owner)));
    }
    parts.extend(trace.log.as_deref().map(one_line));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn told_waiver(waiver: &Waiver) -> String {
    let by = waiver.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("until {}{by}: {} ({})", waiver.until, one_line(&waiver.reason), waiver.place)
}

/// Seconds since 1970 for a person, in UTC.
fn time(seconds: u64) -> String {
    let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_micros(micros).to_string()
}

fn overview(groups: &[&DriftGroup]) -> String {
    let mut table = table(&["resource", "what differs", "verdict", "hosts"]);
    for group in groups {
        table.add_row([
            one_line(&group.task.id),
            attributes(&group.changes),
            if group.is_waived() { "waived".to_owned() } else { group.kind.word().replace('_', " ") },
            counted_ranges(&group.hosts),
        ]);
    }
    table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The attributes in a few words: `mode 0600 (wanted 0644), owner anna (wanted root)`.
pub fn attributes(changes: &[Change]) -> String {
    let short = |text: &Option<String>| {
        let text = text.as_deref().map_or_else(|| "absent".to_owned(), one_line);
        match text.char_indices().nth(VALUE) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    };
    let mut parts: Vec<String> = changes
        .iter()
        .take(TRACES_SHOWN)
        .map(|change| {
            let attribute = one_line(&change.attribute);
            match change.diff {
                Some(_) => attribute,
                None => format!("{attribute} {} (wanted {})", short(&change.before), short(&change.after)),
            }
        })
        .collect();
    if changes.len() > parts.len() {
        parts.push(format!("… {} more", changes.len() - parts.len()));
    }
    parts.join(", ")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
