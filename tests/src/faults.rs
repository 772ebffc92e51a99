//! What must hold after any fault, on hosts that tests may break.

use std::{
    io::Write as _,
    process::{Child, ChildStdin, Stdio},
    time::Duration,
};

use crate::{Hosts, Ran, Repository, Watched, eventually};

/// What a running agent's command line matches as a whole.
pub const AGENT: &str = ".*/cm-agent-[^ ]* session";

/// A root's shell in a host that is already there: what is said to it happens within a millisecond or two.
pub struct Shell {
    child: Child,
    stdin: ChildStdin,
}

impl Shell {
    /// Starts one.
    ///
    /// # Panics
    /// When the host does not run.
    #[must_use]
    pub fn on(hosts: &Hosts, host: &str) -> Self {
        let mut command = hosts.lab.enter_command(host).expect("a running host");
        command.arg("sh").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("nsenter starts");
        let stdin = child.stdin.take().expect("its input is a pipe");
        Self { child, stdin }
    }

    /// Says a line, and does not wait for its end.
    ///
    /// # Panics
    /// When the shell is gone.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).expect("the shell reads");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // What it was told last may still run: that is not ours to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A role of nine tasks of nine kinds, one after the other, each of which leaves something to check.
/// With `tone` they want something else, so that a second state can be asked for.
#[must_use]
pub fn chain(name: &str) -> String {
    let unit = format!(
        "[Unit]\\nDescription={name} {{{{ tone }}}}\\n[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"
    );
    format!(
        r#"
params:
  tone: {{ type: string, default: low }}
tasks:
  - {{ id: t1, group: {name}, system: true }}
  - {{ id: t2, user: {name}, system: true, group: {name}, needs: t1 }}
  - {{ id: t3, directory: /srv/{name}, owner: {name}, mode: "0750", needs: t2 }}
  - {{ id: t4, file: /srv/{name}/big, content: "{{{{ tone * 100000 }}}}\n", owner: {name}, needs: t3 }}
  - {{ id: t5, link: /srv/{name}/link, target: "{{{{ tone }}}}", needs: t4 }}
  - {{ id: t6, line: /etc/{name}.conf, text: "tone = {{{{ tone }}}}", match: "^tone", create: true, needs: t5, restarts: {name} }}
  - {{ id: t7, unit: {name}.service, content: "{unit}", needs: t6, restarts: {name} }}
  - {{ id: {name}, service: {name}, state: running, enabled: true, needs: t7 }}
  - {{ id: t9, command: "touch /srv/{name}/ran-{{{{ tone }}}}", creates: "/srv/{name}/ran-{{{{ tone }}}}", needs: {name} }}
"#
    )
}

/// A role that makes a file, stops until `/run/h.go` is there, and then makes another.
pub const HALTING: &str = "
tasks:
  - file: /srv/h.first
    content: \"first\\n\"
  - command: touch /run/h.here; while [ ! -e /run/h.go ]; do sleep 0.05; done
    id: halt
    changed_when: false
    needs: file:/srv/h.first
  - file: /srv/h.second
    content: \"{{ 'second' * 30000 }}\\n\"
    needs: halt
";

/// Starts the role `halting` of a repository, which is [`HALTING`], and waits until it has halted.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn halted(hosts: &Hosts, repository: &Repository, host: &str, more: &str) -> Watched {
    hosts.sh(host, "rm -f /run/h.here /run/h.go /srv/h.*");
    let mut run = repository.watch(&format!("apply halting on {host} {more}"));
    run.until(|event| event["event"] == "task_started" && event["task"] == "halt");
    eventually("the halt", Duration::from_secs(20), || {
        hosts.holds(host, "test -e /run/h.here").then_some(())
    });
    run
}

/// Lets what has halted go on.
pub fn go_on(hosts: &Hosts, host: &str) {
    hosts.sh(host, "touch /run/h.go");
}

/// Takes back by hand what [`chain`] makes.
pub fn unchain(hosts: &Hosts, host: &str, name: &str) {
    hosts.sh(
        host,
        &format!(
            "systemctl disable -q --now {name} 2>/dev/null; rm -rf /srv/{name} /etc/{name}.conf /etc/systemd/system/{name}.service; \
             systemctl daemon-reload; userdel {name} 2>/dev/null; groupdel {name} 2>/dev/null; true"
        ),
    );
}

/// Nobody works on the host any more.
///
/// # Panics
/// When somebody still does after the limit.
#[track_caller]
pub fn no_agent(hosts: &Hosts, host: &str, limit: Duration) {
    eventually("the end of the agent", limit, || {
        (!hosts.holds(host, &format!("pgrep -x -f '{AGENT}'"))).then_some(())
    });
}

/// The fault is told in one sentence for the host: what, why and what to do.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn tells(ran: &Ran, host: &str, parts: &[&str]) {
    let ended = ran.events().into_iter().filter(|event| event["event"] == "host" && event["host"] == host);
    let ended: Vec<_> = ended.collect();
    assert_eq!(ended.len(), 1, "{host} must end once:\n{}", ran.said());
    let trouble = &ended[0]["trouble"];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| {
        value.as_array().map(|all| all.iter().map(word).collect::<Vec<_>>().join(": ")).unwrap_or_default()
    };
    let sentence = format!(
        "{} `{host}`: {}; {}",
        word(&trouble["what"]),
        list(&trouble["causes"]),
        list(&trouble["hints"])
    );
    assert!(!word(&trouble["what"]).is_empty() && trouble["causes"][0].is_string(), "{}", ran.said());
    assert!(trouble["hints"][0].is_string(), "no word of what to do: {sentence}");
    assert!(!sentence.contains('\n'), "more than a sentence: {sentence}");
    for part in parts {
        assert!(sentence.contains(part), "does not say {part:?}: {sentence}");
    }
}

/// After any fault: the next run ends with everything as wanted and the one after it changes nothing, nothing
/// half-made is left on the node, and the controller's record opens and has no run that goes on for ever.
/// Returns the next run.
///
/// # Panics
/// When one of these does not hold.
#[track_caller]
pub fn recovers(hosts: &Hosts, repository: &Repository, host: &str, what: &str) -> Ran {
    let next = repository.cm(&format!("apply {what} --json")).exits(0);
    let again = repository.cm(&format!("apply {what} --json")).exits(0);
    assert_eq!(crate::differences(&again), [], "the run after the next one changes something");
    assert_eq!(left_over(hosts, host), "", "left on {host}");
    records_are_whole(repository);
    next
}

/// Temporary files of agents on a host, one a line.
#[must_use]
#[track_caller]
pub fn left_over(hosts: &Hosts, host: &str) -> String {
    hosts.sh(
        host,
        "find / /run /tmp /dev/shm -xdev \\( -name '.cm-*' -o -path '/var/lib/cm/spool/*' -o -path '/var/lib/cm/*.tmp' \\) 2>/dev/null || true",
    )
}

/// The record of runs opens, and no run in it is at work: nobody is.
///
/// # Panics
/// When that is not so.
#[track_caller]
pub fn records_are_whole(repository: &Repository) {
    let runs = repository.cm("history --json").exits(0).events();
    assert!(!runs.is_empty());
    let open: Vec<_> = runs.iter().filter(|run| run["state"] == "running").collect();
    assert!(open.is_empty(), "{open:#?}");
    let _ = repository.cm("show last --all").exits(0);
}
