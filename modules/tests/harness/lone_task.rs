//! This test's own program as a process that runs one task and nothing else, for system calls of it to fail.
//!
//! The test harness of the standard library has threads and prints; so the process never comes to it: it ends
//! in an initializer, before `main`. (A program of its own would be an example or a binary of the crate, which
//! `cargo test --test harness` leaves out of date or every build makes.)

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use cm_modules::{Contents, Context, Params, Problem, Real, Resource, Seen, node::Content, registry};
use cm_wire::{Digest, Mode};

/// Names the file with the task, as [`cm_wire::encode`] writes a [`Task`].
const VARIABLE: &str = "CM_HARNESS_LONE_TASK";

/// A module's name, its parameters, and all contents they name.
pub type Task = (String, Params, Vec<Vec<u8>>);

/// Nothing was left to do, or all was done.
pub const DONE: i32 = 0;
/// The task failed.
pub const FAILED: i32 = 3;
/// It said that it did its work, and had not.
pub const NOT_CONVERGED: i32 = 4;

/// A command that runs the task in a file; under the program before it (strace), if one is given.
pub fn command(before: &[&str], task: &Path) -> Command {
    let own = std::env::current_exe().expect("the test's own program");
    let mut command = match before {
        [] => Command::new(own),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(own);
            command
        }
    };
    command.env(VARIABLE, task);
    command
}

#[used]
#[expect(unsafe_code, reason = "the loader calls it before `main`, on the only thread there is")]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        if let Some(task) = std::env::var_os(VARIABLE) {
            #[expect(clippy::exit, reason = "this process is here for one task")]
            std::process::exit(run(Path::new(&task)));
        }
    }
    before_main
};

/// Contents that came with the task.
struct Given(Vec<Vec<u8>>);

impl Contents for Given {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        let found = self.0.iter().find(|bytes| Digest::of(bytes) == *digest);
        found.cloned().map(Content::Bytes).ok_or_else(|| Problem::new("there is no such content"))
    }

    fn program(&self, digest: &Digest, _size: u64) -> Result<PathBuf, Problem> {
        Ok(crate::case::program_path(digest))
    }
}

fn run(task: &Path) -> i32 {
    let Ok(bytes) = fs::read(task) else { return FAILED };
    let Ok(Some(((module, params, contents), _))) = cm_wire::decode::<Task>(&bytes) else { return FAILED };
    let Ok(resource) = registry::compile(&module, &params) else { return FAILED };
    match converge(&*resource, &Given(contents)) {
        Ok(true) => DONE,
        Ok(false) => NOT_CONVERGED,
        Err(_) => FAILED,
    }
}

fn converge(resource: &dyn Resource, contents: &Given) -> Result<bool, Problem> {
    let real = Real::new();
    let context = |at_start| Context {
        node: &real,
        mode: Mode::Apply,
        contents,
        diff: false,
        sensitive: false,
        at_start,
        disturbed: false,
        notices: &[],
        edits: &[],
        deadline: Instant::now() + Duration::from_secs(60),
        run_as: None,
        live: &|_, _| {},
        stopping: &|| false,
    };
    let mut seen = resource.look(&context(true))?;
    if seen == Seen::Later {
        seen = resource.look(&context(false))?;
    }
    if seen == Seen::AsWanted {
        return Ok(true);
    }
    let effect = resource.change(&context(false))?;
    Ok(effect.final_ || resource.look(&context(false))? == Seen::AsWanted)
}
