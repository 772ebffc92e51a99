//! Collects the edges of all five rules and makes them one graph without cycles.

use cm_modules::Class;

use super::{Barrier, CycleError, Edge, Graph, GraphRole, GraphTask, Reason, TaskView, cycle, holds, relax};

/// Makes the graph of a host's tasks.
///
/// # Errors
/// When what the roles say explicitly forms a cycle.
pub fn build(tasks: &[GraphTask], roles: &[GraphRole]) -> Result<Graph, CycleError> {
    let views: Vec<TaskView<'_>> = tasks.iter().map(GraphTask::view).collect();
    of(&views, roles)
}

/// As [`build`].
pub(crate) fn of(tasks: &[TaskView<'_>], roles: &[GraphRole]) -> Result<Graph, CycleError> {
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

fn explicit(tasks: &[TaskView<'_>]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        edges.extend(task.needs.iter().map(|&from| Edge { from, to: index, reason: Reason::Needs }));
        edges.extend(task.restarts.iter().map(|&to| Edge { from: index, to, reason: Reason::Restarts }));
        edges.extend(task.reloads.iter().map(|&to| Edge { from: index, to, reason: Reason::Reloads }));
    }
    edges
}

fn members(tasks: &[TaskView<'_>], roles: usize) -> Vec<Vec<usize>> {
    let mut by_role = vec![Vec::new(); roles];
    for (index, task) in tasks.iter().enumerate() {
        by_role[task.role].push(index);
    }
    by_role
}

/// Rule (5): every role ends in a barrier; what needs it waits there. Checks hold nobody up.
fn between_roles(tasks: &[TaskView<'_>], roles: &[GraphRole], graph: &mut Graph) {
    let by_role = members(tasks, roles.len());
    let lasting =
        |role: usize| by_role[role].iter().copied().filter(|&task| tasks[task].touches.class != Class::Check);
    // Role r needing role s: one barrier a pair keeps the reason exact; through s it also waits for what s waits for.
    for (index, role) in roles.iter().enumerate() {
        for needed in closure(roles, index) {
            let direct = role.needs.contains(&needed);
            let from: Vec<usize> = lasting(needed).collect();
            // An indirect need is covered by the direct ones, unless the role between has no tasks itself.
            let covered = !direct
                && role.needs.iter().any(|&between| {
                    lasting(between).next().is_some() && closure(roles, between).contains(&needed)
                });
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
fn commands(tasks: &[TaskView<'_>], members: &[usize], edges: &mut Vec<Edge>) {
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
fn classes(tasks: &[TaskView<'_>], members: &[usize], graph: &mut Graph) {
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
    graph.edges.sort_by_key(|edge| (edge.from, edge.to, edge.reason.rank()));
    graph.edges.dedup_by_key(|edge| (edge.from, edge.to));
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::PathBuf};

    use cm_modules::{Thing, Touches, node::SettingKind};
    use proptest::prelude::*;

    use super::*;

    fn task(id: &str, class: Class) -> GraphTask {
        let touches = Touches::new(class);
        GraphTask {
            id: id.into(),
            role: 0,
            touches,
            needs: Vec::new(),
            restarts: Vec::new(),
            reloads: Vec::new(),
            parallel: false,
        }
    }

    fn path(text: &str) -> GraphTask {
        let mut made = task(&format!("file:{text}"), Class::File);
        made.touches = Touches::new(Class::File).makes(Thing::Path(PathBuf::from(text)));
        made
    }

    fn one_role() -> Vec<GraphRole> {
        vec![GraphRole { name: "web".into(), needs: Vec::new() }]
    }

    /// Every pair that the graph orders, directly or not.
    fn order(graph: &Graph) -> HashSet<(usize, usize)> {
        let before = graph.before();
        let mut pairs = HashSet::new();
        for node in 0..before.len() {
            let mut stack = before[node].clone();
            let mut seen = HashSet::new();
            while let Some(earlier) = stack.pop() {
                if seen.insert(earlier) {
                    pairs.insert((earlier as usize, node));
                    stack.extend(&before[earlier as usize]);
                }
            }
        }
        pairs
    }

    #[test]
    fn a_folder_comes_before_what_is_in_it_and_its_owner_before_both() {
        let mut file = path("/srv/www/a/index.html");
        file.touches = file.touches.owned(Some("deploy"), None);
        let mut user = task("user:deploy", Class::Free);
        user.touches = user.touches.makes(Thing::User("deploy".into()));
        let graph = build(&[file, path("/srv/www"), user], &one_role()).unwrap();
        let reasons: Vec<_> =
            graph.edges.iter().map(|edge| (edge.from, edge.to, edge.reason.to_string())).collect();
        assert_eq!(reasons, [(1, 0, "/srv/www holds it".into()), (2, 0, "uses user deploy".to_owned())]);
    }

    #[test]
    fn removals_go_from_the_inside_out() {
        let remove = |text: &str| {
            let mut task = path(text);
            task.touches.removes = true;
            task
        };
        let graph = build(&[remove("/srv"), remove("/srv/www"), remove("/srv/www/a")], &one_role()).unwrap();
        let order = order(&graph);
        assert!(order.contains(&(2, 1)) && order.contains(&(1, 0)));
    }

    /// A plan passed and the apply failed: `/srv/a` came along with `/srv/a/b`, at the same time.
    #[test]
    fn a_file_waits_for_what_its_directory_comes_along_with() {
        let mut deep = path("/srv/a/b/c");
        deep.touches.parents = true;
        let mut other = path("/srv/a/d/e");
        other.touches.parents = true;
        let tasks = [path("/srv/a/file"), deep, other, path("/srv/file"), path("/etc/ssh/file")];
        let graph = build(&tasks, &one_role()).unwrap();
        let edges: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(edges, [(1, 0)]);
    }

    /// A group was removed while the user whose primary group it was still stood: `userdel` and `groupdel` raced.
    #[test]
    fn users_go_before_groups_go() {
        let gone = |id: &str, thing: Thing| {
            let mut task = task(id, Class::Free);
            task.touches = task.touches.makes(thing).removes(true);
            task
        };
        let group = gone("group:operators", Thing::Group("operators".into()));
        let user = gone("user:app", Thing::User("app".into()));
        let graph = build(&[group, user], &one_role()).unwrap();
        let edges: Vec<_> =
            graph.edges.iter().map(|edge| (edge.from, edge.to, edge.reason.to_string())).collect();
        assert_eq!(edges, [(1, 0, "group operators is emptied first".to_owned())]);
    }

    #[test]
    fn answers_come_before_the_package_that_asks() {
        let mut answer = task("debconf:postfix/mailname", Class::Free);
        let key = "postfix postfix/mailname".to_owned();
        answer.touches = answer.touches.makes(Thing::Setting(SettingKind::Debconf, key));
        let package = |name: &str, removes: bool| {
            let mut task = task(&format!("package:{name}"), Class::Package);
            task.touches = task.touches.makes(Thing::Package(name.into())).removes(removes);
            task
        };
        let edges = |tasks: &[GraphTask]| -> Vec<_> {
            let graph = build(tasks, &one_role()).unwrap();
            graph.edges.iter().map(|edge| (edge.from, edge.to, edge.reason.to_string())).collect()
        };
        let there = [package("postfix:amd64", false), package("postfix-doc", false), answer.clone()];
        assert_eq!(edges(&there), [(2, 0, "answers what package postfix asks".to_owned())]);
        // Purging a package takes its answers along.
        let going = [answer, package("postfix", true)];
        assert_eq!(edges(&going), [(1, 0, "uses package postfix".to_owned())]);
    }

    #[test]
    fn an_explicit_edge_turns_the_order_of_classes() {
        let mut package = task("package:nginx", Class::Package);
        package.needs = vec![1];
        let other = task("package:curl", Class::Package);
        let tasks =
            [package, path("/etc/apt/keyrings/nginx.gpg"), other, path("/etc/nginx.conf"), path("/etc/b")];
        let graph = build(&tasks, &one_role()).unwrap();
        let order = order(&graph);
        assert!(order.contains(&(1, 0)), "what the role says");
        assert!(!order.contains(&(0, 1)), "gave way");
        assert!(order.contains(&(2, 1)) && order.contains(&(0, 3)), "the others stand");
    }

    #[test]
    fn a_command_keeps_its_place_against_classes() {
        let command = task("command:make", Class::Opaque);
        let tasks = [path("/etc/a"), command, task("package:b", Class::Package), path("/etc/c")];
        let order = order(&build(&tasks, &one_role()).unwrap());
        for pair in [(0, 1), (1, 2), (1, 3), (2, 3)] {
            assert!(order.contains(&pair), "{pair:?}");
        }
        let mut free = tasks.clone();
        free[1].parallel = true;
        let order = super::tests::order(&build(&free, &one_role()).unwrap());
        assert!(order.contains(&(2, 0)) && !order.contains(&(0, 1)) && !order.contains(&(1, 2)));
    }

    #[test]
    fn edits_follow_the_task_that_makes_the_file() {
        let mut edit = path("/etc/hosts");
        edit.touches.part = true;
        let order = order(&build(&[edit.clone(), edit, path("/etc/hosts")], &one_role()).unwrap());
        assert!(order.contains(&(2, 0)) && order.contains(&(0, 1)));
    }

    #[test]
    fn roles_wait_for_the_roles_they_need_through_empty_ones_too() {
        let mut tasks = vec![path("/a"), path("/b"), path("/c")];
        tasks[0].role = 2;
        tasks[1].role = 0;
        tasks[2].role = 0;
        // 2 needs 1 (without tasks), which needs 0
        let role = |name: &str, needs: &[usize]| GraphRole { name: name.into(), needs: needs.to_vec() };
        let order =
            order(&build(&tasks, &[role("base", &[]), role("empty", &[0]), role("web", &[1])]).unwrap());
        assert!(order.contains(&(1, 0)) && order.contains(&(2, 0)));
    }

    #[test]
    fn a_circle_of_explicit_edges_is_told_step_by_step() {
        let mut tasks =
            vec![task("a", Class::Free), task("b", Class::Free), task("service:c", Class::Service)];
        tasks[0].needs = vec![1];
        tasks[1].needs = vec![2];
        tasks[0].restarts = vec![2];
        let error = build(&tasks, &one_role()).unwrap_err();
        let steps: Vec<_> =
            error.steps.iter().map(|step| (step.from, step.to, step.reason.to_string())).collect();
        assert_eq!(steps, [(0, 2, "restarts".to_owned()), (2, 1, "needs".into()), (1, 0, "needs".into())]);
    }

    #[test]
    fn ten_thousand_tasks_stay_linear() {
        let mut tasks: Vec<_> = (0..3_000).map(|n| task(&format!("package:{n}"), Class::Package)).collect();
        tasks.extend((0..7_000).map(|n| path(&format!("/srv/{n}"))));
        let graph = build(&tasks, &one_role()).unwrap();
        assert_eq!((graph.edges.len(), graph.barriers.len()), (0, 1));
    }

    fn anything() -> impl Strategy<Value = Vec<GraphTask>> {
        let kind = (
            0..6u8,
            0..4u8,
            any::<bool>(),
            prop::collection::vec(any::<prop::sample::Index>(), 0..2),
            0..2usize,
        );
        prop::collection::vec(kind, 1..25).prop_map(|kinds| {
            let count = kinds.len();
            let made = kinds.into_iter().enumerate().map(|(index, (kind, depth, flag, needs, role))| {
                let path = PathBuf::from(["/a", "/a/b", "/a/b/c", "/d"][usize::from(depth)]);
                let touches = match kind {
                    0 => Touches::new(Class::Package).makes(Thing::Package(format!("p{index}"))),
                    1 => Touches::new(Class::File).makes(Thing::Path(path)).removes(flag),
                    2 => Touches::new(Class::Service).makes(Thing::Service(format!("s{index}"))),
                    3 => Touches::new(Class::Opaque),
                    4 => Touches::new(Class::Check),
                    _ => Touches::new(Class::Free).makes(Thing::Repository("r".into())),
                };
                // Needs point to earlier tasks or later ones, but only to larger numbers in one direction: no circles.
                let needs = needs.iter().map(|n| n.index(count)).filter(|&n| n > index).collect();
                let id = format!("t{index}");
                GraphTask {
                    id,
                    role,
                    touches,
                    needs,
                    restarts: Vec::new(),
                    reloads: Vec::new(),
                    parallel: flag,
                }
            });
            made.collect()
        })
    }

    proptest! {
        #[test]
        fn there_is_always_an_order_and_it_keeps_what_the_role_says(tasks in anything()) {
            let roles = [one_role().remove(0), GraphRole { name: "other".into(), needs: Vec::new() }];
            let graph = build(&tasks, &roles).unwrap();
            let order = order(&graph);
            for (index, task) in tasks.iter().enumerate() {
                prop_assert!(!order.contains(&(index, index)), "{index} waits for itself");
                for &needed in &task.needs {
                    prop_assert!(order.contains(&(needed, index)));
                }
            }
        }
    }
}
