//! The agent's ready queue: a large graph worked off as workers do it.

use std::collections::VecDeque;

use cm_agent::runner::{Ending, ReadyQueue};

use crate::{Failure, prove};

const LAYERS: u32 = 100;
/// Tasks of a layer.
const WIDTH: u32 = 100;
/// Tasks of the layer before that a task waits for.
const EDGES: u32 = 5;
const WORKERS: usize = 8;
const ROUNDS: usize = 2;

/// 10,000 tasks in layers, eight at work at once; one of fifty changes something.
pub fn run() -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let mut queue = ReadyQueue::new(layers()).map_err(|_| "the layers are no graph")?;
        let (mut running, mut ended, mut told) = (VecDeque::new(), 0, 0);
        loop {
            while running.len() < WORKERS {
                let Some(task) = queue.ready().next() else { break };
                queue.start(task);
                // In a plan, each asks whose outcome hangs on it; here, all.
                if queue.disturbed(task) {
                    told += queue.disturbers(task).len();
                }
                running.push_back(task);
            }
            let Some(task) = running.pop_front() else { break };
            let ending = if task % 50 == 7 { Ending::Changed } else { Ending::Quiet };
            queue.end(task, ending);
            ended += 1;
        }
        prove(ended == LAYERS * WIDTH && !queue.busy() && told > 0, "tasks were left over")?;
    }
    Ok(())
}

fn layers() -> Vec<Vec<u32>> {
    let before = |task: u32| {
        let (layer, place) = (task / WIDTH, task % WIDTH);
        let edges = if layer == 0 { 0 } else { EDGES };
        (0..edges).map(|edge| (layer - 1) * WIDTH + (place + edge * 7) % WIDTH).collect()
    };
    (0..LAYERS * WIDTH).map(before).collect()
}
