//! salt-ssh: one state file, as many processes as hosts.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Given, Tool};
use crate::role::Expressions;

/// salt-ssh.
pub const SALT: Tool = Tool {
    name: "salt",
    title: "salt-ssh",
    requirements: Some(include_str!("../../peers/salt-requirements.txt")),
    prepare: |given| {
        write(given)?;
        let mut command = given.program("salt-ssh");
        command.args(["--config-dir", "etc", "--state-output=terse", "*", "state.apply", "bench"]);
        Ok(command)
    },
};

fn write(given: &Given<'_>) -> Result<()> {
    let hosts = given.hosts()?;
    let folder = given.folder.display();
    let (key, known, processes) = (given.key(), given.known_hosts(), hosts.len());
    given.write(
        "etc/master",
        &format!(
            "root_dir: {folder}/root\nuser: root\nroster_file: {folder}/etc/roster\nssh_max_procs: {processes}\n\
             log_file: {folder}/log\nssh_log_file: {folder}/ssh-log\nfile_roots: {{ base: [\"{folder}/states\"] }}\n\
             ssh_options: [\"UserKnownHostsFile={known}\", \"StrictHostKeyChecking=yes\"]\n"
        ),
    )?;
    std::fs::create_dir_all(given.folder.join("root"))?;
    let mut roster = String::new();
    for (name, address) in hosts {
        // Writing to a string cannot fail.
        let _ = writeln!(roster, "{name}: {{ host: {address}, user: admin, sudo: true, priv: {key} }}");
    }
    given.write("etc/roster", &roster)?;
    let expressions = Expressions { host: "{{ grains.id }}", name: "{{ name }}", port: "{{ port }}" };
    given.write("states/app.conf.j2", &given.role.template(expressions))?;
    given.write("states/bench.sls", &states(given))
}

fn states(given: &Given<'_>) -> String {
    let role = given.role;
    let mut text = String::new();
    let mut state = |id: &str, function: &str, arguments: &[String]| {
        let _ = writeln!(text, "{id}:\n  {function}:");
        for argument in arguments {
            let _ = writeln!(text, "    - {argument}");
        }
    };
    let packages = format!("pkgs: [{}]", role.packages.join(", "));
    // apt's lists are in its caches: no other tool asks the network for newer ones.
    let arguments = [packages, "install_recommends: False".into(), "refresh: False".into()];
    state("packages", "pkg.installed", &arguments);
    for group in &role.groups {
        state(&group.name, "group.present", &[format!("gid: {}", group.gid)]);
    }
    for user in &role.users {
        let arguments = [
            format!("uid: {}", user.uid),
            "usergroup: True".into(),
            format!("groups: [{}]", user.group),
            "remove_groups: False".into(),
            format!("home: {}", user.home),
            format!("shell: {}", user.shell),
        ];
        state(&user.name, "user.present", &arguments);
    }
    let directories = format!("names: [{}]", role.directories.join(", "));
    let owned = ["user: root".to_owned(), "group: root".into()];
    state(
        "directories",
        "file.directory",
        &[directories, "mode: \"0755\"".into(), "makedirs: True".into(), owned[0].clone(), owned[1].clone()],
    );
    for file in &role.files {
        let arguments = [
            "source: salt://app.conf.j2".to_owned(),
            "template: jinja".into(),
            format!("context: {{ name: {}, port: {} }}", file.name, file.port),
            "mode: \"0644\"".into(),
            owned[0].clone(),
            owned[1].clone(),
        ];
        state(&file.path, "file.managed", &arguments);
    }
    for link in &role.links {
        state(&link.path, "file.symlink", &[format!("target: {}", link.target)]);
    }
    for (number, edit) in role.edits.iter().enumerate() {
        let arguments = [
            format!("name: {}", edit.path),
            format!("pattern: '{}'", edit.matches),
            format!("repl: '{}'", edit.line),
            "backup: False".into(),
        ];
        state(&format!("edit{number}"), "file.replace", &arguments);
    }
    for sysctl in &role.sysctls {
        let content = format!("contents: {:?}", sysctl.content());
        state(
            &sysctl.path,
            "file.managed",
            &[content, "mode: \"0644\"".into(), owned[0].clone(), owned[1].clone()],
        );
    }
    for service in &role.services {
        state(
            &format!("service_{service}"),
            "service.running",
            &[format!("name: {service}"), "enable: True".into()],
        );
    }
    text
}
