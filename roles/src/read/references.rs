//! What one role or task says of another: cycles of `needs`, and the tasks that `needs`, `restarts` and `reloads` name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cm_modules::{AbsolutePath, Kind};
use cm_syntax::{Diagnostic, Diagnostics, nearest};
use cm_wire::Value as Wire;

use super::RawRole;
use crate::{
    role::{Role, TaskList},
    task::{Reference, ReferenceText, SERVICE, Target, Task},
};

/// Tells each cycle of roles that need each other, once, with the place of every step.
pub(super) fn find_cycles(roles: &BTreeMap<String, Option<RawRole>>, diagnostics: &mut Diagnostics) {
    let mut done = BTreeSet::new();
    for name in roles.keys() {
        visit(name, roles, &mut Vec::new(), &mut done, diagnostics);
    }
}

fn visit<'r>(
    name: &'r str,
    roles: &'r BTreeMap<String, Option<RawRole>>,
    path: &mut Vec<(&'r str, cm_syntax::Span)>,
    done: &mut BTreeSet<String>,
    diagnostics: &mut Diagnostics,
) {
    if done.contains(name) {
        return;
    }
    let Some(Some(role)) = roles.get(name) else { return };
    for need in &role.needs {
        path.push((name, need.role.span));
        if let Some(start) = path.iter().position(|(known, _)| *known == need.role.value) {
            let cycle = &path[start..];
            let mut names: Vec<&str> = cycle.iter().map(|(name, _)| *name).collect();
            names.push(&need.role.value);
            let message = format!("roles need each other in a circle: {}", names.join(" -> "));
            let mut diagnostic = Diagnostic::error(message);
            for (index, (name, place)) in cycle.iter().enumerate() {
                let text = format!("`{name}` needs `{}`", names[index + 1]);
                diagnostic =
                    if index == 0 { diagnostic.at(*place, text) } else { diagnostic.also(*place, text) };
            }
            diagnostics.push(diagnostic);
        } else {
            visit(&need.role.value, roles, path, done, diagnostics);
        }
        path.pop();
    }
    done.insert(name.to_owned());
}

/// A task that can be named, of a role in reach.
struct Named {
    id: String,
    target: Target,
    service: bool,
}

/// What the references of one task mean: the role, the list, the place in it, and the targets of each reference.
type Resolved = (Arc<str>, TaskList, usize, Vec<Vec<Target>>);

/// Finds what every reference means and tells those that mean nothing; checks that ids are unique.
pub(super) fn resolve(roles: &mut BTreeMap<Arc<str>, Role>, diagnostics: &mut Diagnostics) {
    let mut resolved: Vec<Resolved> = Vec::new();
    for role in roles.values() {
        for list in [TaskList::Tasks, TaskList::Verify, TaskList::Cleanup] {
            unique_ids(role.list(list), diagnostics);
        }
        let reach = reachable(roles, &role.name);
        for list in [TaskList::Tasks, TaskList::Verify, TaskList::Cleanup] {
            let (named, open) = names_in_reach(roles, &role.name, &reach, list);
            for (index, task) in role.list(list).iter().enumerate() {
                let targets = references(task)
                    .map(|(reference, service)| find(reference, service, &named, &open, role, diagnostics))
                    .collect();
                resolved.push((role.name.clone(), list, index, targets));
            }
        }
    }
    for (name, list, index, targets) in resolved {
        let Some(role) = roles.get_mut(&name) else { continue };
        let tasks = match list {
            TaskList::Tasks => &mut role.tasks,
            TaskList::Verify => &mut role.verify,
            TaskList::Cleanup => &mut role.cleanup,
        };
        let task = &mut tasks[index];
        let references = task.needs.iter_mut().chain(&mut task.restarts).chain(&mut task.reloads);
        for (reference, targets) in references.zip(targets) {
            reference.targets = targets;
        }
    }
}

/// All references of a task and whether each must name a service.
fn references(task: &Task) -> impl Iterator<Item = (&Reference, bool)> {
    let notices = task.restarts.iter().chain(&task.reloads);
    task.needs.iter().map(|reference| (reference, false)).chain(notices.map(|reference| (reference, true)))
}

/// The role itself and all roles it needs, however far.
fn reachable(roles: &BTreeMap<Arc<str>, Role>, name: &Arc<str>) -> Vec<Arc<str>> {
    let mut reach = vec![name.clone()];
    let mut next = 0;
    while next < reach.len() {
        if let Some(role) = roles.get(&reach[next]) {
            for need in &role.needs {
                if !reach.iter().any(|known| **known == *need.role.value) {
                    reach.push(need.role.value.as_str().into());
                }
            }
        }
        next += 1;
    }
    reach
}

/// Tasks that can be named from a role's list, and which modules have tasks whose names depend on the host.
fn names_in_reach(
    roles: &BTreeMap<Arc<str>, Role>,
    own: &Arc<str>,
    reach: &[Arc<str>],
    list: TaskList,
) -> (Vec<Named>, BTreeSet<String>) {
    let mut named = Vec::new();
    let mut open = BTreeSet::new();
    for name in reach {
        let Some(role) = roles.get(name) else { continue };
        // The checks of a role stand beside its tasks; its cleanup stands alone.
        let tasks = if list == TaskList::Cleanup && name == own { &role.cleanup } else { &role.tasks };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, task) in tasks.iter().enumerate() {
            let target = |subject| Target { role: name.clone(), task: index, subject };
            let service = task.is_service();
            if let Some(id) = &task.id {
                match id.literal_text() {
                    Some(id) => named.push(Named { id: id.to_owned(), target: target(None), service }),
                    None => drop(open.insert(String::new())),
                }
            }
            for (place, subject) in task.subjects.iter().enumerate() {
                let Some(shown) = subject_text(subject.literal(), &task.module.schema.subject.kind) else {
                    open.insert(task.module_name.to_string());
                    continue;
                };
                let id = format!("{}:{shown}", task.module_name);
                let count = seen.entry(id.clone()).or_default();
                *count += 1;
                if *count > 1 {
                    named.push(Named { id: format!("{id}#{count}"), target: target(Some(place)), service });
                }
                named.push(Named { id, target: target(Some(place)), service });
            }
        }
    }
    (named, open)
}

/// The subject as ids show it: a path without superfluous slashes, a service without its suffix left as it is.
#[must_use]
pub fn subject_text(subject: Option<&Wire>, kind: &Kind) -> Option<String> {
    match (subject?, kind) {
        (Wire::Text(text), Kind::Path) => {
            AbsolutePath::parse(text).ok().map(|path| path.0.to_string_lossy().into_owned())
        }
        (Wire::Text(text), _) => Some(text.clone()),
        (Wire::Int(number), _) => Some(number.to_string()),
        (Wire::Bool(flag), _) => Some(flag.to_string()),
        (Wire::List(items), _) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| subject_text(Some(item), &Kind::Text)).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

/// Whether a reference means the task of this id. `nginx` and `nginx.service` are one service.
#[must_use]
pub fn means(text: &str, id: &str, service: bool) -> bool {
    if text == id {
        return true;
    }
    let prefix = format!("{SERVICE}:");
    let bare = |text: &str| {
        let text = text.strip_prefix(&prefix).unwrap_or(text);
        text.strip_suffix(".service").unwrap_or(text).to_owned()
    };
    service && bare(text) == bare(id)
}

fn find(
    reference: &Reference,
    service: bool,
    named: &[Named],
    open: &BTreeSet<String>,
    role: &Role,
    diagnostics: &mut Diagnostics,
) -> Vec<Target> {
    let ReferenceText::Literal(text) = &reference.text else { return Vec::new() };
    let candidates = || named.iter().filter(move |named| named.service || !service);
    let mut targets: Vec<Target> = Vec::new();
    for found in candidates().filter(|named| means(text, &named.id, service)) {
        if !targets.contains(&found.target) {
            targets.push(found.target.clone());
        }
    }
    if !targets.is_empty() {
        return targets;
    }
    // It may be the name that a task gets on the host.
    let module = if service { SERVICE } else { text.split_once(':').map_or("", |(module, _)| module) };
    if open.contains(module) || open.contains("") {
        return targets;
    }
    let mut diagnostic = if service {
        Diagnostic::error(format!("unknown service `{text}`")).at(
            reference.span,
            format!("no `service` task of this name in role `{}` or the roles it needs", role.name),
        )
    } else {
        Diagnostic::error(format!("unknown task `{text}`"))
            .at(reference.span, format!("no such task in role `{}` or the roles it needs", role.name))
    };
    let prefix = format!("{SERVICE}:");
    let names: Vec<&str> = candidates()
        .map(|named| if service { named.id.strip_prefix(&prefix).unwrap_or(&named.id) } else { &named.id })
        .collect();
    diagnostic = match nearest(text, names.iter().copied()) {
        Some(near) => diagnostic.did_you_mean(Some(near)),
        None if service => diagnostic.hint(format!("add a task `- service: {text}`")),
        None if named.iter().any(|named| named.id.ends_with(&format!(":{text}"))) => {
            let same = named.iter().find(|named| named.id.ends_with(&format!(":{text}")));
            diagnostic.did_you_mean(same.map(|named| named.id.as_str()))
        }
        None => diagnostic.hint("a task is named `module:subject`, or by its `id`"),
    };
    diagnostics.push(diagnostic);
    targets
}

/// Ids that tasks give themselves must differ.
fn unique_ids(tasks: &[Task], diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, cm_syntax::Span> = BTreeMap::new();
    for task in tasks {
        let Some((id, span)) = task.id.as_ref().and_then(|id| Some((id.literal_text()?, id.span))) else {
            continue;
        };
        if let Some(first) = seen.insert(id, span) {
            diagnostics.push(
                Diagnostic::error(format!("two tasks have the id `{id}`"))
                    .at(span, "again here")
                    .also(first, "first here"),
            );
        }
    }
}
