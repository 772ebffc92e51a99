//! Groups by rule (`where:`), before a command chooses its hosts: first by what is remembered, then by asking those hosts
//! whose facts decide.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cm_engine::{OtherFacts, RunEvent, Stop};
use cm_plan::{KnownHost, Members};
use cm_state::{HostState, Lifecycle, NodeUpdate, RedbStore, Store, Timestamp};
use cm_wire::{Facts, Mode};

use super::{Fleet, Selection, open_store, state_failure};
use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    options::{Options, RunArguments},
};

/// Runs that are looked through for whether hosts answered.
const RUNS: usize = 50;

/// What was learned of hosts when they were asked.
#[derive(Default)]
struct Asked {
    facts: HashMap<String, Arc<Facts>>,
    unreachable: BTreeSet<String>,
}

/// What the state database knows of hosts.
#[derive(Default)]
struct Remembered {
    facts: OtherFacts,
    lifecycles: HashMap<String, Lifecycle>,
    /// Whether a host answered in the last run it was part of.
    answered: HashMap<String, bool>,
}

impl Fleet {
    /// Puts hosts into groups with rules by what is remembered of them.
    pub(super) fn remember_members(mut self) -> Result<Self, Failure> {
        if !self.project.has_rules() {
            return Ok(self);
        }
        let remembered = self.remembered();
        let members = self.members(&remembered, &Asked::default())?;
        self.put(members)?;
        Ok(self)
    }

    /// Puts hosts into groups with rules by what they say now. Hosts that can fit are asked for their facts: those of the
    /// target, or all where the target names a group with a rule. Of a host that does not answer, the last facts count;
    /// one of which nothing is known is told and left out. Does nothing where no group has a rule.
    ///
    /// # Errors
    /// When a rule is wrong or the target means nothing.
    pub fn resolve(self, options: &Options, target: &str, arguments: &RunArguments) -> Result<Self, Failure> {
        if !self.project.has_rules() {
            return Ok(self);
        }
        drive::runtime()?.block_on(self.resolve_now(options, target, arguments))
    }

    /// [`Fleet::resolve`] for those who have a runtime already.
    ///
    /// # Errors
    /// As there.
    pub async fn resolve_now(
        mut self,
        options: &Options,
        target: &str,
        arguments: &RunArguments,
    ) -> Result<Self, Failure> {
        if !self.project.has_rules() {
            return Ok(self);
        }
        let remembered = self.remembered();
        // Without any facts: what is decided then needs nobody to be asked.
        let without = Remembered { facts: OtherFacts::new(), ..self.remembered() };
        let open: BTreeSet<String> = self.members(&without, &Asked::default())?.unknown.into_keys().collect();
        let names_rule = [Some(target), arguments.limit.as_deref()];
        let everyone = names_rule.into_iter().flatten().any(|text| self.project.names_rule(text));
        let inventory = self.project.inventory();
        let mut hosts = if everyone {
            inventory.hosts().map(|(id, _)| id).collect()
        } else {
            self.select(target, arguments)?.hosts
        };
        hosts.retain(|host| open.contains(inventory.host(*host).name()));
        if hosts.is_empty() {
            return Ok(self);
        }
        if options.verbosity() > 0 && !options.json {
            let count = hosts.len();
            let noun = if count == 1 { "host" } else { "hosts" };
            anstream::eprintln!("asking {count} {noun} for the facts that groups with rules want");
        }
        let wanted: BTreeSet<String> =
            hosts.iter().map(|host| inventory.host(*host).name().to_owned()).collect();
        let asked = self.ask(Selection { hosts }, arguments).await?;
        self.keep(&asked);
        let members = self.members(&remembered, &asked)?;
        for (host, groups) in members.unknown.iter().filter(|(host, _)| wanted.contains(*host)) {
            anstream::eprintln!(
                "warning: `{host}` could not be reached, and nothing is known of it: left out of {}",
                groups.iter().map(|group| format!("`{group}`")).collect::<Vec<_>>().join(", ")
            );
        }
        self.left_out |= members.unknown.keys().any(|host| wanted.contains(host));
        self.put(members)?;
        Ok(self)
    }

    /// The exit code of a command on hosts: one that was left out because it could not be reached counts as that.
    pub fn exit(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Input | Exit::Interrupted => exit,
            _ if self.left_out => Exit::Unreachable,
            _ => exit,
        }
    }

    /// Hosts of which it cannot be said whether they belong to groups with rules, with the groups.
    pub fn undecided(&self) -> &BTreeMap<String, Vec<String>> {
        &self.undecided
    }

    fn put(&mut self, members: Members) -> Result<(), Failure> {
        self.project = self
            .project
            .with_members(&members.groups)
            .map_err(|error| Failure::Diagnostics(error.diagnostics, error.sources))?;
        self.undecided = members.unknown;
        // How hosts are reached may hang on their groups.
        self.resolvers.clear();
        self.make_resolvers();
        Ok(())
    }

    fn members(&self, remembered: &Remembered, asked: &Asked) -> Result<Members, Failure> {
        let known = |host: &str| KnownHost {
            facts: asked.facts.get(host).or_else(|| remembered.facts.get(host)).cloned(),
            lifecycle: lifecycle(remembered.lifecycles.get(host)).to_owned(),
            reachable: asked.facts.contains_key(host)
                || (!asked.unreachable.contains(host)
                    && remembered.answered.get(host).copied().unwrap_or_default()),
        };
        self.project
            .members(&known)
            .map_err(|diagnostics| Failure::Diagnostics(diagnostics, self.project.sources().clone()))
    }

    fn remembered(&self) -> Remembered {
        // No database is made for a look.
        if !self.state_file().exists() {
            return Remembered::default();
        }
        let mut known = Remembered { facts: self.remembered_facts(), ..Remembered::default() };
        let Ok(store) = RedbStore::open(self.state_file()) else { return known };
        for node in store.nodes().unwrap_or_default() {
            if node.last_seen.is_some() {
                known.answered.insert(node.name.clone(), true);
            }
            known.lifecycles.insert(node.name, node.lifecycle);
        }
        let mut seen = BTreeSet::new();
        for run in store.runs(RUNS).unwrap_or_default() {
            for host in store.run_hosts(&run.id).unwrap_or_default() {
                let answered = match host.state {
                    HostState::Unreachable => false,
                    HostState::Ok | HostState::Changed | HostState::Failed => true,
                    _ => continue,
                };
                // Runs come newest first.
                if seen.insert(host.host.clone()) {
                    known.answered.insert(host.host, answered);
                }
            }
        }
        known
    }

    /// Asks hosts for their facts, all at once whatever their order.
    async fn ask(&self, selection: Selection, arguments: &RunArguments) -> Result<Asked, Failure> {
        let mut run = self.run(selection, arguments, Mode::Verify, "facts".into(), None)?;
        run.stages = vec![run.stages.into_iter().flatten().collect()];
        let mut asked = Asked {
            facts: HashMap::new(),
            unreachable: run.stages.iter().flatten().map(|target| target.name.to_string()).collect(),
        };
        let (sender, mut events) = cm_engine::event_channel();
        let work = tokio::spawn(cm_engine::run(run, Stop::default(), sender));
        while let Some(event) = events.recv().await {
            if let RunEvent::Connected { host, facts, .. } = event {
                asked.unreachable.remove(&*host);
                asked.facts.insert(host.to_string(), facts);
            }
        }
        work.await.map_err(|error| Failure::because("asking for facts ended by a bug of cm", &error))?;
        Ok(asked)
    }

    /// Remembers the facts; a database that fails must not keep anybody from going on.
    fn keep(&self, asked: &Asked) {
        let now = Timestamp::now();
        let updates: Vec<NodeUpdate> = asked
            .facts
            .iter()
            .map(|(host, facts)| NodeUpdate {
                seen: Some(now),
                boot_id: Some(facts.boot_id.clone()),
                facts: serde_json::to_string(facts.as_ref()).ok(),
                ..NodeUpdate::new(host.clone())
            })
            .collect();
        let kept = open_store(&self.state_file()).and_then(|store| store.upsert_nodes(&updates));
        if let Err(error) = kept {
            let failure = state_failure(error);
            anstream::eprintln!("warning: the facts of hosts could not be recorded: {failure}");
        }
    }
}

fn lifecycle(known: Option<&Lifecycle>) -> &'static str {
    match known {
        None | Some(Lifecycle::Discovered) => "discovered",
        Some(Lifecycle::Commissioning) => "commissioning",
        Some(Lifecycle::Commissioned) => "commissioned",
        Some(Lifecycle::Cordoned) => "cordoned",
        Some(Lifecycle::Decommissioning) => "decommissioning",
        Some(Lifecycle::Decommissioned) => "decommissioned",
    }
}
