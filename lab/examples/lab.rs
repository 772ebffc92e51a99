//! A thin command over the library, for trying it out by hand and from scripts.
//!
//! `lab up NAME [--hosts N] [--names a,b,c] [--release debian-12] [--dir DIR] [--disk] [--local-only]`,
//! `lab down NAME|--all`, `lab status`, `lab exec NAME HOST CMD...`, `lab ssh NAME HOST [USER [CMD...]]`,
//! `lab cut|restore|freeze|thaw|kill|boot|reboot NAME HOST`, `lab delay NAME HOST MS`, `lab image RELEASE`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its user")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use cm_lab::{HostSpec, LabError, LabSpec, PackageSource, Progress, Release, Storage};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                eprintln!("  Caused by: {inner}");
                cause = inner.source();
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode, LabError> {
    match words {
        ["up", name, options @ ..] => up(name, options)?,
        ["down", "--all"] => {
            let answer = cm_lab::down_all()?;
            println!("removed: {}", answer.removed.join(" "));
            for (name, error) in answer.kept {
                println!("kept {name}: {error}");
            }
        }
        ["down", name] => cm_lab::down(name)?,
        ["status"] => status()?,
        ["image", release] => cm_lab::build_image(release.parse()?, &mut tell)?,
        ["exec", name, host, command @ ..] => {
            let output = cm_lab::find(name)?.exec(host, command)?;
            // A reader that went away does not matter here.
            let _ = std::io::stdout().write_all(&output.stdout);
            let _ = std::io::stderr().write_all(&output.stderr);
            let code = output.status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(255)));
        }
        ["ssh", name, host, rest @ ..] => {
            let (user, command) =
                rest.split_first().map_or(("admin", rest), |(user, command)| (*user, command));
            let source = cm_lab::find(name)?.ssh_command(host, user)?.args(command).exec();
            return Err(LabError::Io { action: "start", path: "ssh".into(), source });
        }
        ["cut", name, host] => cm_lab::find(name)?.cut(host)?,
        ["restore", name, host] => cm_lab::find(name)?.restore(host)?,
        ["freeze", name, host] => cm_lab::find(name)?.freeze(host)?,
        ["thaw", name, host] => cm_lab::find(name)?.thaw(host)?,
        ["kill", name, host] => cm_lab::find(name)?.kill(host)?,
        ["boot", name, host] => cm_lab::find(name)?.boot(host)?,
        ["reboot", name, host] => cm_lab::find(name)?.reboot(host)?,
        ["delay", name, host, delay] => cm_lab::find(name)?.delay(host, delay.parse().unwrap_or(0))?,
        _ => {
            eprintln!(
                "usage: lab up NAME [--hosts N] [--names A,B] [--release R] [--dir DIR] [--disk] [--local-only]"
            );
            eprintln!("       lab down NAME|--all; lab status; lab image RELEASE");
            eprintln!(
                "       lab exec NAME HOST CMD...; lab ssh NAME HOST [USER [CMD...]]; lab delay NAME HOST MS"
            );
            eprintln!("       lab cut|restore|freeze|thaw|kill|boot|reboot NAME HOST");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(name: &str, options: &[&str]) -> Result<(), LabError> {
    let flag = |name: &str| options.contains(&name);
    let value = |name: &str| options.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let release: Release = value("--release").unwrap_or("debian-12").parse()?;
    let dir = value("--dir").map_or_else(|| std::env::temp_dir().join(format!("cm-lab-{name}")), Into::into);
    let count = value("--hosts").and_then(|count| count.parse().ok()).unwrap_or(3);
    let mut spec = LabSpec::numbered(name, count, release, dir);
    if let Some(names) = value("--names") {
        // `name=debian-13` gives one host another release.
        spec.hosts = names
            .split(',')
            .map(|host| match host.split_once('=') {
                Some((host, release)) => Ok(HostSpec { name: host.into(), release: release.parse()? }),
                None => Ok(HostSpec { name: host.into(), release }),
            })
            .collect::<Result<_, LabError>>()?;
    }
    if flag("--disk") {
        spec.storage = Storage::Disk;
    }
    if flag("--local-only") {
        spec.packages = PackageSource::LocalOnly;
    }
    let lab = cm_lab::up(&spec, &mut tell)?;
    println!("inventory: {}", lab.inventory_path().display());
    Ok(())
}

fn tell(step: Progress) {
    println!("{step:?}");
}

fn status() -> Result<(), LabError> {
    for lab in cm_lab::list()? {
        println!("{} ({}) {} {}", lab.name(), lab.state().name(), lab.subnet(), lab.dir().display());
        for host in lab.hosts() {
            let leader = host.leader.map_or_else(|| "-".into(), |pid| pid.to_string());
            println!(
                "  {:12} {:14} {:9} {:8} {leader}",
                host.name,
                host.address,
                host.release,
                host.state.name()
            );
        }
    }
    Ok(())
}
