//! Commands on this machine: hooks and gates of rollouts.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command, time::timeout};
use tokio_util::sync::CancellationToken;

/// What is kept of what a command prints; the rest is read and dropped.
const KEPT: usize = 16 << 10;

/// How long more is waited for from a command that has ended.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; none: it was ended by a signal or by its time limit, or could not be started.
    pub status: Option<i32>,
    /// The end of what it printed, or why it has no status.
    pub said: String,
}

impl Ended {
    /// For a person: `exit status 3: no such backend`.
    #[must_use]
    pub fn told(&self) -> String {
        let said = self.said.trim();
        match self.status {
            Some(status) if said.is_empty() => format!("exit status {status}"),
            Some(status) => format!("exit status {status}: {said}"),
            None => said.to_owned(),
        }
    }
}

/// Runs a command by `/bin/sh` in a folder; it and all its children end with its time. What it leaves running when it ends
/// well goes on.
pub async fn run(command: &str, folder: &Path, limit: Duration) -> Ended {
    let failed = |said: String| Ended { status: None, said };
    let child = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return failed(format!("/bin/sh cannot be started: {error}")),
    };
    let mut group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        // Who is left behind with the streams in hand does not keep us waiting.
        let ended = CancellationToken::new();
        let wait = async {
            let status = child.wait().await;
            ended.cancel();
            status
        };
        let (stdout, stderr, status) = tokio::join!(end_of(stdout, &ended), end_of(stderr, &ended), wait);
        // What it left running on purpose goes on.
        group.0 = None;
        let said = if stderr.trim().is_empty() { stdout } else { stderr };
        match status {
            Ok(status) => match status.code() {
                Some(code) => Ended { status: Some(code), said },
                None => failed(format!("it was ended by a signal: {said}")),
            },
            Err(error) => failed(format!("it was lost: {error}")),
        }
    };
    match timeout(limit, work).await {
        Ok(ended) => ended,
        Err(_) => failed(format!("it was not done within {limit:?}")),
    }
}

/// The processes of a command: they end with it where it runs out of time or is given up.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)) {
            // Gone already is just as well.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn end_of(stream: Option<impl AsyncReadExt + Unpin>, ended: &CancellationToken) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = ended.cancelled() => match timeout(LAST_WORDS, stream.read(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => break,
            },
        };
        let Ok(read @ 1..) = read else { break };
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_end_with_their_status_or_with_their_time() {
        let run = |command: &'static str, limit| run(command, Path::new("/"), Duration::from_millis(limit));
        assert_eq!(run("pwd", 60_000).await, Ended { status: Some(0), said: "/\n".into() });
        assert_eq!(run("echo why >&2; exit 3", 60_000).await.told(), "exit status 3: why");
        let late = run("sleep 600 & sleep 600", 200).await;
        assert_eq!((late.status, late.told().as_str()), (None, "it was not done within 200ms"));
        assert_eq!(
            run("sleep 2 & echo left", 60_000).await,
            Ended { status: Some(0), said: "left\n".into() }
        );
        assert!(run("kill -9 $$", 60_000).await.told().contains("signal"));
    }
}
