//! Contradictions and circles that are there whatever a host says of itself: found when the repository is read.
//!
//! Only tasks are looked at that every host with the role has (no `when` to decide, no `each`), and of them only what is
//! written without templates. All else is found when a host is compiled.

use std::{collections::BTreeSet, sync::Arc};

use cm_inventory::HostId;
use cm_modules::{Kind, Params};
use cm_roles::{ReferenceText, Task, TaskList, When};
use cm_syntax::Diagnostics;
use cm_wire::Value as Wire;

use super::{
    Request, arrange,
    instances::{self, Instance},
    merge,
    render::{Draft, Drafts, Rendered, normal_path},
};
use crate::{facts::FactsBook, project::Inner, scope::HostScope};

/// Finds them for every set of roles that some host has, and for roles that none has.
pub(crate) fn certain_errors(project: &Arc<Inner>) -> Diagnostics {
    let mut found = Diagnostics::new();
    let mut seen: BTreeSet<Vec<&str>> = BTreeSet::new();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    for ((host, _), assigned) in project.inventory.hosts().zip(&project.assigned) {
        let names: Vec<&str> = assigned.iter().map(|assigned| assigned.role.value.as_str()).collect();
        reached.extend(&names);
        if seen.insert(names) {
            check(project, host, None, &mut found);
        }
    }
    let some_host = project.inventory.hosts().next().map(|(host, _)| host);
    for role in project.roles.iter().filter(|role| !reached.contains(role.name.as_ref())) {
        if let Some(host) = some_host {
            check(project, host, Some(&[role.name.to_string()]), &mut found);
        }
    }
    found
}

fn check(project: &Arc<Inner>, host: HostId, roles: Option<&[String]>, found: &mut Diagnostics) {
    let scope = HostScope::new(project.clone(), host, None, FactsBook::default());
    // What is missing here may be there once facts are known.
    let Ok(instances) = instances::resolve(&scope, roles) else { return };
    for list in [TaskList::Tasks, TaskList::Cleanup] {
        let request = Request { list, ..Request::default() };
        let result = merge::merge(&scope, drafts(&instances, list))
            .and_then(|merged| arrange::arrange(&scope, &instances, merged, &request));
        if let Err(diagnostics) = result {
            found.extend(diagnostics);
        }
    }
}

fn drafts(instances: &[Instance], list: TaskList) -> Drafts<'_> {
    let mut tasks = Vec::new();
    for (place, instance) in instances.iter().enumerate() {
        for (index, task) in instance.role.list(list).iter().enumerate() {
            if certain(task) {
                tasks.extend(of_task(task).map(|(subject, rendered, partial)| Draft {
                    instance: place,
                    list,
                    index,
                    subject,
                    task,
                    rendered: Arc::new(rendered),
                    references: vec![None; task.needs.len() + task.restarts.len() + task.reloads.len()],
                    partial,
                }));
            }
        }
    }
    Drafts { tasks, dropped: Vec::new() }
}

/// Whether every host with the role has this task, and what it refers to is known.
fn certain(task: &Task) -> bool {
    let references = task.needs.iter().chain(&task.restarts).chain(&task.reloads);
    task.each.is_none()
        && task.when.iter().all(|when| matches!(when, When::Always(true)))
        && task.id.as_ref().is_none_or(cm_roles::Argument::is_literal)
        && references.into_iter().all(|reference| {
            matches!(reference.text, ReferenceText::Literal(_)) && !reference.targets.is_empty()
        })
}

/// What each literal subject makes, as far as it is written out; the last says whether something is missing.
fn of_task(task: &Task) -> impl Iterator<Item = (usize, Rendered, bool)> {
    let schema = task.module.schema;
    let mut params: Params = schema.constants();
    let mut partial = false;
    for param in &task.params {
        let from_file =
            matches!(param.schema.kind, Kind::Content | Kind::Template | Kind::Source | Kind::SourceTree);
        match param.value.literal() {
            Some(value) if !from_file => {
                params.insert(param.schema.name.to_owned(), spelled(value, &param.schema.kind));
            }
            _ => partial = true,
        }
    }
    task.subjects.iter().enumerate().filter_map(move |(place, subject)| {
        let value = spelled(subject.literal()?, &schema.subject.kind);
        let shown = cm_roles::subject_text(Some(&value), &Kind::Text).unwrap_or_default();
        let mut params = params.clone();
        params.insert(schema.subject.name.to_owned(), value);
        let resource = task.module.resource(&params).ok()?;
        let rendered = Rendered {
            name: format!("{}:{shown}", task.module_name),
            id: task.id.as_ref().and_then(|id| id.literal_text()).map(str::to_owned),
            touches: resource.touches(),
            params,
            contents: Vec::new(),
            changes_secrets: false,
        };
        Some((place, rendered, partial))
    })
}

/// The value in the spelling that it gets when it is rendered.
fn spelled(value: &Wire, kind: &Kind) -> Wire {
    match (kind, value) {
        (Kind::Path, Wire::Text(text)) => normal_path(text.clone()),
        _ => value.clone(),
    }
}
