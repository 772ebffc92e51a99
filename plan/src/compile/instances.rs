//! The roles of one host: needed ones first, each with the values it is given.

use std::{collections::BTreeSet, sync::Arc};

use cm_roles::{Role, RoleParam};
use cm_syntax::{Diagnostic, Diagnostics, Span, nearest};

use crate::scope::{Found, Given, HostScope, RoleScope};

/// One role on one host. A role that is needed with different values is there several times.
pub(crate) struct Instance {
    pub role: Arc<Role>,
    pub scope: Arc<RoleScope>,
    /// Instances it needs, by place.
    pub needs: Vec<usize>,
}

struct Builder<'a> {
    scope: &'a Arc<HostScope>,
    instances: Vec<Instance>,
    /// Roles that somebody gives values to: those who give none share that instance.
    given_to: BTreeSet<String>,
    /// Who needs such a role without giving values.
    deferred: Vec<(Option<usize>, String)>,
    diagnostics: Diagnostics,
}

/// Finds all roles of a host, in the order they are worked in.
pub(crate) fn resolve(
    scope: &Arc<HostScope>,
    wanted: Option<&[String]>,
) -> Result<Vec<Instance>, Diagnostics> {
    let project = &scope.project;
    let assigned = &project.assigned[scope.host.index()];
    let mut builder = Builder {
        scope,
        instances: Vec::new(),
        given_to: BTreeSet::new(),
        deferred: Vec::new(),
        diagnostics: Diagnostics::new(),
    };
    // The inventory's own values for a role count even where the role is named on the command line.
    let inventory = RoleScope::new(scope.clone(), None, Vec::new());
    let mut roots: Vec<(String, Vec<Given>, Option<Span>)> = Vec::new();
    let names: Vec<(String, Option<Span>)> = match wanted {
        Some(names) => names.iter().map(|name| (name.clone(), None)).collect(),
        None => assigned.iter().map(|role| (role.role.value.clone(), Some(role.role.span))).collect(),
    };
    for (name, span) in names {
        let given = assigned.iter().find(|assigned| assigned.role.value == name);
        let given = given.map_or(&[] as &[_], |assigned| &assigned.with);
        let given = builder
            .given(given.iter().map(|(name, argument)| (name.value.as_str(), argument.as_ref())), &inventory);
        if project.roles.get(&name).is_none() {
            let near = nearest(&name, project.roles.names());
            builder.diagnostics.push(Diagnostic::error(format!("unknown role `{name}`")).did_you_mean(near));
            continue;
        }
        roots.push((name, given, span));
    }
    builder.find_given(roots.iter().map(|(name, given, _)| (name.as_str(), !given.is_empty())));
    let mut order = Vec::new();
    for (name, given, span) in roots {
        order.push((builder.visit(None, &name, given, span), name));
    }
    for (needing, name) in std::mem::take(&mut builder.deferred) {
        let found = builder.instances.iter().position(|instance| *instance.role.name == *name);
        if let (Some(needing), Some(found)) = (needing, found) {
            builder.instances[needing].needs.push(found);
        }
    }
    if builder.diagnostics.has_errors() {
        return Err(builder.diagnostics);
    }
    Ok(in_order(builder.instances, &order))
}

impl Builder<'_> {
    /// Finds the roles in reach that somebody gives values to.
    fn find_given<'n>(&mut self, roots: impl Iterator<Item = (&'n str, bool)>) {
        let mut reach: Vec<String> = Vec::new();
        for (name, given) in roots {
            reach.push(name.to_owned());
            if given {
                self.given_to.insert(name.to_owned());
            }
        }
        let mut next = 0;
        while next < reach.len() {
            if let Some(role) = self.scope.project.roles.get(&reach[next]) {
                for need in &role.needs {
                    if !need.with.is_empty() {
                        self.given_to.insert(need.role.value.clone());
                    }
                    if !reach.contains(&need.role.value) {
                        reach.push(need.role.value.clone());
                    }
                }
            }
            next += 1;
        }
    }

    fn visit(
        &mut self,
        needing: Option<usize>,
        name: &str,
        given: Vec<Given>,
        span: Option<Span>,
    ) -> Option<usize> {
        if given.is_empty() && self.given_to.contains(name) {
            self.deferred.push((needing, name.to_owned()));
            return None;
        }
        let values = |given: &[Given]| {
            given.iter().map(|given| (given.name.clone(), given.value.clone())).collect::<Vec<_>>()
        };
        let known = self.instances.iter().position(|instance| {
            *instance.role.name == *name && values(&instance.scope.with) == values(&given)
        });
        if known.is_some() {
            return known;
        }
        // Roles are checked to be there when the repository is read.
        let role = self.scope.project.roles.get(name)?.clone();
        let scope = RoleScope::new(self.scope.clone(), Some(role.clone()), given);
        self.check_params(&role, &scope, span);
        let index = self.instances.len();
        self.instances.push(Instance { role: role.clone(), scope: scope.clone(), needs: Vec::new() });
        for need in &role.needs {
            let given =
                self.given(need.with.iter().map(|(name, argument)| (name.value.as_str(), argument)), &scope);
            let needed = self.visit(Some(index), &need.role.value, given, Some(need.role.span));
            self.instances[index].needs.extend(needed);
        }
        Some(index)
    }

    /// Renders the values of `with` where they were written.
    fn given<'n>(
        &mut self,
        with: impl Iterator<Item = (&'n str, &'n cm_roles::Argument)>,
        scope: &Arc<RoleScope>,
    ) -> Vec<Given> {
        let mut given = Vec::new();
        let context = scope.context();
        for (name, argument) in with {
            match argument.evaluate(self.scope.project.roles.templates(), &context) {
                Ok(value) if cm_roles::value::is_omit(&value) => {}
                Ok(value) => given.push(Given { name: name.to_owned(), span: argument.span, value }),
                Err(diagnostic) => self.diagnostics.extend(self.scope.explain(diagnostic)),
            }
        }
        given
    }

    /// Checks the values that are written as they are; those of templates are checked when they are rendered.
    fn check_params(&mut self, role: &Role, scope: &Arc<RoleScope>, span: Option<Span>) {
        for param in &role.params {
            let sources = scope.sources(&param.name.value);
            match sources.first() {
                Some(source) => {
                    let value = match &source.value {
                        Found::Ready(value) => Some(value),
                        Found::Written(argument) => match &argument.form {
                            cm_roles::Form::Literal { value, .. } => Some(value),
                            _ => None,
                        },
                    };
                    if let Some(Err(wrong)) = value.map(|value| param.check(value)) {
                        self.diagnostics.push(param.mismatch(&wrong, source.span));
                    }
                }
                None if param.required => self.diagnostics.push(missing(role, param, span)),
                None => {}
            }
        }
    }
}

fn missing(role: &Role, param: &RoleParam, span: Option<Span>) -> Diagnostic {
    let name = &param.name.value;
    let diagnostic = Diagnostic::error(format!("parameter `{name}` of role `{}` has no value", role.name));
    let diagnostic = match span {
        Some(span) => diagnostic.at(span, "the role is used here").also(param.name.span, "required here"),
        None => diagnostic.at(param.name.span, "required here"),
    };
    diagnostic
        .hint(format!("set `{name}` in `vars` of the host or of one of its groups, or with --set {name}=…"))
}

/// Needed roles before those that need them, otherwise as wanted.
fn in_order(instances: Vec<Instance>, roots: &[(Option<usize>, String)]) -> Vec<Instance> {
    let mut order = Vec::with_capacity(instances.len());
    for (root, name) in roots {
        let root = root.or_else(|| instances.iter().position(|instance| *instance.role.name == **name));
        if let Some(root) = root {
            place(&instances, root, &mut order);
        }
    }
    let mut new_place = vec![0; instances.len()];
    for (new, old) in order.iter().enumerate() {
        new_place[*old] = new;
    }
    let mut slots: Vec<Option<Instance>> = instances.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|old| slots[old].take())
        .map(|mut instance| {
            instance.needs.iter_mut().for_each(|need| *need = new_place[*need]);
            instance
        })
        .collect()
}

fn place(instances: &[Instance], index: usize, order: &mut Vec<usize>) {
    if order.contains(&index) {
        return;
    }
    for &needed in &instances[index].needs {
        place(instances, needed, order);
    }
    // Cycles of roles are told when the repository is read.
    if !order.contains(&index) {
        order.push(index);
    }
}
