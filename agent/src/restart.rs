//! Restarts the host in the middle of a run.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cm_wire::{Change, FromAgent};

use crate::outbox::Outbox;

/// Time for the controller to be told before the network goes.
const WORD: Duration = Duration::from_millis(500);
/// Time for the host to go down.
const LIMIT: Duration = Duration::from_secs(180);
/// Ways to ask for it, the first that is there is taken.
const COMMANDS: [&[&str]; 2] = [&["systemctl", "reboot"], &["reboot"]];

/// Says so and restarts the host. Comes back only where that does not happen, with the reason.
pub fn restart_host(outbox: &Outbox, task: u32, changes: Vec<Change>, stopping: &dyn Fn() -> bool) -> String {
    outbox.send(FromAgent::Rebooting { task, changes });
    std::thread::sleep(WORD);
    let mut reason = "the node has neither systemctl nor reboot".to_owned();
    for command in COMMANDS {
        let asked = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output();
        match asked {
            Err(_) => continue,
            Ok(output) if output.status.success() => {
                let limit = Instant::now() + LIMIT;
                while Instant::now() < limit && !stopping() {
                    std::thread::sleep(Duration::from_millis(100));
                }
                return format!("it is still up {} s after `{}`", LIMIT.as_secs(), command.join(" "));
            }
            Ok(output) => {
                reason = format!(
                    "`{}` failed: {}",
                    command.join(" "),
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
        }
    }
    reason
}
