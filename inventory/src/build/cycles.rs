//! Groups in groups: circles, levels, who holds whom.

use cm_syntax::{Diagnostic, Diagnostics, Span};

use super::Merged;
use crate::GroupId;

/// Complains about groups that hold themselves and takes out the link that closes each circle.
pub(super) fn cut(groups: &[Merged], children: &mut [Vec<(GroupId, Span)>], diagnostics: &mut Diagnostics) {
    #[derive(Copy, Clone, PartialEq)]
    enum Seen {
        No,
        OnTheWay,
        Done,
    }
    let mut seen = vec![Seen::No; groups.len()];
    for start in 0..groups.len() {
        if seen[start] != Seen::No {
            continue;
        }
        // The way from `start` down: each group and which of its children comes next.
        let mut way = vec![(start, 0)];
        seen[start] = Seen::OnTheWay;
        while let Some((group, next)) = way.last_mut() {
            let (from, at) = (*group, *next);
            let Some((child, span)) = children[from].get(at).copied() else {
                seen[from] = Seen::Done;
                way.pop();
                continue;
            };
            *next += 1;
            match seen[child.index()] {
                Seen::Done => {}
                Seen::No => {
                    seen[child.index()] = Seen::OnTheWay;
                    way.push((child.index(), 0));
                }
                Seen::OnTheWay => {
                    // It is on the way, or it would not be marked so.
                    let begin = way.iter().position(|(group, _)| *group == child.index()).unwrap_or(0);
                    diagnostics.push(explain(groups, children, &way[begin..], span));
                    children[from].remove(at);
                    if let Some((_, next)) = way.last_mut() {
                        *next -= 1;
                    }
                }
            }
        }
    }
}

/// `circle`: groups and, for each, the child after the one that leads on.
fn explain(
    groups: &[Merged],
    children: &[Vec<(GroupId, Span)>],
    circle: &[(usize, usize)],
    closing: Span,
) -> Diagnostic {
    let name = |group: usize| groups[group].name.as_str();
    let mut names: Vec<&str> = circle.iter().map(|(group, _)| name(*group)).collect();
    names.push(names[0]);
    let last = names.len() - 2;
    let mut diagnostic =
        Diagnostic::error(format!("groups hold each other in a circle: {}", names.join(" -> ")))
            .at(closing, format!("`{}` is part of `{}`", names[0], names[last]));
    for (at, (group, next)) in circle[..circle.len() - 1].iter().enumerate() {
        let span = children[*group][next - 1].1;
        diagnostic = diagnostic.also(span, format!("`{}` is part of `{}`", names[at + 1], names[at]));
    }
    diagnostic.hint("take one of them out of `groups:`")
}

/// Each group's level (0 for `all`, the first group; else 1 + the highest level of the groups that hold it), and an order
/// in which groups come after the groups they hold. There must be no circles.
pub(super) fn levels(children: &[Vec<(GroupId, Span)>]) -> (Vec<u32>, Vec<usize>) {
    let mut levels = vec![1; children.len()];
    levels[0] = 0;
    let mut holders = vec![0; children.len()];
    children.iter().flatten().for_each(|(child, _)| holders[child.index()] += 1);
    let mut outer_first: Vec<usize> = (0..children.len()).filter(|group| holders[*group] == 0).collect();
    let mut at = 0;
    while let Some(&group) = outer_first.get(at) {
        at += 1;
        for (child, _) in &children[group] {
            let child = child.index();
            levels[child] = levels[child].max(levels[group] + 1);
            holders[child] -= 1;
            if holders[child] == 0 {
                outer_first.push(child);
            }
        }
    }
    outer_first.reverse();
    (levels, outer_first)
}

/// Says whether a group holds another, directly or not.
pub(super) fn holds(children: &[Vec<(GroupId, Span)>], group: usize, wanted: usize) -> bool {
    let mut seen = vec![false; children.len()];
    let mut open = vec![group];
    while let Some(group) = open.pop() {
        for (child, _) in &children[group] {
            if child.index() == wanted {
                return true;
            }
            if !std::mem::replace(&mut seen[child.index()], true) {
                open.push(child.index());
            }
        }
    }
    false
}
