//! Starting the agent on a node: one `exec` that runs it when it is there and receives it when it is not.
//!
//! The script is the only shell code that ever runs on a node. It uses `/bin/sh`, and, where the agent must
//! be received, `uname`, `mkdir`, `head`, `rm` and, if there is one, `gzip`.

use crate::AgentPrograms;

/// Whose rights the agent runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    /// The user who logs in; its agent and journal lie in that user's home.
    LoginUser,
    /// Root, because root logs in.
    AlreadyRoot,
    /// Root by `sudo -n`.
    Sudo,
    /// Root by `sudo` with a password.
    SudoWithPassword,
}

/// What sudo writes to standard error when it wants the password.
pub const SUDO_PROMPT: &str = "cm-sudo-password:";

/// The line with which the node asks for the agent: this word, architecture, and `gz` or `raw`.
pub const NEED: &[u8] = b"cm-need ";

/// Exit statuses of the script.
pub mod status {
    /// The folder for the agent cannot be made.
    pub const NO_FOLDER: u32 = 92;
    /// The agent cannot be written.
    pub const NO_WRITE: u32 = 93;
    /// The agent cannot be started where it was written.
    pub const NO_START: u32 = 94;
    /// The controller had no agent for the node.
    pub const NOT_SENT: u32 = 95;
}

/// The command for the one `exec` of a session.
#[must_use]
pub fn command(programs: &AgentPrograms, rights: Become) -> String {
    let folder = if rights == Become::LoginUser { "\"$HOME\"/.cache/cm" } else { "/var/lib/cm/agent" };
    let known: Vec<String> = programs.all().map(|program| program.digest.to_string()).collect();
    // No single quotes inside: the whole is quoted once for whatever login shell there is.
    let script = format!(
        "umask 077; d={folder}; \
         for h in {known}; do a=$d/cm-agent-$h; [ -x \"$a\" ] && exec \"$a\" session; done; \
         z=raw; command -v gzip >/dev/null 2>&1 && z=gz; \
         echo \"cm-need $(uname -m) $z\"; \
         read -r h s z || exit {not_sent}; [ \"$h\" = none ] && exit {not_sent}; \
         mkdir -p \"$d\" || exit {no_folder}; \
         t=$d/.cm-agent-$h.$$; \
         if [ \"$z\" = gz ]; then head -c \"$s\" | gzip -dc >\"$t\"; else head -c \"$s\" >\"$t\"; fi || {{ rm -f \"$t\"; exit {no_write}; }}; \
         chmod 700 \"$t\" || exit {no_write}; \
         \"$t\" install \"$h\" \"$d/cm-agent-$h\" || {{ r=$?; rm -f \"$t\"; [ $r = 3 ] && exit {no_write}; exit {no_start}; }}; \
         exec \"$d/cm-agent-$h\" session",
        known = known.join(" "),
        not_sent = status::NOT_SENT,
        no_folder = status::NO_FOLDER,
        no_write = status::NO_WRITE,
        no_start = status::NO_START,
    );
    debug_assert!(!script.contains('\''));
    match rights {
        Become::LoginUser | Become::AlreadyRoot => format!("exec /bin/sh -c '{script}'"),
        Become::Sudo => format!("exec sudo -n -- /bin/sh -c '{script}'"),
        Become::SudoWithPassword => format!("exec sudo -S -p {SUDO_PROMPT} -- /bin/sh -c '{script}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_quoted_word_of_valid_shell() {
        for rights in [Become::LoginUser, Become::AlreadyRoot, Become::Sudo, Become::SudoWithPassword] {
            let command = command(&AgentPrograms::default(), rights);
            assert_eq!(command.matches('\'').count(), 2);
            let script = command.split('\'').nth(1).unwrap();
            let checked = std::process::Command::new("/bin/sh").args(["-n", "-c", script]).status().unwrap();
            assert!(checked.success(), "{script}");
        }
    }
}
