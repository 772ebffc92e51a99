//! What was cut short before, by a crash, a full disk or somebody's `kill`, is brought to its end before a
//! transaction: apt and dpkg refuse to work otherwise, or fail at things that nobody has asked for.
//!
//! Nothing is ever removed for it: what only a removal would mend is left to a person.

use crate::{
    Problem,
    node::{PackageAction, PackageRequest, Transaction},
    real::dpkg,
};

use super::{
    Apt,
    output::{self, complaints},
    transaction::to_words,
};

impl Apt<'_> {
    /// Brings to its end what was interrupted. What cannot be is noted; the transaction then tells what it meets.
    pub(super) fn mend(&self, transaction: &Transaction<'_>, notes: &mut Vec<String>) -> Result<(), Problem> {
        let interrupted = dpkg::was_interrupted(self.root);
        if !interrupted && !self.database()?.is_broken() {
            return Ok(());
        }
        let mut failed = None;
        if interrupted {
            let argv = to_words(&["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"]);
            let finished = self.run(argv, None, transaction.deadline)?;
            if finished.success() {
                notes.push(
                    "dpkg had been interrupted: `dpkg --configure -a` brought its work to an end first"
                        .to_owned(),
                );
            } else {
                failed = Some(complaints(&finished.output).join("; "));
            }
        }
        self.unpack_again(transaction, notes)?;
        self.fetch_missing(transaction, notes)?;
        if let Some(complaints) = failed
            && self.database()?.is_broken()
        {
            notes.push(format!("dpkg had been interrupted, and `dpkg --configure -a` failed: {complaints}"));
        }
        Ok(())
    }

    /// Packages that dpkg was stopped at while it unpacked them: `dpkg --configure -a` cannot help them, and apt
    /// takes them for installed and configures what needs them first, in vain.
    fn unpack_again(&self, transaction: &Transaction<'_>, notes: &mut Vec<String>) -> Result<(), Problem> {
        let mut halves = self.database()?.half_installed();
        halves.retain(|(name, _)| !goes(name, &transaction.requests));
        if halves.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = halves.iter().map(|(name, _)| name.clone()).collect();
        let mut words = vec!["--reinstall".to_owned(), "--".to_owned()];
        words.extend(names.iter().cloned());
        if !self.mends(words, transaction)? {
            return Ok(());
        }
        // It makes them asked for, which they were not.
        let auto: Vec<&str> =
            halves.iter().filter(|(_, manual)| !manual).map(|(name, _)| name.as_str()).collect();
        if !auto.is_empty() {
            self.run_marked(&["apt-mark", "auto", "--"], &auto, transaction.deadline)?;
        }
        notes.push(format!(
            "dpkg had been stopped while it unpacked {}: installed again first",
            names.join(", ")
        ));
        Ok(())
    }

    /// What unpacked packages need and is not there.
    fn fetch_missing(&self, transaction: &Transaction<'_>, notes: &mut Vec<String>) -> Result<(), Problem> {
        if self.database()?.is_broken() && self.mends(vec!["--fix-broken".to_owned()], transaction)? {
            notes.push(
                "packages lacked what they depend on: `apt-get --fix-broken install` installed it first"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Runs `apt-get install` with these words where that would install something and remove nothing. Whether it did.
    fn mends(&self, words: Vec<String>, transaction: &Transaction<'_>) -> Result<bool, Problem> {
        let install = ["apt-get", "install", "-y", "-q", "-o", "Dpkg::Use-Pty=0"];
        let keeping = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
        let argv = |more: &[&str]| {
            let mut argv = to_words(&install);
            argv.extend(to_words(more));
            argv.extend(words.iter().cloned());
            argv
        };
        let would = self.run(argv(&["-s"]), None, transaction.deadline)?;
        let simulated = output::simulated(&would.output.stdout);
        if !would.success() || simulated.installed.is_empty() || !simulated.removed.is_empty() {
            return Ok(false);
        }
        Ok(self.run(argv(&keeping), None, transaction.deadline)?.success())
    }
}

/// Whether the package, `name:arch`, is to be taken off anyhow.
fn goes(package: &str, requests: &[PackageRequest]) -> bool {
    let bare = package.split(':').next().unwrap_or(package);
    requests.iter().any(|request| {
        (request.name == bare || request.name == package)
            && matches!(request.action, PackageAction::Remove | PackageAction::Purge)
    })
}
