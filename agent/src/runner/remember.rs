//! What is written down around a change: what things were before, who changes them, what that owes, and what
//! they are afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use cm_modules::{
    Context, Node,
    former::{Former, Item, capture},
    node::SettingKind,
};
use cm_wire::{Event, Mode};
use serde::{Deserialize, Serialize};

use super::{Runner, Surroundings};
use crate::{
    boot::seconds,
    journal::{Journal, OpenTransaction, Owner, Record},
    package_files,
};

/// What owes a daemon-reload; no unit has such a name.
const SYSTEMD: &str = "systemd";
/// Largest passwd(5) and group(5) that are read, in bytes.
const ACCOUNTS_LIMIT: u64 = 64 * 1024 * 1024;

/// Packages and accounts before a transaction of the package manager: what came along is told from it.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    /// Version, asked for, held, by name.
    packages: BTreeMap<String, (String, bool, bool)>,
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Snapshot {
    fn take(node: &dyn Node) -> Result<Self, String> {
        let packages = node.package_list().map_err(|problem| problem.message)?;
        let names = |file: &str| -> BTreeSet<String> {
            let text = node.read(Path::new(file), ACCOUNTS_LIMIT).unwrap_or_default();
            let lines = text.split(|&byte| byte == b'\n');
            lines
                .filter_map(|line| line.split(|&byte| byte == b':').next())
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .filter(|name| !name.is_empty())
                .collect()
        };
        Ok(Self {
            packages: packages
                .into_iter()
                .map(|(name, package)| (name, (package.version, package.manual, package.held)))
                .collect(),
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        })
    }

    /// What has changed since, as it was.
    fn changed(&self, now: &Self) -> Vec<(Item, Former)> {
        let mut changed = Vec::new();
        for (name, (version, manual, held)) in &self.packages {
            if now.packages.get(name).is_none_or(|package| package.0 != *version) {
                let former = Former::Package { version: version.clone(), manual: *manual, held: *held };
                changed.push((Item::Package(name.clone()), former));
            }
        }
        let came = |name: &&String| !self.packages.contains_key(*name);
        let packages = now.packages.keys().filter(came).cloned().map(Item::Package);
        let users = now.users.difference(&self.users).cloned().map(Item::User);
        let groups = now.groups.difference(&self.groups).cloned().map(Item::Group);
        changed.extend(packages.chain(users).chain(groups).map(|item| (item, Former::Absent)));
        changed
    }
}

/// Writes down what a transaction of the package manager brought along; also one that was cut off. Without
/// `lasting` only this run knows it: a plan.
pub(super) fn close_transaction(around: &Surroundings<'_>, lasting: bool) {
    let journal = around.journal;
    let Some(open) = journal.read(|ledger| ledger.open.clone()) else { return };
    // The package manager of a run that was killed may still bring more: what it brings is told later.
    if around.node.packages_busy().is_some() {
        return;
    }
    let closed = brought_along(journal, around.node, &open).and_then(|mut records| {
        records.push(Record::PackagesDone);
        if lasting {
            journal.write(&records).map_err(|error| format!("the journal cannot be written: {error}"))
        } else {
            journal.suppose(&records);
            Ok(())
        }
    });
    if let Err(reason) = closed {
        (around.send)(Event::Note(format!("what packages brought along is not known: {reason}")));
    }
}

/// Waits for a package manager that a killed run left at work: what it brings belongs to what is taken back.
pub(super) fn await_packages(around: &Surroundings<'_>, limit: Duration) {
    let until = Instant::now() + limit;
    let mut told = false;
    while around.journal.read(|ledger| ledger.open.is_some())
        && let Some(holder) = around.node.packages_busy()
        && Instant::now() < until
        && !(around.stopping)()
    {
        if !told {
            (around.send)(Event::Note(format!(
                "waiting for {holder}, which an earlier run has left at work"
            )));
            told = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What has changed since a transaction began.
fn brought_along(journal: &Journal, node: &dyn Node, open: &OpenTransaction) -> Result<Vec<Record>, String> {
    let before: Option<Snapshot> =
        journal.snapshot(&open.snapshot).and_then(|bytes| postcard::from_bytes(&bytes).ok());
    let Some(before) = before else { return Ok(Vec::new()) };
    let changed = before.changed(&Snapshot::take(node)?);
    let items: Vec<Item> = changed.iter().map(|(item, _)| item.clone()).collect();
    let mut records = Vec::new();
    for (item, former) in changed {
        if !journal.read(|ledger| ledger.knows(&item, &open.run)) {
            let run = open.run.clone();
            records.push(Record::Before { item, former, run, time: open.time });
        }
    }
    records.extend(open.owners.iter().map(|owner| Record::Touched {
        owner: owner.clone(),
        items: items.clone(),
        owes: Vec::new(),
        sensitive: false,
        run: open.run.clone(),
        time: open.time,
    }));
    for item in items {
        if let Ok(now) = capture(node, &item, None) {
            records.push(Record::After { item, now, run: open.run.clone() });
        }
    }
    Ok(records)
}

/// Has systemd read its unit files again, where a run that was cut off owes it: what was done, as a sentence.
pub(crate) fn read_units(journal: &Journal, node: &dyn Node) -> Result<Option<String>, String> {
    if !journal.read(|ledger| ledger.owed.contains_key(SYSTEMD)) {
        return Ok(None);
    }
    let deadline = Instant::now() + Duration::from_secs(90);
    if let Err(problem) = node.reload_units(deadline) {
        return Ok(Some(format!("systemd still owes a daemon-reload: {}", problem.message)));
    }
    journal
        .write(&[Record::Paid { service: SYSTEMD.to_owned() }])
        .map_err(|error| format!("the journal cannot be written: {error}"))?;
    Ok(Some("systemd has read its unit files again: a run that was cut off had left that to do".into()))
}

/// Whether nothing is left that every run tries to bring to its end, whatever its catalog.
pub(crate) fn is_at_rest(journal: &Journal) -> bool {
    journal.read(|ledger| ledger.open.is_none() && !ledger.owed.contains_key(SYSTEMD))
}

/// Whether systemd reads it only after a daemon-reload.
fn is_unit_file(item: &Item) -> bool {
    const FOLDERS: [&[u8]; 3] =
        [b"/etc/systemd/system/", b"/usr/lib/systemd/system/", b"/lib/systemd/system/"];
    matches!(item, Item::Path(path) if FOLDERS.iter().any(|folder| path.starts_with(folder)))
}

/// The debt of a task that writes unit files, apart from the restarts it owes.
fn reading(task: &str) -> String {
    format!("daemon-reload after {task}")
}

/// Why a change cannot be written down, and so cannot be made.
pub(super) struct Unremembered {
    pub(super) reason: String,
    /// The journal itself takes nothing any more: no other change can be made either.
    pub(super) for_all: bool,
}

impl From<String> for Unremembered {
    fn from(reason: String) -> Self {
        Self { reason, for_all: false }
    }
}

impl Unremembered {
    fn by_the_journal(error: &std::io::Error) -> Self {
        Self { reason: format!("the journal cannot be written: {error}"), for_all: true }
    }
}

impl Runner<'_> {
    fn owners(&self, task: u32) -> Vec<Owner> {
        let task = &self.slots[task as usize].task;
        std::iter::once(&task.role)
            .chain(&task.also)
            .map(|role| Owner { role: role.clone(), task: task.id.clone() })
            .collect()
    }

    fn owes(&self, task: u32) -> Vec<(String, crate::journal::Owes)> {
        let notify = &self.slots[task as usize].task.notify;
        notify
            .iter()
            .filter_map(|notify| {
                Some((self.slots[notify.task as usize].service.clone()?, notify.notice.into()))
            })
            .collect()
    }

    fn touched(&self, task: u32, items: &[Item], time: u64) -> impl Iterator<Item = Record> {
        let slot = &self.slots[task as usize];
        // What the node takes back has the owners it had.
        let owners = if slot.added.is_some() { Vec::new() } else { self.owners(task) };
        let (owes, sensitive, run) = (self.owes(task), slot.task.sensitive, self.begin.run.clone());
        let items = items.to_vec();
        owners.into_iter().map(move |owner| Record::Touched {
            owner,
            items: items.clone(),
            owes: owes.clone(),
            sensitive,
            run: run.clone(),
            time,
        })
    }

    /// A unit that is met for the first time, and came with a package that `cm` brought in an earlier run (one
    /// that was cut off before its service was looked at): before that run it was not there.
    fn came_with_package(&self, item: &Item, now: &Former) -> Vec<Record> {
        let Item::Unit(name) = item else { return Vec::new() };
        let brought: Vec<(String, String, u64)> = self.around.journal.read(|ledger| {
            if ledger.items.get(item).is_some_and(|memory| memory.original().is_some()) {
                return Vec::new();
            }
            let packages = ledger.items.iter().filter_map(|(item, memory)| match item {
                Item::Package(name) if memory.original() == Some(&Former::Absent) => {
                    let first = memory.versions.get(memory.base)?;
                    (first.run != self.begin.run).then(|| (name.clone(), first.run.clone(), first.time))
                }
                _ => None,
            });
            packages.collect()
        });
        if brought.is_empty() {
            return Vec::new();
        }
        let node = self.around.node;
        let Some(file) = package_files::fragment(node, name) else { return Vec::new() };
        let Some((_, run, time)) =
            brought.into_iter().find(|(package, ..)| package_files::belongs(node, &file, package))
        else {
            return Vec::new();
        };
        let absent =
            Former::Unit { load: "not-found".into(), active: "inactive".into(), file: String::new() };
        vec![
            Record::Before { item: item.clone(), former: absent, run: run.clone(), time },
            Record::After { item: item.clone(), now: now.clone(), run },
        ]
    }

    /// How the module is asked that manages a thing, where that was not so before.
    fn how_to_ask(&self, item: &Item) -> Option<Record> {
        let Item::Setting(SettingKind::Custom, key) = item else { return None };
        let call = self.around.node.known(key)?;
        let is_known = self.around.journal.read(|ledger| ledger.calls.get(key) == Some(&call));
        (!is_known).then(|| Record::Module { key: key.clone(), call })
    }

    /// Writes down what is there, who changes it and what that owes, before the change. The things of each
    /// task.
    pub(super) fn remember(&self, tasks: &[u32]) -> Result<Vec<Vec<Item>>, Unremembered> {
        let time = seconds();
        let (run, journal, node) = (&self.begin.run, self.around.journal, self.around.node);
        let mut records = Vec::new();
        let mut all = Vec::with_capacity(tasks.len());
        let mut known: BTreeSet<Item> = BTreeSet::new();
        for &task in tasks {
            let slot = &self.slots[task as usize];
            let keeps = |context: &Context<'_>| slot.resource.keeps(context);
            let things = self.with_context(task as usize, &[], true, false, &keeps);
            let mut items: Vec<Item> = things.iter().filter_map(Item::of).collect();
            cm_modules::in_order::sort(&mut items);
            items.dedup();
            for item in &items {
                if known.insert(item.clone()) && !journal.read(|ledger| ledger.knows(item, run)) {
                    let initial = slot.initial.iter().find(|(known, _)| known == item);
                    let former = match initial {
                        Some((_, former)) => former.clone(),
                        None => capture(node, item, Some(journal)).map_err(|problem| {
                            format!("what is there cannot be kept: {}", problem.message)
                        })?,
                    };
                    if let Former::File(file) = &former
                        && !file.kept
                    {
                        (self.around.send)(Event::Note(format!(
                            "the former content of {item} ({} bytes) is not kept: there is no room within \
                             `journal_limit`; it cannot be rolled back",
                            file.size
                        )));
                    }
                    records.extend(self.came_with_package(item, &former));
                    records.push(Record::Before { item: item.clone(), former, run: run.clone(), time });
                }
                records.extend(self.how_to_ask(item));
            }
            records.extend(self.touched(task, &items, time));
            records.extend(self.owes(task).into_iter().map(|(service, notice)| Record::Owed {
                service,
                notice,
                because: slot.task.id.clone(),
                run: run.clone(),
            }));
            if items.iter().any(is_unit_file) {
                records.push(Record::Owed {
                    service: SYSTEMD.to_owned(),
                    notice: crate::journal::Owes::Reload,
                    because: reading(&slot.task.id),
                    run: run.clone(),
                });
            }
            all.push(items);
        }
        let mut changers =
            tasks.iter().filter(|task| self.slots[**task as usize].changes_packages()).peekable();
        let packages = changers.peek().is_some();
        // What comes along with what the node takes back is nobody's.
        let wanted = changers.filter(|task| self.slots[**task as usize].added.is_none());
        let owners: Vec<Owner> = wanted.flat_map(|task| self.owners(*task)).collect();
        let open = journal.read(|ledger| ledger.open.clone());
        if let Some(open) = open.filter(|_| packages) {
            // Begun by a run that was killed: what it had not brought yet comes with ours.
            let owners = open.owners.into_iter().chain(owners).collect::<BTreeSet<_>>();
            records.push(Record::Packages {
                snapshot: open.snapshot,
                owners: owners.into_iter().collect(),
                run: open.run,
                time: open.time,
            });
        } else if packages {
            let snapshot =
                postcard::to_extend(&Snapshot::take(node)?, Vec::new()).map_err(|error| error.to_string())?;
            let snapshot = journal
                .keep_bytes(&snapshot)
                .map_err(|error| format!("the list of packages cannot be kept: {error}"))?;
            records.push(Record::Packages { snapshot, owners, run: run.clone(), time });
        }
        journal.write(&records).map_err(|error| Unremembered::by_the_journal(&error))?;
        Ok(all)
    }

    /// Writes down what a task left, and forgives what it owes where that is what was there before.
    pub(super) fn remember_after(&self, task: u32, items: &[Item], well: bool) {
        let (run, journal) = (&self.begin.run, self.around.journal);
        let slot = &self.slots[task as usize];
        let mut records = Vec::new();
        let mut untouched = true;
        for item in items {
            let Ok(now) = capture(self.around.node, item, None) else {
                untouched = false;
                continue;
            };
            let former = journal.read(|ledger| {
                let version = ledger.items.get(item)?.versions.last()?;
                (version.run == *run).then(|| version.former.clone())
            });
            untouched &= former.is_some_and(|former| former.same(&now));
            records.push(Record::After { item: item.clone(), now, run: run.clone() });
        }
        if !well && untouched && !items.is_empty() && !slot.task.notify.is_empty() {
            records.push(Record::Forgiven { because: slot.task.id.clone(), run: run.clone() });
        }
        if well && items.iter().any(is_unit_file) {
            records.push(Record::Forgiven { because: reading(&slot.task.id), run: run.clone() });
        }
        if let Some(added) = slot.added.as_ref().filter(|added| well && added.release) {
            records.push(Record::Released { items: vec![added.item.clone()], roles: None });
        }
        self.note_down(&records);
    }

    /// Writes down units that something else of the run brought as they are wanted: they were not so before.
    pub(super) fn brought(&self, task: u32) {
        let slot = &self.slots[task as usize];
        if self.begin.mode != Mode::Apply || slot.initial.is_empty() {
            return;
        }
        let (run, journal, time) = (&self.begin.run, self.around.journal, seconds());
        let mut records = Vec::new();
        for (item, former) in &slot.initial {
            if !journal.read(|ledger| ledger.knows(item, run)) {
                let former = former.clone();
                records.extend(self.came_with_package(item, &former));
                records.push(Record::Before { item: item.clone(), former, run: run.clone(), time });
            }
        }
        let items: Vec<Item> = slot.initial.iter().map(|(item, _)| item.clone()).collect();
        records.extend(self.touched(task, &items, time));
        self.note_down(&records);
        self.remember_after(task, &items, true);
    }

    /// A task that found everything as wanted, where an earlier run made it so: its role wants it, too.
    pub(super) fn claim(&self, task: u32) {
        let slot = &self.slots[task as usize];
        if self.begin.mode != Mode::Apply || slot.made.is_empty() {
            return;
        }
        let owners = self.owners(task);
        let items: Vec<Item> = self.around.journal.read(|ledger| {
            let unclaimed = |item: &&Item| {
                ledger.items.get(*item).is_some_and(|memory| {
                    // Nobody wants it where a rollback of a rollback put it there: then this role does again.
                    let is_ours = !memory.owners.is_empty() || memory.original().is_some();
                    is_ours && owners.iter().any(|owner| !memory.owners.contains_key(owner))
                })
            };
            slot.made.iter().filter(unclaimed).cloned().collect()
        });
        if !items.is_empty() {
            let records: Vec<Record> = self.touched(task, &items, seconds()).collect();
            self.note_down(&records);
        }
    }

    /// What was taken back before it was looked at belongs to nobody any more either.
    pub(super) fn release(&self, task: u32) {
        let slot = &self.slots[task as usize];
        if let Some(added) = slot.added.as_ref().filter(|added| added.release)
            && self.begin.mode == Mode::Apply
        {
            self.note_down(&[Record::Released { items: vec![added.item.clone()], roles: None }]);
        }
    }

    fn note_down(&self, records: &[Record]) {
        if let Err(error) = self.around.journal.write_soon(records) {
            (self.around.send)(Event::Note(format!("the journal cannot be written: {error}")));
        }
    }
}
