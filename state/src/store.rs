//! The one door to what is remembered.

use crate::{
    AuditEntry, AuditRecord, Compaction, FailedHosts, HostRecord, HostResult, HostSummary, NewRun, Node,
    NodeResources, NodeUpdate, Pruned, RememberedRun, Resource, Restored, Retention, RunFinish, RunId,
    RunSummary, StateError, TaskFilter, Timestamp,
    ledger::{audit, nodes, remembered, resources, results, retention, rollouts, runs},
    stored::Lesson,
    tables::Transact,
};

/// What `cm` remembers. Every method is one transaction: it happens as a whole or not at all,
/// and is durable when it returns. Methods block (on the disk, and on other processes that use
/// the file); call them off an async runtime's threads.
///
/// # Errors
/// Every method returns a [`StateError`] when the state cannot be used.
pub trait Store: Send + Sync {
    /// Records that a run begins, in the audit log, too, and gives it a name.
    fn begin_run(&self, run: &NewRun) -> Result<RunId, StateError>;
    /// Records what a run did on some hosts, and what was learned of them. Collect what comes
    /// within a moment and hand it over together: the cost is mostly per call.
    fn record_hosts(&self, run: &RunId, hosts: &[HostRecord]) -> Result<(), StateError>;
    /// Records how a run ended, with what it did on the hosts that are not recorded yet. A run that has ended already
    /// keeps its end.
    fn finish_run(
        &self,
        run: &RunId,
        last: &[HostRecord],
        finish: &RunFinish,
    ) -> Result<RunSummary, StateError>;
    /// Ends runs whose controller is gone as interrupted, and returns them, newest first.
    fn close_interrupted(&self, now: Timestamp) -> Result<Vec<RunSummary>, StateError>;
    /// The newest runs first, at most `limit`.
    fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, StateError>;
    /// The run of this id, of the only id that begins so, or of the only one whose last part
    /// (`k3f` of `20261122-171530-k3f`) begins so.
    fn find_run(&self, given: &str) -> Result<RunSummary, StateError>;
    /// Every host of a run, by name, without tasks.
    fn run_hosts(&self, run: &RunId) -> Result<Vec<HostSummary>, StateError>;
    /// What a run did on one host; none: it has no result there.
    fn run_host(&self, run: &RunId, host: &str) -> Result<Option<HostResult>, StateError>;
    /// What a run did on every host that has a result, by name.
    fn run_results(&self, run: &RunId, filter: TaskFilter) -> Result<Vec<HostResult>, StateError>;
    /// What `@failed` stands for; none: no run is over.
    fn failed_hosts(&self) -> Result<Option<FailedHosts>, StateError>;

    /// Puts runs back from what nodes remember. What is there stays as it is.
    fn restore_runs(&self, runs: &[RememberedRun]) -> Result<Restored, StateError>;

    /// Every node, by name.
    fn nodes(&self) -> Result<Vec<Node>, StateError>;
    /// One node.
    fn node(&self, name: &str) -> Result<Option<Node>, StateError>;
    /// The facts (JSON texts) of those of these nodes that have some.
    fn facts(&self, nodes: &[&str]) -> Result<Vec<(String, String)>, StateError>;
    /// Records what was learned of nodes.
    fn upsert_nodes(&self, updates: &[NodeUpdate]) -> Result<(), StateError>;
    /// Forgets a node, its facts and resources; false: it was not known.
    fn forget_node(&self, name: &str) -> Result<bool, StateError>;

    /// The resources of a node, by id.
    fn resources(&self, node: &str) -> Result<Vec<Resource>, StateError>;
    /// Records what was learned of resources.
    fn put_resources(&self, updates: &[NodeResources]) -> Result<(), StateError>;
    /// Forgets these resources of a node.
    fn forget_resources(&self, node: &str, ids: &[&str]) -> Result<(), StateError>;

    /// Adds lines to the audit log.
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StateError>;
    /// The newest lines of the audit log first, at most `limit`.
    fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, StateError>;

    /// Keeps a rollout, replacing what its id had.
    fn put_rollout(&self, id: &str, bytes: &[u8]) -> Result<(), StateError>;
    /// A rollout.
    fn rollout(&self, id: &str) -> Result<Option<Vec<u8>>, StateError>;
    /// The ids of all rollouts, in order.
    fn rollouts(&self) -> Result<Vec<String>, StateError>;

    /// Forgets a rollout, if it is there.
    fn forget_rollout(&self, id: &str) -> Result<(), StateError>;

    /// Takes old runs and lines of the audit log away. The space is used again; [`Store::compact`] gives it back.
    fn prune(&self, retention: &Retention) -> Result<Pruned, StateError>;
    /// Makes the file as small as it can be. Others wait while it lasts.
    fn compact(&self) -> Result<Compaction, StateError>;
}

impl<T: Transact> Store for T {
    fn begin_run(&self, run: &NewRun) -> Result<RunId, StateError> {
        self.write(|tables| runs::begin(tables, run))
    }

    fn record_hosts(&self, run: &RunId, hosts: &[HostRecord]) -> Result<(), StateError> {
        if hosts.is_empty() {
            return Ok(());
        }
        // Packing is most of the work, and needs no lock: do it before others have to wait.
        let packed = results::pack(hosts)?;
        self.write(|tables| results::record(tables, run, &packed, hosts))
    }

    fn finish_run(
        &self,
        run: &RunId,
        last: &[HostRecord],
        finish: &RunFinish,
    ) -> Result<RunSummary, StateError> {
        let packed = results::pack(last)?;
        self.write(|tables| {
            if !last.is_empty() {
                results::record(tables, run, &packed, last)?;
            }
            runs::finish(tables, run, finish)
        })
    }

    fn close_interrupted(&self, now: Timestamp) -> Result<Vec<RunSummary>, StateError> {
        let dead = self.read(|tables| runs::abandoned(tables, now))?;
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|tables| runs::close(tables, &dead, now))
    }

    fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, StateError> {
        self.read(|tables| runs::newest(tables, limit))
    }

    fn find_run(&self, given: &str) -> Result<RunSummary, StateError> {
        self.read(|tables| runs::find(tables, given))
    }

    fn run_hosts(&self, run: &RunId) -> Result<Vec<HostSummary>, StateError> {
        self.read(|tables| results::summaries(tables, run))
    }

    fn run_host(&self, run: &RunId, host: &str) -> Result<Option<HostResult>, StateError> {
        self.read(|tables| results::one(tables, run, host))
    }

    fn run_results(&self, run: &RunId, filter: TaskFilter) -> Result<Vec<HostResult>, StateError> {
        self.read(|tables| results::all(tables, run, filter))
    }

    fn failed_hosts(&self) -> Result<Option<FailedHosts>, StateError> {
        self.read(|tables| results::failed(tables))
    }

    fn restore_runs(&self, runs: &[RememberedRun]) -> Result<Restored, StateError> {
        if runs.is_empty() {
            return Ok(Restored::default());
        }
        let pack = |run: &RememberedRun| {
            run.hosts
                .iter()
                .map(|host| results::pack(std::slice::from_ref(host)))
                .collect::<Result<Vec<_>, _>>()
        };
        let packed = runs.iter().map(pack).collect::<Result<Vec<_>, _>>()?;
        self.write(|tables| remembered::restore(tables, runs, &packed))
    }

    fn nodes(&self) -> Result<Vec<Node>, StateError> {
        self.read(|tables| nodes::all(tables))
    }

    fn node(&self, name: &str) -> Result<Option<Node>, StateError> {
        self.read(|tables| nodes::one(tables, name))
    }

    fn facts(&self, nodes: &[&str]) -> Result<Vec<(String, String)>, StateError> {
        self.read(|tables| nodes::facts(tables, nodes))
    }

    fn upsert_nodes(&self, updates: &[NodeUpdate]) -> Result<(), StateError> {
        if updates.is_empty() {
            return Ok(());
        }
        self.write(|tables| nodes::upsert(tables, updates))
    }

    fn forget_node(&self, name: &str) -> Result<bool, StateError> {
        self.write(|tables| nodes::forget(tables, name))
    }

    fn resources(&self, node: &str) -> Result<Vec<Resource>, StateError> {
        self.read(|tables| resources::all(tables, node))
    }

    fn put_resources(&self, updates: &[NodeResources]) -> Result<(), StateError> {
        if updates.is_empty() {
            return Ok(());
        }
        self.write(|tables| {
            updates.iter().try_for_each(|NodeResources { node, updates }| {
                resources::merge(tables, node, updates, Lesson::of(updates))
            })
        })
    }

    fn forget_resources(&self, node: &str, ids: &[&str]) -> Result<(), StateError> {
        self.write(|tables| resources::forget(tables, node, ids))
    }

    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StateError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(|tables| audit::append(tables, entries))
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, StateError> {
        self.read(|tables| audit::newest(tables, limit))
    }

    fn put_rollout(&self, id: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write(|tables| rollouts::put(tables, id, bytes))
    }

    fn rollout(&self, id: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|tables| rollouts::get(tables, id))
    }

    fn rollouts(&self) -> Result<Vec<String>, StateError> {
        self.read(|tables| rollouts::ids(tables))
    }

    fn forget_rollout(&self, id: &str) -> Result<(), StateError> {
        self.write(|tables| rollouts::forget(tables, id))
    }

    fn prune(&self, retention: &Retention) -> Result<Pruned, StateError> {
        let doomed = self.read(|tables| retention::doomed(tables, retention))?;
        if doomed.runs.is_empty() && doomed.audit_lines == 0 {
            return Ok(doomed);
        }
        self.write(|tables| retention::prune(tables, retention))
    }

    fn compact(&self) -> Result<Compaction, StateError> {
        let (before, after) = self.compact_storage()?;
        Ok(Compaction { before, after })
    }
}
