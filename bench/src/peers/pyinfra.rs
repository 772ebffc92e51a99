//! pyinfra: a deploy of its own operations.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Given, Tool};
use crate::role::Expressions;

/// pyinfra.
pub const PYINFRA: Tool = Tool {
    name: "pyinfra",
    title: "pyinfra",
    requirements: Some(include_str!("../../peers/pyinfra-requirements.txt")),
    prepare: |given| {
        write(given)?;
        let mut command = given.program("pyinfra");
        command.args(["-y", "inventory.py", "deploy.py"]);
        Ok(command)
    },
};

fn write(given: &Given<'_>) -> Result<()> {
    let (key, known) = (given.key(), given.known_hosts());
    let mut inventory = String::from("hosts = [\n");
    for (name, address) in given.hosts()? {
        // Writing to a string cannot fail.
        let _ = writeln!(
            inventory,
            "    ({name:?}, {{\"ssh_hostname\": {address:?}, \"ssh_user\": \"admin\", \"ssh_key\": {key:?}, \
             \"ssh_known_hosts_file\": {known:?}, \"ssh_strict_host_key_checking\": \"yes\"}}),"
        );
    }
    inventory.push_str("]\n");
    given.write("inventory.py", &inventory)?;
    let expressions = Expressions { host: "{{ host.name }}", name: "{{ app }}", port: "{{ port }}" };
    given.write("app.conf.j2", &given.role.template(expressions))?;
    given.write("deploy.py", &deploy(given))
}

fn deploy(given: &Given<'_>) -> String {
    let role = given.role;
    let mut text = String::from(
        "from io import StringIO\n\nfrom pyinfra import config\nfrom pyinfra.operations import apt, files, server, systemd\n\n\
         config.SUDO = True\n\n",
    );
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("apt.packages(packages={:?}, no_recommends=True)", role.packages));
    for group in &role.groups {
        line(format!("server.group(group={:?}, gid={})", group.name, group.gid));
    }
    for user in &role.users {
        line(format!(
            "server.user(user={:?}, uid={}, groups=[{:?}], home={:?}, shell={:?}, create_home=True)",
            user.name, user.uid, user.group, user.home, user.shell
        ));
    }
    line(format!("for path in {:?}:", role.directories));
    line("    files.directory(path=path, user=\"root\", group=\"root\", mode=\"755\")".into());
    line("for path, name, port in [".into());
    for file in &role.files {
        line(format!("    ({:?}, {:?}, {}),", file.path, file.name, file.port));
    }
    line("]:".into());
    // `name` is pyinfra's own word for what an operation is called.
    line(
        "    files.template(src=\"app.conf.j2\", dest=path, user=\"root\", group=\"root\", mode=\"644\", \
         app=name, port=port)"
            .into(),
    );
    for link in &role.links {
        line(format!("files.link(path={:?}, target={:?})", link.path, link.target));
    }
    for edit in &role.edits {
        line(format!("files.line(path={:?}, line=r{:?}, replace={:?})", edit.path, edit.matches, edit.line));
    }
    for sysctl in &role.sysctls {
        line(format!(
            "files.put(src=StringIO({:?}), dest={:?}, user=\"root\", group=\"root\", mode=\"644\")",
            sysctl.content(),
            sysctl.path
        ));
    }
    for service in &role.services {
        line(format!("systemd.service(service={service:?}, running=True, enabled=True)"));
    }
    text
}
