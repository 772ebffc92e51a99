//! What the journal says, put together: for each thing its states, run by run, and who wants it.

use std::collections::{BTreeMap, HashSet};

use cm_modules::{
    custom::Call,
    former::{Former, Item},
    node::SettingKind,
};
use cm_wire::{Digest, Notice};

use super::record::{Owes, Owner, Record};

/// The journal's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Runs that changed something, the oldest first.
    pub runs: Vec<RunMemory>,
    /// Things that `cm` changed.
    pub items: BTreeMap<Item, Memory>,
    /// How modules of the repository are asked, by the key of the setting that each manages.
    pub calls: BTreeMap<String, Call>,
    /// What services owe.
    pub owed: BTreeMap<String, Vec<Debt>>,
    /// A transaction of the package manager that has not come to its end.
    pub open: Option<OpenTransaction>,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunMemory {
    /// Its id.
    pub id: String,
    /// Who ran it.
    pub holder: String,
    /// Seconds since 1970.
    pub time: u64,
    /// It came to its end.
    pub ended: bool,
}

/// What is known of a thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Its states, one a run that changed it, the oldest first.
    pub versions: Vec<Version>,
    /// The first version since nobody wanted it: its former state is that before `cm`.
    pub base: usize,
    /// Who wants it.
    pub owners: BTreeMap<Owner, Claim>,
}

/// One run's change of a thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The run.
    pub run: String,
    /// Seconds since 1970.
    pub time: u64,
    /// What it was.
    pub former: Former,
    /// What it became; none where the run was cut off.
    pub after: Option<Former>,
    /// Nobody wanted it before: its former state is not of `cm`'s making.
    pub fresh: bool,
}

/// What a task's wish for a thing entails.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The run that said so last.
    pub run: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// What is owed to services when the thing changes.
    pub owes: Vec<(String, Owes)>,
    /// Its content is never shown.
    pub sensitive: bool,
}

/// A restart or reload that is owed.
#[derive(Clone, Debug, PartialEq)]
pub struct Debt {
    /// Which.
    pub notice: Owes,
    /// Because of which task.
    pub because: String,
    /// In which run.
    pub run: String,
}

/// A transaction of the package manager that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenTransaction {
    /// The kept snapshot of what was there before.
    pub snapshot: Digest,
    /// Who wants it.
    pub owners: Vec<Owner>,
    /// The run.
    pub run: String,
    /// Seconds since 1970.
    pub time: u64,
}

impl Memory {
    /// What the thing was before `cm` first touched it for those who want it now.
    #[must_use]
    pub fn original(&self) -> Option<&Former> {
        self.versions.get(self.base).map(|version| &version.former)
    }

    /// What the last change left; none where nobody knows.
    #[must_use]
    pub fn left(&self) -> Option<&Former> {
        self.versions.last().and_then(|version| version.after.as_ref())
    }
}

impl Ledger {
    /// Takes in a record.
    pub fn note(&mut self, record: &Record) {
        match record {
            Record::Began { run, holder, time } => {
                if !self.runs.iter().any(|known| known.id == *run) {
                    let (id, holder) = (run.clone(), holder.clone());
                    self.runs.push(RunMemory { id, holder, time: *time, ended: false });
                }
            }
            Record::Before { item, former, run, time } => {
                let memory = self.items.entry(item.clone()).or_default();
                if memory.versions.last().is_none_or(|version| version.run != *run) {
                    memory.versions.push(Version {
                        run: run.clone(),
                        time: *time,
                        former: former.clone(),
                        after: None,
                        fresh: memory.base == memory.versions.len(),
                    });
                }
            }
            Record::Touched { owner, items, owes, sensitive, run, time } => {
                for item in items {
                    let memory = self.items.entry(item.clone()).or_default();
                    let claim =
                        Claim { run: run.clone(), time: *time, owes: owes.clone(), sensitive: *sensitive };
                    memory.owners.insert(owner.clone(), claim);
                }
            }
            Record::After { item, now, run } => {
                if let Some(version) = self.items.get_mut(item).and_then(|memory| memory.versions.last_mut())
                    && version.run == *run
                {
                    version.after = Some(now.clone());
                }
            }
            Record::Owed { service, notice, because, run } => {
                let owed = self.owed.entry(service.clone()).or_default();
                if !owed.iter().any(|debt| debt.notice == *notice && debt.because == *because) {
                    owed.push(Debt { notice: *notice, because: because.clone(), run: run.clone() });
                }
            }
            Record::Paid { service } => {
                self.owed.remove(service);
            }
            Record::Forgiven { because, run } => {
                self.owed.retain(|_, debts| {
                    debts.retain(|debt| debt.because != *because || debt.run != *run);
                    !debts.is_empty()
                });
            }
            Record::Packages { snapshot, owners, run, time } => {
                self.open = Some(OpenTransaction {
                    snapshot: *snapshot,
                    owners: owners.clone(),
                    run: run.clone(),
                    time: *time,
                });
            }
            Record::PackagesDone => self.open = None,
            Record::Released { items, roles } => {
                for item in items {
                    let Some(memory) = self.items.get_mut(item) else { continue };
                    match roles {
                        None => memory.owners.clear(),
                        Some(roles) => memory.owners.retain(|owner, _| !roles.contains(&owner.role)),
                    }
                    if memory.owners.is_empty() {
                        memory.base = memory.versions.len();
                    }
                }
            }
            Record::Ended { run } => {
                if let Some(known) = self.runs.iter_mut().find(|known| known.id == *run) {
                    known.ended = true;
                }
            }
            Record::Dropped { contents } => self.drop_contents(contents),
            Record::Module { key, call } => {
                self.calls.insert(key.clone(), call.clone());
            }
        }
    }

    fn drop_contents(&mut self, contents: &[Digest]) {
        for version in self.items.values_mut().flat_map(|memory| &mut memory.versions) {
            if let Former::File(file) = &mut version.former
                && file.kept
                && contents.contains(&file.content)
            {
                file.kept = false;
            }
        }
    }

    /// Whether a thing's former state of this run is written down.
    #[must_use]
    pub fn knows(&self, item: &Item, run: &str) -> bool {
        self.items
            .get(item)
            .and_then(|memory| memory.versions.last())
            .is_some_and(|version| version.run == run)
    }

    /// What a service owes, with the tasks that made it so.
    #[must_use]
    pub fn owed(&self, service: &str) -> Vec<(Notice, String)> {
        let debts = self.owed.get(service).map(Vec::as_slice).unwrap_or_default();
        debts.iter().map(|debt| (debt.notice.into(), debt.because.clone())).collect()
    }

    /// Contents that former states refer to, with their lengths in bytes.
    pub fn contents(&self) -> BTreeMap<Digest, u64> {
        let versions = self.items.values().flat_map(|memory| &memory.versions);
        let mut contents: BTreeMap<Digest, u64> =
            versions.filter_map(|version| version.former.kept()).collect();
        contents.extend(self.open.as_ref().map(|open| (open.snapshot, 0)));
        contents
    }

    /// Contents that only go back to a state in between, of the oldest runs first: what may go when there
    /// is no room; then those of the first states, the largest first.
    #[must_use]
    pub fn expendable(&self) -> Vec<(Digest, u64)> {
        let order = |run: &str| self.runs.iter().position(|known| known.id == run);
        let mut first: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut between: Vec<(Option<usize>, Digest, u64)> = Vec::new();
        for memory in self.items.values() {
            for (place, version) in memory.versions.iter().enumerate() {
                let Some((digest, size)) = version.former.kept() else { continue };
                if place == memory.base {
                    first.insert(digest, size);
                } else {
                    between.push((order(&version.run), digest, size));
                }
            }
        }
        between.retain(|(_, digest, _)| !first.contains_key(digest));
        cm_modules::in_order::sort(&mut between);
        let mut all: Vec<(Digest, u64)> =
            between.into_iter().map(|(_, digest, size)| (digest, size)).collect();
        let mut first: Vec<(Digest, u64)> = first.into_iter().collect();
        cm_modules::in_order::sort_by(&mut first, |one, other| other.1.cmp(&one.1));
        all.extend(first);
        let mut seen = HashSet::new();
        all.retain(|(digest, _)| seen.insert(*digest));
        all
    }

    /// Forgets states in between of all but the newest runs, and things nobody wants that only they knew.
    pub fn forget_old(&mut self, newest: usize) {
        let old: HashSet<String> = {
            let count = self.runs.len().saturating_sub(newest);
            self.runs.drain(..count).map(|run| run.id).collect()
        };
        for memory in self.items.values_mut() {
            let mut place = 0;
            let base = memory.base;
            let mut gone_before_base = 0;
            memory.versions.retain(|version| {
                let keep = place == base || !old.contains(&version.run);
                if !keep && place < base {
                    gone_before_base += 1;
                }
                place += 1;
                keep
            });
            memory.base -= gone_before_base;
        }
        self.items.retain(|_, memory| !memory.versions.is_empty() || !memory.owners.is_empty());
    }

    /// Records that say all this and nothing else.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for run in &self.runs {
            let (id, holder) = (run.id.clone(), run.holder.clone());
            records.push(Record::Began { run: id.clone(), holder, time: run.time });
            if run.ended {
                records.push(Record::Ended { run: id });
            }
        }
        for (item, memory) in &self.items {
            let release = || Record::Released { items: vec![item.clone()], roles: None };
            for (place, version) in memory.versions.iter().enumerate() {
                if version.fresh && place > 0 {
                    records.push(release());
                }
                let run = version.run.clone();
                records.push(Record::Before {
                    item: item.clone(),
                    former: version.former.clone(),
                    run: run.clone(),
                    time: version.time,
                });
                if let Some(now) = version.after.clone() {
                    records.push(Record::After { item: item.clone(), now, run });
                }
            }
            if memory.base == memory.versions.len() && memory.base > 0 {
                records.push(release());
            }
            for (owner, claim) in &memory.owners {
                records.push(Record::Touched {
                    owner: owner.clone(),
                    items: vec![item.clone()],
                    owes: claim.owes.clone(),
                    sensitive: claim.sensitive,
                    run: claim.run.clone(),
                    time: claim.time,
                });
            }
        }
        let known = |key: &str| self.items.contains_key(&Item::Setting(SettingKind::Custom, key.to_owned()));
        records.extend(
            self.calls
                .iter()
                .filter(|(key, _)| known(key))
                .map(|(key, call)| Record::Module { key: key.clone(), call: call.clone() }),
        );
        for (service, debts) in &self.owed {
            records.extend(debts.iter().map(|debt| Record::Owed {
                service: service.clone(),
                notice: debt.notice,
                because: debt.because.clone(),
                run: debt.run.clone(),
            }));
        }
        records.extend(self.open.as_ref().map(|open| Record::Packages {
            snapshot: open.snapshot,
            owners: open.owners.clone(),
            run: open.run.clone(),
            time: open.time,
        }));
        records
    }
}
