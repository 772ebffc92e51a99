//! What can be said of every host before it is reached: required parameters have a value, written values have their type.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cm_roles::{Form, Role, RoleParam};
use cm_syntax::{Diagnostic, Diagnostics, Span, nearest};
use minijinja::Value;

use super::{Assigned, Inner};

/// Hosts on which a parameter has no value, where it is declared, and where the role is used.
type Missing<'a> = (Vec<&'a str>, Span, Span);

/// Checks all hosts against the parameters of their roles.
pub(super) fn hosts(project: &Inner, diagnostics: &mut Diagnostics) {
    let mut missing: BTreeMap<(Arc<str>, String), Missing<'_>> = BTreeMap::new();
    let mut checked: BTreeSet<(Arc<str>, String, Span)> = BTreeSet::new();
    for (host, assigned) in project.inventory.hosts().zip(&project.assigned) {
        let variables = &project.host_variables[host.0.index()];
        for (role, given, place) in reached(project, assigned, diagnostics) {
            for param in &role.params {
                let name = &param.name.value;
                if let Some(set) = project.set.get(name) {
                    check(param, &role, &set.value(Some(param)), set.span, &mut checked, diagnostics);
                    continue;
                }
                if let Some((_, argument)) = given.iter().find(|(known, _)| known == name) {
                    if let Form::Literal { value, .. } = &argument.form {
                        check(param, &role, value, argument.span, &mut checked, diagnostics);
                    }
                } else if let Some(variable) = variables.get(name) {
                    if let Form::Literal { value, .. } = &variable.argument.form {
                        check(param, &role, value, variable.argument.span, &mut checked, diagnostics);
                    }
                } else if param.required {
                    let key = (role.name.clone(), name.clone());
                    let entry = missing.entry(key).or_insert_with(|| (Vec::new(), param.name.span, place));
                    entry.0.push(host.1.name());
                }
            }
        }
    }
    for ((role, name), (hosts, declared, place)) in missing {
        let shown = match hosts.as_slice() {
            [one] => format!("host `{one}`"),
            [first, .., last] if hosts.len() > 4 => format!("{} hosts, `{first}` to `{last}`", hosts.len()),
            many => format!(
                "hosts {}",
                many.iter().map(|host| format!("`{host}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        diagnostics.push(
            Diagnostic::error(format!("parameter `{name}` of role `{role}` has no value on {shown}"))
                .at(place, "the role is used here")
                .also(declared, "required here")
                .hint(format!("set `{name}` in `vars` of the host or of one of its groups")),
        );
    }
}

fn check(
    param: &RoleParam,
    role: &Role,
    value: &Value,
    span: Span,
    checked: &mut BTreeSet<(Arc<str>, String, Span)>,
    diagnostics: &mut Diagnostics,
) {
    if !checked.insert((role.name.clone(), param.name.value.clone(), span)) {
        return;
    }
    if let Err(wrong) = param.check(value) {
        diagnostics.push(param.mismatch(&wrong, span));
    }
}

/// A role, the names it is given values for (with the values), and the place that brought it.
type Reached<'a> = (Arc<Role>, Vec<(String, &'a cm_roles::Argument)>, Span);

/// All roles that assigned roles lead to.
fn reached<'a>(
    project: &'a Inner,
    assigned: &'a [Assigned],
    diagnostics: &mut Diagnostics,
) -> Vec<Reached<'a>> {
    let mut found: Vec<Reached<'a>> = Vec::new();
    for assigned in assigned {
        let Some(role) = project.roles.get(&assigned.role.value) else { continue };
        for (name, _) in &assigned.with {
            if !role.param_names.contains(&name.value) {
                let near = nearest(&name.value, role.param_names.iter().map(String::as_str));
                diagnostics.push(
                    Diagnostic::error(format!("role `{}` has no parameter `{}`", role.name, name.value))
                        .at(name.span, "unknown parameter")
                        .did_you_mean(near),
                );
            }
        }
        let given =
            assigned.with.iter().map(|(name, argument)| (name.value.clone(), argument.as_ref())).collect();
        add(project, role, given, assigned.role.span, &mut found);
    }
    found
}

fn add<'a>(
    project: &'a Inner,
    role: &'a Arc<Role>,
    given: Vec<(String, &'a cm_roles::Argument)>,
    place: Span,
    found: &mut Vec<Reached<'a>>,
) {
    if let Some((_, known, _)) = found.iter_mut().find(|(known, ..)| known.name == role.name) {
        // A role that is given values by one and none by another has them for both.
        for (name, argument) in given {
            if !known.iter().any(|(other, _)| *other == name) {
                known.push((name, argument));
            }
        }
        return;
    }
    found.push((role.clone(), given, place));
    for need in &role.needs {
        if let Some(needed) = project.roles.get(&need.role.value) {
            let given = need.with.iter().map(|(name, argument)| (name.value.clone(), argument)).collect();
            add(project, needed, given, need.role.span, found);
        }
    }
}
