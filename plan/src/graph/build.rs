//! Collects the edges of all five rules and makes them one graph without cycles.

use cm_modules::Class;

use super::{Barrier, CycleError, Edge, Graph, GraphRole, GraphTask, Reason, cycle, holds, relax};

/// Makes the graph of a host's tasks.
///
/// # Errors
/// When what the roles say explicitly forms a cycle.
pub fn build(tasks: &[GraphTask], roles: &[GraphRole]) -> Result<Graph, CycleError> {
    let mut graph = Graph { tasks: tasks.len(), edges: explicit(tasks), barriers: Vec::new() };
    between_roles(tasks, roles, &mut graph);
    if let Some(error) = cycle::find(&graph) {
        return Err(error);
    }
    graph.edges.extend(holds::edges(tasks));
    let by_role = members(tasks, roles.len());
    for list in &by_role {
        commands(tasks, list, &mut graph.edges);
        classes(tasks, list, &mut graph);
    }
    relax::relax(&mut graph);
    tidy(&mut graph);
    Ok(graph)
}

fn explicit(tasks: &[GraphTask]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        edges.extend(task.needs.iter().map(|&from| Edge { from, to: index, reason: Reason::Needs }));
        edges.extend(task.restarts.iter().map(|&to| Edge { from: index, to, reason: Reason::Restarts }));
        edges.extend(task.reloads.iter().map(|&to| Edge { from: index, to, reason: Reason::Reloads }));
    }
    edges
}

fn members(tasks: &[GraphTask], roles: usize) -> Vec<Vec<usize>> {
    let mut by_role = vec![Vec::new(); roles];
    for (index, task) in tasks.iter().enumerate() {
        by_role[task.role].push(index);
    }
    by_role
}

/// Rule (5): every role ends in a barrier; what needs it waits there. Checks hold nobody up.
fn between_roles(tasks: &[GraphTask], roles: &[GraphRole], graph: &mut Graph) {
    let by_role = members(tasks, roles.len());
    // Role r needing role s: one barrier a pair keeps the reason exact; through s it also waits for what s waits for.
    for (index, role) in roles.iter().enumerate() {
        for needed in closure(roles, index) {
            let direct = role.needs.contains(&needed);
            let from: Vec<usize> =
                by_role[needed].iter().copied().filter(|&task| tasks[task].touches.class != Class::Check).collect();
            // An indirect need is covered by the direct ones, unless the role between has no tasks itself.
            let covered = !direct
                && role.needs.iter().any(|&between| !by_role[between].is_empty() && closure(roles, between).contains(&needed));
            if covered || from.is_empty() || by_role[index].is_empty() {
                continue;
            }
            graph.barriers.push(Barrier {
                from,
                after: Vec::new(),
                to: by_role[index].clone(),
                reason: Reason::Role { needed: roles[needed].name.clone(), by: role.name.clone() },
            });
        }
    }
}

/// All roles that a role needs, near and far, without itself.
fn closure(roles: &[GraphRole], role: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut stack = roles[role].needs.clone();
    while let Some(next) = stack.pop() {
        if next != role && !found.contains(&next) {
            found.push(next);
            stack.extend(&roles[next].needs);
        }
    }
    found.sort_unstable();
    found
}

/// Rule (4): a command keeps its place among all tasks of its role.
fn commands(tasks: &[GraphTask], members: &[usize], edges: &mut Vec<Edge>) {
    let opaque = |task: usize| tasks[task].touches.class == Class::Opaque && !tasks[task].parallel;
    let mut since: Vec<usize> = Vec::new();
    let mut last: Option<usize> = None;
    for &task in members {
        if tasks[task].touches.class == Class::Check || tasks[task].parallel {
            continue;
        }
        if let Some(from) = last {
            edges.push(Edge { from, to: task, reason: Reason::Command });
        }
        if opaque(task) {
            edges.extend(since.drain(..).map(|from| Edge { from, to: task, reason: Reason::Command }));
            last = Some(task);
        } else {
            since.push(task);
        }
    }
}

/// Rule (3), and checks after everything else of their role.
fn classes(tasks: &[GraphTask], members: &[usize], graph: &mut Graph) {
    let of = |classes: &[Class]| -> Vec<usize> {
        members.iter().copied().filter(|&task| classes.contains(&tasks[task].touches.class)).collect()
    };
    let (packages, files, services) = (of(&[Class::Package]), of(&[Class::File]), of(&[Class::Service]));
    let checks = of(&[Class::Check]);
    let rest: Vec<usize> = members.iter().copied().filter(|task| !checks.contains(task)).collect();
    let pairs = [
        (&packages, &files, Reason::Class("packages", "files")),
        (&packages, &services, Reason::Class("packages", "services")),
        (&files, &services, Reason::Class("files", "services")),
        (&rest, &checks, Reason::Check),
    ];
    for (from, to, reason) in pairs {
        if !from.is_empty() && !to.is_empty() {
            graph.barriers.push(Barrier { from: from.clone(), after: Vec::new(), to: to.clone(), reason });
        }
    }
}

/// One edge a pair, with its strongest reason; barriers that need no node of their own become edges.
fn tidy(graph: &mut Graph) {
    let mut barriers = Vec::new();
    for barrier in graph.barriers.drain(..) {
        if barrier.from.is_empty() || barrier.to.is_empty() {
            continue;
        }
        if barrier.from.len() * barrier.to.len() <= barrier.from.len() + barrier.to.len() {
            for &from in &barrier.from {
                for &to in &barrier.to {
                    graph.edges.push(Edge { from, to, reason: barrier.reason.clone() });
                }
            }
        } else {
            barriers.push(barrier);
        }
    }
    graph.barriers = barriers;
    graph.edges.retain(|edge| edge.from != edge.to);
    graph.edges.sort_by(|a, b| (a.from, a.to, a.reason.rank()).cmp(&(b.from, b.to, b.reason.rank())));
    graph.edges.dedup_by_key(|edge| (edge.from, edge.to));
}
