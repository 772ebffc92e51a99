//! Which column everything stands in.
//!
//! Roles that wait for one another stand below one another, each row of roles with columns of its own; only roles
//! that wait for each other share a row. In each row tasks and links take turns, since links lead from tasks to
//! tasks, and before the first and behind the last task there is a column for what comes and goes.

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use super::super::{picture::Picture, reduce::topological};

/// The columns of one row of roles.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The column where links from other rows come in.
    pub entry: usize,
    /// The column where links to other rows go out.
    pub exit: usize,
}

/// The columns of everything, counted through all rows from 0.
pub struct Ranks {
    /// Of each task.
    pub task: Vec<usize>,
    /// Of each link, if it does not lead from row to row.
    pub link: Vec<Option<usize>>,
    /// First and last column of each role's tasks.
    pub span: Vec<(usize, usize)>,
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
    /// The row of each role.
    pub row: Vec<usize>,
}

impl Ranks {
    /// Ranks by the longest path, then draws what only others wait for towards those.
    pub fn new(picture: &Picture<'_>) -> Self {
        let row = rows(picture);
        let own: Vec<bool> = picture
            .links
            .iter()
            .map(|link| {
                let (from, to) = picture.ends(link);
                row[from] == row[to]
            })
            .collect();
        let rank = longest(picture, &own);
        Self::number(picture, row, &own, &rank)
    }

    /// Numbers the columns through, row by row, without those that nothing is left in.
    fn number(picture: &Picture<'_>, row: Vec<usize>, own: &[bool], rank: &[usize]) -> Self {
        let tasks = picture.tasks.len();
        let count = row.iter().max().map_or(0, |&last| last + 1);
        let mut used = vec![std::collections::BTreeMap::new(); count];
        for (task, &role) in picture.role.iter().enumerate() {
            used[row[role]].insert(rank[task], 0);
        }
        for (index, link) in picture.links.iter().enumerate().filter(|&(index, _)| own[index]) {
            used[row[picture.ends(link).0]].insert(rank[tasks + index], 0);
        }
        let (mut next, mut rows) = (0, Vec::with_capacity(count));
        for used in &mut used {
            let entry = next;
            for (at, number) in used.values_mut().enumerate() {
                *number = entry + 1 + at;
            }
            next = entry + used.len() + 2;
            rows.push(Row { entry, exit: next - 1 });
        }
        let task: Vec<usize> =
            picture.role.iter().enumerate().map(|(task, &role)| used[row[role]][&rank[task]]).collect();
        let mut span = vec![(usize::MAX, 0); picture.roles.len()];
        for (&role, &rank) in picture.role.iter().zip(&task) {
            span[role] = (span[role].0.min(rank), span[role].1.max(rank));
        }
        let links = picture.links.iter().enumerate();
        let link = links
            .map(|(index, link)| own[index].then(|| used[row[picture.ends(link).0]][&rank[tasks + index]]))
            .collect();
        Self { task, link, span, rows, row }
    }
}

/// The column of each task and then of each link within its row, by the longest path.
fn longest(picture: &Picture<'_>, own: &[bool]) -> Vec<usize> {
    let tasks = picture.tasks.len();
    let mut after = vec![Vec::new(); tasks + picture.links.len()];
    for (index, link) in picture.links.iter().enumerate().filter(|&(index, _)| own[index]) {
        for &from in &link.from {
            after[from].push(tasks + index);
        }
        after[tasks + index].clone_from(&link.to);
    }
    let place = topological(&after);
    let mut order: Vec<usize> = (0..after.len()).collect();
    order.sort_by_key(|&node| place[node]);
    let mut before = vec![Vec::new(); after.len()];
    for (node, later) in after.iter_mut().enumerate() {
        // In a circle some lines have to run back; they order nothing.
        later.retain(|&later| place[later] > place[node]);
        for &later in later.iter() {
            before[later].push(node);
        }
    }
    let mut rank = vec![0_usize; after.len()];
    let earliest =
        |rank: &[usize], node: usize| before[node].iter().map(|&other| rank[other] + 1).max().unwrap_or(0);
    for &node in &order {
        rank[node] = earliest(&rank, node);
    }
    // As late as they can: tasks that more lines leave than reach, and links that fan out.
    for &node in order.iter().rev() {
        let (ins, outs) = (before[node].len(), after[node].len());
        let latest = after[node].iter().map(|&later| rank[later].saturating_sub(1)).min();
        if let Some(latest) = latest.filter(|_| ins < outs || (node >= tasks && ins == outs)) {
            rank[node] = rank[node].max(latest);
        }
    }
    // What the tasks have left behind follows them; many lines become one as early as they can.
    for &node in &order {
        if node >= tasks && before[node].len() >= after[node].len() {
            rank[node] = earliest(&rank, node);
        }
    }
    rank
}

/// The row of each role: those that wait for each other share one, others stand below what they wait for.
fn rows(picture: &Picture<'_>) -> Vec<usize> {
    let mut roles: DiGraph<(), (), u32> = DiGraph::default();
    let of: Vec<_> = picture.roles.iter().map(|_| roles.add_node(())).collect();
    let ends: std::collections::BTreeSet<_> = picture.links.iter().map(|link| picture.ends(link)).collect();
    for &(from, to) in &ends {
        roles.update_edge(of[from], of[to], ());
    }
    let mut knots: Vec<Vec<usize>> = tarjan_scc(&roles)
        .into_iter()
        .map(|knot| knot.into_iter().map(|role| role.index()).collect())
        .collect();
    // By first appearance, which is how ties are broken.
    knots.sort_by_key(|knot| knot.iter().copied().min());
    let mut row = vec![0; of.len()];
    for (number, knot) in knots.iter().enumerate() {
        for &role in knot {
            row[role] = number;
        }
    }
    let mut after = vec![Vec::new(); knots.len()];
    for (from, to) in ends {
        if row[from] != row[to] {
            after[row[from]].push(row[to]);
        }
    }
    let place = topological(&after);
    row.into_iter().map(|row| place[row]).collect()
}
