//! What the templates of one role see on one host: variables by strength, facts, the inventory, secrets.
//!
//! Variables are rendered when they are first asked for, so one that nothing uses costs nothing and cannot fail.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cm_inventory::{HostId, OriginKind};
use cm_roles::{Argument, Role, RoleParam, template::UNDEFINED};
use cm_syntax::{Diagnostic, Span};
use cm_wire::{Secret, Value as Wire};
use minijinja::{
    Error, ErrorKind, Value,
    value::{Enumerator, Object},
};

use crate::{facts::FactsBook, project::Inner, secrets::SecretsObject};

/// What all roles of a host share.
#[derive(Debug)]
pub(crate) struct HostScope {
    pub project: Arc<Inner>,
    pub host: HostId,
    /// This host's facts; none where they are not known (`cm vars`).
    pub node: Option<Value>,
    pub others: FactsBook,
    pub secrets: Arc<SecretsObject>,
    /// Errors of lazily rendered values, told instead of the errors they cause.
    pub failures: Mutex<Vec<Diagnostic>>,
    /// Values made of secrets in another form, to be hidden like them.
    pub derived_secrets: Mutex<Vec<Secret>>,
    /// Variables that were asked for and that this host does not have.
    pub missing: Mutex<BTreeSet<String>>,
}

/// What one role sees on a host; without a role, what the inventory alone says.
#[derive(Debug)]
pub(crate) struct RoleScope {
    pub host: Arc<HostScope>,
    pub role: Option<Arc<Role>>,
    /// Values given by `with`, rendered where they were written.
    pub with: Vec<Given>,
    rendered: Mutex<HashMap<String, Value>>,
    failed: Mutex<HashMap<String, Vec<Diagnostic>>>,
    rendering: Mutex<Vec<(String, Span)>>,
}

/// A value given to a parameter by `with`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    pub name: String,
    pub span: Span,
    pub value: Value,
}

/// The strongest value that a variable has, not rendered yet.
pub(crate) enum Found<'a> {
    Ready(Value),
    Written(&'a Argument),
}

/// A value and who set it.
pub(crate) struct Source<'a> {
    pub value: Found<'a>,
    pub kind: OriginKind,
    /// The value's place.
    pub span: Span,
    /// Why its templates cannot be used, where they are not of our kind.
    pub broken: Option<&'a Diagnostic>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while these are held, and a half-done render leaves nothing half-written in them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every text in a value, to be hidden.
pub(crate) fn secret_texts(value: &Wire, found: &mut Vec<Secret>) {
    match value {
        Wire::Text(text) => found.push(Secret::new(text.clone())),
        Wire::List(items) => items.iter().for_each(|item| secret_texts(item, found)),
        Wire::Map(entries) => entries.values().for_each(|item| secret_texts(item, found)),
        _ => {}
    }
}

impl HostScope {
    pub fn new(project: Arc<Inner>, host: HostId, node: Option<Value>, others: FactsBook) -> Arc<Self> {
        let secrets = Arc::new(SecretsObject::new(project.secrets.clone()));
        Arc::new(Self {
            project,
            host,
            node,
            others,
            secrets,
            failures: Mutex::default(),
            derived_secrets: Mutex::default(),
            missing: Mutex::default(),
        })
    }

    /// Another host as this one sees it; failures and used secrets count here.
    fn other(&self, host: HostId) -> Arc<Self> {
        Arc::new(Self {
            project: self.project.clone(),
            host,
            node: self.others.value(self.project.inventory.host(host).name()),
            others: self.others.clone(),
            secrets: self.secrets.clone(),
            failures: Mutex::default(),
            derived_secrets: Mutex::default(),
            missing: Mutex::default(),
        })
    }

    fn name(&self) -> &str {
        self.project.inventory.host(self.host).name()
    }

    /// The value of `host`, `node`, `hosts`, `groups` or `secrets`.
    fn root(self: &Arc<Self>, name: &str) -> Option<Value> {
        match name {
            "node" => self.node.clone(),
            "host" => Some(Value::from_object(HostObject { scope: self.clone(), other: false })),
            "hosts" => Some(Value::from_object(HostsObject { scope: self.clone() })),
            "groups" => Some(self.project.groups.clone()),
            "secrets" => Some(Value::from_dyn_object(self.secrets.clone())),
            _ => None,
        }
    }

    /// Forgets errors and missing values that a template handled itself (by `default`).
    pub fn forget(&self) {
        lock(&self.failures).clear();
        lock(&self.missing).clear();
    }

    /// Turns an error of rendering into what caused it, where that is known better.
    pub fn explain(&self, diagnostic: Diagnostic) -> Vec<Diagnostic> {
        let mut causes = std::mem::take(&mut *lock(&self.failures));
        causes.extend(self.secrets.take_failures());
        let missing = std::mem::take(&mut *lock(&self.missing));
        if !causes.is_empty() {
            return causes;
        }
        if diagnostic.message != UNDEFINED {
            return vec![diagnostic];
        }
        let hint = |diagnostic: Diagnostic, name| {
            diagnostic.hint(format!("`{name}` has no value on host `{}`", self.name()))
        };
        vec![missing.into_iter().fold(diagnostic, hint)]
    }
}

impl RoleScope {
    pub fn new(host: Arc<HostScope>, role: Option<Arc<Role>>, with: Vec<Given>) -> Arc<Self> {
        Arc::new(Self {
            host,
            role,
            with,
            rendered: Mutex::default(),
            failed: Mutex::default(),
            rendering: Mutex::default(),
        })
    }

    /// As the context of a template.
    pub fn context(self: &Arc<Self>) -> Value {
        Value::from_dyn_object(self.clone())
    }

    /// As the context of a template with `item`.
    pub fn context_with(self: &Arc<Self>, item: Value) -> Value {
        Value::from_object(ItemScope { scope: self.clone(), item })
    }

    fn param(&self, name: &str) -> Option<&RoleParam> {
        self.role.as_ref().and_then(|role| role.param(name))
    }

    /// All values a variable has here, strongest first.
    pub fn sources(&self, name: &str) -> Vec<Source<'_>> {
        let mut sources = Vec::new();
        let project = &self.host.project;
        if let Some(set) = project.set.get(name) {
            sources.push(Source {
                value: Found::Ready(set.value(self.param(name))),
                kind: OriginKind::Set,
                span: set.span,
                broken: None,
            });
        }
        if let Some(given) = self.with.iter().find(|given| given.name == name) {
            let role = self.role.as_ref().map_or_else(String::new, |role| role.name.to_string());
            let kind = OriginKind::With { role };
            let value = Found::Ready(given.value.clone());
            sources.push(Source { value, kind, span: given.span, broken: None });
        }
        if let Some(variable) = project.host_variables[self.host.host.index()].get(name) {
            sources.push(Source {
                value: Found::Written(&variable.argument),
                kind: variable.origin.kind.clone(),
                span: variable.argument.span,
                broken: variable.broken.as_deref(),
            });
        }
        if let Some(role) = &self.role
            && let Some((_, argument)) = role.defaults.iter().find(|(default, _)| default == name)
        {
            let kind = OriginKind::RoleDefault { role: role.name.to_string() };
            let value = Found::Written(argument);
            sources.push(Source { value, kind, span: argument.span, broken: None });
        }
        sources
    }

    /// A variable's value; none where nobody sets it.
    pub fn variable(self: &Arc<Self>, name: &str) -> Option<Value> {
        if let Some(value) = lock(&self.rendered).get(name) {
            // Whoever asks for what failed is told why, not only the first.
            lock(&self.host.failures).extend(lock(&self.failed).get(name).into_iter().flatten().cloned());
            return Some(value.clone());
        }
        let Some(source) = self.sources(name).into_iter().next() else {
            if self.param(name).is_some() || self.host.project.world.variables.contains(name) {
                lock(&self.host.missing).insert(name.to_owned());
            }
            return None;
        };
        let value = match source.value {
            _ if let Some(broken) = source.broken => Err(broken.clone()),
            Found::Ready(value) => Ok(value),
            Found::Written(argument) => self.render(name, argument),
        };
        let checked = value.map_err(Box::new).and_then(|value| {
            let wrong = self.param(name).and_then(|param| Some((param, param.check(&value).err()?)));
            match wrong {
                Some((param, wrong)) => Err(Box::new(param.mismatch(&wrong, source.span))),
                None => Ok(value),
            }
        });
        let value = checked.unwrap_or_else(|diagnostic| {
            let message = diagnostic.message.clone();
            let causes = self.host.explain(*diagnostic);
            lock(&self.host.failures).extend(causes.iter().cloned());
            lock(&self.failed).insert(name.to_owned(), causes);
            Value::from(Error::new(ErrorKind::InvalidOperation, message))
        });
        lock(&self.rendered).insert(name.to_owned(), value.clone());
        Some(value)
    }

    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    fn render(self: &Arc<Self>, name: &str, argument: &Argument) -> Result<Value, Diagnostic> {
        if argument.is_literal() {
            return argument.evaluate(self.host.project.roles.templates(), &Value::UNDEFINED);
        }
        {
            let mut rendering = lock(&self.rendering);
            if let Some(start) = rendering.iter().position(|(known, _)| known == name) {
                let circle = &rendering[start..];
                let mut names: Vec<&str> = circle.iter().map(|(name, _)| name.as_str()).collect();
                names.push(name);
                let message = format!("variables need each other in a circle: {}", names.join(" -> "));
                let mut diagnostic = Diagnostic::error(message);
                for (index, (name, span)) in circle.iter().enumerate() {
                    let text = format!("`{name}` needs `{}`", names[index + 1]);
                    diagnostic =
                        if index == 0 { diagnostic.at(*span, text) } else { diagnostic.also(*span, text) };
                }
                return Err(diagnostic);
            }
            rendering.push((name.to_owned(), argument.span));
        }
        let templates = self.host.project.roles.templates();
        let value = argument.evaluate(templates, &self.context());
        lock(&self.rendering).pop();
        if let Ok(value) = &value
            && argument.changes_secrets(templates)
            && let Ok(value) = cm_roles::value::to_wire(value)
        {
            secret_texts(&value, &mut lock(&self.host.derived_secrets));
        }
        value
    }
}

impl Object for RoleScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.host.root(key).or_else(|| self.variable(key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// A role's scope with `item`.
#[derive(Debug)]
struct ItemScope {
    scope: Arc<RoleScope>,
    item: Value,
}

impl Object for ItemScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == "item" { Some(self.item.clone()) } else { self.scope.get_value_by_str(key) }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `hosts`: all hosts by name.
#[derive(Debug)]
struct HostsObject {
    scope: Arc<HostScope>,
}

impl Object for HostsObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let host = self.scope.project.inventory.host_id(key.as_str()?)?;
        Some(Value::from_object(HostObject { scope: self.scope.other(host), other: true }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.scope.project.inventory.hosts().map(|(_, host)| Value::from(host.name()));
        Enumerator::Values(names.collect())
    }
}

/// `host`, or one of `hosts`.
#[derive(Debug)]
struct HostObject {
    scope: Arc<HostScope>,
    other: bool,
}

impl Object for HostObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let inventory = &self.scope.project.inventory;
        let host = inventory.host(self.scope.host);
        match key.as_str()? {
            "name" => Some(Value::from(host.name())),
            "address" => Some(Value::from(host.address())),
            "groups" => {
                let groups = inventory.groups_of(self.scope.host).iter();
                Some(Value::from(
                    groups.map(|group| Value::from(inventory.group(*group).name())).collect::<Vec<_>>(),
                ))
            }
            "vars" => {
                let scope = RoleScope::new(self.scope.clone(), None, Vec::new());
                Some(Value::from_object(VariablesObject { scope }))
            }
            "facts" if self.other => match &self.scope.node {
                Some(facts) => Some(facts.clone()),
                None => {
                    let message = format!("nothing is known of host `{}` yet", host.name());
                    let error = Error::new(ErrorKind::InvalidOperation, message);
                    Some(Value::from(error))
                }
            },
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let fields: &[&str] = if self.other {
            &["address", "facts", "groups", "name", "vars"]
        } else {
            &["address", "groups", "name", "vars"]
        };
        Enumerator::Str(fields)
    }
}

/// The variables that the inventory gives a host.
#[derive(Debug)]
struct VariablesObject {
    scope: Arc<RoleScope>,
}

impl Object for VariablesObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let host = &self.scope.host;
        let value = self.scope.variable(key.as_str()?);
        // Another host's failure is told where it was asked for.
        let failed = lock(&host.failures).pop();
        match failed {
            Some(diagnostic) => {
                Some(Value::from(Error::new(ErrorKind::InvalidOperation, diagnostic.message)))
            }
            None => value,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let variables = &self.scope.host.project.host_variables[self.scope.host.host.index()];
        Enumerator::Values(variables.keys().map(|name| Value::from(name.as_str())).collect())
    }
}
