//! `cm vars HOST`: each variable with its value and the place it comes from.

use cm_inventory::{HostId, OriginKind};
use cm_syntax::{Diagnostics, Span};
use cm_wire::{Facts, Redactor, Value as Wire};

use crate::{
    Project,
    facts::{FactsBook, facts_value},
    scope::{Found, HostScope, RoleScope},
};

/// A variable of a host as one of its roles sees it.
#[derive(Clone, Debug)]
pub struct ShownVariable {
    /// Its name.
    pub name: String,
    /// The role it is a parameter of; none for a variable that no role of the host declares.
    pub role: Option<String>,
    /// Its value.
    pub value: ShownValue,
    /// Who set it.
    pub kind: OriginKind,
    /// Where the value stands.
    pub span: Span,
    /// Weaker values that it hides, strongest first: who set them and where.
    pub hidden: Vec<(OriginKind, Span)>,
}

/// A value as it can be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum ShownValue {
    /// Rendered; secrets are replaced.
    Value(Wire),
    /// Of a sensitive parameter.
    Secret,
    /// As written, because it cannot be rendered now: it needs facts that are not known, or it fails.
    Unrendered(String),
}

impl Project {
    /// The variables that count on a host, by role and name. Without facts, values that need them stay as written.
    ///
    /// # Errors
    /// When the roles cannot be put together: a value of a wrong type, one that is missing.
    pub fn variables(
        &self,
        host: HostId,
        facts: Option<&Facts>,
        others: &FactsBook,
        roles: Option<&[String]>,
    ) -> Result<Vec<ShownVariable>, Diagnostics> {
        let scope = HostScope::new(self.inner.clone(), host, facts.map(facts_value), others.clone());
        let instances = crate::compile::instances::resolve(&scope, roles)?;
        let mut shown = Vec::new();
        for instance in &instances {
            for param in &instance.role.params {
                let variable = show(&instance.scope, &param.name.value, param.sensitive);
                shown.extend(variable.map(|variable| ShownVariable {
                    role: Some(instance.role.name.to_string()),
                    ..variable
                }));
            }
        }
        let bare = RoleScope::new(scope.clone(), None, Vec::new());
        for name in self.inner.host_variables[host.index()].keys() {
            if !shown.iter().any(|variable: &ShownVariable| variable.name == *name) {
                shown.extend(show(&bare, name, false));
            }
        }
        let mut secrets = scope.secrets.used();
        secrets.append(&mut crate::scope::lock(&scope.derived_secrets));
        let redactor = Redactor::new(&secrets);
        for variable in &mut shown {
            if let ShownValue::Value(value) = &mut variable.value {
                redact(value, &redactor);
            }
        }
        Ok(shown)
    }
}

fn show(scope: &std::sync::Arc<RoleScope>, name: &str, sensitive: bool) -> Option<ShownVariable> {
    let mut sources = scope.sources(name).into_iter();
    let strongest = sources.next()?;
    let hidden = sources.map(|source| (source.kind, source.span));
    let project = &scope.host.project;
    // What groups and the host hide among themselves is known to the inventory alone.
    let deeper = project.host_variables[scope.host.host.index()].get(name);
    let deeper = deeper.into_iter().flat_map(|variable| &variable.overridden);
    let mut hidden: Vec<(OriginKind, Span)> =
        hidden.chain(deeper.map(|origin| (origin.kind.clone(), origin.span))).collect();
    hidden.sort_by(|a, b| b.0.cmp(&a.0));
    let written = match &strongest.value {
        Found::Written(argument) => project.sources.slice(argument.span),
        Found::Ready(value) => value.to_string(),
    };
    let value = if sensitive {
        ShownValue::Secret
    } else {
        let value = scope.variable(name).and_then(|value| cm_roles::value::to_wire(&value).ok());
        let failed = !crate::scope::lock(&scope.host.failures).is_empty();
        crate::scope::lock(&scope.host.failures).clear();
        match value {
            Some(value) if !failed => ShownValue::Value(value),
            _ => ShownValue::Unrendered(written),
        }
    };
    Some(ShownVariable {
        name: name.to_owned(),
        role: None,
        value,
        kind: strongest.kind,
        span: strongest.span,
        hidden,
    })
}

fn redact(value: &mut Wire, redactor: &Redactor) {
    match value {
        Wire::Text(text) => *text = redactor.apply(text).into_owned(),
        Wire::List(items) => items.iter_mut().for_each(|item| redact(item, redactor)),
        Wire::Map(entries) => entries.values_mut().for_each(|item| redact(item, redactor)),
        _ => {}
    }
}
