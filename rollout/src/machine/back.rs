//! The way back: first who is out of service, then the latest upgraded first.

use super::Machine;
use crate::{
    NodeState, Outcome, PauseReason,
    record::{Applied, Course},
};

impl Machine<'_> {
    pub(super) fn advance_back(&mut self) {
        self.rollout.blocked = None;
        let mut kept_back = None;
        for (place, course) in self.not_yet_back() {
            if !self.rollout.paused.is_empty() {
                break;
            }
            if !self.rollout.nodes[place].reachable {
                let name = &self.rollout.nodes[place].name;
                kept_back = kept_back.or(Some(format!("{name} cannot be reached")));
                continue;
            }
            match self.no_room(place) {
                Some(why) => kept_back = kept_back.or(Some(why)),
                None => self.begin(place, course),
            }
        }
        if !self.is_idle() || !self.rollout.paused.is_empty() {
            return;
        }
        if let Some(why) = kept_back.filter(|_| !self.rollout.forgiven) {
            let may_come_back = self.rollout.unreachable().next().is_some();
            return if may_come_back { self.block(why) } else { self.fail(why) };
        }
        let left = self.left_behind();
        if left.is_empty() {
            self.end(Outcome::RolledBack);
        } else if self.rollout.forgiven {
            self.end(Outcome::PartlyRolledBack);
        } else {
            let why = format!("not rolled back: {}", left.join(", "));
            self.pause(PauseReason::Failure { why });
        }
    }

    /// Who is still to be taken back, in order.
    fn not_yet_back(&mut self) -> Vec<(usize, Course)> {
        let mut places = Vec::new();
        for place in 0..self.rollout.nodes.len() {
            let node = &self.rollout.nodes[place];
            match (&node.state, node.applied) {
                // What failed on the way back waits for a person.
                (NodeState::Failed { .. }, _) if node.course != Course::Upgrade => {}
                (NodeState::Failed { .. }, Applied::No) => places.push((place, Course::Return)),
                (NodeState::Failed { .. }, _) => places.push((place, Course::RollBack)),
                (NodeState::Done, Applied::Unchanged | Applied::No) => self.set(place, NodeState::Restored),
                (NodeState::Done, _) => places.push((place, Course::RollBack)),
                _ => {}
            }
        }
        let nodes = &self.rollout.nodes;
        places.sort_by_key(|(place, _)| (!nodes[*place].is_out(), u64::MAX - nodes[*place].applied_as));
        places
    }

    /// The names of those who are not as they were.
    fn left_behind(&self) -> Vec<String> {
        let nodes = self.rollout.nodes.iter();
        nodes
            .filter(|node| matches!(node.state, NodeState::Failed { .. } | NodeState::Done))
            .map(|node| node.name.clone())
            .collect()
    }
}
