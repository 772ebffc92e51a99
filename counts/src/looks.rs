//! The agent: whole sessions that find everything as it should be.

use std::{
    io::{PipeReader, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use cm_agent::{session, state_dir::StateDir};
use cm_wire::{AGENT_MARK, Begin, Event, FromAgent, Mode, Outcome, Task, ToAgent, decode, encode};

use crate::{Failure, prove, tasks};

const TASKS: u32 = 200;
/// Catalogs of one session: its facts, which differ from machine to machine, are gathered once.
const CATALOGS: usize = 10;

/// Catalogs of 200 tasks, planned over one connection.
pub fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let ground = folder.path().join("ground");
    write(&ground)?;
    let catalog = tasks::catalog(&ground, TASKS);
    let (input, mut to_agent) = std::io::pipe()?;
    let (from_agent, output) = std::io::pipe()?;
    let state = StateDir::at(folder.path().join("state"));
    let agent = std::thread::spawn(move || session::serve(input, output, state));
    let mut heard = Heard { from: from_agent, waiting: Vec::new(), marked: false };
    for _ in 0..CATALOGS {
        for message in [ToAgent::Begin(begin()), ToAgent::Tasks(catalog.clone()), ToAgent::Seal] {
            to_agent.write_all(&encode(&message)?)?;
        }
        let ok = heard.until_done(&catalog)?;
        prove(ok == TASKS, "not all tasks were told")?;
    }
    to_agent.write_all(&encode(&ToAgent::Bye)?)?;
    drop(to_agent);
    agent.join().map_err(|_| "the agent panicked")??;
    Ok(())
}

/// Everything as the catalog wants it.
fn write(ground: &Path) -> Result<(), Failure> {
    for number in (0..TASKS).step_by(4) {
        let directory = ground.join(format!("directory{}", number / 4));
        std::fs::create_dir_all(&directory)?;
        mode(&directory, 0o755)?;
        let file = directory.join("file");
        std::fs::write(&file, tasks::content(number + 1))?;
        mode(&file, 0o644)?;
        symlink("file", directory.join("link"))?;
        std::fs::write(directory.join("lines"), tasks::content(number + 3))?;
    }
    Ok(())
}

fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn begin() -> Begin {
    // More threads would take turns differently each time.
    Begin { diff: true, parallel: 1, ..Begin::new("counted", "anna@desk", Mode::Plan) }
}

/// What the agent says.
struct Heard {
    from: PipeReader,
    waiting: Vec<u8>,
    marked: bool,
}

impl Heard {
    fn next(&mut self) -> Result<FromAgent, Failure> {
        let mut piece = [0; 64 * 1024];
        loop {
            if !self.marked && self.waiting.starts_with(AGENT_MARK) {
                self.waiting.drain(..AGENT_MARK.len());
                self.marked = true;
            }
            if self.marked
                && let Some((message, used)) = decode(&self.waiting)?
            {
                self.waiting.drain(..used);
                return Ok(message);
            }
            let count = self.from.read(&mut piece)?;
            prove(count > 0, "the agent has gone")?;
            self.waiting.extend_from_slice(&piece[..count]);
        }
    }

    /// How many tasks were as wanted, to the end of a catalog; anything else is an error.
    fn until_done(&mut self, catalog: &[Task]) -> Result<u32, Failure> {
        let mut ok = 0;
        loop {
            match self.next()? {
                FromAgent::Hello(_) | FromAgent::Alive => {}
                FromAgent::Events(events) => {
                    for event in events {
                        match event {
                            Event::Ended(result) if result.outcome == Outcome::Ok => ok += 1,
                            Event::Ended(result) => {
                                let id = &catalog[result.task as usize].id;
                                return Err(format!("{id}: {:?} {:?}", result.outcome, result.changes).into());
                            }
                            other => return Err(format!("{other:?}").into()),
                        }
                    }
                }
                FromAgent::Done => return Ok(ok),
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
}
