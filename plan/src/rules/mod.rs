//! Groups by rule (`where:`): which hosts fit, by facts, variables, groups, lifecycle and whether they answer.
//!
//! A rule is asked of each host by itself. It sees the variables that the host has without any rule, and of the groups with
//! rules only those it names, so rules have an order, and the answer does not hang on how files are sorted. Where a rule
//! touches facts that are not known, nothing is guessed: the host is left out and named.

mod mentions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cm_inventory::{GroupId, HostId, Inventory};
use cm_roles::{Expression, Scope, World};
use cm_syntax::{Diagnostic, Diagnostics, Node, Sources};
use cm_wire::Facts;
use minijinja::{
    Error, ErrorKind, Value,
    value::{Enumerator, Object, ValueKind},
};

use crate::{
    FactsBook, Project,
    facts::facts_value,
    scope::{HostScope, RoleScope},
};

/// Names that only rules know.
const NAMES: [&str; 2] = ["lifecycle", "reachable"];

/// What a rule can be told of a host.
#[derive(Clone, Debug, Default)]
pub struct KnownHost {
    /// Its facts, of now or of the last time it answered.
    pub facts: Option<Arc<Facts>>,
    /// Where it stands in its life: `commissioned`; `discovered` where nobody has said anything.
    pub lifecycle: String,
    /// Whether it answered when it was asked last.
    pub reachable: bool,
}

/// Which hosts fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The hosts of each group with a rule, by name.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Hosts of which it cannot be said because their facts are not known, with the groups; they are left out.
    pub unknown: BTreeMap<String, Vec<String>>,
}

/// All rules of a repository, compiled; those that others need come first.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    group: GroupId,
    node: Node,
    expression: Expression,
    /// The groups with rules that it names, directly or through a group that holds them.
    needs: Vec<GroupId>,
}

impl Rules {
    /// Compiles the rules of an inventory; what is wrong with them is told.
    pub fn compile(
        inventory: &Inventory,
        world: &World,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        if !inventory.has_rules() {
            return Self::default();
        }
        let mut world = world.clone();
        world.variables.extend(NAMES.map(str::to_owned));
        // Who belongs where is no secret.
        world.secrets.clear();
        let params = BTreeSet::new();
        let scope = Scope { world: &world, params: &params, item: false };
        let mut rules = Vec::new();
        for group in inventory.groups_with_rules() {
            let Some(node) = inventory.group(group).rule() else { continue };
            let (expression, _) = Expression::parse(node, scope, sources, diagnostics);
            let Some(expression) = expression else { continue };
            let named = mentions::groups(node.as_text().unwrap_or_default());
            let needs = inventory.groups_with_rules().filter(|other| {
                named
                    .iter()
                    .filter_map(|name| inventory.group_id(name))
                    .any(|named| holds(inventory, named, *other))
            });
            rules.push(Rule { group, node: node.clone(), expression, needs: needs.collect() });
        }
        Self(in_order(rules, inventory, diagnostics))
    }
}

/// Whether a group is another, or holds it.
fn holds(inventory: &Inventory, outer: GroupId, inner: GroupId) -> bool {
    let (mut open, mut seen) = (vec![outer], BTreeSet::new());
    while let Some(group) = open.pop() {
        if group == inner {
            return true;
        }
        if seen.insert(group) {
            open.extend(inventory.group(group).children());
        }
    }
    false
}

/// Sorts rules so that those a rule needs come before it; circles are errors, and left out.
fn in_order(mut rules: Vec<Rule>, inventory: &Inventory, diagnostics: &mut Diagnostics) -> Vec<Rule> {
    let mut sorted: Vec<Rule> = Vec::with_capacity(rules.len());
    loop {
        let left: BTreeSet<GroupId> = rules.iter().map(|rule| rule.group).collect();
        let (ready, waiting): (Vec<Rule>, Vec<Rule>) =
            rules.into_iter().partition(|rule| rule.needs.iter().all(|need| !left.contains(need)));
        if ready.is_empty() {
            let Some(way) = circle(&waiting) else { return sorted };
            let name = |rule: &Rule| inventory.group(rule.group).name().to_owned();
            let mut names: Vec<String> = way.iter().map(|rule| name(rule)).collect();
            names.push(names[0].clone());
            let message = format!("rules of groups need each other in a circle: {}", names.join(" -> "));
            let mut diagnostic = Diagnostic::error(message);
            for (at, rule) in way.iter().enumerate() {
                let text = format!("the rule of `{}` asks for `{}`", names[at], names[at + 1]);
                diagnostic = match at {
                    0 => diagnostic.at(rule.node.span, text),
                    _ => diagnostic.also(rule.node.span, text),
                };
            }
            diagnostics.push(diagnostic);
            // Without them, what else goes in circles is found.
            let told: BTreeSet<GroupId> = way.iter().map(|rule| rule.group).collect();
            rules = waiting.into_iter().filter(|rule| !told.contains(&rule.group)).collect();
            continue;
        }
        sorted.extend(ready);
        rules = waiting;
    }
}

/// Rules that each need the one after, in a circle.
fn circle(waiting: &[Rule]) -> Option<Vec<&Rule>> {
    let mut way: Vec<&Rule> = vec![waiting.first()?];
    loop {
        // Each of those that wait needs one that waits, too.
        let last = way.last()?;
        let next = waiting.iter().find(|rule| last.needs.contains(&rule.group))?;
        if let Some(start) = way.iter().position(|rule| rule.group == next.group) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}

impl Project {
    /// Whether any group takes hosts by rule.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.inner.inventory.has_rules()
    }

    /// Whether a target's text names a group with a rule, or one that holds one: then all hosts that could fit matter.
    #[must_use]
    pub fn names_rule(&self, target: &str) -> bool {
        let inventory = &self.inner.inventory;
        let words = target.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
        let named: Vec<GroupId> = words.filter_map(|word| inventory.group_id(word)).collect();
        // A glob may mean any of them; `all` is all hosts whatever the rules say.
        target.contains(['*', '?'])
            || named
                .iter()
                .filter(|group| group.index() != 0)
                .any(|group| inventory.groups_with_rules().any(|rule| holds(inventory, *group, rule)))
    }

    /// Asks the rules of each host.
    ///
    /// # Errors
    /// What a rule does wrong, such as naming a variable that a host does not have.
    pub fn members(&self, known: &dyn Fn(&str) -> KnownHost) -> Result<Members, Diagnostics> {
        let inner = &self.inner;
        let inventory = &inner.inventory;
        let mut members = Members::default();
        let mut found: BTreeMap<GroupId, BTreeSet<HostId>> = BTreeMap::new();
        // Hosts that a rule cannot be told of: neither can those that need it.
        let mut open: BTreeMap<GroupId, BTreeSet<HostId>> = BTreeMap::new();
        let mut diagnostics = Diagnostics::new();
        let hosts: Vec<(HostId, KnownHost)> =
            inventory.hosts().map(|(id, host)| (id, known(host.name()))).collect();
        for rule in &inner.rules.0 {
            let group = inventory.group(rule.group).name().to_owned();
            let others = Arc::new(named_groups(inventory, rule, &found));
            let mut wrong: Option<(Diagnostic, usize)> = None;
            let (mut fitting, mut unknown) = (BTreeSet::new(), BTreeSet::new());
            for (host, known) in &hosts {
                let undecided =
                    rule.needs.iter().any(|need| open.get(need).is_some_and(|open| open.contains(host)));
                let verdict = if undecided { Ok(None) } else { self.ask(rule, *host, known, &others) };
                match verdict {
                    Ok(Some(true)) => {
                        fitting.insert(*host);
                    }
                    Ok(Some(false)) => {}
                    Ok(None) => {
                        unknown.insert(*host);
                    }
                    Err(diagnostic) => match &mut wrong {
                        Some((_, more)) => *more += 1,
                        None => {
                            let host = inventory.host(*host).name();
                            let hint = format!("the rule of group `{group}` was asked of host `{host}`");
                            wrong = Some((diagnostic.hint(hint), 0));
                        }
                    },
                }
            }
            if let Some((diagnostic, more)) = wrong {
                diagnostics.push(match more {
                    0 => diagnostic,
                    more => diagnostic.hint(format!("and likewise of {more} more")),
                });
            }
            for host in &unknown {
                members
                    .unknown
                    .entry(inventory.host(*host).name().to_owned())
                    .or_default()
                    .push(group.clone());
            }
            let names = fitting.iter().map(|host| inventory.host(*host).name().to_owned());
            members.groups.insert(group, names.collect());
            found.insert(rule.group, fitting);
            open.insert(rule.group, unknown);
        }
        if diagnostics.has_errors() { Err(diagnostics) } else { Ok(members) }
    }

    /// Whether a host fits; none where that hangs on facts that are not known.
    #[expect(clippy::result_large_err, reason = "an error ends the command")]
    fn ask(
        &self,
        rule: &Rule,
        host: HostId,
        known: &KnownHost,
        groups: &Arc<BTreeMap<String, BTreeSet<HostId>>>,
    ) -> Result<Option<bool>, Diagnostic> {
        let missed = Arc::new(AtomicBool::new(false));
        let node = match &known.facts {
            Some(facts) => facts_value(facts),
            None => Value::from_object(Unknown { missed: missed.clone() }),
        };
        let scope = HostScope::new(self.inner.clone(), host, Some(node), FactsBook::default());
        let context = Value::from_object(RuleScope {
            role: RoleScope::new(scope.clone(), None, Vec::new()),
            host,
            project: self.clone(),
            lifecycle: known.lifecycle.clone(),
            reachable: known.reachable,
            groups: groups.clone(),
        });
        let value = rule.expression.evaluate(context, &self.inner.sources);
        if missed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match value {
            Ok(value) if value.kind() == ValueKind::Bool => Ok(Some(value.is_true())),
            Ok(value) => Err(Diagnostic::error(format!("a rule is true or false, not {}", value.kind()))
                .at(rule.node.span, format!("gives {value}"))),
            Err(diagnostic) => {
                let mut causes = scope.explain(diagnostic);
                Err(causes.swap_remove(0))
            }
        }
    }
}

/// The groups with rules that a rule names, and all groups that hold them, with the hosts that their rules found.
fn named_groups(
    inventory: &Inventory,
    rule: &Rule,
    found: &BTreeMap<GroupId, BTreeSet<HostId>>,
) -> BTreeMap<String, BTreeSet<HostId>> {
    let mut named: BTreeMap<String, BTreeSet<HostId>> = BTreeMap::new();
    for need in &rule.needs {
        let Some(hosts) = found.get(need) else { continue };
        for (outer, group) in inventory.groups().filter(|(outer, _)| outer.index() != 0) {
            if holds(inventory, outer, *need) {
                named.entry(group.name().to_owned()).or_default().extend(hosts);
            }
        }
    }
    named
}

/// Facts that are not known: whoever looks at them is noted.
#[derive(Debug)]
struct Unknown {
    missed: Arc<AtomicBool>,
}

impl Object for Unknown {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        self.missed.store(true, Ordering::Relaxed);
        Some(Value::from(Error::new(ErrorKind::InvalidOperation, "the facts of this host are not known")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.missed.store(true, Ordering::Relaxed);
        Enumerator::NonEnumerable
    }
}

/// What a rule sees.
#[derive(Debug)]
struct RuleScope {
    role: Arc<RoleScope>,
    host: HostId,
    project: Project,
    lifecycle: String,
    reachable: bool,
    groups: Arc<BTreeMap<String, BTreeSet<HostId>>>,
}

impl Object for RuleScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let inventory = &self.project.inner.inventory;
        match key {
            "lifecycle" => Some(Value::from(self.lifecycle.as_str())),
            "reachable" => Some(Value::from(self.reachable)),
            "host" => {
                let host = inventory.host(self.host);
                let of_host = inventory.groups_of(self.host).iter();
                let mut groups: Vec<&str> = of_host.map(|group| inventory.group(*group).name()).collect();
                for (name, hosts) in &*self.groups {
                    if hosts.contains(&self.host) && !groups.contains(&name.as_str()) {
                        groups.push(name);
                    }
                }
                let vars = self.role.get_value_by_str("host").and_then(|host| host.get_attr("vars").ok());
                Some(Value::from_pairs([
                    ("name", Value::from(host.name())),
                    ("address", Value::from(host.address())),
                    ("groups", groups.into_iter().map(Value::from).collect()),
                    ("vars", vars.unwrap_or_default()),
                ]))
            }
            "groups" => Some(Value::from_pairs(inventory.groups().map(|(id, group)| {
                let mut hosts: BTreeSet<HostId> = inventory.hosts_of(id).collect();
                hosts.extend(self.groups.get(group.name()).into_iter().flatten());
                let names = hosts.into_iter().map(|host| Value::from(inventory.host(host).name()));
                (group.name(), Value::from_pairs([("hosts", names.collect::<Value>())]))
            }))),
            _ => self.role.get_value_by_str(key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

#[cfg(test)]
mod tests;
