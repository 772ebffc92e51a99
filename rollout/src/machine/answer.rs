//! How a piece of work ended, and what that means for its node or batch.

use super::Machine;
use crate::{
    Answer, BatchState, Direction, NodeState, PauseReason, Target, Verdict, Work,
    record::{Applied, Course, Drain},
};

impl Machine<'_> {
    pub(super) fn answered(&mut self, work: Work, answer: Answer) {
        if let Work::BeforeBatch { .. } | Work::AfterBatch { .. } | Work::GateBatch { .. } = work {
            self.batch_answered(&work, answer);
            return;
        }
        if work == Work::Targets {
            return match answer {
                Answer::Targets(targets) => self.compare_targets(targets),
                other => {
                    self.rollout.targets_asked = false;
                    let why = format!("the targets cannot be computed again: {}", why_of(other));
                    self.pause(PauseReason::Failure { why });
                }
            };
        }
        let Some(place) = work.node().and_then(|name| self.place(name)) else { return };
        match (work, answer) {
            (Work::AskAlready { hook, .. }, Answer::Already(already)) => {
                self.node(place).already[hook] = Some(already);
                self.prepare(place);
            }
            (Work::BeforeNode { hook, .. }, Answer::Ok) => {
                self.node(place).drained[hook] = Drain::Yes;
                self.prepare(place);
            }
            // It goes back into service anyway.
            (Work::AskAlready { .. } | Work::BeforeNode { .. }, _)
                if self.node(place).course == Course::Return =>
            {
                self.finish(place);
            }
            (Work::AskAlready { hook, .. }, answer) => {
                self.fail_node(place, format!("`already` of hook {}: {}", hook + 1, why_of(answer)));
            }
            (Work::BeforeNode { hook, .. }, answer) => {
                self.fail_node(place, format!("`before_node` of hook {}: {}", hook + 1, why_of(answer)));
            }
            (Work::Apply { .. }, answer) => self.applied(place, answer),
            (Work::GateNode { .. }, Answer::Gate(verdict)) => self.node_gate_answered(place, verdict),
            (Work::GateNode { .. }, answer) => {
                self.node_gate_answered(place, Verdict::Fail { why: why_of(answer) });
            }
            (Work::AfterNode { hook, .. }, Answer::Ok) => {
                self.node(place).drained[hook] = Drain::No;
                self.finish(place);
            }
            (Work::AfterNode { hook, .. }, answer) => {
                self.fail_node(place, format!("`after_node` of hook {}: {}", hook + 1, why_of(answer)));
            }
            (Work::RollBackNode { .. }, Answer::Ok) => {
                self.node(place).reachable = true;
                self.gate_node(place);
            }
            (Work::RollBackNode { .. }, answer) => {
                if matches!(answer, Answer::Unreachable { .. }) {
                    self.node(place).reachable = false;
                }
                self.fail_node(place, why_of(answer));
            }
            (
                Work::BeforeBatch { .. } | Work::AfterBatch { .. } | Work::GateBatch { .. } | Work::Targets,
                _,
            ) => {}
        }
    }

    fn applied(&mut self, place: usize, answer: Answer) {
        let node = self.node(place);
        let result = match answer {
            Answer::Applied { changed } => {
                node.reachable = true;
                // An earlier try may have changed what this one found as wanted.
                let changed = changed || node.runs.len() > 1 || node.applied == Applied::Changed;
                node.applied = if changed { Applied::Changed } else { Applied::Unchanged };
                Ok(())
            }
            Answer::Unreachable { why } => {
                node.reachable = false;
                Err(why)
            }
            answer => Err(why_of(answer)),
        };
        match (result, node.course) {
            (Ok(()), Course::RollBack) => self.roll_back_node(place),
            (Err(_), Course::RollBack) if node.reachable => self.roll_back_node(place),
            (Ok(()), _) => self.gate_node(place),
            (Err(why), _) => {
                // It is begun again when it answers: this was no failure of the way back.
                self.node(place).course = Course::Upgrade;
                self.fail_node(place, why);
            }
        }
    }

    fn batch_answered(&mut self, work: &Work, answer: Answer) {
        if self.rollout.direction == Direction::Back {
            return;
        }
        match (work, answer) {
            // Nobody of it is begun any more.
            (&Work::BeforeBatch { .. }, _) if self.rollout.aborting.is_some() => {}
            (&Work::BeforeBatch { batch, hook }, Answer::Ok) => self.open_batch(batch, hook + 1),
            (&Work::BeforeBatch { batch, hook }, answer) => {
                let why = format!("`before_batch` of hook {}: {}", hook + 1, why_of(answer));
                self.fail_batch(batch, BatchState::Before { hook }, why);
            }
            (&Work::AfterBatch { batch, hook }, Answer::Ok) => self.close_batch(batch, Some(hook)),
            (&Work::AfterBatch { batch, hook }, answer) => {
                let why = format!("`after_batch` of hook {}: {}", hook + 1, why_of(answer));
                self.fail_batch(batch, BatchState::After { hook }, why);
            }
            (&Work::GateBatch { batch }, Answer::Gate(verdict)) => self.batch_gate_answered(batch, verdict),
            (&Work::GateBatch { batch }, answer) => {
                self.batch_gate_answered(batch, Verdict::Fail { why: why_of(answer) });
            }
            _ => {}
        }
    }

    /// Takes in the targets as they are now: who is new, who is gone, who can be reached.
    fn compare_targets(&mut self, mut targets: Vec<Target>) {
        self.rollout.strategy.sort(&mut targets);
        for place in 0..self.rollout.nodes.len() {
            let found = targets.iter().position(|target| target.name == self.rollout.nodes[place].name);
            let node = &self.rollout.nodes[place];
            match (found.map(|at| targets.remove(at)), &node.state) {
                (Some(target), state) => {
                    if *state == NodeState::Gone {
                        self.set(place, NodeState::Pending);
                    }
                    let node = self.node(place);
                    node.reachable = target.reachable;
                    node.domain = target.domain;
                }
                (None, NodeState::Pending) => self.set(place, NodeState::Gone),
                (None, _) => {}
            }
        }
        let hooks = self.rollout.hooks.hooks.len();
        let mut joined = Vec::new();
        for target in targets {
            if !joined.contains(&target.name) {
                joined.push(target.name.clone());
                self.rollout.nodes.push(crate::Node::of(target, hooks));
            }
        }
        if !joined.is_empty() {
            self.tell(crate::Notice::Joined { nodes: joined });
        }
        self.rollout.fleet =
            self.rollout.nodes.iter().filter(|node| node.state != NodeState::Gone).count().max(1);
    }
}

/// What an answer that is none of those asked for says.
fn why_of(answer: Answer) -> String {
    match answer {
        Answer::Failed { why } | Answer::Unreachable { why } => why,
        other => format!("{other:?} is no answer to this"),
    }
}
