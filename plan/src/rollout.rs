//! How roles are rolled out on hosts: one strategy out of all their `rollout:` sections and the command line, and the texts of gates
//! and hooks filled in for a host.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cm_inventory::HostId;
use cm_roles::{
    Argument, Expression, Gate, OrderSection, Role, RolloutHook, RolloutSection, Scope, SpreadSection,
};
use cm_rollout::{Key, OnFailure, Order, Promote, Size, Spread, Strategy};
use cm_syntax::{Diagnostic, Diagnostics, Node, Span, Spanned, Yaml};
use cm_wire::Facts;
use minijinja::value::ValueKind;

use crate::{
    FactsBook, Project,
    facts::facts_value,
    scope::{HostScope, RoleScope},
};

/// What the command line says; stronger than all roles.
#[derive(Clone, Debug, Default)]
pub struct RolloutOverrides {
    /// `--batch`.
    pub batches: Option<Vec<Size>>,
    /// `--max-unavailable`.
    pub max_unavailable: Option<Size>,
    /// `--window`.
    pub window: bool,
    /// `--promote`.
    pub promote: Option<Promote>,
    /// `--spread`, an expression.
    pub spread: Option<String>,
    /// `--max-domains`.
    pub max_domains: Option<usize>,
    /// `--per-domain`.
    pub per_domain: Option<usize>,
    /// `--order`: `given`, `random`, or an expression.
    pub order: Option<String>,
    /// `--min-healthy-time`.
    pub min_healthy_time: Option<Duration>,
    /// `--healthy-deadline`.
    pub healthy_deadline: Option<Duration>,
    /// `--progress-deadline`.
    pub progress_deadline: Option<Duration>,
    /// `--max-failures`.
    pub max_failures: Option<Size>,
    /// `--on-failure`.
    pub on_failure: Option<OnFailure>,
    /// Where `--order random` begins.
    pub seed: u64,
}

impl RolloutOverrides {
    /// What a strategy has decided already: roles that disagree on it are not asked again. Expressions are not in it.
    #[must_use]
    pub fn decided(strategy: &Strategy) -> Self {
        Self {
            batches: Some(strategy.batches.clone()),
            max_unavailable: strategy.max_unavailable,
            window: strategy.window,
            promote: Some(strategy.promote),
            min_healthy_time: Some(strategy.min_healthy_time),
            healthy_deadline: Some(strategy.healthy_deadline),
            progress_deadline: Some(strategy.progress_deadline),
            max_failures: Some(strategy.max_failures),
            on_failure: Some(strategy.on_failure),
            ..Self::default()
        }
    }
}

/// How roles are rolled out.
#[derive(Debug)]
pub struct RolloutSpec {
    /// For the state machine.
    pub strategy: Strategy,
    /// Tells which failure domain a host is in.
    pub spread_by: Option<Written<Expression>>,
    /// What hosts are sorted by.
    pub order_by: Option<Written<Expression>>,
    /// What must hold after a node or batch.
    pub gates: Vec<Written<Gate>>,
    /// What surrounds nodes and batches.
    pub hooks: Vec<Written<RolloutHook>>,
}

/// Something with the role that wrote it, whose parameters it sees.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The role; none: the command line.
    pub role: Option<Arc<Role>>,
    /// What.
    pub what: T,
}

/// What texts of a rollout see on one host.
pub struct HostValues {
    scope: Arc<HostScope>,
}

impl RolloutSpec {
    /// Which commands the hooks have, for the state machine.
    #[must_use]
    pub fn hooks(&self) -> cm_rollout::Hooks {
        let hook = |hook: &Written<RolloutHook>| cm_rollout::Hook {
            already: hook.what.already.is_some(),
            before_node: hook.what.before_node.is_some(),
            after_node: hook.what.after_node.is_some(),
            before_batch: hook.what.before_batch.is_some(),
            after_batch: hook.what.after_batch.is_some(),
        };
        let hooks = self.hooks.iter().map(hook).collect();
        cm_rollout::Hooks { hooks, batch_gates: self.gates.iter().any(|gate| gate.what.per_batch) }
    }
}

impl Project {
    /// How these roles, and those they need, are rolled out.
    ///
    /// # Errors
    /// Where two roles disagree and the command line does not decide, and where an expression of it is wrong.
    pub fn rollout(
        &self,
        roles: &[String],
        overrides: &RolloutOverrides,
    ) -> Result<RolloutSpec, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let sections = self.sections(roles);
        let given: Vec<(&Arc<Role>, &RolloutSection)> =
            sections.iter().filter_map(|role| Some((role, role.rollout.as_ref()?))).collect();
        let mut merge = Merge { sections: &given, diagnostics: &mut diagnostics };
        let over = overrides;
        let default = Strategy::default();
        let batches = merge.value("batch", over.batches.clone(), |section| &section.batch);
        let max_unavailable =
            merge.value("max_unavailable", over.max_unavailable, |section| &section.max_unavailable);
        let window = merge.value("window", over.window.then_some(true), |section| &section.window);
        let promote = merge.value("promote", over.promote, |section| &section.promote);
        let min_healthy_time =
            merge.value("min_healthy_time", over.min_healthy_time, |section| &section.min_healthy_time);
        let healthy_deadline =
            merge.value("healthy_deadline", over.healthy_deadline, |section| &section.healthy_deadline);
        let progress_deadline =
            merge.value("progress_deadline", over.progress_deadline, |section| &section.progress_deadline);
        let gate_interval = merge.value("gate_interval", None, |section| &section.gate_interval);
        let max_failures = merge.value("max_failures", over.max_failures, |section| &section.max_failures);
        let on_failure = merge.value("on_failure", over.on_failure, |section| &section.on_failure);
        let spread = match over.spread {
            Some(_) => None,
            None => merge.one("spread", |section| &section.spread),
        };
        let order = match over.order {
            Some(_) => None,
            None => merge.one("order", |section| &section.order),
        };
        let spread = match &over.spread {
            Some(text) => self.expression("--spread", text, &mut diagnostics).map(|by| Written {
                role: None,
                what: SpreadSection { by, max_domains: None, per_domain: None },
            }),
            None => spread.map(|(role, spread)| Written { role: Some(role), what: spread }),
        };
        let order = match over.order.as_deref() {
            Some("given") => None,
            Some("random") => Some(Written { role: None, what: OrderSection::Random }),
            Some(text) => self
                .expression("--order", text, &mut diagnostics)
                .map(|by| Written { role: None, what: OrderSection::By(by) }),
            None => order.map(|(role, order)| Written { role: Some(role), what: order }),
        };
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let limits = spread.as_ref().map(|spread| {
            let max_domains = over.max_domains.or(spread.what.max_domains);
            let per_domain = over.per_domain.or(spread.what.per_domain);
            // A spread without limits means: never two domains at once.
            let both = max_domains.is_none() && per_domain.is_none();
            Spread { max_domains: if both { Some(1) } else { max_domains }, per_domain }
        });
        let strategy = Strategy {
            batches: batches.unwrap_or_default(),
            max_unavailable,
            window: window.unwrap_or_default(),
            promote: promote.unwrap_or_default(),
            spread: limits,
            order: match order.as_ref().map(|order| &order.what) {
                None | Some(OrderSection::Given) => Order::Given,
                Some(OrderSection::Random) => Order::Random { seed: over.seed },
                Some(OrderSection::By(_)) => Order::ByKey,
            },
            min_healthy_time: min_healthy_time.unwrap_or(default.min_healthy_time),
            healthy_deadline: healthy_deadline.unwrap_or(default.healthy_deadline),
            progress_deadline: progress_deadline.unwrap_or(default.progress_deadline),
            gate_interval: gate_interval.unwrap_or(default.gate_interval),
            max_failures: max_failures.unwrap_or(default.max_failures),
            on_failure: on_failure.unwrap_or_default(),
        };
        let of = |role: &Arc<Role>| Some(Arc::clone(role));
        Ok(RolloutSpec {
            strategy,
            spread_by: spread.map(|spread| Written { role: spread.role, what: spread.what.by }),
            order_by: order.and_then(|order| match order.what {
                OrderSection::By(by) => Some(Written { role: order.role, what: by }),
                _ => None,
            }),
            gates: given
                .iter()
                .flat_map(|(role, section)| {
                    section.gates.iter().map(|gate| Written { role: of(role), what: gate.clone() })
                })
                .collect(),
            hooks: given
                .iter()
                .flat_map(|(role, section)| {
                    section.hooks.iter().map(|hook| Written { role: of(role), what: hook.clone() })
                })
                .collect(),
        })
    }

    /// These roles and those they need, needed ones first, each once.
    fn sections(&self, roles: &[String]) -> Vec<Arc<Role>> {
        fn add(project: &Project, name: &str, seen: &mut BTreeSet<String>, found: &mut Vec<Arc<Role>>) {
            if !seen.insert(name.to_owned()) {
                return;
            }
            if let Some(role) = project.role(name) {
                role.needs.iter().for_each(|need| add(project, &need.role.value, seen, found));
                found.push(Arc::clone(role));
            }
        }
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        roles.iter().for_each(|name| add(self, name, &mut seen, &mut found));
        found
    }

    /// A condition over facts, variables and groups, as the command line has it; for [`HostValues::holds`].
    ///
    /// # Errors
    /// When it is no expression, or asks for what cannot be there.
    pub fn condition(&self, option: &str, text: &str) -> Result<Expression, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        match self.expression(option, text, &mut diagnostics) {
            Some(expression) if !diagnostics.has_errors() => Ok(expression),
            _ => Err(diagnostics),
        }
    }

    /// Compiles an expression of the command line.
    fn expression(&self, option: &str, text: &str, diagnostics: &mut Diagnostics) -> Option<Expression> {
        let file = self.sources().add(option.to_owned(), text.to_owned());
        let node = Node::new(
            Span { file, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) },
            Yaml::Text(text.to_owned()),
        );
        let params = BTreeSet::new();
        let scope = Scope { world: &self.inner.world, params: &params, item: false };
        Expression::parse(&node, scope, self.sources(), diagnostics).0
    }

    /// What texts of a rollout see on a host.
    #[must_use]
    pub fn values_of(&self, host: HostId, facts: Option<&Facts>, others: FactsBook) -> HostValues {
        HostValues { scope: HostScope::new(self.inner.clone(), host, facts.map(facts_value), others) }
    }
}

impl HostValues {
    fn context(&self, role: Option<&Arc<Role>>) -> minijinja::Value {
        RoleScope::new(Arc::clone(&self.scope), role.cloned(), Vec::new()).context()
    }

    fn told(&self, diagnostic: Diagnostic) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        diagnostics.extend(self.scope.explain(diagnostic));
        diagnostics
    }

    /// A text of a gate or hook, filled in.
    ///
    /// # Errors
    /// What its template misses, at its place.
    pub fn text(&self, role: Option<&Arc<Role>>, text: &Argument) -> Result<String, Diagnostics> {
        let printed = text.print(self.scope.project.roles.templates(), &self.context(role));
        match printed.map_err(|diagnostic| self.told(diagnostic))? {
            Ok(text) => Ok(text),
            Err(value) => Ok(value.to_string()),
        }
    }

    /// Whether a condition holds; where it asks for what is not there, it does not.
    #[must_use]
    pub fn holds(&self, condition: &Expression) -> bool {
        let context = self.context(None);
        condition.evaluate(context, &self.scope.project.sources).is_ok_and(|value| value.is_true())
    }

    /// What an expression gives: a number, a text, or nothing where what it asks for is not there.
    #[must_use]
    pub fn key(&self, by: &Written<Expression>) -> Option<Key> {
        let value = by.what.evaluate(self.context(by.role.as_ref()), &self.scope.project.sources).ok()?;
        match value.kind() {
            ValueKind::Number => f64::try_from(value).ok().map(Key::Number),
            ValueKind::Undefined | ValueKind::None => None,
            _ => Some(Key::Text(value.to_string())),
        }
    }
}

/// One value out of many sections.
struct Merge<'a, 'd> {
    sections: &'a [(&'a Arc<Role>, &'a RolloutSection)],
    diagnostics: &'d mut Diagnostics,
}

impl Merge<'_, '_> {
    /// The command line's value, or the one that all roles which have one agree on.
    fn value<T: Clone + PartialEq>(
        &mut self,
        key: &str,
        over: Option<T>,
        get: impl Fn(&RolloutSection) -> &Option<Spanned<T>>,
    ) -> Option<T> {
        if over.is_some() {
            return over;
        }
        let mut first: Option<&Spanned<T>> = None;
        for (_, section) in self.sections {
            match (first, get(section).as_ref()) {
                (None, found) => first = found,
                (Some(first), Some(other)) if first.value != other.value => {
                    self.diagnostics.push(disagree(key, first.span, other.span));
                }
                _ => {}
            }
        }
        first.map(|first| first.value.clone())
    }

    /// The only value.
    fn one<T: Clone>(
        &mut self,
        key: &str,
        get: impl Fn(&RolloutSection) -> &Option<Spanned<T>>,
    ) -> Option<(Arc<Role>, T)> {
        let mut found =
            self.sections.iter().filter_map(|(role, section)| Some((*role, get(section).as_ref()?)));
        let (role, first) = found.next()?;
        for (_, other) in found {
            self.diagnostics.push(disagree(key, first.span, other.span));
        }
        Some((Arc::clone(role), first.value.clone()))
    }
}

fn disagree(key: &str, first: Span, other: Span) -> Diagnostic {
    Diagnostic::error(format!("two roles of this rollout disagree on `{key}`"))
        .at(other, "here")
        .also(first, "and here")
        .hint(format!("`--{}` decides", key.replace('_', "-")))
}
