//! What each request asks of a package manager, and why it cannot be met.

use std::{cmp::Ordering, time::Instant};

use super::{Database, Managed};
use crate::{
    Problem,
    node::{PackageAction, PackageRequest, Refusal},
    real::refreshing::{ANY_AGE, UNKNOWN_AGE},
    version_pattern::version_matches,
};

/// What one request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is so.
    Nothing,
    /// A word to install.
    Install(String),
    /// A word to remove, with its configuration or without.
    Remove(String, bool),
    /// To be marked as asked for, where it is installed.
    MarkManual,
    /// To be marked as brought in by another, where it is installed.
    MarkAuto,
    /// Hold it.
    Hold,
    /// Let it go.
    Unhold,
}

pub(super) type Steps = Vec<Result<Step, Refusal>>;

impl Managed<'_> {
    /// Reads requests. Where the index does not know a name or version it is refreshed (or its copy).
    pub(super) fn resolve(
        &self,
        requests: &[PackageRequest],
        copy: bool,
        deadline: Instant,
    ) -> Result<Steps, Problem> {
        let database = self.driver.database()?;
        if requests.iter().any(|request| needs_index(request, &database)) {
            // A source that an earlier task added may have what is asked for, or a newer one. Where it does
            // not answer, what the index has will do, or be said below.
            let _ = self.refresh(copy, ANY_AGE, deadline);
        }
        let first = self.resolve_as_is(requests, &database)?;
        if !first.iter().any(|step| step.as_ref().is_err_and(|refusal| refusal.unknown)) {
            return Ok(first);
        }
        match self.refresh(copy, UNKNOWN_AGE, deadline) {
            // Not refreshed: the copy of an earlier plan may have taken the place of the node's own index.
            Ok(_) => self.resolve_as_is(requests, &database),
            Err(problem) => {
                let explain = |step: Result<Step, Refusal>| {
                    step.map_err(|refusal| {
                        if !refusal.unknown {
                            return refusal;
                        }
                        let message = format!("{}, and {}", refusal.problem.message, problem.message);
                        Refusal { problem: Problem { message, ..problem.clone() }, ..refusal }
                    })
                };
                Ok(first.into_iter().map(explain).collect())
            }
        }
    }

    fn resolve_as_is(&self, requests: &[PackageRequest], database: &Database) -> Result<Steps, Problem> {
        let asked: Vec<String> = requests
            .iter()
            .filter(|request| needs_index(request, database))
            .map(|request| request.name.clone())
            .collect();
        let versions = if asked.is_empty() { Default::default() } else { self.versions(&asked)? };
        let unheld = |name: &str| {
            requests.iter().any(|request| {
                request.name == name && matches!(request.action, PackageAction::Unhold | PackageAction::Hold)
            })
        };
        let step = |request: &PackageRequest| {
            let name = &request.name;
            let installed = database.by_name(name);
            let mark = |manual: bool| if manual { Step::Nothing } else { Step::MarkManual };
            let known = || {
                versions.get(name).filter(|versions| !versions.is_empty()).ok_or_else(|| {
                    let message = format!("there is no package `{name}` in the index of packages");
                    let problem = Problem::new(message)
                        .hint("is the name right for this release? its source may be missing on the node");
                    Refusal { problem, unknown: true }
                })
            };
            let word = |version: Option<&str>| Step::Install(self.driver.word(name, version));
            match &request.action {
                PackageAction::Install => match (&installed, database.installed(name)) {
                    (Some(package), _) => Ok(mark(package.manual)),
                    // Something else provides it.
                    (None, Some(_)) => Ok(Step::Nothing),
                    (None, None) => known().map(|_| word(None)),
                },
                PackageAction::InstallVersion(pattern) => match &installed {
                    Some(package) if version_matches(pattern, &package.version) => Ok(mark(package.manual)),
                    _ => known().and_then(|versions| {
                        match versions.iter().find(|version| version_matches(pattern, version)) {
                            Some(version) => Ok(word(Some(version))),
                            None => Err(Refusal {
                                problem: no_such_version(name, pattern, versions),
                                unknown: true,
                            }),
                        }
                    }),
                },
                PackageAction::Latest => known().and_then(|versions| match &installed {
                    Some(package)
                        if self.driver.compare(&versions[0], &package.version) != Ordering::Greater =>
                    {
                        Ok(mark(package.manual))
                    }
                    Some(package) if package.held && !unheld(name) => Err(Refusal {
                        problem: Problem::new(format!(
                            "`{name}` is held at {}, so it does not become {}",
                            package.version, versions[0]
                        ))
                        .hint("`held: false` lets it go; `held: true` moves and holds it"),
                        unknown: false,
                    }),
                    _ => Ok(word(Some(&versions[0]))),
                }),
                PackageAction::Remove | PackageAction::Purge => Ok(match installed {
                    Some(_) => {
                        Step::Remove(self.driver.word(name, None), request.action == PackageAction::Purge)
                    }
                    None => Step::Nothing,
                }),
                PackageAction::Hold => Ok(Step::Hold),
                PackageAction::Unhold => Ok(Step::Unhold),
                PackageAction::MarkAuto => Ok(Step::MarkAuto),
                PackageAction::MarkManual => Ok(Step::MarkManual),
            }
        };
        Ok(requests.iter().map(step).collect())
    }
}

/// Whether a request can only be read with the index.
fn needs_index(request: &PackageRequest, database: &Database) -> bool {
    match &request.action {
        PackageAction::Install => database.installed(&request.name).is_none(),
        PackageAction::InstallVersion(pattern) => {
            !database.by_name(&request.name).is_some_and(|package| version_matches(pattern, &package.version))
        }
        PackageAction::Latest => true,
        _ => false,
    }
}

fn no_such_version(name: &str, pattern: &str, versions: &[String]) -> Problem {
    let shown: Vec<_> = versions.iter().take(5).map(String::as_str).collect();
    let more = if versions.len() > shown.len() { ", …" } else { "" };
    Problem::new(format!("no version of `{name}` that can be had matches `{pattern}`"))
        .hint(format!("the index has {}{more}", shown.join(", ")))
}
