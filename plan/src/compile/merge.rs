//! One resource, one truth: the same thing wanted twice is one task; two things wanted of one resource are an error
//! that shows both places.

use std::{
    collections::{HashMap, hash_map::Entry},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use cm_modules::{Params, Thing, node::SettingKind};
use cm_roles::{RunAs, Task, TaskList};
use cm_syntax::{Diagnostic, Diagnostics, Span};
use cm_wire::{Redactor, Value as Wire};

use super::render::{Draft, Drafts, Rendered, param_error};
use crate::{
    fast_hash::{FastMap, hash},
    graph::plain,
    scope::HostScope,
};

/// A task of one host, and all that was written for it.
pub(super) struct Merged<'a> {
    pub rendered: Arc<Rendered>,
    /// The first of them names and places it.
    pub drafts: Vec<Draft<'a>>,
}

pub(super) struct MergedTasks<'a> {
    pub tasks: Vec<Merged<'a>>,
    pub dropped: Vec<(usize, Arc<str>)>,
}

impl<'a> Merged<'a> {
    pub fn first(&self) -> &Draft<'a> {
        // Made with one, and only ever added to.
        &self.drafts[0]
    }

    /// The parameters, when nothing else is asked of it any more: copied only where others have them too.
    pub fn take_params(&mut self) -> Params {
        self.drafts.clear();
        match Arc::get_mut(&mut self.rendered) {
            Some(rendered) => std::mem::take(&mut rendered.params),
            None => self.rendered.params.clone(),
        }
    }
}

/// Merges the drafts of one host.
pub(super) fn merge<'a>(scope: &Arc<HostScope>, drafts: Drafts<'a>) -> Result<MergedTasks<'a>, Diagnostics> {
    let mut tasks: Vec<Merged<'a>> = Vec::with_capacity(drafts.tasks.len());
    // By the hash of a thing the first task that makes it, and where two have one hash, the tasks of the others.
    let mut made: FastMap<u64, (usize, Vec<usize>)> = FastMap::default();
    made.reserve(drafts.tasks.len());
    let mut diagnostics = Diagnostics::new();
    for draft in drafts.tasks {
        let touches = &draft.rendered.touches;
        // A module of the repository has one thing of its own, whatever else it edits a part of.
        let own_part = touches.part && draft.task.module.schema.custom.is_some();
        if (touches.part && !own_part) || draft.partial || draft.list == TaskList::Verify {
            tasks.push(Merged { rendered: draft.rendered.clone(), drafts: vec![draft] });
            continue;
        }
        let whole = if own_part { &touches.makes[..1] } else { &touches.makes };
        let hashes: Vec<u64> = whole.iter().map(hash_of).collect();
        let other = whole.iter().zip(&hashes).enumerate().find_map(|(place, (thing, hash))| {
            let found = maker(&tasks, made.get(hash)?, thing)?;
            clash(thing, place, &tasks[found].rendered).then_some((found, thing.clone()))
        });
        match other {
            None => {
                for (thing, hash) in whole.iter().zip(hashes) {
                    match made.entry(hash) {
                        Entry::Vacant(free) => drop(free.insert((tasks.len(), Vec::new()))),
                        Entry::Occupied(mut known) => {
                            if maker(&tasks, known.get(), thing).is_none() {
                                known.get_mut().1.push(tasks.len());
                            }
                        }
                    }
                }
                tasks.push(Merged { rendered: draft.rendered.clone(), drafts: vec![draft] });
            }
            Some((found, thing)) => match join(&tasks[found], &draft, &thing) {
                Ok(rendered) => {
                    tasks[found].rendered = rendered;
                    tasks[found].drafts.push(draft);
                }
                Err(problem) => diagnostics.push(*problem),
            },
        }
    }
    edits_of_what_goes(&tasks, &mut diagnostics);
    if diagnostics.has_errors() {
        let redactor = Redactor::new(&scope.secrets.used());
        return Err(diagnostics.into_iter().map(|diagnostic| redact(diagnostic, &redactor)).collect());
    }
    Ok(MergedTasks { tasks, dropped: drafts.dropped })
}

/// Which of these makes a thing.
fn maker(tasks: &[Merged<'_>], (first, more): &(usize, Vec<usize>), thing: &Thing) -> Option<usize> {
    [*first]
        .iter()
        .chain(more)
        .copied()
        .find(|&task| tasks.get(task).is_some_and(|task| task.rendered.touches.makes.contains(thing)))
}

/// Equal for equal things.
fn hash_of(thing: &Thing) -> u64 {
    match thing {
        Thing::Path(path) => hash(plain(path).as_os_str().as_bytes()),
        other => hash(other),
    }
}

/// Whether making one thing twice is a matter of truth: what a task is about, and every path, has one maker;
/// what comes along (a group with a user) may have a task of its own too.
fn clash(thing: &Thing, place: usize, other: &Rendered) -> bool {
    let primary = place == 0 && other.touches.makes.first() == Some(thing);
    primary || matches!(thing, Thing::Path(_) | Thing::Unit(_))
}

/// Joins two tasks that want the same thing, or says how they contradict each other.
fn join(known: &Merged<'_>, draft: &Draft<'_>, thing: &Thing) -> Result<Arc<Rendered>, Box<Diagnostic>> {
    let first = known.first();
    let (left, right) = (&known.rendered, &draft.rendered);
    let title = format!("two tasks want different things of {}", describe(thing));
    if first.task.module_name != draft.task.module_name || left.touches.makes != right.touches.makes {
        return Err(Box::new(
            Diagnostic::error(title)
                .at(draft.task.span, format!("`{}` here", right.name))
                .also(first.task.span, format!("`{}` here", left.name))
                .hint("one resource has one task; `when` tells hosts apart"),
        ));
    }
    if left.touches.removes != right.touches.removes {
        let word = |removes: bool| if removes { "to be absent here" } else { "to be there here" };
        return Err(Box::new(
            Diagnostic::error(title)
                .at(draft.task.span, word(right.touches.removes))
                .also(first.task.span, word(left.touches.removes)),
        ));
    }
    let mut joined = (**left).clone();
    for (name, value) in &right.params {
        match left.params.get(name) {
            Some(other) if other == value => {}
            Some(other) => {
                let own = draft.task.module.schema.custom;
                let secret = own.is_some_and(|custom| custom.declaration.secrets.contains(name));
                let hidden = secret || first.task.sensitive || draft.task.sensitive;
                let owner = known
                    .drafts
                    .iter()
                    .find(|draft| draft.rendered.params.contains_key(name))
                    .unwrap_or(first);
                return Err(Box::new(
                    Diagnostic::error(title)
                        .at(
                            param_span(draft.task, name),
                            format!("`{name}` is {} here", shown(value, hidden)),
                        )
                        .also(
                            param_span(owner.task, name),
                            format!("`{name}` is {} here", shown(other, hidden)),
                        ),
                ));
            }
            None => drop(joined.params.insert(name.clone(), value.clone())),
        }
    }
    if run_as(first.task) != run_as(draft.task) {
        return Err(Box::new(
            Diagnostic::error(title)
                .at(draft.task.span, "with one `become` here")
                .also(first.task.span, "with another here"),
        ));
    }
    if joined.params.len() == left.params.len() {
        return Ok(left.clone());
    }
    match draft.task.module.resource(&joined.params) {
        Ok(resource) => {
            joined.touches = resource.touches();
            joined.contents.extend(right.contents.iter().cloned());
            joined.changes_secrets |= right.changes_secrets;
            Ok(Arc::new(joined))
        }
        Err(error) => {
            let problem = param_error(draft.task, draft.task.span, &error);
            Err(Box::new(problem.also(first.task.span, "together with what is wanted here")))
        }
    }
}

fn run_as(task: &Task) -> Option<&RunAs> {
    task.run_as.as_ref().map(|run_as| &run_as.value).filter(|run_as| **run_as != RunAs::Agent)
}

fn param_span(task: &Task, name: &str) -> Span {
    task.params.iter().find(|param| param.schema.name == name).map_or(task.span, |param| param.value.span)
}

/// A file that is to be absent cannot be edited.
fn edits_of_what_goes(tasks: &[Merged<'_>], diagnostics: &mut Diagnostics) {
    let mut going: HashMap<&Thing, &Merged<'_>> = HashMap::new();
    let removes = |task: &&Merged<'_>| task.rendered.touches.removes && !task.rendered.touches.part;
    for task in tasks.iter().filter(removes).filter(|task| !task.first().partial) {
        going.extend(task.rendered.touches.makes.iter().map(|thing| (thing, task)));
    }
    for task in tasks.iter().filter(|task| task.rendered.touches.part && !going.is_empty()) {
        let removed = task.rendered.touches.makes.iter().find_map(|thing| Some((thing, going.get(thing)?)));
        if let Some((thing, other)) = removed {
            diagnostics.push(
                Diagnostic::error(format!("two tasks want different things of {}", describe(thing)))
                    .at(task.first().task.span, "edited here")
                    .also(other.first().task.span, "to be absent here"),
            );
        }
    }
}

/// A thing as a person calls it.
pub(super) fn describe(thing: &Thing) -> String {
    match thing {
        Thing::Path(path) | Thing::Mount(path) => path.display().to_string(),
        Thing::User(name) => format!("user `{name}`"),
        Thing::Group(name) => format!("group `{name}`"),
        Thing::Package(name) => format!("package `{name}`"),
        Thing::Repository(name) => format!("repository `{name}`"),
        Thing::Unit(name) => format!("unit `{name}`"),
        Thing::Service(name) => format!("service `{name}`"),
        Thing::Setting(SettingKind::Custom, key) => format!("`{key}`"),
        Thing::Setting(kind, key) => format!("{} `{key}`", kind.word()),
        Thing::Other(name) => format!("`{name}`"),
    }
}

fn shown(value: &Wire, hidden: bool) -> String {
    match value {
        _ if hidden => "one thing".into(),
        Wire::Text(text) if text.chars().count() <= 60 && !text.contains('\n') => format!("{text:?}"),
        Wire::Bool(flag) => flag.to_string(),
        Wire::Int(number) => number.to_string(),
        Wire::Float(number) => number.to_string(),
        Wire::Content(content) => format!("a content of {} bytes ({})", content.size, content.digest.short()),
        other => other.kind().to_owned(),
    }
}

fn redact(mut diagnostic: Diagnostic, redactor: &Redactor) -> Diagnostic {
    diagnostic.message = redactor.apply(&diagnostic.message).into_owned();
    for label in diagnostic.primary.iter_mut().chain(&mut diagnostic.others) {
        label.text = redactor.apply(&label.text).into_owned();
    }
    diagnostic
}
