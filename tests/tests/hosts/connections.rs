//! Ways to a host: a jump host, ssh_config, keys of an ssh-agent, encrypted keys.

use std::{
    fs,
    process::{Command, Stdio},
};

use cm_tests::{Hosts, Repository, cm, finish, hosts};

fn inventory(hosts: &Hosts, repository: &Repository, ssh: &str) {
    let text = format!(
        "hosts:\n  d12: {{ address: {} }}\ndefaults:\n  ssh: {{ user: admin, known_hosts: {}, {ssh} }}\n",
        hosts.address("d12"),
        hosts.lab.known_hosts_path().display()
    );
    repository.write("inventory.yaml", text);
}

#[test]
fn through_a_jump_host() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    let key = hosts.lab.key_path();
    inventory(
        hosts,
        &repository,
        &format!("key: {}, config: none, jump: admin@{}", key.display(), hosts.address("e12")),
    );
    // The host lets nobody in but the jump host.
    let from = hosts.sh("d12", "echo $SSH_CONNECTION; true");
    assert_eq!(from, "\n");
    let ran =
        repository.cm_words(&["run", "ss -tnH state established '( sport = :22 )'", "on", "d12"]).exits(0);
    assert!(ran.stdout.contains(&hosts.address("e12")), "{}", ran.said());
    inventory(
        hosts,
        &repository,
        &format!(
            "key: {}, config: none, connect_timeout: 2s, attempts: 1, jump: admin@{}",
            key.display(),
            hosts.lab.subnet().replace("0/24", "253")
        ),
    );
    let _ = repository.cm("facts on d12").exits(4).says(&["could not reach `d12`", "253"]);
}

#[test]
fn as_ssh_config_says() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    repository.write("more.conf", format!("Host alias-*\n  HostName {}\n", hosts.address("d12")));
    repository.write(
        "ssh.conf",
        format!(
            "Include {}\nHost alias-of-d12\n  User admin\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
            repository.folder().join("more.conf").display(),
            hosts.lab.key_path().display(),
            hosts.lab.known_hosts_path().display()
        ),
    );
    repository
        .write("inventory.yaml", "hosts:\n  alias-of-d12: {}\ndefaults:\n  ssh: { config: ssh.conf }\n");
    let _ =
        repository.cm_words(&["run", "hostname; id -un", "on", "all"]).exits(0).says(&["| d12", "| admin"]);
}

#[test]
fn with_a_key_of_an_ssh_agent_and_without() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    inventory(hosts, &repository, "config: none");
    let socket = repository.folder().join("agent");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent starts");
    cm_tests::eventually("the agent's socket", std::time::Duration::from_secs(5), || {
        socket.exists().then_some(())
    });
    let added =
        Command::new("ssh-add").arg("-q").arg(hosts.lab.key_path()).env("SSH_AUTH_SOCK", &socket).status();
    let ran = finish(cm(repository.folder(), &["facts", "on", "d12"]).env("SSH_AUTH_SOCK", &socket));
    let _ = agent.kill();
    let _ = agent.wait();
    assert!(added.is_ok_and(|status| status.success()));
    let _ = ran.exits(0);
    let _ = repository.cm("facts on d12").exits(4);
}

#[test]
fn with_a_key_that_is_encrypted_and_nobody_to_ask() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    let key = repository.folder().join("encrypted_key");
    fs::copy(hosts.lab.key_path(), &key).expect("a readable key");
    let encrypted = Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "a passphrase", "-f"])
        .arg(&key)
        .stdout(Stdio::null())
        .status();
    assert!(encrypted.is_ok_and(|status| status.success()));
    inventory(hosts, &repository, &format!("key: {}, config: none", key.display()));
    let _ = repository.cm("facts on d12").exits(4).says(&["encrypted_key", "passphrase", "hint: "]);
}

#[test]
fn past_a_login_that_prints_things() {
    let Some(hosts) = hosts() else { return };
    hosts.sh("e12", "cp /home/admin/.bashrc /home/admin/.bashrc.kept; sed -i '1i echo Welcome to the machine; echo Mind the gap >&2' /home/admin/.bashrc");
    let repository = Repository::over(hosts);
    repository.role("r", "tasks:\n  - file: /srv/past-the-banner\n    content: x\n");
    let ran = repository.cm("apply r on e12");
    hosts.sh("e12", "mv /home/admin/.bashrc.kept /home/admin/.bashrc");
    let _ = ran.exits(0);
}

#[test]
fn with_one_session_a_connection_and_no_file_transfer() {
    let Some(hosts) = hosts() else { return };
    // An sshd that allows one session and has no sftp subsystem, and a node that has no agent yet.
    hosts.sh(
        "e12",
        "rm -rf /var/lib/cm/agent; sed 's/^Subsystem.*//' /etc/ssh/sshd_config > /etc/ssh/sshd_narrow; \
         /usr/sbin/sshd -f /etc/ssh/sshd_narrow -p 2223 -o MaxSessions=1 -o PidFile=/run/sshd-narrow.pid",
    );
    let repository = Repository::empty();
    repository.write(
        "inventory.yaml",
        format!(
            "hosts:\n  narrow: {{ address: {} }}\ndefaults:\n  ssh: {{ user: admin, port: 2223, key: {}, known_hosts: known_hosts, host_keys: accept-new, config: none }}\n  become: true\n",
            hosts.address("e12"),
            hosts.lab.key_path().display()
        ),
    );
    repository.write("roles/r/files/some.bin", vec![7; 300_000]);
    repository.role("r", "tasks:\n  - file: /srv/some.bin\n    source: some.bin\n");
    let ran = repository.cm("apply r on narrow");
    hosts.sh("e12", "kill $(cat /run/sshd-narrow.pid)");
    let _ = ran.exits(0).says(&["sent the agent"]);
    assert_eq!(hosts.sh("e12", "stat -c %s /srv/some.bin"), "300000\n");
}
