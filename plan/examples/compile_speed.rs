//! Measures how long it takes to read a repository and to compile many hosts on one core:
//! `cargo run --release -p cm-plan --example compile_speed -- HOSTS TASKS`.

use std::{fmt::Write as _, time::Instant};

use cm_plan::{FactsBook, LoadOptions, Project, Request};
use cm_wire::Facts;

#[expect(clippy::print_stdout, reason = "a measurement")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (hosts, tasks) = (arguments.next().unwrap_or(1000), arguments.next().unwrap_or(200));
    let folder = tempfile::tempdir()?;
    let role = folder.path().join("roles/web");
    std::fs::create_dir_all(role.join("templates"))?;
    let inventory = format!(
        "hosts:\n  \"web[0001:{hosts:04}]\": {{ address: \"10.0.0.{{{{ n }}}}\", vars: {{ rack: \"r{{{{ n }}}}\" }} }}\ngroups:\n  web: {{ hosts: [\"web[0001:{hosts:04}]\"], roles: [web], vars: {{ domain: \"{{{{ host.name }}}}.example.org\" }} }}\n"
    );
    std::fs::write(folder.path().join("inventory.yaml"), inventory)?;
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

    let start = Instant::now();
    let project = Project::load(folder.path(), &LoadOptions::default())
        .map_err(|error| error.diagnostics.render(&error.sources, cm_syntax::Style::plain()))?;
    println!("read and checked: {:?}", start.elapsed());
    let facts = Facts { cpus: 4, ..Facts::default() };
    let start = Instant::now();
    let mut count = 0;
    for (host, _) in project.inventory().hosts() {
        let plan = project.compile(host, &facts, &FactsBook::default(), &Request::default());
        let plan =
            plan.map_err(|diagnostics| diagnostics.render(project.sources(), cm_syntax::Style::plain()))?;
        count += plan.tasks.len();
    }
    let took = start.elapsed();
    println!("{hosts} hosts, {count} tasks: {took:?}, {:?} a task", took / u32::try_from(count)?);
    Ok(())
}
