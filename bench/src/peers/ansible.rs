//! ansible-core, plain and with mitogen: pipelining, one apt task, loops, no facts, as many forks as hosts.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, Result};

use super::{Given, Tool};
use crate::role::Expressions;

/// ansible-core with pipelining.
pub const ANSIBLE: Tool = Tool {
    name: "ansible",
    title: "ansible-core, pipelining",
    requirements: Some(include_str!("../../peers/ansible-requirements.txt")),
    prepare: |given| playbook(given, ""),
};

/// ansible-core with mitogen's strategy.
pub const MITOGEN: Tool = Tool {
    name: "mitogen",
    title: "ansible-core with mitogen",
    requirements: Some(include_str!("../../peers/mitogen-requirements.txt")),
    prepare: |given| {
        let folder = strategies(given)?;
        playbook(given, &format!("strategy_plugins = {folder}\nstrategy = mitogen_linear\n"))
    },
};

/// Where mitogen keeps its strategies.
fn strategies(given: &Given<'_>) -> Result<String> {
    let packages = given.environment.join("lib");
    let python = std::fs::read_dir(&packages)
        .with_context(|| format!("{}", packages.display()))?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .context("the environment has a Python")?;
    Ok(python.path().join("site-packages/ansible_mitogen/plugins/strategy").display().to_string())
}

fn playbook(given: &Given<'_>, strategy: &str) -> Result<Command> {
    let hosts = given.hosts()?;
    let (forks, key, known) = (hosts.len(), given.key(), given.known_hosts());
    given.write(
        "ansible.cfg",
        &format!(
            "[defaults]\ninventory = hosts.ini\nforks = {forks}\ngathering = explicit\nhost_key_checking = True\n\
             interpreter_python = /usr/bin/python3\nretry_files_enabled = False\n{strategy}\n\
             [ssh_connection]\npipelining = True\n\
             ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={known}\n"
        ),
    )?;
    let mut inventory = String::from("[all]\n");
    for (name, address) in hosts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            inventory,
            "{name} ansible_host={address} ansible_user=admin ansible_ssh_private_key_file={key}"
        );
    }
    given.write("hosts.ini", &inventory)?;
    let expressions =
        Expressions { host: "{{ inventory_hostname }}", name: "{{ item.name }}", port: "{{ item.port }}" };
    given.write("templates/app.conf.j2", &given.role.template(expressions))?;
    given.write("site.yml", &tasks(given))?;
    let mut command = given.program("ansible-playbook");
    command.arg("site.yml").env("ANSIBLE_CONFIG", given.folder.join("ansible.cfg"));
    // Connections that stay open must not outlive this folder's run.
    command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", given.folder.join("control"));
    Ok(command)
}

fn tasks(given: &Given<'_>) -> String {
    let role = given.role;
    let mut text = String::from("- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n");
    let mut task = |module: &str, parameters: &[&str], items: &[String]| {
        let _ = writeln!(text, "    - ansible.builtin.{module}:");
        for parameter in parameters {
            let _ = writeln!(text, "        {parameter}");
        }
        if !items.is_empty() {
            text.push_str("      loop:\n");
            for item in items {
                let _ = writeln!(text, "        - {item}");
            }
        }
    };

    task("apt", &[&format!("name: [{}]", role.packages.join(", ")), "install_recommends: false"], &[]);
    let groups = role.groups.iter().map(|group| format!("{{ name: {}, gid: {} }}", group.name, group.gid));
    task("group", &["name: \"{{ item.name }}\"", "gid: \"{{ item.gid }}\""], &groups.collect::<Vec<_>>());
    let users = role.users.iter().map(|user| {
        format!(
            "{{ name: {}, uid: {}, group: {}, home: {}, shell: {} }}",
            user.name, user.uid, user.group, user.home, user.shell
        )
    });
    task(
        "user",
        &[
            "name: \"{{ item.name }}\"",
            "uid: \"{{ item.uid }}\"",
            "groups: \"{{ item.group }}\"",
            "home: \"{{ item.home }}\"",
            "shell: \"{{ item.shell }}\"",
        ],
        &users.collect::<Vec<_>>(),
    );
    task("file", &["path: \"{{ item }}\"", "state: directory", "mode: \"0755\""], &role.directories);
    let files = role
        .files
        .iter()
        .map(|file| format!("{{ path: {}, name: {}, port: {} }}", file.path, file.name, file.port));
    task(
        "template",
        &["src: app.conf.j2", "dest: \"{{ item.path }}\"", "mode: \"0644\""],
        &files.collect::<Vec<_>>(),
    );
    let links = role.links.iter().map(|link| format!("{{ path: {}, to: {} }}", link.path, link.target));
    task(
        "file",
        &["path: \"{{ item.path }}\"", "src: \"{{ item.to }}\"", "state: link"],
        &links.collect::<Vec<_>>(),
    );
    let edits = role
        .edits
        .iter()
        .map(|edit| format!("{{ path: {}, match: '{}', line: '{}' }}", edit.path, edit.matches, edit.line));
    task(
        "lineinfile",
        &["path: \"{{ item.path }}\"", "regexp: \"{{ item.match }}\"", "line: \"{{ item.line }}\""],
        &edits.collect::<Vec<_>>(),
    );
    let sysctls = role
        .sysctls
        .iter()
        .map(|sysctl| format!("{{ path: {}, content: {:?} }}", sysctl.path, sysctl.content()));
    task(
        "copy",
        &["dest: \"{{ item.path }}\"", "content: \"{{ item.content }}\"", "mode: \"0644\""],
        &sysctls.collect::<Vec<_>>(),
    );
    task("service", &["name: \"{{ item }}\"", "state: started", "enabled: true"], &role.services);
    text
}
