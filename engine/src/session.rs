//! A conversation with the agent of one node, over the two streams of one channel.

use std::time::{Duration, Instant};

use cm_transport::{Connection, ExitStatus, Session, SessionError, Stderr, Stdin, Stdout};
use cm_wire::{AGENT_MARK, FRAME_LIMIT, Facts, FrameError, FromAgent, Secret, ToAgent, decode, encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    AgentPrograms,
    bootstrap::{self, Become, status},
    bounds::{self, Excess, cut},
};

/// More text than this before the agent speaks is not a login banner.
const PREAMBLE_LIMIT: usize = 256 * 1024;
/// Time for the agent to say hello, once it is on the node.
const HELLO_LIMIT: Duration = Duration::from_secs(60);
/// Time for all of it, the sending of the agent over a slow link included.
const START_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The longest pause before a session is asked for again that was refused right after another one.
const SESSION_PAUSE: Duration = Duration::from_millis(1000);
/// What is told of the words of a node that did not start the agent, in bytes.
const WORDS: usize = 4096;
/// The longest name of an architecture, in bytes.
const ARCH: usize = 64;
/// An agent says something every five seconds; after this much silence it counts as lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// Why the agent could not be started or was lost.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The session could not be opened or ended unexpectedly.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The node did not answer in time.
    #[error("it did not answer within {} s while {during}", .limit.as_secs())]
    Silent {
        /// The limit.
        limit: Duration,
        /// What was waited for.
        during: &'static str,
    },
    /// sudo wants a password and there is none.
    #[error("sudo asks for a password")]
    SudoPasswordMissing,
    /// sudo did not take the password.
    #[error("sudo did not accept the password")]
    SudoPasswordWrong,
    /// sudo refused for another reason.
    #[error("sudo refused: {0}")]
    SudoRefused(String),
    /// No agent for this architecture.
    #[error("it is of architecture {arch}, for which this cm has no agent")]
    NoAgentFor {
        /// As `uname -m` names it.
        arch: String,
        /// Where one would have been found.
        searched: Vec<String>,
    },
    /// The agent could not be put on the node.
    #[error("the agent could not be written to {folder}: {reason}")]
    CannotWrite {
        /// The folder.
        folder: &'static str,
        /// What the node said.
        reason: String,
    },
    /// Somebody else could have put a program there.
    #[error("the folder for the agent cannot be trusted: {reason}")]
    NotOurs {
        /// What the node said.
        reason: String,
    },
    /// The agent is on the node and does not start.
    #[error("the agent cannot be started in {folder}: {reason}")]
    CannotStart {
        /// The folder.
        folder: &'static str,
        /// What the node said.
        reason: String,
    },
    /// Something else answered.
    #[error("the node did not start the agent ({ended}): {said}")]
    Unexpected {
        /// How the command ended.
        ended: String,
        /// What it printed.
        said: String,
    },
    /// The agent ended in the middle of a run.
    #[error("the agent {ended} in the middle of the run{said}")]
    Died {
        /// How.
        ended: String,
        /// Its last words, with a colon before them, or empty.
        said: String,
    },
    /// The agent said something that is not of the protocol.
    #[error("the agent does not speak the protocol: {0}")]
    Protocol(String),
    /// The agent says what no agent of ours says: something else may speak in its place.
    #[error("the node broke the bounds of what an agent may say: {0}")]
    Excess(#[from] Excess),
}

impl AgentError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::SudoPasswordMissing => {
                "`--ask-become-pass` asks for it, `become_password: \"{{ secrets.NAME }}\"` takes it from the secrets; \
                 or allow the user in sudoers without one"
                    .into()
            }
            Self::SudoPasswordWrong => "check `become_password`, or type it again".into(),
            Self::SudoRefused(_) => "the user must be allowed to run commands as root in the node's sudoers".into(),
            Self::NoAgentFor { arch, searched } => format!(
                "build it with `cargo build --profile agent -p cm-agent --target {arch}-unknown-linux-musl` and put it at \
                 agents/{arch}/cm-agent in the repository (searched: {})",
                searched.join(", ")
            ),
            Self::CannotWrite { folder, .. } => {
                format!("{folder} must be on a file system that is writable and has 4 MB of room: `df -h` and `mount` on the node")
            }
            Self::NotOurs { .. } => {
                "nothing was started there; look who made it, then move it away: cm makes its folder anew".into()
            }
            Self::CannotStart { folder, .. } => format!(
                "the file system of {folder} must not be mounted noexec: `findmnt -T /var/lib/cm` on the node shows its options"
            ),
            Self::Died { ended, said } => {
                let why = if hints_at_memory(ended, said) { MEMORY } else { "" };
                format!("{why}the node's journal keeps what was done; run the same command again to go on")
            }
            Self::Unexpected { ended, said } if hints_at_memory(ended, said) => {
                format!("{MEMORY}nothing was changed; run the same command again")
            }
            Self::Unexpected { .. } => "what the user's login prints and does on the node may be in the way: try `ssh` to it by hand".into(),
            Self::Silent { .. } => "the machine may hang or the link may be cut; the next run goes on where this one stopped".into(),
            Self::Excess(_) => {
                "no agent of this cm does that: look at the node before you trust it again, it may have been taken over".into()
            }
            Self::Session(SessionError::Lost { .. }) => {
                "the machine may have gone down or the link been cut; the node's journal keeps what was done: \
                 run the same command again to go on"
                    .into()
            }
            Self::Session(SessionError::NotOpened { .. } | SessionError::CommandRefused) => {
                "the log of sshd on the node says why; `MaxSessions` must be 1 or more, and the user have a shell".into()
            }
            _ => return None,
        })
    }

    /// Whether the agent may only not be there: shells and sudo have many words for that.
    fn may_be_missing(&self) -> bool {
        matches!(self, Self::Unexpected { .. } | Self::SudoRefused(_) | Self::CannotStart { .. })
    }
}

/// Where something ended a program that gave no reason itself.
const MEMORY: &str = "where nobody killed it the node had no memory left (`free -m`, `journalctl -k` and the user's limits there tell); ";

fn hints_at_memory(ended: &str, said: &str) -> bool {
    ended.contains("signal")
        || ["memory", "Killed", "failed to spawn thread"].iter().any(|word| said.contains(word))
}

/// How to start an agent.
pub struct Start<'a> {
    /// The programs to send where one is missing.
    pub programs: &'a AgentPrograms,
    /// Whose rights it runs with.
    pub rights: Become,
    /// The password for sudo.
    pub password: Option<&'a Secret>,
}

/// The half that speaks to the agent.
pub struct ToNode {
    stdin: Stdin,
}

/// The half that hears it.
pub struct FromNode {
    stdout: Stdout,
    stderr: Stderr,
    exit: Option<cm_transport::Exit>,
    buffer: Vec<u8>,
}

/// What was started.
pub struct Started {
    /// Speaks to it.
    pub to: ToNode,
    /// Hears it.
    pub from: FromNode,
    /// The node's facts.
    pub facts: Box<Facts>,
    /// Bytes of the agent's program that had to be sent; 0 where it was there.
    pub sent: usize,
}

/// Starts the agent over an open connection, sending it where it is missing, and waits for its hello.
///
/// # Errors
/// When it cannot be started, with what the node said.
pub async fn start(connection: &mut Connection, start: &Start<'_>) -> Result<Started, AgentError> {
    let during = "the agent was started";
    timeout(START_LIMIT, begin(connection, start))
        .await
        .unwrap_or(Err(AgentError::Silent { limit: START_LIMIT, during }))
}

async fn begin(connection: &mut Connection, start: &Start<'_>) -> Result<Started, AgentError> {
    let direct = bootstrap::direct(start.programs, start.rights);
    if let Some(direct) = &direct {
        match launch(connection, direct, start).await {
            Err(error) if error.may_be_missing() => {}
            ended => return ended,
        }
    }
    let script = bootstrap::command(start.programs, start.rights);
    let mut pause = Duration::from_millis(10);
    loop {
        match launch(connection, &script, start).await {
            // With `MaxSessions 1` sshd takes another session only some time after it has closed the last.
            Err(AgentError::Session(SessionError::NotOpened { .. }))
                if direct.is_some() && pause < SESSION_PAUSE =>
            {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            ended => return ended,
        }
    }
}

async fn launch(
    connection: &mut Connection,
    command: &str,
    start: &Start<'_>,
) -> Result<Started, AgentError> {
    let Session { stdin, stdout, stderr, exit } = connection.exec(command).await?;
    let mut to = ToNode { stdin };
    let mut from = FromNode { stdout, stderr, exit: Some(exit), buffer: Vec::new() };
    if start.rights == Become::SudoWithPassword {
        give_password(&mut to, &mut from, start.password).await?;
    }
    let mut sent = 0;
    loop {
        match from.opening(start.rights).await? {
            Opening::Agent => break,
            Opening::Need { .. } if sent > 0 => {
                return Err(AgentError::Protocol("the node asks for the agent a second time".into()));
            }
            Opening::Need { arch, forms } => {
                sent = send_program(&mut to, start.programs, &arch, &forms).await?;
                if sent == 0 {
                    let searched =
                        start.programs.searched().iter().map(|path| path.display().to_string()).collect();
                    return Err(AgentError::NoAgentFor { arch, searched });
                }
            }
        }
    }
    match from.next_within(bounds::HELLO).await? {
        FromAgent::Hello(facts) => Ok(Started { to, from, facts, sent }),
        _ => Err(AgentError::Protocol("it did not say hello first".into())),
    }
}

/// Waits for sudo's prompt and answers it once; a sudo that needs no password never asks.
async fn give_password(
    to: &mut ToNode,
    from: &mut FromNode,
    password: Option<&Secret>,
) -> Result<(), AgentError> {
    let mut asked = 0;
    let until = Instant::now() + HELLO_LIMIT;
    loop {
        if Instant::now() > until {
            return Err(AgentError::Silent { limit: HELLO_LIMIT, during: "sudo was started" });
        }
        let said = String::from_utf8_lossy(&from.stderr.so_far()).into_owned();
        let prompts = said.matches(bootstrap::SUDO_PROMPT).count();
        if prompts > asked {
            let Some(password) = password else { return Err(AgentError::SudoPasswordMissing) };
            if asked > 0 {
                return Err(AgentError::SudoPasswordWrong);
            }
            asked = prompts;
            to.write(format!("{}\n", password.expose()).as_bytes()).await?;
        }
        if from.fill_for(Duration::from_millis(20)).await? {
            return Ok(());
        }
    }
}

async fn send_program(
    to: &mut ToNode,
    programs: &AgentPrograms,
    arch: &str,
    forms: &str,
) -> Result<usize, AgentError> {
    let Some(program) = programs.for_arch(arch) else {
        to.write(b"none 0 raw\n").await?;
        return Ok(0);
    };
    let (form, bytes) = program
        .smallest(forms)
        .map_err(|error| AgentError::Protocol(format!("the packed agent is damaged: {error}")))?;
    to.write(format!("{} {} {}\n", program.digest, bytes.len(), form.word()).as_bytes()).await?;
    to.write(&bytes).await?;
    Ok(bytes.len())
}

enum Opening {
    Agent,
    Need { arch: String, forms: String },
}

impl ToNode {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        // A node that died is told by what it said last, which the reading half knows.
        let _ = self.stdin.write_all(bytes).await;
        let _ = self.stdin.flush().await;
        Ok(())
    }

    /// Sends a message; waits while the node does not read.
    ///
    /// # Errors
    /// When the link is gone or the message is over the frame limit.
    pub async fn send(&mut self, message: &ToAgent) -> std::io::Result<()> {
        let bytes = encode(message).map_err(std::io::Error::other)?;
        self.stdin.write_all(&bytes).await?;
        self.stdin.flush().await
    }

    /// Sends frames as they are.
    ///
    /// # Errors
    /// When the link is gone.
    pub async fn send_frames(&mut self, frames: &[u8]) -> std::io::Result<()> {
        self.stdin.write_all(frames).await?;
        self.stdin.flush().await
    }

    /// Sends several messages in one write.
    ///
    /// # Errors
    /// When the link is gone or a message is over the frame limit.
    pub async fn send_together(&mut self, messages: impl Iterator<Item = ToAgent>) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for message in messages {
            push(&mut bytes, message)?;
        }
        self.stdin.write_all(&bytes).await?;
        self.stdin.flush().await
    }

    /// Says good-bye and closes the agent's input.
    pub async fn close(mut self) {
        let _ = self.send(&ToAgent::Bye).await;
        let _ = self.stdin.shutdown().await;
    }
}

impl FromNode {
    /// Reads more; false at the end of the stream.
    async fn fill(&mut self, limit: Duration, during: &'static str) -> Result<bool, AgentError> {
        let mut piece = [0; 16 * 1024];
        let read = timeout(limit, self.stdout.read(&mut piece))
            .await
            .map_err(|_| AgentError::Silent { limit, during })?;
        match read {
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(count > 0)
            }
            Err(error) => Err(SessionError::Lost { reason: error.to_string() }.into()),
        }
    }

    /// Reads for a moment; whether anything came or the stream ended.
    async fn fill_for(&mut self, moment: Duration) -> Result<bool, AgentError> {
        match self.fill(moment, "sudo").await {
            Err(AgentError::Silent { .. }) => Ok(false),
            // The end of the stream: whoever reads next is told why.
            Ok(_) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What the node says first: the agent's mark, or that it needs the agent.
    async fn opening(&mut self, rights: Become) -> Result<Opening, AgentError> {
        loop {
            if let Some(at) = find(&self.buffer, AGENT_MARK) {
                self.buffer.drain(..at + AGENT_MARK.len());
                return Ok(Opening::Agent);
            }
            if let Some(at) = find(&self.buffer, bootstrap::NEED) {
                let line = &self.buffer[at + bootstrap::NEED.len()..];
                if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                    let line = String::from_utf8_lossy(&line[..end]).into_owned();
                    self.buffer.drain(..=at + bootstrap::NEED.len() + end);
                    let (arch, forms) = line.split_once(' ').unwrap_or((&line, "raw"));
                    return Ok(Opening::Need { arch: cut(arch.to_owned(), ARCH), forms: forms.to_owned() });
                }
            }
            if self.buffer.len() > PREAMBLE_LIMIT {
                return Err(AgentError::Protocol("the login prints without end".into()));
            }
            if !self.fill(HELLO_LIMIT, "the agent was started").await? {
                return Err(self.explain_no_start(rights).await);
            }
        }
    }

    async fn ended(&mut self) -> (Option<ExitStatus>, String) {
        let grace = Duration::from_secs(5);
        let ended = match self.exit.take() {
            Some(exit) => timeout(grace, exit).await.ok().and_then(Result::ok),
            None => None,
        };
        let said = timeout(grace, self.stderr.end()).await.unwrap_or_else(|_| self.stderr.so_far());
        let said = String::from_utf8_lossy(&said).replace(bootstrap::SUDO_PROMPT, "").trim().to_owned();
        (ended, said)
    }

    async fn explain_no_start(&mut self, rights: Become) -> AgentError {
        let (ended, said) = self.ended().await;
        let folder = if rights == Become::LoginUser { "~/.cache/cm" } else { bootstrap::FOLDER };
        let code = match &ended {
            Some(ExitStatus::Code(code)) => Some(*code),
            _ => None,
        };
        let sudo = matches!(rights, Become::Sudo | Become::SudoWithPassword);
        match code {
            Some(status::NOT_OURS) => AgentError::NotOurs { reason: last_line(&said) },
            Some(status::NO_FOLDER | status::NO_WRITE) => {
                AgentError::CannotWrite { folder, reason: last_line(&said) }
            }
            Some(status::NO_START | 126) => AgentError::CannotStart { folder, reason: last_line(&said) },
            _ if sudo && said.contains("a password is required") => AgentError::SudoPasswordMissing,
            _ if sudo && (said.contains("incorrect password") || said.contains("Sorry, try again")) => {
                AgentError::SudoPasswordWrong
            }
            _ if sudo && (said.contains("sudo") || code == Some(127)) => {
                AgentError::SudoRefused(last_line(&said))
            }
            _ => {
                let printed = String::from_utf8_lossy(&self.buffer).trim().to_owned();
                let said = if said.is_empty() { printed } else { said };
                AgentError::Unexpected {
                    ended: ended.map_or_else(|| "the session ended".into(), |status| format!("it {status}")),
                    said: if said.is_empty() { "it said nothing".into() } else { cut(said, WORDS) },
                }
            }
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// When the agent is silent for too long, has died, or speaks nonsense.
    pub async fn next(&mut self) -> Result<FromAgent, AgentError> {
        self.next_within(FRAME_LIMIT).await
    }

    /// The next message, of at most `limit` bytes.
    async fn next_within(&mut self, limit: usize) -> Result<FromAgent, AgentError> {
        loop {
            let size = self.buffer.first_chunk::<4>().map_or(0, |head| u32::from_le_bytes(*head) as usize);
            if size > limit {
                return Err(AgentError::Protocol(format!(
                    "a message of {size} bytes, where {limit} are allowed"
                )));
            }
            match decode(&self.buffer) {
                Ok(Some((message, used))) => {
                    self.buffer.drain(..used);
                    return Ok(message);
                }
                Ok(None) => {}
                Err(error) => return Err(AgentError::Protocol(error.to_string())),
            }
            if !self.fill(SILENCE_LIMIT, "the run lasted").await? {
                let (ended, said) = self.ended().await;
                return Err(AgentError::Died {
                    ended: ended.map_or_else(|| "was lost".into(), |status| status.to_string()),
                    said: if said.is_empty() { said } else { format!(": {}", last_line(&said)) },
                });
            }
        }
    }
}

/// Appends a frame; tasks that are too large together go in several.
fn push(bytes: &mut Vec<u8>, message: ToAgent) -> std::io::Result<()> {
    match (encode(&message), message) {
        (Ok(frame), _) => bytes.extend(frame),
        (Err(FrameError::TooLarge(_)), ToAgent::Tasks(mut tasks)) if tasks.len() > 1 => {
            let rest = tasks.split_off(tasks.len() / 2);
            push(bytes, ToAgent::Tasks(tasks))?;
            push(bytes, ToAgent::Tasks(rest))?;
        }
        (Err(error), _) => return Err(std::io::Error::other(error)),
    }
    Ok(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn last_line(text: &str) -> String {
    let tells = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE");
    let line = text.lines().rev().find(tells).unwrap_or("it said nothing");
    cut(line.trim().to_owned(), WORDS)
}

#[cfg(test)]
mod tests {
    use cm_wire::{Task, Value};

    use super::*;

    #[test]
    fn tasks_too_large_for_one_frame_go_in_several() {
        let large = |n: usize| Task {
            params: [("stdin".to_owned(), Value::Text("x".repeat(6 * 1024 * 1024)))].into(),
            ..Task::new(&format!("command:{n}"), "command")
        };
        let mut bytes = Vec::new();
        push(&mut bytes, ToAgent::Tasks((0..5).map(large).collect())).unwrap();
        let mut ids = Vec::new();
        let mut rest = &bytes[..];
        while let Some((ToAgent::Tasks(tasks), used)) = decode(rest).unwrap() {
            ids.extend(tasks.into_iter().map(|task| task.id));
            rest = &rest[used..];
        }
        assert_eq!(ids, (0..5).map(|n| format!("command:{n}")).collect::<Vec<_>>());
    }
}
