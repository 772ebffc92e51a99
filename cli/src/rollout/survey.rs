//! What is known of a rollout's hosts before it begins, and when its targets are computed again: whether they answer, their facts,
//! their failure domain, and what is rolled out on them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cm_engine::{OtherFacts, Planner, RunEvent, Stop, catalog_digest};
use cm_plan::{FactsBook, RolloutSpec, Written};
use cm_rollout::{Key, Target};
use cm_wire::{Facts, Mode};

use crate::{
    chosen::Chosen,
    failure::Failure,
    fleet::{Fleet, Selection},
    options::{RoleArguments, RunArguments},
};

/// What was learned.
pub struct Survey {
    /// The hosts, as the state machine takes them.
    pub targets: Vec<Target>,
    /// The facts of those that answer.
    pub facts: HashMap<String, Arc<Facts>>,
    /// What is rolled out, by host: a digest of its tasks. Hosts that do not answer are missing.
    pub digests: BTreeMap<String, String>,
}

/// Asks all hosts for their facts, and computes the rest.
///
/// # Errors
/// When the roles do not compile for a host that answers: before anything is touched.
pub async fn survey(
    chosen: &Chosen,
    spec: &RolloutSpec,
    role: &RoleArguments,
    run: &RunArguments,
) -> Result<Survey, Failure> {
    let fleet = &chosen.fleet;
    let facts = ask(fleet, &chosen.selection, run).await?;
    let mut others: OtherFacts = fleet.remembered_facts();
    others.extend(facts.iter().map(|(name, facts)| (name.clone(), Arc::clone(facts))));
    let book = || FactsBook::new(others.iter().map(|(name, facts)| (name.clone(), Arc::clone(facts))));
    let planner = chosen.planner(role);
    let inventory = fleet.project.inventory();
    let mut survey = Survey { targets: Vec::new(), facts: HashMap::new(), digests: BTreeMap::new() };
    for &id in &chosen.selection.hosts {
        let name = inventory.host(id).name().to_owned();
        let known = others.get(&name).map(Arc::as_ref);
        let key = |by: &Option<Written<_>>| {
            let by = by.as_ref()?;
            fleet.project.values_of(id, known, book()).key(by)
        };
        let domain = key(&spec.spread_by).map(|key| match key {
            Key::Number(number) => number.to_string(),
            Key::Text(text) => text,
        });
        let target = Target {
            domain,
            key: key(&spec.order_by),
            reachable: facts.contains_key(&name),
            ..Target::named(&name)
        };
        if let Some(facts) = facts.get(&name) {
            let catalog = planner.catalog(&name, facts, &others).map_err(|failure| {
                anstream::eprint!("{}", failure.text);
                Failure::new(format!("the roles do not compile for `{name}`; nothing was begun"))
            })?;
            survey.digests.insert(name, catalog_digest(&catalog).to_string());
        }
        survey.targets.push(target);
    }
    survey.facts = facts;
    Ok(survey)
}

/// The facts of hosts that answer.
pub async fn ask(
    fleet: &Fleet,
    selection: &Selection,
    arguments: &RunArguments,
) -> Result<HashMap<String, Arc<Facts>>, Failure> {
    let selection = Selection { hosts: selection.hosts.clone() };
    let mut run = fleet.run(selection, arguments, Mode::Verify, "facts".into(), None)?;
    // Nobody waits for anybody here.
    run.stages = vec![run.stages.into_iter().flatten().collect()];
    let (sender, mut events) = cm_engine::event_channel();
    let work = tokio::spawn(cm_engine::run(run, Stop::default(), sender));
    let mut found = HashMap::new();
    while let Some(event) = events.recv().await {
        if let RunEvent::Connected { host, facts, .. } = event {
            found.insert(host.to_string(), facts);
        }
    }
    work.await.map_err(|error| Failure::because("asking for facts ended by a bug of cm", &error))?;
    Ok(found)
}
