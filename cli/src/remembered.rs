//! What nodes remember, brought into the state database.

use std::collections::{BTreeMap, BTreeSet};

use cm_engine::NodeLedger;
use cm_state::{
    HostRecord, HostResult, HostState, LastChange, NodeResources, RememberedRun, Resource, RunId, StateError,
    Store, TaskOutcome, TaskResult, Timestamp,
};
use cm_wire::LedgerItem;

/// What a node adds to a run's id where it took guarded changes of it back by itself.
const OF_GUARD: &str = ".guard";

/// The last change of a task as a node remembers it.
struct Remembered<'a> {
    item: &'a LedgerItem,
    run: RunId,
}

/// Each task with the newest change of its things. A node is not trusted: what is no run's id is passed over.
fn tasks(ledger: &NodeLedger) -> BTreeMap<&str, Remembered<'_>> {
    let mut tasks: BTreeMap<&str, Remembered<'_>> = BTreeMap::new();
    for item in &ledger.items {
        let Ok(run) = item.run.strip_suffix(OF_GUARD).unwrap_or(&item.run).parse() else { continue };
        let newer = tasks.get(item.task.as_str()).is_none_or(|known| known.item.time < item.time);
        if newer {
            tasks.insert(&item.task, Remembered { item, run });
        }
    }
    tasks
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

/// Forgets resources that a node no longer remembers, after a run that took something back there. After a
/// cleanup, all that is of roles of which nothing is left.
///
/// # Errors
/// When the database cannot be used.
pub fn follow(store: &dyn Store, host: &str, ledger: &NodeLedger, cleaned: bool) -> Result<(), StateError> {
    let tasks = tasks(ledger);
    let roles: BTreeSet<String> = ledger.roles().into_iter().collect();
    let known = store.resources(host)?;
    let gone = |resource: &&Resource| {
        let of_no_role = resource.role.as_deref().is_none_or(|role| !roles.contains(role));
        !tasks.contains_key(&*resource.id) && (resource.changed.is_some() || (cleaned && of_no_role))
    };
    let lost: Vec<&str> = known.iter().filter(gone).map(|resource| &*resource.id).collect();
    if !lost.is_empty() {
        store.forget_resources(host, &lost)?;
    }
    // What several roles wanted is of one that still wants it.
    let wants = |resource: &Resource| {
        let of_task = ledger.items.iter().filter(|item| item.task == *resource.id);
        of_task.map(|item| item.role.as_str()).collect::<BTreeSet<&str>>()
    };
    let mut updates = Vec::new();
    for resource in known.iter().filter(|resource| !gone(resource)) {
        let role = resource.role.as_deref().unwrap_or_default();
        let wants = if roles.contains(role) { BTreeSet::new() } else { wants(resource) };
        if let Some(heir) = wants.first() {
            updates.push(Resource {
                id: resource.id.clone(),
                role: Some((*heir).into()),
                wanted: resource.wanted,
                seen: resource.seen,
                outcome: resource.outcome,
                changed: None,
            });
        }
    }
    if updates.is_empty() {
        return Ok(());
    }
    store.put_resources(&[NodeResources { node: host.to_owned(), updates }])
}

/// What a node remembers of its resources, where it knows more than the database does.
///
/// # Errors
/// When the database cannot be used.
pub fn resources(
    store: &dyn Store,
    host: &str,
    ledger: &NodeLedger,
) -> Result<Option<NodeResources>, StateError> {
    let known: BTreeMap<std::sync::Arc<str>, Resource> =
        store.resources(host)?.into_iter().map(|resource| (resource.id.clone(), resource)).collect();
    let mut updates = Vec::new();
    for (id, Remembered { item, run }) in tasks(ledger) {
        let at = time(item.time);
        let changed = Some(LastChange { at, run });
        let role = Some(item.role.as_str().into()).filter(|role: &std::sync::Arc<str>| !role.is_empty());
        updates.push(match known.get(id) {
            Some(resource) => {
                let newer = |change: &LastChange| changed.as_ref().is_some_and(|new| new.run > change.run);
                if resource.changed.as_ref().is_some_and(|change| !newer(change)) {
                    continue;
                }
                Resource {
                    id: id.into(),
                    role: role.or_else(|| resource.role.clone()),
                    wanted: resource.wanted,
                    seen: resource.seen,
                    outcome: resource.outcome,
                    changed,
                }
            }
            None => Resource {
                id: id.into(),
                role,
                wanted: None,
                seen: None,
                outcome: TaskOutcome::Changed,
                changed,
            },
        });
    }
    Ok((!updates.is_empty()).then(|| NodeResources { node: host.to_owned(), updates }))
}

/// The runs that nodes remember, with what each changed where.
pub fn runs(ledgers: &[(String, NodeLedger)]) -> Vec<RememberedRun> {
    let mut runs: BTreeMap<RunId, RememberedRun> = BTreeMap::new();
    for (host, ledger) in ledgers {
        let mut changed: BTreeMap<&str, BTreeMap<&str, &LedgerItem>> = BTreeMap::new();
        for item in &ledger.items {
            changed.entry(&item.run).or_default().insert(&item.task, item);
        }
        for known in &ledger.runs {
            let Ok(id) = known.run.parse::<RunId>() else { continue };
            let tasks = changed.remove(known.run.as_str()).unwrap_or_default();
            let started = time(known.time);
            let run = runs.entry(id.clone()).or_insert_with(|| RememberedRun {
                id,
                user: known.holder.clone(),
                started,
                ended: true,
                roles: Vec::new(),
                hosts: Vec::new(),
            });
            run.started = run.started.min(started);
            run.ended &= known.ended;
            for item in tasks.values() {
                if !item.role.is_empty() && !run.roles.contains(&item.role) {
                    run.roles.push(item.role.clone());
                }
            }
            // A node notes only runs that change something; what later runs changed again is told of those.
            let state = if known.ended { HostState::Changed } else { HostState::Interrupted };
            if run.hosts.iter().any(|other| other.result.host == *host) {
                continue;
            }
            run.hosts.push(host_record(host, state, started, tasks.into_values()));
        }
    }
    runs.into_values().collect()
}

fn host_record<'a>(
    host: &str,
    state: HostState,
    started: Timestamp,
    items: impl Iterator<Item = &'a LedgerItem>,
) -> HostRecord {
    let task = |item: &LedgerItem| TaskResult {
        role: Some(item.role.as_str().into()).filter(|role: &std::sync::Arc<str>| !role.is_empty()),
        ..TaskResult::new(item.task.clone(), TaskOutcome::Changed)
    };
    HostRecord::from(HostResult {
        host: host.to_owned(),
        state,
        error: None,
        started,
        duration_us: 0,
        tasks: items.map(task).collect(),
    })
}

#[cfg(test)]
mod tests {
    use cm_state::MemoryStore;
    use cm_wire::LedgerRun;

    use super::*;

    const FIRST: &str = "20261122-171530-k3f";
    const SECOND: &str = "20261122-181530-k3f";

    fn item(task: &str, role: &str, run: &str, time: u64) -> LedgerItem {
        LedgerItem {
            item: format!("path:/{task}/{time}"),
            task: task.into(),
            role: role.into(),
            run: run.into(),
            time,
        }
    }

    fn ledger(items: Vec<LedgerItem>) -> NodeLedger {
        let run =
            |run: &str, time, ended| LedgerRun { run: run.into(), holder: "anna@desk".into(), time, ended };
        NodeLedger {
            runs: vec![run(FIRST, 100, true), run(SECOND, 200, false), run("no run", 0, true)],
            items,
        }
    }

    #[test]
    fn a_rebuilt_database_knows_the_newest_change_of_each_task() {
        let store = MemoryStore::new();
        let ledger = ledger(vec![
            item("tree:/srv", "web", SECOND, 210),
            item("tree:/srv", "web", FIRST, 110),
            item("file:/etc/a", "base", FIRST, 111),
            item("file:/etc/b", "base", "../nonsense", 112),
        ]);
        let update = resources(&store, "web1", &ledger).unwrap().unwrap();
        store.put_resources(&[update]).unwrap();
        let known = store.resources("web1").unwrap();
        let told: Vec<(&str, &str)> = known
            .iter()
            .map(|resource| (&*resource.id, resource.changed.as_ref().unwrap().run.as_str()))
            .collect();
        assert_eq!(told, [("file:/etc/a", FIRST), ("tree:/srv", SECOND)]);
        // What is known already stays as it is.
        assert_eq!(resources(&store, "web1", &ledger).unwrap(), None);
        let runs = runs(&[("web1".into(), ledger.clone()), ("web2".into(), ledger)]);
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].ended, runs[1].ended, runs[0].hosts.len()), (true, false, 2));
        assert_eq!(runs[0].roles, ["base", "web"]);
        assert_eq!(runs[0].hosts[0].result.tasks.len(), 2);
    }

    #[test]
    fn what_a_node_took_back_is_forgotten() {
        let store = MemoryStore::new();
        let whole = ledger(vec![item("file:/a", "web", FIRST, 1), item("file:/b", "base", FIRST, 1)]);
        store.put_resources(&[resources(&store, "web1", &whole).unwrap().unwrap()]).unwrap();
        let never_changed = Resource {
            id: "package:nginx".into(),
            role: Some("web".into()),
            wanted: None,
            seen: None,
            outcome: TaskOutcome::Ok,
            changed: None,
        };
        let update = NodeResources { node: "web1".into(), updates: vec![never_changed] };
        store.put_resources(&[update]).unwrap();
        let left = |cleaned| {
            let rest = ledger(vec![item("file:/b", "base", FIRST, 1)]);
            follow(&store, "web1", &rest, cleaned).unwrap();
            let known = store.resources("web1").unwrap();
            known.into_iter().map(|resource| resource.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(false), ["file:/b", "package:nginx"]);
        assert_eq!(left(true), ["file:/b"]);
    }
}
