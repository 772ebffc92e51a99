//! What was told last of each task, so that only what is new is told.

use std::collections::HashMap;

use cm_wire::{Digest, Event, Outcome, Standing, TaskResult, Told};

/// Verdicts by task; of each only a digest is kept.
#[derive(Debug, Default)]
pub struct Verdicts {
    told: HashMap<u32, Digest>,
}

impl Verdicts {
    /// Notes what was told.
    pub fn note(&mut self, result: &TaskResult) {
        self.told.insert(result.task, digest(result));
    }

    /// Those of the results that say something new, with what is known beside; each is noted.
    pub fn news(&mut self, events: Vec<Event>) -> Vec<Told> {
        let mut standings: HashMap<u32, Box<Standing>> = HashMap::new();
        let mut news = Vec::new();
        for event in events {
            match event {
                Event::Standing { task, standing } => {
                    standings.insert(task, standing);
                }
                // One that was not looked at to its end says nothing.
                Event::Ended(result) if result.outcome != Outcome::Cancelled => {
                    let standing = standings.remove(&result.task);
                    let new = digest(&result);
                    if self.told.insert(result.task, new) != Some(new) {
                        news.push(Told { result, standing });
                    }
                }
                _ => {}
            }
        }
        news
    }
}

/// Of what a verdict says; not of when it was found and how long that took.
fn digest(result: &TaskResult) -> Digest {
    Digest::of(format!("{:?}{:?}", result.outcome, result.changes).as_bytes())
}

#[cfg(test)]
mod tests {
    use cm_wire::Change;

    use super::*;

    fn result(task: u32, before: Option<&str>) -> Event {
        let change = before.map(|before| Change::new("mode", Some(before.into()), Some("0644".into())));
        Event::Ended(TaskResult {
            task,
            outcome: if change.is_some() { Outcome::Changed } else { Outcome::Ok },
            changes: change.into_iter().collect(),
            started: 0,
            took: u64::from(task),
            output: None,
            attempts: 1,
        })
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut verdicts = Verdicts::default();
        let mut told = |event: Event| verdicts.news(vec![event]).len();
        assert_eq!(told(result(1, None)), 1);
        assert_eq!(told(result(1, None)), 0);
        assert_eq!(told(result(1, Some("0600"))), 1);
        assert_eq!(told(result(1, Some("0600"))), 0);
        assert_eq!(told(result(1, Some("0666"))), 1, "it differs otherwise");
        assert_eq!(told(result(2, Some("0666"))), 1);
        assert_eq!(told(result(1, None)), 1, "right again");
    }
}
