//! Transactions: predicted by the package manager's own simulation, run as one command where it can be.
//!
//! What is impossible fails alone: when the whole is refused, the requests are tried one after the other in
//! simulations, and the rest is done without those that cannot be.

use std::time::Instant;

use super::{
    Database, Failed, Managed, Simulated, Words,
    resolve::{Step, Steps},
};
use crate::{
    Problem,
    node::{PackageAction, PackageRequest, Predicted, Refusal, Transacted, Transaction},
    real::{bystanders, locks},
    version_pattern::version_matches,
};

impl Managed<'_> {
    /// What a transaction would do after others.
    pub(in crate::real) fn predict(
        &self,
        before: &[PackageRequest],
        transaction: &Transaction<'_>,
    ) -> Predicted {
        let refused = |problem: Problem| {
            let refusal = Refusal { problem, unknown: false };
            let results = transaction.requests.iter().map(|_| Err(refusal.clone())).collect();
            Predicted { results, ..Predicted::default() }
        };
        let deadline = transaction.deadline;
        let steps = match self.resolve(&transaction.requests, true, deadline) {
            Ok(steps) => steps,
            Err(problem) => return refused(problem),
        };
        let earlier = self.resolve(before, true, deadline).unwrap_or_default();
        let mut results: Vec<Result<(), Refusal>> =
            steps.iter().map(|step| step.as_ref().map(|_| ()).map_err(Clone::clone)).collect();
        let earlier = (before, &earlier);
        match self.single_out(Some(earlier), &steps, transaction) {
            Ok((simulated, refusals)) => {
                for (index, problem) in refusals {
                    // What it needs may come from another source.
                    results[index] = Err(Refusal { problem, unknown: true });
                }
                Predicted { results, installed: simulated.installed, removed: simulated.removed }
            }
            Err(problem) => refused(problem),
        }
    }

    /// Simulates all steps, and where that is refused finds those that cannot be with the rest.
    fn single_out(
        &self,
        before: Option<(&[PackageRequest], &Steps)>,
        steps: &Steps,
        transaction: &Transaction<'_>,
    ) -> Result<(Simulated, Vec<(usize, Problem)>), Problem> {
        let database = self.driver.database()?;
        let copy = self.copy();
        let mut base = Words::default();
        if let Some((requests, steps)) = before {
            for (step, request) in steps.iter().zip(requests) {
                base.take(step, request, &database);
            }
        }
        let mut all = base.clone();
        let mut wanted = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            if all.take(step, &transaction.requests[index], &database) {
                wanted.push(index);
            }
        }
        if all.is_empty() {
            return Ok(Default::default());
        }
        let simulate = |words: &Words| self.driver.simulate(words, copy.as_deref(), transaction);
        let whole = match simulate(&all)? {
            Ok(simulated) => return Ok((simulated, Vec::new())),
            Err(problem) => problem,
        };
        if let [index] = wanted[..] {
            return Ok((Simulated::default(), vec![(index, whole)]));
        }
        let (mut last, mut refused) = (Simulated::default(), Vec::new());
        for index in wanted {
            let mut more = base.clone();
            more.take(&steps[index], &transaction.requests[index], &database);
            match simulate(&more)? {
                Ok(simulated) => (last, base) = (simulated, more),
                Err(problem) => refused.push((index, problem)),
            }
        }
        Ok((last, refused))
    }

    /// Runs a transaction.
    pub(in crate::real) fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let mut notes = Vec::new();
        let results = self.try_transact(transaction, &mut notes);
        self.forget_versions();
        let results = results
            .unwrap_or_else(|problem| transaction.requests.iter().map(|_| Err(problem.clone())).collect());
        Transacted { results, notes }
    }

    fn try_transact(
        &self,
        transaction: &Transaction<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Result<(), Problem>>, Problem> {
        let deadline = transaction.deadline;
        locks::wait(self.root, self.driver.locks(), deadline, transaction.waiting)?;
        notes.extend(self.driver.finish_interrupted(deadline)?);
        let before = self.driver.database()?;
        let mut steps = self.resolve(&transaction.requests, false, deadline)?;
        let mut results: Vec<Result<(), Problem>> = steps
            .iter()
            .map(|step| step.as_ref().map(|_| ()).map_err(|refusal| refusal.problem.clone()))
            .collect();
        self.each_of(
            Step::Unhold,
            &steps,
            transaction,
            &mut results,
            |package| package.held,
            |names| self.driver.hold(names, false, deadline),
        )?;
        self.install(&mut steps, transaction, &mut results, notes)?;
        self.each_of(
            Step::MarkManual,
            &steps,
            transaction,
            &mut results,
            |package| !package.manual,
            |names| self.driver.mark(names, true, deadline),
        )?;
        // An installation may leave a mark as it was.
        let asked = |action: &PackageAction| {
            matches!(
                action,
                PackageAction::Install | PackageAction::InstallVersion(_) | PackageAction::Latest
            )
        };
        let database = self.driver.database()?;
        let unmarked: Vec<&str> = transaction
            .requests
            .iter()
            .zip(&results)
            .filter(|(request, result)| result.is_ok() && asked(&request.action))
            .filter(|(request, _)| database.by_name(&request.name).is_some_and(|package| !package.manual))
            .map(|(request, _)| request.name.as_str())
            .collect();
        if !unmarked.is_empty() {
            self.driver.mark(&unmarked, true, deadline)?;
        }
        self.each_of(
            Step::MarkAuto,
            &steps,
            transaction,
            &mut results,
            |package| package.manual,
            |names| self.driver.mark(names, false, deadline),
        )?;
        self.each_of(
            Step::Hold,
            &steps,
            transaction,
            &mut results,
            |package| !package.held,
            |names| self.driver.hold(names, true, deadline),
        )?;
        let after = self.driver.database()?.all_installed();
        notes.extend(bystanders::note(self.driver.program(), before.all_installed(), &after, transaction));
        Ok(results)
    }

    /// Runs one command for all installed packages of a step that differ; its failure is the result of each.
    fn each_of(
        &self,
        wanted: Step,
        steps: &Steps,
        transaction: &Transaction<'_>,
        results: &mut [Result<(), Problem>],
        differs: impl Fn(&crate::node::InstalledPackage) -> bool,
        run: impl Fn(&[&str]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if !steps.iter().any(|step| step.as_ref() == Ok(&wanted)) {
            return Ok(());
        }
        let database = self.driver.database()?;
        let chosen: Vec<usize> = (0..steps.len())
            .filter(|&index| steps[index].as_ref() == Ok(&wanted))
            .filter(|&index| {
                database.by_name(&transaction.requests[index].name).as_ref().is_some_and(&differs)
            })
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> =
            chosen.iter().map(|&index| transaction.requests[index].name.as_str()).collect();
        if let Err(problem) = run(&names) {
            for index in chosen {
                results[index] = Err(problem.clone());
            }
        }
        Ok(())
    }

    /// Installs and removes all that is asked for; sets the results of what failed.
    fn install(
        &self,
        steps: &mut Steps,
        transaction: &Transaction<'_>,
        results: &mut [Result<(), Problem>],
        notes: &mut Vec<String>,
    ) -> Result<(), Problem> {
        let before = self.driver.database()?;
        let words = |steps: &Steps, only: Option<usize>| {
            let mut words = Words::default();
            for (index, step) in
                steps.iter().enumerate().filter(|(index, _)| only.is_none_or(|only| only == *index))
            {
                words.take(step, &transaction.requests[index], &before);
            }
            words
        };
        let mut refreshed = false;
        loop {
            let all = words(steps, None);
            if all.is_empty() {
                return Ok(());
            }
            let Err(failed) = self.driver.run(&all, transaction)? else { return Ok(()) };
            let late = Instant::now() >= transaction.deadline;
            if late || *self.driver.database()? != *before {
                return self.fail_unmet(steps, transaction, results, &failed);
            }
            // Refused as a whole, or not even begun.
            let refused = self.single_out(None, steps, transaction)?.1;
            if !refused.is_empty() {
                for (index, problem) in refused {
                    results[index] = Err(problem.clone());
                    steps[index] = Err(Refusal { problem, unknown: false });
                }
                continue;
            }
            if !refreshed && self.refresh(false, 0, transaction.deadline).is_ok() {
                // The index promised what its source has no more: the usual case of an old index.
                refreshed = true;
                notes.push("the package index was out of date: refreshed it and installed again".to_owned());
                let again = self.resolve(&transaction.requests, false, transaction.deadline)?;
                for (index, step) in again.into_iter().enumerate() {
                    if results[index].is_ok() {
                        results[index] = step.as_ref().map(|_| ()).map_err(|refusal| refusal.problem.clone());
                        steps[index] = step;
                    }
                }
                continue;
            }
            // Nobody can say which of them it is: each alone.
            for (index, result) in results.iter_mut().enumerate() {
                let one = words(steps, Some(index));
                if one.is_empty() || is_met(&transaction.requests[index], &*self.driver.database()?) {
                    continue;
                }
                if let Err(failed) = self.driver.run(&one, transaction)? {
                    *result = Err(failed.problem);
                }
            }
            return Ok(());
        }
    }

    /// Fails the requests that are not met now.
    fn fail_unmet(
        &self,
        steps: &Steps,
        transaction: &Transaction<'_>,
        results: &mut [Result<(), Problem>],
        failed: &Failed,
    ) -> Result<(), Problem> {
        let database = self.driver.database()?;
        for (index, (step, request)) in steps.iter().zip(&transaction.requests).enumerate() {
            if !matches!(step, Ok(Step::Install(_) | Step::Remove(..))) || is_met(request, &database) {
                continue;
            }
            let (stem, _) = super::split_architecture(&request.name);
            let problem = failed.problem.clone();
            results[index] = Err(match failed.broken.get(stem) {
                Some(reason) => {
                    let message = format!("{} failed at `{stem}`: {reason}", self.driver.program());
                    Problem { message, ..problem }
                }
                None => problem,
            });
        }
        Ok(())
    }
}

impl Words {
    /// Adds what a step asks for; whether it asks for anything here.
    fn take(&mut self, step: &Result<Step, Refusal>, request: &PackageRequest, database: &Database) -> bool {
        let (list, word) = match step {
            Ok(Step::Install(word)) => (&mut self.install, word),
            Ok(Step::Remove(word, purge)) => {
                self.purge |= purge;
                (&mut self.remove, word)
            }
            _ => return false,
        };
        if !list.contains(word) {
            list.push(word.clone());
        }
        if database.by_name(&request.name).is_some_and(|package| package.held) {
            self.moved.insert(request.name.clone());
        }
        true
    }
}

/// Whether the database has what a request asks for.
fn is_met(request: &PackageRequest, database: &Database) -> bool {
    let installed = database.by_name(&request.name);
    match &request.action {
        PackageAction::Install | PackageAction::Latest => database.installed(&request.name).is_some(),
        PackageAction::InstallVersion(pattern) => {
            installed.is_some_and(|package| version_matches(pattern, &package.version))
        }
        PackageAction::Remove | PackageAction::Purge => installed.is_none(),
        _ => true,
    }
}
