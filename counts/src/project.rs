//! A repository with one role for many hosts: the tasks that hosts have, in the shares they have them.

use std::{error::Error, fmt::Write as _, path::Path};

/// Writes the repository: `hosts` hosts in one group, and one role of `tasks` tasks.
pub fn write(folder: &Path, hosts: usize, tasks: usize) -> Result<(), Box<dyn Error>> {
    let role = folder.join("roles/web");
    std::fs::create_dir_all(role.join("templates"))?;
    let inventory = format!(
        "hosts:\n  \"web[0001:{hosts:04}]\": {{ address: \"10.0.0.{{{{ n }}}}\", vars: {{ rack: \"r{{{{ n }}}}\" }} }}\ngroups:\n  web: {{ hosts: [\"web[0001:{hosts:04}]\"], roles: [web], vars: {{ domain: \"{{{{ host.name }}}}.example.org\" }} }}\n"
    );
    std::fs::write(folder.join("inventory.yaml"), inventory)?;
    std::fs::write(
        role.join("templates/site.conf.j2"),
        "server {\n  listen {{ port }};\n  server_name {{ domain }};\n  {% if node.cpus > 2 %}worker_processes {{ node.cpus }};{% endif %}\n}\n",
    )?;
    let mut text = String::from("params:\n  port: { type: int, default: 80 }\ntasks:\n  - service: nginx\n");
    // Of ten tasks three are written out, five use variables and two are template files.
    for task in 1..tasks {
        match task % 10 {
            0 => writeln!(text, "  - package: package{task}")?,
            1 => writeln!(text, "  - directory: /srv/{task}\n    owner: root\n    mode: \"0755\"")?,
            2 => writeln!(text, "  - file: /etc/literal{task}\n    content: some text\n    mode: \"0644\"")?,
            3 | 4 => writeln!(
                text,
                "  - file: /etc/template{task}\n    template: site.conf.j2\n    reloads: nginx"
            )?,
            5 => writeln!(
                text,
                "  - file: /etc/{{{{ host.name }}}}{task}\n    content: \"{{{{ domain }}}} {{{{ rack }}}}\\n\""
            )?,
            6 => writeln!(
                text,
                "  - file: /etc/when{task}\n    when: node.os.family == 'debian'\n    content: \"{{{{ port }}}}\""
            )?,
            7 => writeln!(text, "  - user: user{task}\n    comment: \"{{{{ rack }}}}\"")?,
            8 => writeln!(text, "  - link: /etc/link{task}\n    target: \"/srv/{{{{ rack }}}}\"")?,
            _ => writeln!(
                text,
                "  - file: /etc/conf{task}\n    content: \"x={{{{ port }}}}\"\n    owner: root\n    group: root"
            )?,
        }
    }
    std::fs::write(role.join("role.yaml"), text)?;
    Ok(())
}
