//! What each request asks of apt: which word it becomes on apt-get's command line, and why it cannot be met.

use std::{cmp::Ordering, time::Instant};

use super::Apt;
use crate::{
    Problem,
    node::{PackageAction, PackageRequest, Refusal},
    real::{
        debian_version,
        dpkg::Database,
        refreshing::{ANY_AGE, UNKNOWN_AGE},
    },
    version_pattern::version_matches,
};

/// Several requests, read against dpkg's database and the index.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// One entry for each request: what it needs of `apt-get install`, or why it cannot be met.
    pub(super) steps: Vec<Result<Step, Refusal>>,
}

/// What one request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is so.
    Nothing,
    /// A word for `apt-get install`: `a`, `a=1.0`, `a-`.
    Word(String),
    /// To be marked as asked for, where it is installed.
    MarkManual,
    /// To be marked as brought in by another, where it is installed.
    MarkAuto,
    /// Take its configuration away, after the package itself where that is there (the word).
    Purge(Option<String>),
    /// Hold it.
    Hold,
    /// Let it go.
    Unhold,
}

impl Step {
    /// The word on apt-get's command line.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) | Self::Purge(Some(word)) => Some(word),
            _ => None,
        }
    }
}

impl Apt<'_> {
    /// Reads requests. Where the index does not know a name or version it is refreshed (or its copy).
    pub(super) fn resolve(
        &self,
        requests: &[PackageRequest],
        copy: bool,
        deadline: Instant,
    ) -> Result<Resolved, Problem> {
        let database = self.database()?;
        if requests.iter().any(|request| needs_index(request, &database)) {
            // A source that an earlier task added may have what is asked for, or a newer one. Where it does
            // not answer, what the index has will do, or be said below.
            let _ = self.refresh(copy, ANY_AGE, deadline);
        }
        let first = self.resolve_as_is(requests)?;
        if !first.steps.iter().any(|step| step.as_ref().is_err_and(|refusal| refusal.unknown)) {
            return Ok(first);
        }
        let (resolved, unrefreshed) = match self.refresh(copy, UNKNOWN_AGE, deadline) {
            // Not refreshed: the copy of an earlier plan may have taken the place of the node's own index.
            Ok(_) => (self.resolve_as_is(requests)?, None),
            Err(problem) => (first, Some(problem)),
        };
        let explain = |(step, request): (Result<Step, Refusal>, &PackageRequest)| match (step, &unrefreshed) {
            (Err(refusal), Some(problem)) if refusal.unknown => {
                let message = format!("{}, and {}", refusal.problem.message, problem.message);
                Err(Refusal { problem: Problem { message, ..problem.clone() }, ..refusal })
            }
            (Err(refusal), None) if refusal.unknown && refusal.problem.hint.is_none() => {
                Err(Refusal { problem: self.explain_unknown(refusal.problem, &request.name), ..refusal })
            }
            (step, _) => step,
        };
        Ok(Resolved { steps: resolved.steps.into_iter().zip(requests).map(explain).collect() })
    }

    fn resolve_as_is(&self, requests: &[PackageRequest]) -> Result<Resolved, Problem> {
        let database = self.database()?;
        let asked = requests.iter().filter(|request| needs_index(request, &database));
        let asked = crate::in_order::set(asked.map(|request| request.name.clone()));
        let asked: Vec<String> = asked.into_iter().collect();
        let policies = if asked.is_empty() { Default::default() } else { self.policies(&asked)? };
        let unheld = |name: &str| {
            requests.iter().any(|request| {
                request.name == name && matches!(request.action, PackageAction::Unhold | PackageAction::Hold)
            })
        };
        let mut steps = Vec::new();
        for request in requests {
            let name = &request.name;
            let installed = database.installed(name).filter(|package| package.provided_by.is_none());
            let mark = |manual: bool| if manual { Step::Nothing } else { Step::MarkManual };
            let policy = policies.get(name);
            let known = || policy.ok_or_else(|| unknown_name(name));
            let word = match &installed {
                Some(_) => Some(format!("{name}-")),
                None if database.remains(name) == crate::node::Remains::Broken => Some(format!("{name}-")),
                None => None,
            };
            let step = match &request.action {
                PackageAction::Install => match (&installed, database.installed(name)) {
                    (Some(package), _) => Ok(mark(package.manual)),
                    // Something else provides it.
                    (None, Some(_)) => Ok(Step::Nothing),
                    (None, None) => known().map(|_| Step::Word(name.clone())),
                },
                PackageAction::InstallVersion(pattern) => match &installed {
                    Some(package) if version_matches(pattern, &package.version) => Ok(mark(package.manual)),
                    _ => known().and_then(|policy| {
                        // What apt itself would choose, if it will do: so pins are obeyed.
                        let version = policy
                            .candidate
                            .iter()
                            .chain(&policy.versions)
                            .find(|version| version_matches(pattern, version));
                        match version {
                            Some(version) => Ok(Step::Word(format!("{name}={version}"))),
                            None => Err(Refusal {
                                problem: no_such_version(name, pattern, &policy.versions),
                                unknown: true,
                            }),
                        }
                    }),
                },
                PackageAction::Latest => known().and_then(|policy| match (&installed, &policy.candidate) {
                    (Some(package), Some(candidate))
                        if debian_version::compare(candidate, &package.version) != Ordering::Greater =>
                    {
                        Ok(mark(package.manual))
                    }
                    (Some(package), Some(candidate)) if package.held && !unheld(name) => Err(Refusal {
                        problem: Problem::new(format!(
                            "`{name}` is held at {}, so it does not become {candidate}",
                            package.version
                        ))
                        .hint("`held: false` lets it go; `held: true` moves and holds it"),
                        unknown: false,
                    }),
                    _ => Ok(Step::Word(name.clone())),
                }),
                PackageAction::Remove => Ok(word.map_or(Step::Nothing, Step::Word)),
                PackageAction::Purge => match (word, database.remains(name)) {
                    (None, crate::node::Remains::Nothing) => Ok(Step::Nothing),
                    (word, _) => Ok(Step::Purge(word)),
                },
                PackageAction::Hold => Ok(Step::Hold),
                PackageAction::Unhold => Ok(Step::Unhold),
                PackageAction::MarkAuto => Ok(Step::MarkAuto),
                PackageAction::MarkManual => Ok(Step::MarkManual),
            };
            steps.push(step);
        }
        Ok(Resolved { steps })
    }
}

/// Whether a request can only be read with the index.
fn needs_index(request: &PackageRequest, database: &Database) -> bool {
    let installed = database.installed(&request.name);
    match &request.action {
        PackageAction::Install => installed.is_none(),
        PackageAction::InstallVersion(pattern) => !installed.is_some_and(|package| {
            package.provided_by.is_none() && version_matches(pattern, &package.version)
        }),
        PackageAction::Latest => true,
        PackageAction::Remove
        | PackageAction::Purge
        | PackageAction::Hold
        | PackageAction::Unhold
        | PackageAction::MarkAuto
        | PackageAction::MarkManual => false,
    }
}

fn unknown_name(name: &str) -> Refusal {
    let message = format!("there is no package `{name}` in the index of packages");
    Refusal { problem: Problem::new(message), unknown: true }
}

fn no_such_version(name: &str, pattern: &str, versions: &[String]) -> Problem {
    let problem = Problem::new(format!("no version of `{name}` that can be had matches `{pattern}`"));
    match versions {
        [] => problem.hint(format!("`{name}` is only a name that other packages provide; name one of those")),
        versions => {
            let shown: Vec<_> = versions.iter().take(5).map(String::as_str).collect();
            let more = if versions.len() > shown.len() { ", …" } else { "" };
            problem.hint(format!("the index has {}{more}", shown.join(", ")))
        }
    }
}
