//! The node's git program as `cm` runs it: it never asks anybody, and no password stands in its arguments.

use std::{collections::BTreeMap, path::Path, time::Instant};

use crate::{
    Doing, Problem,
    encoding::{base64, percent_decoded},
    node::{Command, Finished},
};

/// A repository's address, with what is secret in it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without a password: it may be shown and stored.
    pub clean: String,
    /// Configuration for the one command that needs it.
    secret: Option<String>,
}

impl Address {
    /// Takes the user out of an `http://` or `https://` address.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let plain = Self { clean: text.to_owned(), secret: None };
        let Some((scheme, rest)) = text.split_once("://") else { return plain };
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return plain;
        }
        let end = rest.find('/').unwrap_or(rest.len());
        let Some(at) = rest[..end].rfind('@') else { return plain };
        let (user, place) = (&rest[..at], &rest[at + 1..]);
        let host = &rest[at + 1..end];
        // Not a credential helper: that would be a shell command with the password in its arguments.
        let user = base64(&percent_decoded(user));
        let secret = format!("http.{scheme}://{host}/.extraHeader=Authorization: Basic {user}");
        Self { clean: format!("{scheme}://{place}"), secret: Some(secret) }
    }
}

/// How git is run for one work tree.
#[derive(Clone, Debug)]
pub struct Git<'a> {
    /// The work tree; none for a command that needs none.
    pub tree: Option<&'a Path>,
    /// The user it runs as; none: the agent's own.
    pub run_as: Option<String>,
    /// A private key for ssh.
    pub key: Option<&'a Path>,
    /// The repository, for commands that reach it.
    pub address: Option<&'a Address>,
    /// When a command must have ended.
    pub deadline: Instant,
}

impl Git<'_> {
    /// A command of git that only asks.
    #[must_use]
    pub fn query(&self, arguments: &[&str]) -> Command<'static> {
        let mut argv = vec!["git".to_owned()];
        if let Some(tree) = self.tree {
            argv.extend(["-C".to_owned(), tree.to_string_lossy().into_owned()]);
        }
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let mut ssh = "ssh -o BatchMode=yes".to_owned();
        if let Some(key) = self.key {
            ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quote(&key.to_string_lossy())));
        }
        let mut env: BTreeMap<String, String> =
            [("GIT_TERMINAL_PROMPT", "0"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_SSH_COMMAND", &ssh)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        if let Some(secret) = self.address.and_then(|address| address.secret.as_deref()) {
            // As `git -c` hands it to its children; every git reads this form.
            env.insert("GIT_CONFIG_PARAMETERS".to_owned(), quote(secret));
        }
        Command { argv, env, run_as: self.run_as.clone(), deadline: self.deadline, ..Command::query(&[]) }
    }

    /// A command of git that changes something.
    #[must_use]
    pub fn change(&self, arguments: &[&str]) -> Command<'static> {
        Command { changes: true, ..self.query(arguments) }
    }
}

/// What a command printed, or why it failed; `doing` says what for.
///
/// # Errors
/// When it cannot be run or fails.
pub fn printed(ran: std::io::Result<Finished>, doing: &str) -> Result<String, Problem> {
    let finished = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Problem::new(format!("{doing}: {error}"))
                .hint("`- package: git` before this task installs it"));
        }
        finished => finished.doing(doing)?,
    };
    if finished.success() {
        return Ok(finished.output.stdout);
    }
    if finished.timed_out {
        return Err(Problem::new(format!("{doing}: git did not end in time and was given up"))
            .hint("`timeout` on the task gives it more time"));
    }
    let stderr = finished.output.stderr.as_str();
    let said = stderr.lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let said = said.or_else(|| stderr.lines().next()).unwrap_or("it said nothing").to_owned();
    let hint = [
        (
            "Host key verification failed",
            "the server's key must be in known_hosts(5) of the user git runs as",
        ),
        (
            "Permission denied",
            "the user git runs as may not; `key` names another private key, `become` another user",
        ),
        ("could not read Username", "the repository wants a user and password in its address"),
        ("Authentication failed", "the user or password in the repository's address is not taken"),
        ("index.lock", "another git works there, or was killed; then remove the file"),
        ("dubious ownership", "the work tree belongs to somebody else; `become` names that user"),
        ("would be overwritten", "`force: true` overwrites what is there"),
    ]
    .into_iter()
    .find(|(sign, _)| stderr.contains(sign));
    let problem = Problem::new(format!("{doing}: {said}")).output(finished.output);
    Err(match hint {
        Some((_, hint)) => problem.hint(hint),
        None => problem,
    })
}

/// As the shell and git read it.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_neither_shown_nor_in_arguments() {
        let address = Address::new("https://anna:p%40ss@git.example/x.git");
        assert_eq!(address.clean, "https://git.example/x.git");
        let git = Git {
            tree: Some(Path::new("/x")),
            run_as: None,
            key: Some(Path::new("/k e'y")),
            address: Some(&address),
            deadline: Instant::now(),
        };
        let command = git.change(&["fetch"]);
        assert_eq!(command.argv, ["git", "-C", "/x", "fetch"]);
        assert_eq!(
            command.env["GIT_CONFIG_PARAMETERS"],
            "'http.https://git.example/.extraHeader=Authorization: Basic YW5uYTpwQHNz'"
        );
        assert!(command.env["GIT_SSH_COMMAND"].ends_with(r"-i '/k e'\''y'"));
        for plain in ["git@h:x.git", "ssh://git@h/x", "/srv/x@y.git", "https://h/a@b", "file:///x"] {
            assert_eq!(Address::new(plain), Address { clean: plain.into(), secret: None });
        }
    }
}
