//! Hosts that cannot be reached: each fault with a message that says what, where and what to do.

use std::fs;

use cm_tests::{Hosts, Ran, Repository, hosts};

/// A repository with one host `h` that is the lab's `e12`, but for what is given.
fn host(hosts: &Hosts, entry: &str, ssh: &str) -> Repository {
    let repository = Repository::empty();
    let defaults = format!(
        "{{ user: admin, key: {}, known_hosts: {}, config: none, connect_timeout: 2s, attempts: 1 }}",
        hosts.lab.key_path().display(),
        hosts.lab.known_hosts_path().display()
    );
    repository.write(
        "inventory.yaml",
        format!(
            "hosts:\n  h: {{ address: {}, {entry} }}\ndefaults:\n  ssh: {defaults}\n  become: true\n",
            hosts.address("e12")
        )
        .replace(", }", " }")
        .replace("ssh: {}", &format!("ssh: {{ {ssh} }}")),
    );
    repository.role("r", "tasks:\n  - file: /srv/never-reached\n    content: x\n");
    repository
}

#[track_caller]
fn fails(hosts: &Hosts, repository: &Repository, parts: &[&str]) -> Ran {
    let ran = repository.cm("apply r on h").exits(4).says(&["`h`", "1 unreachable", "hint: "]).says(parts);
    assert!(!hosts.holds("e12", "test -e /srv/never-reached"));
    let json = repository.cm("apply r on h --json").exits(4);
    let ended = json.events().into_iter().find(|event| event["event"] == "host").unwrap_or_default();
    assert_eq!(ended["state"], "unreachable", "{}", json.said());
    assert!(ended["trouble"]["hints"][0].is_string(), "{ended}");
    ran
}

#[test]
fn an_address_where_nobody_is() {
    let Some(hosts) = hosts() else { return };
    let repository = host(hosts, "", "");
    let nobody = hosts.lab.subnet().replace("0/24", "253");
    let text = fs::read_to_string(repository.folder().join("inventory.yaml")).expect("just written");
    repository.write("inventory.yaml", text.replace(&hosts.address("e12"), &nobody));
    let _ = fails(hosts, &repository, &[&format!("{nobody}:22"), "inventory.yaml:2"]);
    // Others go on.
    let repository = Repository::with_groups(hosts, "  g: { hosts: [d12, d13] }\n");
    let text = fs::read_to_string(repository.folder().join("inventory.yaml")).expect("just written");
    repository.write(
        "inventory.yaml",
        text.replace(&hosts.address("d13"), &nobody)
            .replace("  ssh:\n", "  ssh:\n    connect_timeout: 1s\n    attempts: 1\n"),
    );
    repository.role("r", "tasks:\n  - file: /srv/others-go-on\n    content: x\n");
    let _ =
        repository.cm("apply r on g").exits(4).says(&["1 changed", "1 unreachable", "could not reach `d13`"]);
    assert!(hosts.holds("d12", "test -e /srv/others-go-on"));
}

#[test]
fn a_port_that_refuses() {
    let Some(hosts) = hosts() else { return };
    let repository = host(hosts, "ssh: { port: 9 }", "");
    let _ = fails(
        hosts,
        &repository,
        &[
            "could not reach `h`",
            ":9 refused the connection",
            "check that sshd runs on `h`",
            "inventory.yaml:2",
        ],
    );
}

#[test]
fn a_user_who_is_not_there_and_a_key_that_is_not_taken() {
    let Some(hosts) = hosts() else { return };
    let repository = host(hosts, "ssh: { user: nobody-here }", "");
    let _ = fails(hosts, &repository, &["could not log in to `h` as `nobody-here`"]);
    let repository = host(hosts, "", "");
    let other = repository.folder().join("other_key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&other)
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    let text = fs::read_to_string(repository.folder().join("inventory.yaml")).expect("just written");
    repository.write(
        "inventory.yaml",
        text.replace(&hosts.lab.key_path().display().to_string(), &other.display().to_string()),
    );
    let _ = fails(hosts, &repository, &["other_key"]);
    repository
        .write("inventory.yaml", text.replace(&hosts.lab.key_path().display().to_string(), "/nowhere/key"));
    let _ = fails(hosts, &repository, &["/nowhere/key"]);
}

#[test]
fn a_host_key_that_is_unknown_changed_and_then_trusted() {
    let Some(hosts) = hosts() else { return };
    let repository = host(hosts, "", "");
    let known = repository.folder().join("my_known_hosts");
    let text = fs::read_to_string(repository.folder().join("inventory.yaml")).expect("just written");
    let text =
        text.replace(&hosts.lab.known_hosts_path().display().to_string(), &known.display().to_string());
    repository.write("inventory.yaml", &text);
    repository.write("my_known_hosts", "");
    let ran = fails(
        hosts,
        &repository,
        &["is not known; nothing was sent", "cm node trust h --fingerprint SHA256:"],
    );
    let said = ran.said();
    let fingerprint = said
        .split("--fingerprint ")
        .nth(1)
        .and_then(|rest| rest.split([';', '`', '\n']).next())
        .unwrap_or_default()
        .to_owned();
    // A wrong fingerprint is not accepted, the right one is.
    let _ = repository
        .cm("node trust h --fingerprint SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .exits(1);
    let _ = repository
        .cm(&format!("node trust h --fingerprint {fingerprint}"))
        .exits(0)
        .says(&["is trusted now"]);
    let _ = repository.cm("facts on h").exits(0);
    // Another host's keys under this address: changed.
    let other = fs::read_to_string(hosts.lab.known_hosts_path()).expect("the lab's known hosts");
    let (theirs, ours) = (hosts.address("d12"), hosts.address("e12"));
    let wrong: String = other
        .lines()
        .filter(|line| line.contains(&theirs) && !line.starts_with('#'))
        .map(|line| format!("{ours} {}\n", line.split_once(' ').map_or("", |(_, key)| key)))
        .collect();
    repository.write("my_known_hosts", &wrong);
    let _ = fails(
        hosts,
        &repository,
        &["the host key of `h`", "has changed; nothing was sent", "my_known_hosts", "if `h` was reinstalled"],
    );
    let _ = repository.cm(&format!("node trust h --fingerprint {fingerprint}")).exits(0).says(&["taken out"]);
    let _ = repository.cm("facts on h").exits(0);
    // And without strictness, the first key is taken and kept, a changed one still refused.
    repository.write("my_known_hosts", "");
    repository.write("inventory.yaml", text.replace("config: none", "config: none, host_keys: accept-new"));
    let _ = repository.cm("facts on h").exits(0);
    assert!(!fs::read_to_string(&known).unwrap_or_default().is_empty());
    repository.write("my_known_hosts", &wrong);
    let _ = fails(hosts, &repository, &["has changed; nothing was sent"]);
}

#[test]
fn sudo_with_a_password_with_a_wrong_one_and_without() {
    let Some(hosts) = hosts() else { return };
    let ops = |password: &str| host(hosts, &format!("ssh: {{ user: ops }}, become: true, {password}"), "");
    let _ = fails(
        hosts,
        &ops(""),
        &["could not start the agent on `h`", "sudo asks for a password", "--ask-become-pass"],
    );
    let password = "become_password: \"{{ secrets.sudo }}\"";
    let repository = ops(password);
    repository.secret(hosts, "sudo", "wrong-password");
    let _ = fails(hosts, &repository, &["sudo did not accept the password"]).never_says(&["wrong-password"]);
    let repository = ops(password);
    repository.secret(hosts, "sudo", "ops-password");
    let _ = repository
        .cm_words(&["run", "id -un", "on", "h"])
        .exits(0)
        .says(&["h | root"])
        .never_says(&["ops-password"]);
    hosts.sh(
        "e12",
        "useradd -m outsider; cp -r /home/admin/.ssh /home/outsider/; chown -R outsider /home/outsider/.ssh",
    );
    let repository = host(hosts, "ssh: { user: outsider }", "");
    let _ = fails(hosts, &repository, &["sudo"]);
    // Without becoming anybody, a user can do what is his.
    let repository = host(hosts, "ssh: { user: outsider }, become: false", "");
    repository.role("own", "tasks:\n  - file: /home/outsider/mine\n    content: x\n");
    repository.converges("own on h");
    assert_eq!(hosts.sh("e12", "stat -c %U /home/outsider/mine; test ! -e /home/outsider/.cache/cm/x; userdel -r outsider 2>/dev/null"), "outsider\n");
}
