//! Names the merged tasks, finds what they refer to, orders them and puts them into the form of the wire.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cm_modules::Thing;
use cm_roles::{Reference, ReferenceText, RunAs, Target, TaskList, means};
use cm_syntax::{Diagnostic, Diagnostics, nearest};
use cm_wire::{Notice, Notify};

use super::{
    HostPlan, Request, TaskOrigin, custom,
    instances::Instance,
    merge::{Merged, MergedTasks},
    order::OrderTask,
    render::Draft,
};
use crate::{
    fast_hash::FastMap,
    graph::{self, GraphRole},
    scope::{HostScope, lock, secret_texts},
};

/// What a task refers to, by place in the list of tasks.
#[derive(Clone, Default)]
struct Links {
    needs: BTreeSet<usize>,
    restarts: BTreeSet<usize>,
    reloads: BTreeSet<usize>,
}

/// Makes the plan of one host.
pub(super) fn arrange(
    scope: &Arc<HostScope>,
    instances: &[Instance],
    mut merged: MergedTasks<'_>,
    request: &Request<'_>,
) -> Result<HostPlan, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let mut ids = ids(&merged.tasks);
    let links = Linker::new(instances, &merged, &ids).links(&mut diagnostics);
    guards(&merged.tasks, &mut diagnostics);
    let mut runs_as = run_as(scope, &merged.tasks, request, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let ordering = Ordering { scope, instances, request, merged: &merged, ids: &ids, links: &links };
    let mut kept = kept(&merged.tasks, &links, request.tags);
    let mut graph = ordering.graph(&kept)?;
    if let Some(id) = request.start_at {
        let start = ordering.place_of(id, &kept)?;
        let before = graph.all_before(start);
        kept = kept.into_iter().enumerate().filter(|(new, _)| !before[*new]).map(|(_, old)| old).collect();
        graph = ordering.graph(&kept)?;
    }
    let place = places(&kept, merged.tasks.len());
    let mut edits = edits(&merged.tasks, &kept);
    let checks_from =
        kept.iter().take_while(|&&old| merged.tasks[old].first().list != TaskList::Verify).count();
    let mut secrets = scope.secrets.used();
    secrets.append(&mut lock(&scope.derived_secrets));
    secrets.extend(sensitive_params(instances));
    custom::add_secrets(kept.iter().map(|&old| &merged.tasks[old]), &mut secrets);
    let mut contents = HashMap::with_capacity(kept.len());
    let mut tasks = Vec::with_capacity(kept.len());
    let mut origins = Vec::with_capacity(kept.len());
    for (new, &old) in kept.iter().enumerate() {
        let task = &merged.tasks[old];
        let first = task.first();
        let (instance, written) = (first.instance, first.task);
        contents.extend(task.rendered.contents.iter().cloned());
        let drafts = || task.drafts.iter().map(|draft| draft.task);
        let mut done = cm_wire::Task {
            id: std::mem::take(&mut ids[old]),
            module: written.module_name.to_string(),
            role: instances[instance].role.name.to_string(),
            also: other_roles(task, instances),
            params: BTreeMap::new(),
            after: Vec::new(),
            notify: notices(&links[old], &place),
            edits: edits.remove(&new).unwrap_or_default(),
            sensitive: task.rendered.changes_secrets || drafts().any(|task| task.sensitive),
            timeout: timeout(task),
            retries: drafts().map(|task| task.retries).max().unwrap_or(0),
            retry_delay: drafts().map(|task| task.retry_delay).max().unwrap_or(0),
            run_as: runs_as[old].take(),
            guard: drafts().map(|task| task.guard).max().unwrap_or(0),
        };
        done.params = merged.tasks[old].take_params();
        tasks.push(done);
        origins.push(TaskOrigin {
            role: instances[instance].role.name.clone(),
            place: written.place.clone(),
            span: written.span,
        });
    }
    let whole_roles = whole_roles(scope, instances, request);
    Ok(HostPlan {
        host: scope.project.inventory.host(scope.host).name().to_owned(),
        tasks,
        checks_from,
        contents,
        secrets,
        origins,
        graph,
        roles: instances.iter().map(|instance| instance.role.name.to_string()).collect(),
        pruned_roles: whole_roles
            .iter()
            .filter(|name| scope.project.roles.get(name).is_some_and(|role| role.prune))
            .cloned()
            .collect(),
        whole_roles,
    })
}

/// Everything that decides the order of a host's tasks.
struct Ordering<'a> {
    scope: &'a Arc<HostScope>,
    instances: &'a [Instance],
    request: &'a Request<'a>,
    merged: &'a MergedTasks<'a>,
    ids: &'a [String],
    links: &'a [Links],
}

impl Ordering<'_> {
    /// The graph of the tasks that are kept.
    fn graph(&self, kept: &[usize]) -> Result<Arc<graph::Graph>, Diagnostics> {
        let place = places(kept, self.merged.tasks.len());
        let tasks = kept.iter().map(|&old| {
            let (task, links) = (&self.merged.tasks[old], &self.links[old]);
            OrderTask {
                rendered: task.rendered.clone(),
                role: task.first().instance,
                needs: moved(&links.needs, &place),
                restarts: moved(&links.restarts, &place),
                reloads: moved(&links.reloads, &place),
            }
        });
        self.scope.project.orders.order(tasks.collect(), self.roles()).map_err(|cycle| {
            let places = |task: usize| self.merged.tasks[kept[task]].first().task.span;
            Diagnostics::from(cycle_diagnostic(&cycle, |task| self.ids[kept[task]].clone(), places))
        })
    }

    fn roles(&self) -> Vec<GraphRole> {
        let instances = self.instances;
        let needs = |(place, instance): (usize, &Instance)| GraphRole {
            name: instance.role.name.to_string(),
            needs: match self.request.list {
                // What was built on another role goes before it.
                TaskList::Cleanup => {
                    (0..instances.len()).filter(|&other| instances[other].needs.contains(&place)).collect()
                }
                TaskList::Tasks | TaskList::Verify => instance.needs.clone(),
            },
        };
        instances.iter().enumerate().map(needs).collect()
    }

    /// Where the task of this id stands among those that are kept.
    fn place_of(&self, id: &str, kept: &[usize]) -> Result<usize, Diagnostics> {
        kept.iter().position(|&old| self.ids[old] == id).ok_or_else(|| {
            let known = kept.iter().map(|&old| self.ids[old].as_str());
            Diagnostic::error(format!("there is no task `{id}` to start at"))
                .did_you_mean(nearest(id, known))
                .hint("ids are as `cm plan` shows them: `file:/etc/motd`, or what `id:` of the task says")
                .into()
        })
    }
}

/// Where each task goes, now that some are left out.
fn places(kept: &[usize], all: usize) -> Vec<Option<usize>> {
    let mut place = vec![None; all];
    for (new, old) in kept.iter().enumerate() {
        place[*old] = Some(new);
    }
    place
}

/// Whom a task tells that it has changed: a restart includes a reload.
fn notices(links: &Links, place: &[Option<usize>]) -> Vec<Notify> {
    let all = |links: &BTreeSet<usize>, notice| -> Vec<Notify> {
        moved(links, place).into_iter().map(|service| Notify { task: service as u32, notice }).collect()
    };
    let mut notices = all(&links.restarts, Notice::Restart);
    let restarted =
        |reload: &Notify| links.restarts.iter().any(|service| place[*service] == Some(reload.task as usize));
    let reloads = all(&links.reloads, Notice::Reload);
    notices.extend(reloads.into_iter().filter(|reload| !restarted(reload)));
    notices
}

fn moved(links: &BTreeSet<usize>, place: &[Option<usize>]) -> Vec<usize> {
    links.iter().filter_map(|old| place[*old]).collect()
}

/// Roles of which nothing else can be on this host than what is compiled here. A role that another role gives
/// values to is there once for each of them: then that other role must be here, too, whether it is on the host or not.
fn whole_roles(scope: &HostScope, instances: &[Instance], request: &Request<'_>) -> Vec<String> {
    let partial = !request.tags.is_empty() || request.start_at.is_some();
    if partial || request.list == TaskList::Cleanup {
        return Vec::new();
    }
    let here = |name: &str| instances.iter().any(|instance| *instance.role.name == *name);
    let mut whole: Vec<String> = Vec::new();
    for instance in instances {
        let name = &instance.role.name;
        let mut giving =
            scope.project.roles.iter().filter(|role| {
                role.needs.iter().any(|need| *need.role.value == **name && !need.with.is_empty())
            });
        if giving.all(|role| here(&role.name)) && !whole.iter().any(|known| **known == **name) {
            whole.push(name.to_string());
        }
    }
    whole
}

/// Roles beside the first that want the very same.
fn other_roles(task: &Merged<'_>, instances: &[Instance]) -> Vec<String> {
    let role = |draft: &Draft<'_>| &instances[draft.instance].role.name;
    let first = role(task.first());
    let mut others: Vec<String> = Vec::new();
    for draft in &task.drafts {
        let name = role(draft);
        if name != first && !others.iter().any(|known| **known == **name) {
            others.push(name.to_string());
        }
    }
    others
}

/// The id of each task, unique on the host: what `id:` says or `module:subject`, with `#2`, `#3` where it repeats.
fn ids(tasks: &[Merged<'_>]) -> Vec<String> {
    let mut counts: FastMap<&str, usize> = FastMap::default();
    counts.reserve(tasks.len());
    tasks
        .iter()
        .map(|task| {
            let rendered = &task.first().rendered;
            let name = rendered.id.as_deref().unwrap_or(&rendered.name);
            let count = counts.entry(name).or_default();
            *count += 1;
            if *count == 1 { name.to_owned() } else { format!("{name}#{count}") }
        })
        .collect()
}

struct Linker<'p, 'a> {
    instances: &'p [Instance],
    merged: &'p MergedTasks<'a>,
    ids: &'p [String],
    /// Tasks by what they were written as: instance, list and place in it; none where nothing refers to any.
    written: FastMap<(usize, TaskListKey, usize), Vec<(usize, usize)>>,
}

type TaskListKey = u8;

fn list_key(list: TaskList) -> TaskListKey {
    match list {
        TaskList::Tasks => 0,
        TaskList::Verify => 1,
        TaskList::Cleanup => 2,
    }
}

impl<'p, 'a> Linker<'p, 'a> {
    fn new(instances: &'p [Instance], merged: &'p MergedTasks<'a>, ids: &'p [String]) -> Self {
        let mut written: FastMap<_, Vec<(usize, usize)>> = FastMap::default();
        // Only what something refers to is asked for.
        let drafts = || merged.tasks.iter().flat_map(|task| &task.drafts);
        let mut wanted: FastMap<(&str, usize), ()> = FastMap::default();
        for draft in drafts() {
            let task = draft.task;
            for reference in task.needs.iter().chain(&task.restarts).chain(&task.reloads) {
                wanted.extend(reference.targets.iter().map(|target| ((&*target.role, target.task), ())));
            }
        }
        for (index, task) in merged.tasks.iter().enumerate() {
            for draft in &task.drafts {
                if !wanted.contains_key(&(&*instances[draft.instance].role.name, draft.index)) {
                    continue;
                }
                let key = (draft.instance, list_key(draft.list), draft.index);
                written.entry(key).or_default().push((draft.subject, index));
            }
        }
        Self { instances, merged, ids, written }
    }

    fn links(&self, diagnostics: &mut Diagnostics) -> Vec<Links> {
        let mut links = vec![Links::default(); self.merged.tasks.len()];
        for (index, task) in self.merged.tasks.iter().enumerate() {
            for draft in &task.drafts {
                let mut said = draft.references.iter();
                let link = &mut links[index];
                let lists = [
                    (&draft.task.needs, &mut link.needs, false),
                    (&draft.task.restarts, &mut link.restarts, true),
                    (&draft.task.reloads, &mut link.reloads, true),
                ];
                for (references, found, service) in lists {
                    for reference in references {
                        let said = said.next().and_then(Option::as_deref);
                        match self.find(draft, reference, said, service) {
                            Ok(targets) => {
                                found.extend(targets.into_iter().filter(|target| *target != index))
                            }
                            Err(problem) => diagnostics.push(*problem),
                        }
                    }
                }
            }
        }
        links
    }

    /// The instances a task of one may refer to: its own, and those it needs, however far.
    fn reach(&self, instance: usize) -> Vec<usize> {
        let mut reach = vec![instance];
        let mut next = 0;
        while next < reach.len() {
            for &needed in &self.instances[reach[next]].needs {
                if !reach.contains(&needed) {
                    reach.push(needed);
                }
            }
            next += 1;
        }
        reach
    }

    fn find(
        &self,
        draft: &Draft<'_>,
        reference: &Reference,
        said: Option<&str>,
        service: bool,
    ) -> Result<Vec<usize>, Box<Diagnostic>> {
        if !reference.targets.is_empty() {
            return Ok(reference.targets.iter().flat_map(|target| self.of_target(draft, target)).collect());
        }
        let text = match (&reference.text, said) {
            (_, Some(said)) => said,
            (ReferenceText::Literal(text), None) => text,
            (ReferenceText::Template(_), None) => return Ok(Vec::new()),
        };
        let reach = self.reach(draft.instance);
        let candidates: Vec<usize> = (0..self.merged.tasks.len())
            .filter(|&index| {
                let drafts = &self.merged.tasks[index].drafts;
                drafts.iter().any(|other| {
                    reach.contains(&other.instance)
                        && other.list != TaskList::Verify
                        && (!service || other.task.is_service())
                })
            })
            .collect();
        let named = |index: usize| {
            let rendered = &self.merged.tasks[index].rendered;
            means(text, &self.ids[index], service) || means(text, &rendered.name, service)
        };
        let found: Vec<usize> = candidates.iter().copied().filter(|&index| named(index)).collect();
        let module =
            if service { cm_roles::SERVICE } else { text.split_once(':').map_or(text, |(module, _)| module) };
        // A task that `when` left out has nothing to wait for or to tell.
        let dropped =
            self.merged.dropped.iter().any(|(instance, name)| reach.contains(instance) && **name == *module);
        if !found.is_empty() || dropped {
            return Ok(found);
        }
        let names: Vec<&str> = candidates.iter().map(|&index| self.ids[index].as_str()).collect();
        let what = if service { "service" } else { "task" };
        Err(Box::new(
            Diagnostic::error(format!("unknown {what} `{text}`"))
                .at(reference.span, "this is what it renders to, and there is no such task in reach")
                .did_you_mean(nearest(text, names.iter().copied())),
        ))
    }

    /// Tasks that were made of one that was written, as far as they are there.
    fn of_target(&self, draft: &Draft<'_>, target: &Target) -> Vec<usize> {
        let own = *self.instances[draft.instance].role.name == *target.role;
        let instances: Vec<usize> = if own {
            vec![draft.instance]
        } else {
            let reach = self.reach(draft.instance);
            reach
                .into_iter()
                .filter(|&instance| *self.instances[instance].role.name == *target.role)
                .collect()
        };
        let list = if own && draft.list == TaskList::Cleanup { TaskList::Cleanup } else { TaskList::Tasks };
        let mut found = Vec::new();
        for instance in instances {
            let Some(written) = self.written.get(&(instance, list_key(list), target.task)) else { continue };
            let wanted =
                written.iter().filter(|(subject, _)| target.subject.is_none_or(|wanted| wanted == *subject));
            found.extend(wanted.map(|(_, index)| *index));
        }
        found
    }
}

/// A guard that could take nothing back would be a false promise.
fn guards(tasks: &[Merged<'_>], diagnostics: &mut Diagnostics) {
    let lost = |task: &&Merged<'_>| task.rendered.touches.makes.is_empty() || !custom::can_undo(task);
    for task in tasks.iter().filter(lost) {
        if let Some(draft) = task.drafts.iter().find(|draft| draft.task.guard > 0) {
            diagnostics.push(
                Diagnostic::error(format!("`guard` of `{}` means nothing", task.rendered.name))
                    .at(draft.task.span, "nobody can take back what this does")
                    .hint("guard the tasks that make the files, units or settings it works with"),
            );
        }
    }
}

/// Whose rights the commands of each task run with.
fn run_as(
    scope: &HostScope,
    tasks: &[Merged<'_>],
    request: &Request<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Option<String>> {
    let project = &scope.project;
    tasks
        .iter()
        .map(|task| {
            let said = task.first().task.run_as.as_ref()?;
            // A task that makes something does it itself; one that makes nothing known runs what the user wrote.
            let runs_commands = task.rendered.touches.makes.is_empty() || custom::is_custom(task);
            if !runs_commands && said.value != RunAs::Agent {
                diagnostics.push(
                    Diagnostic::error(format!("`become` of `{}` means nothing", task.rendered.name))
                        .at(said.span, "this task runs no command of yours")
                        .hint("`owner` and `group` say whose a file is; `become` is for commands"),
                );
                return None;
            }
            match &said.value {
                RunAs::Agent => None,
                RunAs::User(name) => Some(name.clone()),
                RunAs::Login => {
                    let settings = project.inventory.settings(scope.host);
                    if !settings.become_root.is_some_and(|flag| flag.value) {
                        return None;
                    }
                    let user = settings.ssh.user.map(|user| user.value);
                    let user =
                        user.or_else(|| project.settings.ssh.user.as_ref().map(|user| user.value.clone()));
                    let user = user.or_else(|| request.login.map(str::to_owned));
                    if user.is_none() {
                        diagnostics.push(
                            Diagnostic::error("`become: false` wants to know who logs in")
                                .at(said.span, "")
                                .hint("write the user's name: `become: NAME`"),
                        );
                    }
                    user
                }
            }
        })
        .collect()
}

/// The tasks that stay where only some tags are wanted: those that have one, what they say they need, and the services
/// they restart or reload.
fn kept(tasks: &[Merged<'_>], links: &[Links], tags: &[String]) -> Vec<usize> {
    if tags.is_empty() {
        return (0..tasks.len()).collect();
    }
    let tagged = |task: &Merged<'_>| {
        task.drafts.iter().any(|draft| draft.task.tags.iter().any(|tag| tags.contains(tag)))
    };
    let mut stack: Vec<usize> = (0..tasks.len()).filter(|&index| tagged(&tasks[index])).collect();
    let mut kept = BTreeSet::new();
    while let Some(index) = stack.pop() {
        if kept.insert(index) {
            stack
                .extend(links[index].needs.iter().chain(&links[index].restarts).chain(&links[index].reloads));
        }
    }
    kept.into_iter().collect()
}

/// For each task that makes a file, the edits of that file in the order written; all by their new places.
fn edits(tasks: &[Merged<'_>], kept: &[usize]) -> BTreeMap<usize, Vec<u32>> {
    // A module of the repository edits a file by itself.
    let edits_part = |old: usize| tasks[old].rendered.touches.part && !custom::is_custom(&tasks[old]);
    if !kept.iter().any(|&old| edits_part(old)) {
        return BTreeMap::new();
    }
    let mut makers: HashMap<&Thing, usize> = HashMap::new();
    let paths =
        |old: usize| tasks[old].rendered.touches.makes.iter().filter(|thing| matches!(thing, Thing::Path(_)));
    for (new, &old) in kept.iter().enumerate() {
        if !tasks[old].rendered.touches.part {
            makers.extend(paths(old).map(|thing| (thing, new)));
        }
    }
    let mut edits: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (new, &old) in kept.iter().enumerate() {
        if edits_part(old) {
            for maker in paths(old).filter_map(|thing| makers.get(thing)) {
                edits.entry(*maker).or_default().push(new as u32);
            }
        }
    }
    edits
}

/// Seconds that one attempt may take: what a task says, or the module; 0: the agent's own limit.
fn timeout(task: &Merged<'_>) -> u32 {
    let said = task.drafts.iter().map(|draft| draft.task.timeout).max().unwrap_or(0);
    if said > 0 { said } else { custom::timeout(task) }
}

/// Values of parameters that roles call sensitive.
fn sensitive_params(instances: &[Instance]) -> Vec<cm_wire::Secret> {
    let mut found = Vec::new();
    for instance in instances {
        for param in instance.role.params.iter().filter(|param| param.sensitive) {
            if let Some(value) = instance.scope.variable(&param.name.value)
                && let Ok(value) = cm_roles::value::to_wire(&value)
            {
                secret_texts(&value, &mut found);
            }
        }
    }
    found
}

/// A circle of tasks with the reason of each step.
fn cycle_diagnostic(
    cycle: &graph::CycleError,
    id: impl Fn(usize) -> String,
    place: impl Fn(usize) -> cm_syntax::Span,
) -> Diagnostic {
    let mut names: Vec<String> = cycle.steps.iter().map(|step| id(step.from)).collect();
    names.extend(cycle.steps.first().map(|step| id(step.from)));
    let mut diagnostic = Diagnostic::error(format!("{cycle}: {}", names.join(" -> ")));
    for (index, step) in cycle.steps.iter().enumerate() {
        let text = format!("`{}` before `{}`: {}", id(step.from), id(step.to), step.reason);
        let span = place(step.from);
        diagnostic = if index == 0 { diagnostic.at(span, text) } else { diagnostic.also(span, text) };
    }
    diagnostic
}
