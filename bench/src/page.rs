//! The page of all figures: `docs/performance.md` with its plots beside it, written from what is kept.

use std::{fmt::Write as _, fs, io, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    findings::{Findings, Taken, claims_table},
    section::Section,
};

const INTRODUCTION: &str = "\
# Performance

Written by `cargo xtask bench`; what is written here by hand is lost. Every figure is a ratio or was taken beside \
the figure it is compared with, in one run, in turn (A B, B A, …); the ratio told is the median of the rounds', with \
the least and the greatest in parentheses. Processor time is what the kernel counts for a program and its children \
(wait4(2)), memory is the peak of what is resident in one process. Controller and all hosts share one machine.

`cargo xtask bench SECTION...` takes the figures of single sections again and leaves the others; `cargo xtask bench \
--quick` is a look at all that can be told in five minutes, and does not touch this page.
";

/// Writes the page and its plots. A section of which nothing is kept here, in another clone say, stays as the page
/// has it.
///
/// # Errors
/// Something cannot be written, or what was kept cannot be read.
pub fn write(page: &Path, sections: &[&Section], kept: &Path) -> Result<()> {
    let folder = page.with_extension("");
    let former = match fs::read_to_string(page) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("{} cannot be read", page.display()))?,
    };
    let mut text = String::from(INTRODUCTION);
    let mut plots = Vec::new();
    for section in sections {
        if let Some(findings) = Findings::kept(kept, section.name)? {
            text.push_str(&chapter(section, &findings, &folder));
            plots.extend(findings.plots);
        } else if let Some(chapter) = chapter_of(&former, section) {
            text.push_str(chapter);
        }
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    for plot in plots {
        write(&folder.join(format!("{}.svg", plot.name)), &plot.svg())?;
    }
    write(page, &text)
}

/// A section's chapter of a page that was written before.
fn chapter_of<'page>(page: &'page str, section: &Section) -> Option<&'page str> {
    let start = page.find(&format!("\n## {}\n", section.title))?;
    let chapter = &page[start..];
    let length = chapter.match_indices("\n## ").nth(1).map_or(chapter.len(), |(at, _)| at);
    Some(&chapter[..length])
}

fn chapter(section: &Section, findings: &Findings, folder: &Path) -> String {
    let mut text = format!("\n## {}\n\n{}\n", section.title, section.about.trim());
    // Writing to a string cannot fail.
    if !findings.claims.is_empty() {
        let _ = write!(text, "\n{}", claims_table(&findings.claims).for_markdown());
    }
    for table in &findings.tables {
        let _ = write!(text, "\n{}", table.for_markdown());
    }
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    for plot in &findings.plots {
        let _ = write!(text, "\n![{}]({folder}/{}.svg)\n", plot.title, plot.name);
    }
    for note in &findings.notes {
        let _ = write!(text, "\n{note}\n");
    }
    if !findings.commands.is_empty() {
        let _ = write!(text, "\nWhat was run:\n\n```sh\n{}\n```\n", findings.commands.join("\n"));
    }
    let Taken { machine, date, commit, quick } = &findings.taken;
    let quick = if *quick { " --quick" } else { "" };
    let _ =
        write!(text, "\n`cargo xtask bench{quick} {}`, {date}, commit {commit}, {machine}.\n", section.name);
    text
}

/// Machine, date and commit of figures that are taken now.
#[must_use]
pub fn taken(root: &Path, quick: bool) -> Taken {
    let answer = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor =
        value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let memory = value(&read("/proc/meminfo"), "MemTotal")
        .and_then(|memory| memory.trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024 / 1024);
    let kernel = read("/proc/sys/kernel/osrelease");
    let changed = answer("git", &["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_some_and(|changed| !changed.is_empty()) { "+" } else { "" };
    let commit = answer("git", &["rev-parse", "--short=12", "HEAD"]);
    Taken {
        machine: format!("{cores} cores of {processor}, {memory} GiB, Linux {}", kernel.trim()),
        date: answer("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default(),
        commit: commit.map_or_else(|| "unknown".into(), |commit| format!("{commit}{mark}")),
        quick,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{findings::Claim, ground::Ground, plot::Plot};

    fn section(name: &'static str, title: &'static str) -> Section {
        fn run(_: &Ground) -> Result<Findings> {
            Ok(Findings::default())
        }
        Section { name, title, about: "What is said.", quick: true, run }
    }

    fn saying(note: &str) -> Findings {
        Findings { notes: vec![note.into()], ..Findings::default() }
    }

    #[test]
    fn the_page_holds_what_is_kept_and_leaves_out_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let findings = Findings {
            claims: vec![Claim::at_most("wall", 0.9, 1.0, "×")],
            plots: vec![Plot::bars("one-wall", "Wall time", "s", vec![("cm".into(), 0.5)])],
            commands: vec!["cm apply".into()],
            notes: vec!["A note.".into()],
            ..Findings::default()
        };
        findings.keep(&folder.path().join("kept"), "one").unwrap();
        let page = folder.path().join("docs/performance.md");
        write(
            &page,
            &[&section("one", "Nothing to change"), &section("two", "Distance")],
            &folder.path().join("kept"),
        )
        .unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert_eq!(text.matches("## Nothing to change").count(), 1);
        for part in [
            "What is said.",
            "| wall | 0.90× | ≤ 1× | holds |",
            "![Wall time](performance/one-wall.svg)",
            "A note.",
            "```sh\ncm apply\n```",
            "`cargo xtask bench one`",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(folder.path().join("docs/performance/one-wall.svg").exists());
    }
    #[test]
    fn sections_of_which_nothing_is_kept_here_stay_as_they_are_on_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        let (one, two, three) =
            (section("one", "First"), section("two", "First apply"), section("three", "Last"));
        let all = [&one, &two, &three];
        let there = folder.path().join("there");
        for (name, note) in [("one", "one there"), ("two", "two there"), ("three", "three there")] {
            saying(note).keep(&there, name).unwrap();
        }
        write(&page, &all, &there).unwrap();
        let before = fs::read_to_string(&page).unwrap();

        let here = folder.path().join("here");
        write(&page, &all, &here).unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), before);
        saying("two here").keep(&here, "two").unwrap();
        write(&page, &all, &here).unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), before.replace("two there", "two here"));
    }
}
