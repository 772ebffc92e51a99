//! Whether one more node may be taken out of service.

use std::collections::BTreeSet;

use super::Machine;
use crate::NodeState;

impl Machine<'_> {
    /// Whether nobody who is in service may be begun.
    pub(super) fn is_full(&self) -> bool {
        self.rollout.nodes.iter().filter(|node| node.is_out()).count() >= self.rollout.max_unavailable()
    }

    /// Why a node may not be begun now; none when it may.
    ///
    /// A node that is out of service already takes nothing away. With more nodes out than allowed only those that were
    /// worked on before are taken up again, and only on the way back.
    pub(super) fn no_room(&self, place: usize) -> Option<String> {
        let nodes = &self.rollout.nodes;
        let node = &nodes[place];
        let more = usize::from(!node.is_out());
        let out = nodes.iter().filter(|node| node.is_out()).count();
        let limit = self.rollout.max_unavailable();
        let mends = more == 0 && self.rollout.direction == crate::Direction::Back;
        if out + more > limit && !mends {
            return Some(format!("{} and {limit} may be", self.who_is_out(out)));
        }
        let spread = self.rollout.strategy.spread?;
        if let Some(per_domain) = spread.per_domain {
            let same = nodes.iter().filter(|other| other.domain == node.domain && other.is_out()).count();
            if same + more > per_domain && !mends {
                let domain = node.domain.as_deref().unwrap_or("none");
                return Some(format!(
                    "{same} nodes of the domain `{domain}` are out of service, and {per_domain} may be"
                ));
            }
        }
        if let Some(max_domains) = spread.max_domains {
            let domains: BTreeSet<Option<&str>> =
                nodes.iter().filter(|node| node.is_in_work()).map(|node| node.domain.as_deref()).collect();
            if !domains.contains(&node.domain.as_deref()) && domains.len() >= max_domains {
                return Some(format!("nodes of {max_domains} other domains are in work"));
            }
        }
        None
    }

    /// Who is out of service, in words.
    fn who_is_out(&self, out: usize) -> String {
        let (mut failed, mut unreachable) = (0, 0);
        for node in self.rollout.nodes.iter().filter(|node| node.is_out()) {
            match node.state {
                NodeState::Failed { .. } => failed += 1,
                _ if !node.reachable => unreachable += 1,
                _ => {}
            }
        }
        let are = if out == 1 { "node is" } else { "nodes are" };
        match (failed, unreachable) {
            (0, 0) => format!("{out} {are} out of service,"),
            (failed, 0) => format!("{out} {are} out of service ({failed} failed),"),
            (0, unreachable) => format!("{out} {are} out of service ({unreachable} unreachable),"),
            (failed, unreachable) => {
                format!("{out} {are} out of service ({failed} failed, {unreachable} unreachable),")
            }
        }
    }
}
