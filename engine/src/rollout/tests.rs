//! The driver over hands that do nothing, and a book in memory.

use std::sync::{Arc, Mutex};

use cm_rollout::{Answer, Command, Hooks, Outcome, Rollout, Strategy, Target, Verdict, Work};

use super::{Doing, Drive, Hands, Keeper, Parting, drive};

/// Every piece of work ends well at once.
struct Good(Vec<Target>);

impl Hands for Good {
    fn work(self: Arc<Self>, work: Work) -> Doing<Answer> {
        Box::pin(async move {
            match work {
                Work::Apply { .. } => Answer::Applied { changed: true },
                Work::GateNode { .. } | Work::GateBatch { .. } => Answer::Gate(Verdict::Pass),
                Work::Targets => Answer::Targets(self.0.clone()),
                _ => Answer::Ok,
            }
        })
    }

    fn reachable(self: Arc<Self>, nodes: Vec<String>) -> Doing<Option<Vec<String>>> {
        Box::pin(async move { Some(nodes) })
    }
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Keeper for Memory {
    fn keep(&mut self, rollout: &Rollout) -> Result<(), String> {
        *self.0.lock().unwrap() = rollout.to_bytes();
        Ok(())
    }

    fn said(&mut self) -> Vec<Command> {
        Vec::new()
    }

    fn heard(&mut self) {}
}

async fn driven(rollout: Rollout, first: Vec<Command>) -> (Rollout, Parting) {
    let hands = Arc::new(Good(vec![Target::named("a"), Target::named("b")]));
    let drive_it = Drive { hands, run: "run".into(), first, stays: false, stop: crate::Stop::default() };
    let memory = Memory::default();
    let (rollout, parting) = drive(rollout, memory.clone(), drive_it, &mut |_, _| {}).await.unwrap();
    let kept = Rollout::from_bytes(&memory.0.lock().unwrap()).unwrap();
    assert_eq!(kept, rollout, "what was decided last was kept");
    (rollout, parting)
}

/// A driver that took up an ended rollout to roll it back left at once: the end it had read was still the end to it.
#[tokio::test]
async fn what_has_ended_is_rolled_back_to_its_end() {
    let targets = vec![Target::named("a"), Target::named("b")];
    let rollout = Rollout::new("r", "r", Strategy::default(), Hooks::default(), targets).unwrap();
    let (rollout, parting) = driven(rollout, vec![]).await;
    assert_eq!(parting, Parting::Over(Outcome::Done));
    let (rollout, parting) = driven(rollout, vec![Command::RollBack { why: "so".into() }]).await;
    assert_eq!(parting, Parting::Over(Outcome::RolledBack));
    assert_eq!(rollout.counts().restored, 2);
}
