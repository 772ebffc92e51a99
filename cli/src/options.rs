//! What can be typed. Doc comments here are the help text.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};

use crate::commands;

/// Configuration management: roles of YAML, compiled to a graph, applied over SSH, verified and remembered.
#[derive(Parser, Debug)]
#[command(name = "cm", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 all as wanted, 1 the input is wrong (no host was touched), 2 changes pending or drift, \
    3 a task failed, 4 a host could not be reached, 130 interrupted."
)]
pub struct Options {
    /// The configuration repository; otherwise it is looked for upward from here.
    #[arg(short = 'C', long = "repository", value_name = "DIR", global = true)]
    pub repository: Option<PathBuf>,
    /// An inventory instead of the repository's: a file of ours or of Ansible's, an executable one, a folder of
    /// them, or hosts parted by commas. May be given several times.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub inventory: Vec<String>,
    /// One JSON object a line (see docs/json.md).
    #[arg(long, global = true)]
    pub json: bool,
    /// Tell only errors and the totals.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell every task.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours.
    #[arg(long, value_enum, default_value = "auto", global = true, value_name = "WHEN")]
    pub color: When,
    #[command(subcommand)]
    pub command: commands::Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

impl Options {
    /// Those by which a command reads its repository again while it works.
    pub fn of_repository(root: PathBuf, inventory: Vec<String>) -> Self {
        Self {
            repository: Some(root),
            inventory,
            json: false,
            quiet: true,
            verbose: false,
            color: When::Auto,
            command: commands::Command::lint(),
        }
    }

    /// Applies `--color`; NO_COLOR and terminals are seen to by anstream.
    pub fn colour(&self) {
        match self.color {
            When::Auto => {}
            When::Always => anstream::ColorChoice::Always.write_global(),
            When::Never => anstream::ColorChoice::Never.write_global(),
        }
    }

    /// 0 quiet, 1 normal, 2 verbose.
    pub fn verbosity(&self) -> u8 {
        if self.quiet { 0 } else { 1 + u8::from(self.verbose) }
    }
}

/// What all commands that go to hosts share.
#[derive(Args, Debug, Clone, Default)]
pub struct RunArguments {
    /// Only hosts that are also in this target.
    #[arg(long, value_name = "TARGET")]
    pub limit: Option<String>,
    /// Hosts at work at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub forks: Option<u32>,
    /// Give up on hosts that are not done after this time (10s, 5m, 2h).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    /// How long to wait for another run on a node to end.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub lock_wait: Option<Duration>,
    /// Ask for the password of sudo once, for all hosts.
    #[arg(long)]
    pub ask_become_pass: bool,
    /// Answer questions with yes.
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// What commands that compile roles share.
#[derive(Args, Debug, Clone, Default)]
pub struct RoleArguments {
    /// Set a variable, stronger than everything else; the value is read as YAML.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Only tasks with one of these tags (comma separated).
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Leave out everything that comes before this task (`file:/etc/motd`, or what its `id:` says).
    #[arg(long, value_name = "TASK")]
    pub start_at: Option<String>,
    /// Show diffs of texts.
    #[arg(long, overrides_with = "no_diff")]
    pub diff: bool,
    /// Do not show diffs of texts.
    #[arg(long)]
    pub no_diff: bool,
    /// Stop after the first failure.
    #[arg(long)]
    pub fail_fast: bool,
    /// Hash all contents, even where size and time say that nothing changed.
    #[arg(long)]
    pub paranoid: bool,
}

/// `10s`, `5m`, `2h`.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    cm_modules::parse_duration(text).ok_or_else(|| format!("{text:?} is no time such as 10s, 5m or 2h"))
}

/// `[WHAT] on TARGET`, as apply, plan, verify, run, facts and others take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatOnTarget {
    /// The words before `on`.
    pub what: Vec<String>,
    /// The words after it, joined.
    pub target: Option<String>,
}

impl WhatOnTarget {
    /// The words before `on` as names, split at commas.
    pub fn names(&self) -> Vec<String> {
        let names = self.what.iter().flat_map(|word| word.split(','));
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Splits the words at the last `on`.
    pub fn split(words: &[String]) -> Self {
        match words.iter().rposition(|word| word == "on") {
            Some(at) => Self {
                what: words[..at].to_vec(),
                target: Some(words[at + 1..].join(",")).filter(|text| !text.is_empty()),
            },
            None => Self { what: words.to_vec(), target: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_comes_before_on_and_the_target_after() {
        let split = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let split = WhatOnTarget::split(&words);
            (split.what.join(" "), split.target)
        };
        assert_eq!(split("web,base on web:!web3"), ("web,base".into(), Some("web:!web3".into())));
        assert_eq!(split("on web"), (String::new(), Some("web".into())));
        assert_eq!(split("web on"), ("web".into(), None));
        assert_eq!(split("web"), ("web".into(), None));
    }
}
