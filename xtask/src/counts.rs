//! `cargo xtask test counts`: the instructions of fixed work beside those that are kept, since times are noisy.
//!
//! The programs run under callgrind as alike as machines allow: no environment, no random addresses, one
//! processor, and none of the C library's variants for newer processors.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{packages, shell};

/// Percent by which a count may grow unnoticed.
const MARGIN: u64 = 5;

/// What the C library must not choose by processor: its variants take other numbers of instructions. A name
/// that another version of it does not know is ignored.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM,-BMI2,-SSE4_2,-SSE4_1,-SSSE3,-AVX512F,-AVX512VL,\
    -AVX512BW,-AVX512CD,-AVX512DQ,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-Fast_Unaligned_Copy,-Prefer_ERMS,-Prefer_FSRM";

const HEAD: &str = "\
# Instructions of fixed work on x86_64, as `cargo xtask test counts` counts them: more by 5 % fails.
# `cargo xtask counts --accept` writes this file anew.
";

type Counts = BTreeMap<String, u64>;

/// How many subjects are as they should be, and how many are not.
pub struct Compared {
    /// Within what is kept, or below.
    pub passed: u64,
    /// Beyond it, or not to be compared.
    pub failed: u64,
}

/// Counts and compares. None where nothing can be counted: what is kept is of another architecture.
///
/// # Errors
/// When the programs cannot be built or run.
pub fn check() -> Result<Option<Compared>> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(None);
    }
    let kept = read(&std::fs::read_to_string(file()).unwrap_or_default())?;
    let found = count()?;
    let verdicts = compare(&kept, &found);
    let mut compared = Compared { passed: 0, failed: 0 };
    for verdict in verdicts {
        match verdict {
            Ok(told) => {
                println!("{told}");
                compared.passed += 1;
            }
            Err(told) => {
                eprintln!("error: {told}");
                compared.failed += 1;
            }
        }
    }
    Ok(Some(compared))
}

/// Keeps what is counted now.
///
/// # Errors
/// When nothing can be counted here, or the file cannot be written.
pub fn accept() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the counts that are kept are of x86_64");
    }
    packages::install(&[packages::COUNTS])?;
    let found = count()?;
    std::fs::write(file(), write(&found))
        .with_context(|| format!("{} cannot be written", file().display()))?;
    print!("{}", write(&found));
    Ok(())
}

fn file() -> PathBuf {
    shell::root().join("bench/counts.toml")
}

fn count() -> Result<Counts> {
    // Beside `cm`, so that what the two have in common is built once; `--bin` leaves `cm` itself alone.
    let build =
        ["build", "--release", "--locked", "--package", "cm", "--package", "cm-counts", "--bin", "cm-counts"];
    shell::run(&mut shell::command("cargo", &build))?;
    let program = shell::root().join("target/release/cm-counts");
    let names = output(&mut Command::new(&program))?;
    names.lines().map(|name| Ok((name.to_owned(), instructions(&program, name)?))).collect()
}

/// Runs a subject under callgrind.
fn instructions(program: &Path, name: &str) -> Result<u64> {
    let written = shell::root().join(format!("target/callgrind.{name}"));
    let mut words = before();
    words.extend(["valgrind", "--tool=callgrind"].map(str::to_owned));
    words.push(format!("--callgrind-out-file={}", written.display()));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program).arg(name).current_dir(shell::root());
    // Standard places for what is looked for; the rest of the environment differs from place to place.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("GLIBC_TUNABLES", TUNABLES);
    output(&mut command)?;
    let text = std::fs::read_to_string(&written).with_context(|| format!("no {}", written.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .with_context(|| format!("no total in {}", written.display()))
}

/// One processor, for as many threads everywhere and turns alike; and no random addresses where that is
/// allowed (containers forbid it at times; valgrind places most things itself).
fn before() -> Vec<String> {
    let mut words = vec!["taskset".to_owned(), "-c".to_owned(), processor()];
    if output(Command::new("setarch").args(["-R", "true"])).is_ok() {
        words.extend(["setarch", "-R"].map(str::to_owned));
    }
    words
}

/// The first processor that this process may use.
fn processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    allowed.trim().split(['-', ',']).next().unwrap_or("0").to_owned()
}

/// What a command prints; that it fails is an error with what it said.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("`{}` could not be started", shell::show(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}:\n{said}", shell::show(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A sentence for each subject, as an error where it must not be so.
fn compare(kept: &Counts, found: &Counts) -> Vec<Result<String, String>> {
    let accept = "`cargo xtask counts --accept` where that is meant to be so";
    let gone = kept.keys().filter(|name| !found.contains_key(*name));
    let gone =
        gone.map(|name| Err(format!("{name}: kept in bench/counts.toml, but nothing counts it; {accept}")));
    let told = found.iter().map(|(name, &now)| {
        let Some(&then) = kept.get(name) else {
            return Err(format!("{name}: {} instructions, none kept in bench/counts.toml; {accept}", grouped(now)));
        };
        let percent = (now as f64 / then.max(1) as f64 - 1.0) * 100.0;
        let both = format!("{name}: {} instructions, {percent:+.2} % of {} kept", grouped(now), grouped(then));
        if now * 100 > then * (100 + MARGIN) {
            return Err(format!(
                "{both}, more than {MARGIN} %; `callgrind_annotate target/callgrind.{name}` says where; {accept}"
            ));
        }
        if now * 100 < then * (100 - MARGIN) {
            return Ok(format!("{both}; `cargo xtask counts --accept` keeps what was won"));
        }
        Ok(both)
    });
    told.chain(gone).collect()
}

/// Reads `name = number` lines.
fn read(text: &str) -> Result<Counts> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, number) = line.split_once('=')?;
        Some((name.trim().to_owned(), number.trim().replace('_', "").parse().ok()?))
    };
    lines
        .map(|line| pair(line).with_context(|| format!("bench/counts.toml: `{line}` is no `name = number`")))
        .collect()
}

fn write(counts: &Counts) -> String {
    let mut text = HEAD.to_owned();
    for (name, count) in counts {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name} = {}", grouped(*count));
    }
    text
}

/// `12_345_678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let kept = counts(&[("codec", 999), ("planner", 1_234_567)]);
        assert!(write(&kept).ends_with("codec = 999\nplanner = 1_234_567\n"));
        assert_eq!(read(&write(&kept)).unwrap(), kept);
        assert!(read("planner").is_err());
    }

    #[test]
    fn more_than_the_margin_fails_and_less_is_told() {
        let kept = counts(&[("gone", 1), ("less", 1000), ("more", 1000), ("same", 1000)]);
        let found = counts(&[("less", 949), ("more", 1051), ("new", 7), ("same", 1050)]);
        let told = compare(&kept, &found);
        let failed = told.iter().filter_map(|told| told.as_ref().err());
        let names: Vec<&str> = failed.filter_map(|told| told.split(':').next()).collect();
        assert_eq!(names, ["more", "new", "gone"]);
        assert!(told[0].as_ref().is_ok_and(|told| told.contains("-5.10 %") && told.contains("--accept")));
        assert!(told[1].as_ref().is_err_and(|told| told.contains("1_051") && told.contains("1_000 kept")));
    }
}
