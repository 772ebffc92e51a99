//! Transactions of apt: predicted by `apt-get -s`, run as one `apt-get install`.
//!
//! What is impossible fails alone: when apt refuses the whole, the requests are tried one after the
//! other in simulations, and the rest is installed without those that cannot be.

use std::time::{Duration, Instant};

use cm_wire::Output;

use super::{
    Apt, INSTALLATION_LOCKS,
    index::told,
    output::{self, Simulated},
    resolve::{Resolved, Step},
};
use crate::{
    Doing, Problem,
    node::{
        Command, Finished, PackageAction, PackageRequest, Predicted, Refusal, Remains, Transacted,
        Transaction,
    },
    real::{bystanders, dpkg::Database, locks},
    version_pattern::version_matches,
};

/// How often an installation is tried again because another process took the lock just before.
const LOCK_RACES: usize = 5;

impl Apt<'_> {
    /// What a transaction would do after others.
    pub(in crate::real) fn predict(
        &self,
        before: &[PackageRequest],
        transaction: &Transaction<'_>,
    ) -> Predicted {
        let resolved = match self.resolve(&transaction.requests, true, transaction.deadline) {
            Ok(resolved) => resolved,
            Err(problem) => return nothing_predicted(&transaction.requests, &problem),
        };
        // What was asked before is simulated with it, and needs the options that it needed alone.
        let requests = before.iter().chain(&transaction.requests).cloned().collect();
        let asked = Transaction { requests, ..transaction.clone() };
        let before: Vec<String> = match self.resolve(before, true, transaction.deadline) {
            Ok(before) => words(before.steps.iter().filter_map(|step| step.as_ref().ok())),
            Err(_) => Vec::new(),
        };
        let mut results: Vec<Result<(), Refusal>> =
            resolved.steps.iter().map(|step| step.as_ref().map(|_| ()).map_err(Clone::clone)).collect();
        let simulated = match self.single_out(&before, &resolved, &asked) {
            Ok((simulated, refused)) => {
                for (index, problem) in refused {
                    // What it needs may come from another source.
                    results[index] = Err(Refusal { problem, unknown: true });
                }
                simulated
            }
            Err(problem) => return nothing_predicted(&transaction.requests, &problem),
        };
        Predicted { results, installed: simulated.installed, removed: simulated.removed }
    }

    /// Simulates all words, and where that is refused finds those that cannot be met with the rest.
    fn single_out(
        &self,
        before: &[String],
        resolved: &Resolved,
        transaction: &Transaction<'_>,
    ) -> Result<(Simulated, Vec<(usize, Problem)>), Problem> {
        let wanted: Vec<(usize, &str)> = resolved
            .steps
            .iter()
            .enumerate()
            .filter_map(|(index, step)| Some((index, step.as_ref().ok()?.word()?)))
            .collect();
        if wanted.is_empty() && before.is_empty() {
            return Ok((Simulated::default(), Vec::new()));
        }
        let all: Vec<String> =
            before.iter().cloned().chain(wanted.iter().map(|(_, word)| (*word).to_owned())).collect();
        let whole = match self.simulate(&all, transaction)? {
            Ok(simulated) => return Ok((simulated, Vec::new())),
            Err(problem) => problem,
        };
        if let [(index, _)] = wanted[..] {
            return Ok((Simulated::default(), vec![(index, whole)]));
        }
        let mut good: Vec<String> = before.to_vec();
        let mut last = Simulated::default();
        let mut refused = Vec::new();
        for (index, word) in wanted {
            good.push(word.to_owned());
            match self.simulate(&good, transaction)? {
                Ok(simulated) => last = simulated,
                Err(problem) => {
                    good.pop();
                    refused.push((index, problem));
                }
            }
        }
        Ok((last, refused))
    }

    /// The inner error is apt's refusal, the outer one that it could not be asked.
    fn simulate(
        &self,
        words: &[String],
        transaction: &Transaction<'_>,
    ) -> Result<Result<Simulated, Problem>, Problem> {
        let mut argv = vec!["apt-get".to_owned(), "install".to_owned(), "-s".to_owned(), "-y".to_owned()];
        argv.extend(["-o".to_owned(), "Debug::NoLocking=true".to_owned()]);
        argv.extend(self.current_options());
        argv.extend(install_options(words, transaction));
        argv.push("--".to_owned());
        argv.extend(words.iter().cloned());
        let finished = self
            .commands
            .run(&Command { argv, deadline: transaction.deadline, ..Command::query(&[]) })
            .doing("running `apt-get -s install`")?;
        if finished.timed_out {
            return Err(Problem::new("`apt-get -s install` did not end in time").output(finished.output));
        }
        if !finished.success() {
            return Ok(Err(told(&shown(words), &finished.output)));
        }
        let simulated = output::simulated(&finished.output.stdout);
        if simulated.essential {
            let gone: Vec<_> = simulated.removed.iter().map(String::as_str).collect();
            return Ok(Err(Problem::new(format!(
                "{} would remove packages that the system cannot do without ({})",
                shown(words),
                gone.join(", ")
            ))));
        }
        Ok(Ok(simulated))
    }

    /// Runs a transaction.
    pub(in crate::real) fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let mut notes = Vec::new();
        match self.try_transact(transaction, &mut notes) {
            Ok(results) => Transacted { results, notes },
            Err(problem) => Transacted {
                results: transaction.requests.iter().map(|_| Err(problem.clone())).collect(),
                notes,
            },
        }
    }

    fn try_transact(
        &self,
        transaction: &Transaction<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Result<(), Problem>>, Problem> {
        locks::wait(self.root, INSTALLATION_LOCKS, transaction.deadline, transaction.waiting)?;
        self.mend(transaction, notes)?;
        let before = self.database()?;
        let resolved = self.resolve(&transaction.requests, false, transaction.deadline)?;
        let mut results: Vec<Result<(), Problem>> = resolved
            .steps
            .iter()
            .map(|step| step.as_ref().map(|_| ()).map_err(|refusal| refusal.problem.clone()))
            .collect();
        let named = |wanted: Step| -> Vec<(usize, &str)> {
            let names = transaction.requests.iter().map(|request| request.name.as_str());
            resolved
                .steps
                .iter()
                .zip(names)
                .enumerate()
                .filter(|(_, (step, _))| step.as_ref().is_ok_and(|step| *step == wanted))
                .map(|(index, (_, name))| (index, name))
                .collect()
        };
        self.each_of(&named(Step::Unhold), &mut results, |names| self.select(names, "install", transaction));
        self.install(&resolved, transaction, &mut results, notes)?;
        // An installation marks its packages as asked for: what is to be otherwise is so after it.
        let database = self.database()?;
        for (step, manual) in [(Step::MarkManual, true), (Step::MarkAuto, false)] {
            let mut marked = named(step);
            marked.retain(|(_, name)| {
                let installed = database.installed(name).filter(|package| package.provided_by.is_none());
                installed.is_some_and(|package| package.manual != manual)
            });
            let mark = if manual { "manual" } else { "auto" };
            self.each_of(&marked, &mut results, |names| {
                self.run_marked(&["apt-mark", mark, "--"], names, transaction.deadline)
            });
        }
        // One that left nothing behind is gone; apt may not even know its name any more.
        let database = self.database()?;
        let purged: Vec<(usize, &str)> = resolved
            .steps
            .iter()
            .enumerate()
            .filter(|(index, step)| matches!(step, Ok(Step::Purge(_))) && results[*index].is_ok())
            .map(|(index, _)| (index, transaction.requests[index].name.as_str()))
            .filter(|(_, name)| database.remains(name) != Remains::Nothing)
            .collect();
        self.each_of(&purged, &mut results, |names| {
            let mut head = vec!["apt-get", "purge", "-y", "-q", "-o", "Dpkg::Use-Pty=0"];
            head.push("--");
            self.run_marked(&head, names, transaction.deadline)
        });
        // Only what is there can be held; a version that could not be installed leaves nothing to hold.
        let database = self.database()?;
        let held: Vec<(usize, &str)> =
            named(Step::Hold).into_iter().filter(|(_, name)| database.installed(name).is_some()).collect();
        self.each_of(&held, &mut results, |names| self.select(names, "hold", transaction));
        let after = self.database()?.all_installed();
        notes.extend(bystanders::note("apt", before.all_installed(), &after, transaction));
        Ok(results)
    }

    /// Runs one command for several names; its failure is the result of each.
    fn each_of(
        &self,
        wanted: &[(usize, &str)],
        results: &mut [Result<(), Problem>],
        run: impl Fn(&[&str]) -> Result<(), Problem>,
    ) {
        if wanted.is_empty() {
            return;
        }
        let names: Vec<&str> = wanted.iter().map(|(_, name)| *name).collect();
        if let Err(problem) = run(&names) {
            for (index, _) in wanted {
                results[*index] = Err(problem.clone());
            }
        }
    }

    /// Installs and removes all words in one go; sets the results of those that failed.
    fn install(
        &self,
        resolved: &Resolved,
        transaction: &Transaction<'_>,
        results: &mut [Result<(), Problem>],
        notes: &mut Vec<String>,
    ) -> Result<(), Problem> {
        let mut resolved = Resolved { steps: resolved.steps.clone() };
        let mut refreshed = false;
        loop {
            let all = words(resolved.steps.iter().filter_map(|step| step.as_ref().ok()));
            if all.is_empty() {
                return Ok(());
            }
            let finished = self.apt_get_install(&all, transaction)?;
            if finished.success() {
                return Ok(());
            }
            let output = finished.output;
            if finished.timed_out {
                let problem = Problem::new(format!("{} did not end in time and was stopped", shown(&all)))
                    .hint(
                        "give the task a longer `timeout`; the next run brings dpkg's work to its end first",
                    )
                    .output(output::last_lines(&output));
                self.fail_unmet(&resolved, transaction, results, |_| problem.clone())?;
                return Ok(());
            }
            if output::dpkg_failed(&output) {
                let broken = output::broken_packages(&output);
                let problem = told(&shown(&all), &output);
                self.fail_unmet(&resolved, transaction, results, |name| match broken.get(name) {
                    Some(reason) if !reason.is_empty() => {
                        Problem { message: format!("dpkg failed at `{name}`: {reason}"), ..problem.clone() }
                    }
                    _ => problem.clone(),
                })?;
                return Ok(());
            }
            if output::failed_to_fetch(&output) && !refreshed {
                // The index promises what its source has no more: the usual case of an old index.
                refreshed = true;
                match self.refresh(false, 0, transaction.deadline) {
                    Ok(_) => {
                        notes.push(
                            "the package index was out of date: refreshed it and installed again".to_owned(),
                        );
                        resolved = self.resolve(&transaction.requests, false, transaction.deadline)?;
                        for (result, step) in results.iter_mut().zip(&resolved.steps) {
                            if let Err(refusal) = step {
                                *result = Err(refusal.problem.clone());
                            }
                        }
                        continue;
                    }
                    Err(problem) => {
                        self.fail_unmet(&resolved, transaction, results, |_| problem.clone())?;
                        return Ok(());
                    }
                }
            }
            let refused = self.refused_words(&resolved, transaction, &output)?;
            if refused.is_empty() || all.len() == 1 {
                let problem = told(&shown(&all), &output);
                self.fail_unmet(&resolved, transaction, results, |_| problem.clone())?;
                return Ok(());
            }
            for (index, problem) in refused {
                results[index] = Err(problem.clone());
                resolved.steps[index] = Err(Refusal { problem, unknown: false });
            }
        }
    }

    /// Which words spoil a transaction that apt refused as a whole.
    fn refused_words(
        &self,
        resolved: &Resolved,
        transaction: &Transaction<'_>,
        output: &Output,
    ) -> Result<Vec<(usize, Problem)>, Problem> {
        let unfetched = output::unfetched(output);
        if unfetched.is_empty() {
            return Ok(self.single_out(&[], resolved, transaction)?.1);
        }
        let mut refused = Vec::new();
        for (index, step) in resolved.steps.iter().enumerate() {
            let Some(word) = step.as_ref().ok().and_then(Step::word) else { continue };
            let needs = self.simulate(&[word.to_owned()], transaction)?;
            let spoiled = needs.map_or(true, |needs| {
                needs.installed.keys().any(|name| unfetched.contains(name.split(':').next().unwrap_or(name)))
            });
            if spoiled {
                refused.push((index, told(&shown(&[word.to_owned()]), output)));
            }
        }
        Ok(refused)
    }

    /// Fails the requests that are not met now.
    fn fail_unmet(
        &self,
        resolved: &Resolved,
        transaction: &Transaction<'_>,
        results: &mut [Result<(), Problem>],
        problem: impl Fn(&str) -> Problem,
    ) -> Result<(), Problem> {
        let database = self.database()?;
        for (index, (step, request)) in resolved.steps.iter().zip(&transaction.requests).enumerate() {
            if step.as_ref().is_ok_and(|step| step.word().is_some()) && !is_met(request, &database) {
                let name = request.name.split(':').next().unwrap_or(&request.name);
                results[index] = Err(problem(name));
            }
        }
        Ok(())
    }

    fn apt_get_install(&self, words: &[String], transaction: &Transaction<'_>) -> Result<Finished, Problem> {
        for _ in 0..LOCK_RACES {
            let left = transaction.deadline.saturating_duration_since(Instant::now());
            let mut argv = to_words(&["apt-get", "install", "-y", "-q", "-o", "Dpkg::Use-Pty=0"]);
            argv.extend(to_words(&["-o", "Dpkg::Options::=--force-confdef"]));
            argv.extend(to_words(&["-o", "Dpkg::Options::=--force-confold"]));
            argv.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", left.as_secs())]);
            argv.extend(install_options(words, transaction));
            argv.push("--".to_owned());
            argv.extend(words.iter().cloned());
            let finished = self.run(argv, None, transaction.deadline)?;
            if finished.success() || finished.timed_out || !output::was_locked(&finished.output) {
                return Ok(finished);
            }
            locks::wait(self.root, INSTALLATION_LOCKS, transaction.deadline, transaction.waiting)?;
        }
        locks::wait(self.root, INSTALLATION_LOCKS, Instant::now(), transaction.waiting)?;
        Err(Problem::new("other package managers took dpkg's lock again and again"))
    }

    /// Sets dpkg's selection of packages: `hold` or `install`.
    fn select(&self, names: &[&str], selection: &str, transaction: &Transaction<'_>) -> Result<(), Problem> {
        let lines: String = names.iter().map(|name| format!("{name} {selection}\n")).collect();
        for _ in 0..LOCK_RACES {
            let finished = self.run(
                to_words(&["dpkg", "--set-selections"]),
                Some(lines.clone().into_bytes()),
                transaction.deadline,
            )?;
            if finished.success() {
                return Ok(());
            }
            if !output::was_locked(&finished.output) && !finished.output.stderr.contains("locked by") {
                return Err(told("`dpkg --set-selections`", &finished.output));
            }
            std::thread::sleep(Duration::from_millis(200));
            locks::wait(self.root, INSTALLATION_LOCKS, transaction.deadline, transaction.waiting)?;
        }
        Err(Problem::new("other package managers took dpkg's lock again and again"))
    }

    pub(super) fn run_marked(&self, head: &[&str], names: &[&str], deadline: Instant) -> Result<(), Problem> {
        let mut argv = to_words(head);
        argv.extend(names.iter().map(|&name| name.to_owned()));
        let finished = self.run(argv, None, deadline)?;
        if finished.success() {
            return Ok(());
        }
        Err(told(&format!("`{} {}`", head[..2].join(" "), names.join(" ")), &finished.output))
    }

    pub(super) fn run(
        &self,
        argv: Vec<String>,
        stdin: Option<Vec<u8>>,
        deadline: Instant,
    ) -> Result<Finished, Problem> {
        let program = format!("running `{}`", argv[..2.min(argv.len())].join(" "));
        // needrestart would restart services on its own; what restarts is said in the role.
        let env = [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("NEEDRESTART_SUSPEND", "1"),
            ("APT_LISTCHANGES_FRONTEND", "none"),
            ("APT_LISTBUGS_FRONTEND", "none"),
            ("UCF_FORCE_CONFFOLD", "1"),
        ];
        let env =
            crate::in_order::map(env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self.commands.run(&Command { argv, env, stdin, ..Command::change(&[], deadline) }).doing(program)
    }
}

/// Whether dpkg's database has what a request asks for.
fn is_met(request: &PackageRequest, database: &Database) -> bool {
    let installed = database.installed(&request.name);
    match &request.action {
        PackageAction::Install | PackageAction::Latest => installed.is_some(),
        PackageAction::InstallVersion(pattern) => {
            installed.is_some_and(|package| version_matches(pattern, &package.version))
        }
        PackageAction::Remove | PackageAction::Purge => {
            installed.is_none_or(|package| package.provided_by.is_some())
                && database.remains(&request.name) != Remains::Broken
        }
        PackageAction::Hold => installed.is_some_and(|package| package.held),
        PackageAction::Unhold => installed.is_none_or(|package| !package.held),
        PackageAction::MarkAuto => installed.is_none_or(|package| !package.manual),
        PackageAction::MarkManual => installed.is_none_or(|package| package.manual),
    }
}

fn nothing_predicted(requests: &[PackageRequest], problem: &Problem) -> Predicted {
    let refusal = Refusal { problem: problem.clone(), unknown: false };
    Predicted { results: requests.iter().map(|_| Err(refusal.clone())).collect(), ..Predicted::default() }
}

/// Every word once, in the order of the requests.
fn words<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in steps.filter_map(Step::word) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

pub(super) fn to_words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The command as a person would type it.
fn shown(words: &[String]) -> String {
    format!("`apt-get install {}`", words.join(" "))
}

/// Options that follow from what is asked.
fn install_options(words: &[String], transaction: &Transaction<'_>) -> Vec<String> {
    let mut options = Vec::new();
    if words.iter().any(|word| word.contains('=')) {
        options.push("--allow-downgrades".to_owned());
    }
    let may_move_held = transaction.requests.iter().any(|request| {
        // One that is let go is still held while its change is only simulated.
        matches!(
            request.action,
            PackageAction::InstallVersion(_) | PackageAction::Hold | PackageAction::Unhold
        )
    });
    if may_move_held {
        options.push("--allow-change-held-packages".to_owned());
    }
    if let Some(recommends) = transaction.recommends {
        options.extend(["-o".to_owned(), format!("APT::Install-Recommends={recommends}")]);
    }
    options
}
