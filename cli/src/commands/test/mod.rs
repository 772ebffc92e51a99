//! `cm test`: roles on fresh hosts of a lab: apply, apply again, verify, damage, cleanup; and a report.

mod case;
mod child;
mod folder;
mod judge;
mod report;
mod repository;
mod result;
mod steps;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Args;
use cm_lab::Release;

use self::{
    case::Case,
    folder::Workplace,
    report::{Form, Report},
    result::CaseResult,
};
use crate::{drive, exit::Exit, failure::Failure, fleet, interrupt::Interrupt, options::Options};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The roles (comma separated), of the repository or of those that ship with the program.
    #[arg(value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// All roles of the repository.
    #[arg(long)]
    all: bool,
    /// All roles that ship with the program.
    #[arg(long)]
    library: bool,
    /// The releases to test on (comma separated): debian-11, debian-12, debian-13.
    #[arg(long, value_delimiter = ',', default_value = "debian-12", value_name = "RELEASE", value_parser = release)]
    matrix: Vec<Release>,
    /// Only scenarios of this name (comma separated).
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    scenario: Vec<String>,
    /// Leave the hosts of what failed running, to look around on them.
    #[arg(long)]
    keep: bool,
    /// Write a report: json:FILE or junit:FILE. May be given more than once.
    #[arg(long, value_name = "FORM:FILE", value_parser = report::parse)]
    report: Vec<(Form, PathBuf)>,
    /// How many scenarios run at once; by default one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    forks: Option<u16>,
}

fn release(text: &str) -> Result<Release, String> {
    text.parse().map_err(|error: cm_lab::LabError| error.to_string())
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    // Library roles can be tried without a repository.
    let repository = match (&options.repository, fleet::root(options)) {
        (_, Ok(root)) => Some(root),
        (Some(_), Err(failure)) => return Err(failure),
        (None, Err(_)) => None,
    };
    let workplace = Workplace::make(repository.as_deref())?;
    let roles = wanted(arguments, &workplace)?;
    let cases = case::all(&workplace, &roles, &arguments.scenario, &arguments.matrix)?;
    if cases.is_empty() {
        return Err(Failure::new("no scenario is for these releases")
            .hint("`--matrix` says on which releases to test; `releases:` of a scenario, for which it is"));
    }
    cm_lab::requirements().map_err(cm_lab::LabError::Missing).map_err(|error| {
        let hint = error.hint();
        Failure::because("no hosts can be made", &error).maybe_hint(hint)
    })?;
    folder::remove_remains();
    // Watches for Ctrl-C as long as it lives.
    let runtime = drive::runtime()?;
    let interrupt = runtime.block_on(async { Interrupt::watch() });
    let forks = arguments
        .forks
        .map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from);
    let report = Mutex::new(Report::new(options, cases.len()));
    let results = run_all(&cases, &workplace, forks, arguments.keep, &interrupt, &report);
    // Nobody holds it any more, and who panicked with it has ended the program.
    let report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.finish(&results);
    for (form, path) in &arguments.report {
        std::fs::write(path, report::document(*form, &results)).map_err(|error| {
            Failure::because(format!("the report `{}` cannot be written", path.display()), &error)
        })?;
    }
    if !results.iter().any(|result| result.kept.is_some()) {
        workplace.remove();
    }
    Ok(if interrupt.hit() {
        Exit::Interrupted
    } else if results.iter().all(CaseResult::is_ok) {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// The roles that the command line names.
fn wanted(arguments: &Arguments, workplace: &Workplace) -> Result<Vec<String>, Failure> {
    let mut roles: Vec<String> = arguments.roles.clone();
    if arguments.all {
        roles.extend(workplace.own().iter().cloned());
    }
    if arguments.library {
        roles.extend(workplace.shipped().iter().cloned());
    }
    let mut seen = BTreeSet::new();
    roles.retain(|role| seen.insert(role.clone()));
    for role in &roles {
        if !workplace.has(role) {
            let known = workplace.own().iter().chain(workplace.shipped()).map(String::as_str);
            let near = cm_syntax::nearest(role, known).map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::new(format!("unknown role `{role}`")).maybe_hint(near));
        }
    }
    if roles.is_empty() {
        return Err(Failure::new("no role is named").hint(
            "`cm test ROLE`, `cm test --all` for the repository's, `cm test --library` for those of the program",
        ));
    }
    Ok(roles)
}

/// Runs the cases, so many at once, in their order.
fn run_all(
    cases: &[Case],
    workplace: &Workplace,
    forks: usize,
    keep: bool,
    interrupt: &Interrupt,
    report: &Mutex<Report>,
) -> Vec<CaseResult> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, CaseResult)> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(index).filter(|_| !interrupt.hit()) else { return done };
                let result = steps::run(case, index, workplace, keep, interrupt);
                report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).case(&result);
                done.push((index, result));
            }
        };
        let workers: Vec<_> = (0..forks.min(cases.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
