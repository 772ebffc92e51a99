//! `cm-agent`: started by `cm` over SSH, never by hand.
#![expect(clippy::print_stderr, reason = "the program's own entry point")]

#[cfg(all(target_env = "gnu", target_feature = "crt-static", panic = "abort"))]
mod absent;

use std::path::Path;

use cm_agent::{allocator, guard::Guard, install, privacy, session, state_dir::StateDir};

fn main() {
    allocator::prepare();
    privacy::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["session"] => {
            // What the agent starts (package scripts!) must not inherit the starting script's tight mask.
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
            let state = StateDir::default_for_user();
            if let Err(error) = session::serve(std::io::stdin(), std::io::stdout(), state) {
                eprintln!(
                    "cm-agent cannot work: the node has no memory, threads or file numbers left for it: {error}"
                );
                std::process::exit(3);
            }
            // Threads may hang in a write to a controller that is gone; the work itself has ended.
            std::process::exit(0);
        }
        ["guard", run] => {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
            let state = StateDir::default_for_user();
            Guard::of(&state, run).stand(&state);
        }
        ["install", digest, target] => match install::install(digest, Path::new(target)) {
            Ok(()) => {}
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(3);
            }
        },
        _ => {
            eprintln!("cm-agent is started by cm; it is not used by hand");
            std::process::exit(2);
        }
    }
}
