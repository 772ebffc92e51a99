//! Packages as they were: all that are taken back together are one transaction.

use std::collections::{BTreeMap, BTreeSet};

use cm_wire::Change;

use crate::{
    Class, Context, Effect, Problem, Resource, Seen, Thing, Touches,
    former::Former,
    node::{InstalledPackage, PackageAction, PackageRequest, Remains, Transaction, Waiting},
};

pub(super) struct PackageWas {
    name: String,
    /// Version, asked for, held; none: it was not installed.
    former: Option<(String, bool, bool)>,
    /// Its configuration was there all the same.
    configuration: bool,
}

impl PackageWas {
    pub(super) fn new(name: &str, former: &Former) -> Self {
        let version = match former {
            Former::Package { version, manual, held } => Some((version.clone(), *manual, *held)),
            _ => None,
        };
        Self { name: name.to_owned(), former: version, configuration: *former == Former::Configuration }
    }

    /// What would bring it back, given what is there.
    fn requests(&self, now: Option<&InstalledPackage>) -> Vec<PackageRequest> {
        let mut actions = Vec::new();
        match (&self.former, now) {
            (None, Some(_)) if self.configuration => actions.push(PackageAction::Remove),
            // What it left behind when it was removed since was there before.
            (None, None) if self.configuration => {}
            // With its configuration, where it was removed and left that behind.
            (None, _) => actions.push(PackageAction::Purge),
            (Some((version, manual, held)), now) => {
                if now.is_none_or(|now| now.version != *version) {
                    actions.push(PackageAction::InstallVersion(version.clone()));
                }
                if now.is_none_or(|now| now.manual != *manual) {
                    actions.push(if *manual { PackageAction::MarkManual } else { PackageAction::MarkAuto });
                }
                match (now.is_some_and(|now| now.held), *held) {
                    (false, true) => actions.push(PackageAction::Hold),
                    (true, false) => actions.push(PackageAction::Unhold),
                    _ => {}
                }
            }
        }
        actions.into_iter().map(|action| PackageRequest { name: self.name.clone(), action }).collect()
    }

    fn now(&self, context: &Context<'_>) -> Result<Option<InstalledPackage>, Problem> {
        // A package that another one provides is not this one.
        Ok(context.node.package(&self.name)?.filter(|package| package.provided_by.is_none()))
    }
}

/// Packages that must stay, by name, with those that are not to go and would go with them: somebody has
/// installed them since.
fn needed_by_others(context: &Context<'_>, requests: &[PackageRequest]) -> BTreeMap<String, Vec<String>> {
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let would_go = |requests: Vec<PackageRequest>| {
        let transaction = Transaction {
            requests,
            recommends: Some(false),
            deadline: context.deadline,
            waiting: Waiting { stopping: context.stopping, tell: &|_| {} },
        };
        context.node.predict(&[], &transaction).removed
    };
    loop {
        let leaving: Vec<PackageRequest> =
            requests.iter().filter(|request| !kept.contains_key(&request.name)).cloned().collect();
        let going = leaving.iter().filter(|request| goes(request));
        let names = crate::in_order::set(going.map(|request| request.name.as_str()));
        if names.is_empty() {
            return kept;
        }
        let strangers = |removed: BTreeSet<String>| -> Vec<String> {
            removed.into_iter().filter(|name| !names.contains(plain(name))).collect()
        };
        if strangers(would_go(leaving.clone())).is_empty() {
            return kept;
        }
        let before = kept.len();
        let mut found = Vec::new();
        for request in leaving.iter().filter(|request| goes(request)) {
            let others = strangers(would_go(vec![request.clone()]));
            if !others.is_empty() {
                found.push((request.name.clone(), others));
            }
        }
        kept.extend(found);
        if kept.len() == before {
            // Only together do they take others along: none of them goes.
            kept.extend(names.into_iter().map(|name| (name.to_owned(), vec!["another package".to_owned()])));
            return kept;
        }
    }
}

fn goes(request: &PackageRequest) -> bool {
    matches!(request.action, PackageAction::Purge | PackageAction::Remove)
}

/// A package's name without its architecture.
fn plain(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

impl Resource for PackageWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::Package).makes(Thing::Package(self.name.clone()))
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let now = self.now(context)?;
        let present = || Some("present".to_owned());
        let changes = match (&self.former, now) {
            (None, None) if self.configuration => Vec::new(),
            (None, None) => match context.node.package_remains(&self.name)? {
                Remains::Nothing => Vec::new(),
                Remains::Configuration | Remains::Broken => {
                    vec![Change::new("state", Some("configuration left".into()), None)]
                }
            },
            (None, Some(_)) => vec![Change::new("state", present(), None)],
            (Some((version, ..)), None) => {
                vec![
                    Change::new("state", None, present()),
                    Change::new("version", None, Some(version.clone())),
                ]
            }
            (Some((version, manual, held)), Some(now)) => {
                let mut changes = Vec::new();
                if now.version != *version {
                    changes.push(Change::new("version", Some(now.version), Some(version.clone())));
                }
                if now.manual != *manual {
                    changes.push(Change::new(
                        "asked for",
                        Some(now.manual.to_string()),
                        Some(manual.to_string()),
                    ));
                }
                if now.held != *held {
                    changes.push(Change::new("held", Some(now.held.to_string()), Some(held.to_string())));
                }
                changes
            }
        };
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.change_together(&[], context).pop().unwrap_or_else(|| Ok(Effect::default()))
    }

    fn batch(&self) -> Option<&'static str> {
        Some("restore packages")
    }

    fn change_together(
        &self,
        others: &[&dyn Resource],
        context: &Context<'_>,
    ) -> Vec<Result<Effect, Problem>> {
        let all: Vec<&Self> = std::iter::once(self)
            .chain(others.iter().filter_map(|other| other.as_any()?.downcast_ref::<Self>()))
            .collect();
        let mut requests = Vec::new();
        let mut owners = Vec::new();
        for (place, package) in all.iter().enumerate() {
            match package.now(context) {
                Ok(now) => {
                    for request in package.requests(now.as_ref()) {
                        requests.push(request);
                        owners.push(place);
                    }
                }
                Err(problem) => return all.iter().map(|_| Err(problem.clone())).collect(),
            }
        }
        let kept = needed_by_others(context, &requests);
        let mut results: Vec<Result<Effect, Problem>> = all.iter().map(|_| Ok(Effect::default())).collect();
        for (place, package) in all.iter().enumerate() {
            if let Some(others) = kept.get(&package.name) {
                results[place] = Ok(Effect {
                    changed: Some(false),
                    final_: true,
                    notes: vec![format!(
                        "{} stays: {} cannot do without it",
                        package.name,
                        others.join(", ")
                    )],
                    ..Effect::default()
                });
            }
        }
        let mut owners = owners.into_iter();
        let (requests, owners): (Vec<PackageRequest>, Vec<usize>) = requests
            .into_iter()
            .zip(owners.by_ref())
            .filter(|(request, _)| !kept.contains_key(&request.name))
            .unzip();
        if requests.is_empty() {
            return results;
        }
        let tell = |text: &str| (context.live)(cm_wire::Stream::Stderr, &format!("{text}\n"));
        let transacted = context.node.transact(&Transaction {
            requests,
            recommends: Some(false),
            deadline: context.deadline,
            waiting: Waiting { stopping: context.stopping, tell: &tell },
        });
        for (owner, result) in owners.into_iter().zip(transacted.results) {
            if let (Err(problem), Ok(_)) = (result, &results[owner]) {
                results[owner] = Err(problem);
            }
        }
        if let Some(Ok(first)) = results.first_mut() {
            first.notes.extend(transacted.notes);
        }
        results
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}
