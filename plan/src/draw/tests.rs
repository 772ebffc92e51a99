//! Whole drawings of small graphs, and what must hold for any.

use std::path::PathBuf;

use cm_modules::{Class, Thing, Touches};

use super::*;
use crate::graph::{Edge, GraphRole, GraphTask, Reason, build};

/// A role's tasks, as the modules would describe them.
pub struct Plan {
    tasks: Vec<GraphTask>,
    roles: Vec<GraphRole>,
}

impl Plan {
    pub fn new() -> Self {
        Self { tasks: Vec::new(), roles: Vec::new() }
    }

    pub fn role(&mut self, name: &str, needs: &[usize]) {
        self.roles.push(GraphRole { name: name.into(), needs: needs.to_vec() });
    }

    pub fn task(&mut self, id: &str, touches: Touches) -> usize {
        let role = self.roles.len() - 1;
        let (needs, restarts, reloads) = (Vec::new(), Vec::new(), Vec::new());
        self.tasks.push(GraphTask {
            id: id.into(),
            role,
            touches,
            needs,
            restarts,
            reloads,
            parallel: false,
        });
        self.tasks.len() - 1
    }

    pub fn package(&mut self, name: &str) -> usize {
        self.task(&format!("package:{name}"), Touches::new(Class::Package).makes(Thing::Package(name.into())))
    }

    pub fn path(&mut self, module: &str, path: &str, owner: Option<&str>) -> usize {
        let touches = Touches::new(Class::File).makes(Thing::Path(PathBuf::from(path))).owned(owner, None);
        self.task(&format!("{module}:{path}"), touches)
    }

    pub fn user(&mut self, name: &str) -> usize {
        self.task(&format!("user:{name}"), Touches::new(Class::Free).makes(Thing::User(name.into())))
    }

    pub fn service(&mut self, name: &str) -> usize {
        self.task(&format!("service:{name}"), Touches::new(Class::Service).makes(Thing::Service(name.into())))
    }

    pub fn command(&mut self, id: &str) -> usize {
        self.task(&format!("command:{id}"), Touches::new(Class::Opaque))
    }

    pub fn reloads(&mut self, from: usize, service: usize) {
        self.tasks[from].reloads.push(service);
    }

    pub fn restarts(&mut self, from: usize, service: usize) {
        self.tasks[from].restarts.push(service);
    }

    pub fn needs(&mut self, task: usize, needed: usize) {
        self.tasks[task].needs.push(needed);
    }

    pub fn graph(&self) -> (Graph, Vec<DrawTask<'_>>) {
        let graph = build(&self.tasks, &self.roles).unwrap();
        let tasks = self.tasks.iter().map(|task| DrawTask {
            id: &task.id,
            role: &self.roles[task.role].name,
            class: task.touches.class,
        });
        (graph, tasks.collect())
    }

    pub fn draw(&self, format: Format) -> String {
        let (graph, tasks) = self.graph();
        draw(&graph, &tasks, format)
    }
}

/// The example of the reference of the role language.
pub fn example() -> Plan {
    let mut plan = Plan::new();
    plan.role("web", &[]);
    plan.package("nginx");
    plan.package("curl");
    plan.user("deploy");
    plan.path("directory", "/srv/www", Some("deploy"));
    plan.path("file", "/srv/www/index.html", None);
    let site = plan.path("file", "/etc/nginx/sites-enabled/site.conf", None);
    let nginx = plan.service("nginx");
    plan.reloads(site, nginx);
    plan
}

/// Three roles on each other, sixty tasks of all classes.
pub fn sixty() -> Plan {
    let mut plan = Plan::new();
    plan.role("base", &[]);
    for name in ["curl", "ca-certificates", "chrony", "openssh-server", "sudo", "rsyslog"] {
        plan.package(name);
    }
    for name in ["admin", "deploy", "backup"] {
        plan.user(name);
    }
    plan.path("directory", "/etc/ssh/sshd_config.d", None);
    let sshd = plan.path("file", "/etc/ssh/sshd_config.d/10-hardening.conf", None);
    let chrony = plan.path("file", "/etc/chrony/chrony.conf", None);
    plan.path("file", "/etc/sudoers.d/admin", None);
    plan.path("directory", "/home/admin/.ssh", Some("admin"));
    plan.path("authorized_key", "/home/admin/.ssh/authorized_keys", Some("admin"));
    let log = plan.path("file", "/etc/rsyslog.d/50-remote.conf", None);
    let ssh_service = plan.service("ssh");
    let chrony_service = plan.service("chrony");
    let log_service = plan.service("rsyslog");
    plan.restarts(sshd, ssh_service);
    plan.restarts(chrony, chrony_service);
    plan.restarts(log, log_service);
    plan.task("wait:port 22", Touches::new(Class::Check));

    plan.role("postgres", &[0]);
    let packages: Vec<usize> =
        ["postgresql-15", "postgresql-contrib"].map(|name| plan.package(name)).to_vec();
    let repository =
        plan.task("repository:pgdg", Touches::new(Class::Free).makes(Thing::Repository("pgdg".into())));
    plan.needs(packages[0], repository);
    plan.path("directory", "/srv/postgres", None);
    plan.path("directory", "/srv/postgres/main", None);
    plan.path("directory", "/srv/postgres/wal", None);
    let init = plan.command("initdb -D /srv/postgres/main");
    let mut configs = Vec::new();
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        configs.push(plan.path("file", &format!("/srv/postgres/main/{name}"), None));
    }
    let service = plan.service("postgresql");
    for &config in &configs {
        plan.restarts(config, service);
    }
    plan.needs(service, init);
    plan.command("createdb app");

    plan.role("app", &[0]);
    for name in ["nginx", "python3-venv", "redis-server"] {
        plan.package(name);
    }
    plan.path("directory", "/srv/app", Some("deploy"));
    for name in ["bin", "etc", "log", "static", "media"] {
        plan.path("directory", &format!("/srv/app/{name}"), Some("deploy"));
    }
    for name in ["app.toml", "logging.toml", "workers.toml"] {
        plan.path("file", &format!("/srv/app/etc/{name}"), Some("deploy"));
    }
    plan.path("tree", "/srv/app/static/assets", None);
    let sites: Vec<usize> = ["app", "admin", "status"]
        .map(|name| plan.path("file", &format!("/etc/nginx/sites-enabled/{name}.conf"), None))
        .to_vec();
    let unit = plan.task(
        "unit:app.service",
        Touches::new(Class::File)
            .makes(Thing::Unit("app.service".into()))
            .makes(Thing::Path("/etc/systemd/system/app.service".into())),
    );
    plan.command("/srv/app/bin/migrate");
    let nginx = plan.service("nginx");
    plan.service("redis-server");
    let app = plan.service("app");
    for site in sites {
        plan.reloads(site, nginx);
    }
    plan.restarts(unit, app);
    for name in ["http http://127.0.0.1:80/", "port 6379", "port 8000"] {
        plan.task(&format!("wait:{name}"), Touches::new(Class::Check));
    }
    plan
}

/// One of every trap for the eyes and the parsers.
fn nasty() -> (Graph, Vec<DrawTask<'static>>) {
    let ids =
        ["file:/a \"b\" <c> & 'd'\\", "end", "größe ✓ 日本", "1. *x* `y` #35; ]|{", "a\nb\u{202e}\0", ""];
    let tasks = ids.map(|id| DrawTask { id, role: "r \"<&>\"\n", class: Class::File });
    let edges = (0..5)
        .map(|from| Edge { from, to: from + 1, reason: Reason::Holds("/x \"<&>\" \\N\n--> |".into()) })
        .collect();
    (Graph { tasks: 6, edges, barriers: Vec::new() }, tasks.to_vec())
}

#[test]
fn the_example_as_dot() {
    insta::assert_snapshot!(example().draw(Format::Dot));
}

#[test]
fn the_example_as_mermaid() {
    insta::assert_snapshot!(example().draw(Format::Mermaid));
}

#[test]
fn the_example_as_svg() {
    insta::assert_snapshot!(example().draw(Format::Svg));
}

#[test]
fn whatever_is_in_a_name_stays_in_its_label() {
    let (graph, tasks) = nasty();
    insta::assert_snapshot!("nasty_dot", draw(&graph, &tasks, Format::Dot));
    insta::assert_snapshot!("nasty_mermaid", draw(&graph, &tasks, Format::Mermaid));
    let svg = draw(&graph, &tasks, Format::Svg);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let shown: Vec<&str> = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("t"))
        .map(|node| node.text().unwrap_or_default())
        .collect();
    assert_eq!(
        shown,
        [
            "file:/a \"b\" <c> & 'd'\\",
            "end",
            "größe ✓ 日本",
            "1. *x* `y` #35; ]|{",
            "a\\nb\\u{202e}\\u{0}",
            ""
        ]
    );
}

#[test]
fn every_task_reason_and_role_is_drawn_in_every_format() {
    let plan = sixty();
    let (_, tasks) = plan.graph();
    for format in Format::ALL {
        let text = plan.draw(format);
        for task in &tasks {
            assert!(text.contains(task.id), "{format} lacks {}", task.id);
        }
        for reason in ["role postgres needs role base", "restarts", "/srv/app holds it", "checks come last"] {
            assert!(text.contains(reason), "{format} lacks {reason}");
        }
    }
}

#[test]
fn the_same_graph_gives_the_same_text() {
    for format in Format::ALL {
        assert_eq!(sixty().draw(format), sixty().draw(format));
    }
}

#[test]
fn nothing_and_circles_and_foreign_edges_are_drawn_too() {
    let edge = |from, to| Edge { from, to, reason: Reason::Needs };
    let tasks = ["a", "b", "c"].map(|id| DrawTask { id, role: "r", class: Class::Free });
    let circle = Graph {
        tasks: 3,
        edges: vec![edge(0, 1), edge(1, 2), edge(2, 0), edge(2, 7), edge(1, 1)],
        barriers: Vec::new(),
    };
    for format in Format::ALL {
        assert!(!draw(&Graph::default(), &[], format).is_empty());
        let text = draw(&circle, &tasks, format);
        assert_eq!(text.matches("needs").count(), if format == Format::Svg { 6 } else { 3 }, "{text}");
    }
    roxmltree::Document::parse(&draw(&Graph::default(), &[], Format::Svg)).unwrap();
}

#[test]
fn thousands_of_tasks_are_drawn_with_their_barriers() {
    let mut plan = Plan::new();
    plan.role("huge", &[]);
    for n in 0..2_000 {
        plan.package(&format!("p{n}"));
    }
    for n in 0..3_000 {
        plan.path("file", &format!("/srv/{n}"), None);
    }
    for format in Format::ALL {
        let text = plan.draw(format);
        assert!(text.len() < 5_000_000 && text.contains("packages before files"));
    }
}
