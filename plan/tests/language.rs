//! What a role means on a host.

mod support;

use std::sync::Arc;

use cm_plan::{ContentSource, FactsBook, Request, TaskList};
use cm_wire::Value;
use support::{INVENTORY, Repository, facts, load, outline, plan, plan_with};

fn outlined(role: &str) -> String {
    match Repository::role(role).plan("web1") {
        Ok(plan) => outline(&plan),
        Err(errors) => panic!("{errors}"),
    }
}

#[test]
fn each_goes_through_lists_and_maps_and_when_decides_for_each_item() {
    insta::assert_snapshot!(outlined(
        "params:
  sites: { type: map, default: { b: { port: 1 }, a: { port: 2 } } }
  names: { type: list, default: [x, y, z] }
tasks:
  - file: \"/etc/{{ item.key }}\"
    each: sites
    content: \"{{ item.value.port }}\"
  - file: \"/etc/{{ item }}.conf\"
    each: \"{{ names }}\"
    when: item != 'y'
  - directory: \"/srv/{{ item }}\"
    each: [one, \"{{ names[0] }}\"]
  - directory: \"/opt/{{ item.value }}\"
    each: { k: v }
  - file: /etc/none
    each: []
  - file: /etc/never
    when: false
  - file: /etc/both
    when: [names, 'node.cpus == 4']
"
        .replace("[names,", "['names | length > 0',")
        .as_str()
    ));
}

#[test]
fn a_lone_expression_keeps_its_type_and_text_kinds_take_what_it_prints() {
    insta::assert_snapshot!(outlined(
        "params:
  on: { type: bool, default: true }
  list: { type: list, default: [a, b] }
  number: { type: int, default: 8080 }
  mode: { type: string, default: \"0640\" }
  nobody: { type: string }
tasks:
  - service: nginx
    enabled: \"{{ on }}\"
  - package: \"{{ list + ['c'] }}\"
  - file: /etc/a
    content: \"{{ number }}\"
    mode: \"{{ mode }}\"
    owner: \"{{ nobody | default(omit) }}\"
    group: \"{{ none }}\"
  - file: /etc/b
    content: \"{{ on }} {{ number }}\\n\"
  - user: deploy
    groups: \"{{ list }}\"
    uid: \"{{ number }}\"
  - user: other
    groups: [\"{{ list[0] }}\", \"x{{ number }}\"]
  - command: \"echo {{ number }}\"
    env: { A: \"{{ list[1] }}\", B: plain }
"
    ));
}

#[test]
fn variables_by_strength() {
    let inventory = "hosts:
  web1: { vars: { host_wins: host } }
  web2:
groups:
  outer: { groups: [web], vars: { group_wins: outer, host_wins: outer, rack: a } }
  web:
    hosts: [web1, web2]
    roles: [web, { role: needed, with: { x: \"{{ rack }}1\" } }]
    vars: { group_wins: web, host_wins: web, with_loses: group }
";
    let repository = Repository::new(&[
        ("inventory.yaml", inventory),
        (
            "roles/web/role.yaml",
            "params:
  default_only: { type: string, default: default }
  group_wins: { type: string, default: default }
  host_wins: { type: string, default: default }
  set_wins: { type: string, default: default }
  built: { type: string, default: \"{{ group_wins }}-{{ rack }}\" }
tasks:
  - file: /etc/web
    content: \"{{ default_only }} {{ group_wins }} {{ host_wins }} {{ set_wins }} {{ built }}\"
",
        ),
        (
            "roles/needed/role.yaml",
            "params: { x: { type: string }, with_loses: { type: string, default: default }, set_wins: { type: int, default: 1 } }
tasks:
  - file: /etc/needed
    content: \"{{ x }} {{ with_loses }} {{ set_wins + 1 }}\"
",
        ),
    ]);
    let project = load(repository.path(), &["set_wins=7"]).unwrap_or_else(|errors| panic!("{errors}"));
    let both = ["web1", "web2"].map(|host| outline(&plan(&project, host, &Request::default()).unwrap()));
    let host = project.inventory().host_id("web1").unwrap();
    let variables = project.variables(host, Some(&facts("web1")), &FactsBook::default(), None).unwrap();
    let shown: Vec<String> = variables
        .iter()
        .map(|variable| {
            let hidden: Vec<String> = variable
                .hidden
                .iter()
                .map(|(kind, span)| format!("{kind} {}", project.sources().place(*span)))
                .collect();
            let place = project.sources().place(variable.span);
            let role = variable.role.as_deref().unwrap_or("-");
            format!(
                "{role} {} = {:?} from {} {place}, hides {hidden:?}\n",
                variable.name, variable.value, variable.kind
            )
        })
        .collect();
    insta::assert_snapshot!(format!("{}---\n{}", both.concat(), shown.concat()));
}

#[test]
fn a_role_is_given_values_by_the_role_that_needs_it() {
    let repository = Repository::new(&[
        ("inventory.yaml", "hosts:\n  web1:\ngroups:\n  web: { hosts: [web1], roles: [base, app, vhost] }\n"),
        (
            "roles/base/role.yaml",
            "params: { level: { type: int, default: 1 } }\ntasks:\n  - file: /etc/base\n    content: \"{{ level }}\"\n",
        ),
        (
            "roles/app/role.yaml",
            "params: { n: { type: int, default: 5 } }
needs:
  - { role: base, with: { level: \"{{ n * 2 }}\" } }
  - { role: vhost, with: { name: a } }
  - { role: vhost, with: { name: b } }
  - { role: vhost, with: { name: a } }
tasks: [{ file: /etc/app }]
",
        ),
        (
            "roles/vhost/role.yaml",
            "params: { name: { type: string, required: true } }\ntasks:\n  - file: \"/etc/{{ name }}\"\n",
        ),
    ]);
    insta::assert_snapshot!(outline(&repository.plan("web1").unwrap_or_else(|errors| panic!("{errors}"))));
}

#[test]
fn the_same_thing_twice_is_merged() {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        (
            "roles/web/role.yaml",
            "needs: [other]
tasks:
  - service: nginx
    enabled: true
  - package: [curl, nginx]
  - file: /etc/a
    mode: \"0644\"
    reloads: nginx
    tags: x
  - file: /etc//a/
    owner: root
    mode: \"0644\"
    restarts: nginx
  - service: nginx
    state: running
    needs: package:curl
",
        ),
        ("roles/other/role.yaml", "tasks:\n  - package: curl\n  - file: /etc/b\n"),
    ]);
    insta::assert_snapshot!(outline(&repository.plan("web1").unwrap_or_else(|errors| panic!("{errors}"))));
}

#[test]
fn edits_follow_their_file_and_repeat_with_numbers() {
    insta::assert_snapshot!(outlined(
        "tasks:
  - line: /etc/a
    text: first
  - file: /etc/a
    content: \"base\\n\"
  - line: /etc/a
    text: second
    needs: line:/etc/b
  - line: /etc/b
    text: alone
  - command: make
  - command: make
    needs: line:/etc/a#2
  - command: make
    parallel: true
    become: deploy
    retry: { times: 3, delay: 500ms }
    timeout: 2m
    sensitive: true
"
    ));
}

#[test]
fn references_through_templates_conditions_and_suffixes() {
    insta::assert_snapshot!(outlined(
        "params: { php: { type: string, default: \"8.2\" } }
tasks:
  - service: \"php{{ php }}-fpm\"
  - service: nginx.service
  - service: gone
    when: false
  - file: /etc/a
    restarts: [\"php{{ php }}-fpm\", nginx, gone]
  - file: /etc/b
    reloads: php8.2-fpm
    needs: [file:/etc/gone, all]
  - file: /etc/gone
    when: php == '7'
  - directory: \"/srv/{{ item }}\"
    id: all
    each: [a, b]
"
    ));
}

#[test]
fn tags_keep_what_is_needed() {
    let role = "tasks:
  - service: nginx
  - package: nginx
  - package: curl
  - file: /etc/a
    tags: [web, config]
    needs: package:nginx
    reloads: nginx
  - file: /etc/b
    tags: other
";
    let project = Repository::role(role);
    let loaded = project.load().unwrap();
    let tags = ["config".to_owned()];
    let request = Request { tags: &tags, ..Request::default() };
    insta::assert_snapshot!(outline(&plan(&loaded, "web1", &request).unwrap()));
}

/// What comes before the task goes, whatever makes it come before; what is beside it stays.
#[test]
fn a_start_leaves_out_what_comes_before_it() {
    let role = "tasks:
  - package: nginx
  - file: /etc/nginx/site
    restarts: nginx
  - line: /etc/nginx/site
    text: a
  - service: nginx
  - service: cron
  - command: last
    needs: service:nginx
";
    let project = Repository::role(role);
    let loaded = project.load().unwrap();
    let ids = |start: &str| {
        let request = Request { start_at: Some(start), ..Request::default() };
        let plan = plan(&loaded, "web1", &request)?;
        assert!(plan.whole_roles.is_empty());
        Ok::<_, String>(plan.tasks.into_iter().map(|task| task.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("service:nginx").unwrap(), ["service:nginx", "service:cron", "command:last"]);
    assert_eq!(ids("package:nginx").unwrap().len(), 6);
    let told = ids("service:nginks").unwrap_err();
    assert!(told.contains("there is no task `service:nginks` to start at"), "{told}");
    assert!(told.contains("did you mean `service:nginx`?"), "{told}");
}

#[test]
fn cleanup_is_a_list_of_its_own() {
    let role = "tasks:\n  - service: nginx\ncleanup:\n  - command: flush\n    when: node.cpus > 1\n  - file: /etc/x\n    state: absent\n    needs: command:flush\n";
    let project = Repository::role(role).load().unwrap();
    let request = Request { list: TaskList::Cleanup, ..Request::default() };
    insta::assert_snapshot!(outline(&plan(&project, "web1", &request).unwrap()));
}

#[test]
fn only_named_roles_are_cleaned_up_those_that_need_another_before_it() {
    let role =
        |needs: &str, file: &str| format!("{needs}cleanup:\n  - file: /srv/{file}\n    state: absent\n");
    let repository = Repository::new(&[
        ("inventory.yaml", support::INVENTORY),
        ("roles/web/role.yaml", &role("needs: [base]\n", "web")),
        ("roles/base/role.yaml", &role("", "base")),
    ]);
    let project = repository.load().unwrap();
    let outline = |roles: &[&str]| {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let request = Request { roles: Some(&roles), list: TaskList::Cleanup, ..Request::default() };
        let plan = plan(&project, "web1", &request).unwrap();
        let ids: Vec<String> = plan.tasks.iter().map(|task| task.id.clone()).collect();
        (ids, plan.graph.before())
    };
    assert_eq!(outline(&["web"]).0, ["file:/srv/web"]);
    let (ids, before) = outline(&["web", "base"]);
    assert_eq!(ids, ["file:/srv/base", "file:/srv/web"]);
    assert_eq!(before, [vec![1], Vec::new()]);
}

#[test]
fn a_guard_has_a_limit_and_something_to_take_back() {
    let role = "tasks:\n  - file: /etc/a\n    content: a\n    guard: connection\n  - file: /etc/b\n    content: b\n    guard: { connection: 90s }\n  - file: /etc/c\n    content: c\n";
    let plan = Repository::role(role).plan("web1").unwrap();
    assert_eq!(plan.tasks.iter().map(|task| task.guard).collect::<Vec<_>>(), [60, 90, 0]);
    let role = "tasks:\n  - command: nft -f /etc/nft\n    guard: connection\n";
    assert!(Repository::role(role).errors().contains("`guard` of `command:nft -f /etc/nft` means nothing"));
    let role = "tasks:\n  - file: /etc/a\n    content: a\n    guard: network\n  - file: /etc/b\n    content: b\n    guard: { connection: 2h }\n";
    let errors = Repository::role(role).errors();
    assert!(errors.contains("wants connection, not") && errors.contains("from 5s to 1h"), "{errors}");
}

#[test]
fn a_role_is_whole_where_nobody_else_could_have_given_it_more() {
    let repository = Repository::new(&[
        ("inventory.yaml", "hosts:\n  web1:\ngroups:\n  web: { hosts: [web1], roles: [a, base] }\n"),
        ("roles/base/role.yaml", "prune: true\ntasks:\n  - file: /etc/base\n    content: x\n    tags: t\n"),
        (
            "roles/site/role.yaml",
            "params: { name: { type: string } }\nprune: true\ntasks:\n  - file: \"/srv/{{ name }}\"\n    content: x\n",
        ),
        ("roles/a/role.yaml", "needs: [{ role: site, with: { name: a } }]\n"),
        ("roles/b/role.yaml", "needs: [{ role: site, with: { name: b } }]\n"),
    ]);
    let project = repository.load().unwrap();
    let whole = |roles: Option<&[String]>, tags: &[String]| {
        let plan = plan(&project, "web1", &Request { roles, tags, ..Request::default() }).unwrap();
        (plan.whole_roles.join(" "), plan.pruned_roles.join(" "))
    };
    // `b` may have been applied here, too, by name: then the site of `b` is no orphan.
    assert_eq!(whole(None, &[]), ("a base".into(), "base".into()));
    let both = ["a".to_owned(), "b".to_owned()];
    assert_eq!(whole(Some(&both), &[]), ("site a b".into(), "site".into()));
    assert_eq!(whole(None, &["t".to_owned()]), (String::new(), String::new()));
}

#[test]
fn other_hosts_are_seen_with_their_variables_and_facts() {
    let repository = Repository::new(&[
        (
            "inventory.yaml",
            "hosts:
  web1: { address: 10.0.0.1 }
  db1: { address: 10.0.0.2, vars: { url: \"pg://{{ host.address }}/{{ name }}\", name: x } }
groups:
  web: { hosts: [web1], roles: [web] }
  db: { hosts: [db1], roles: [] }
",
        ),
        (
            "roles/web/role.yaml",
            "tasks:
  - file: /etc/a
    content: \"{{ hosts.db1.vars.url }} {% for name in groups.db.hosts %}{{ hosts[name].facts.hostname }}{% endfor %} {{ host.groups | join(',') }}\"
",
        ),
        ("roles/plain/role.yaml", "tasks:\n  - file: /etc/a\n    content: \"{{ hosts.db1.address }}\"\n"),
    ]);
    let project = repository.load().unwrap();
    assert!(project.needs_other_facts(["web"]));
    assert!(!project.needs_other_facts(["plain"]));
    let book = FactsBook::new([("db1".to_owned(), Arc::new(facts("db1.internal")))]);
    let known = outline(&plan_with(&project, "web1", &book, &Request::default()).unwrap());
    let unknown = plan(&project, "web1", &Request::default()).unwrap_err();
    insta::assert_snapshot!(format!("{known}{unknown}"));
}

#[test]
fn files_are_hashed_and_trees_listed() {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        (
            "roles/web/role.yaml",
            "tasks:\n  - file: /etc/a\n    source: sub/one\n  - tree: /srv/b\n    source: sub\n  - file: /etc/c\n    template: outer.j2\n",
        ),
        ("roles/web/files/sub/one", "1\n"),
        ("roles/web/files/sub/deep/two", "2\n"),
        (
            "roles/web/templates/outer.j2",
            "{% from 'macros/m.j2' import twice %}{{ twice('x') }}\n{% include 'inner.j2' %}",
        ),
        ("roles/web/templates/inner.j2", "inner {{ node.hostname }}\n"),
        ("roles/web/templates/macros/m.j2", "{% macro twice(a) %}{{ a }}{{ a }}{% endmacro %}"),
    ]);
    let plan = repository.plan("web1").unwrap_or_else(|errors| panic!("{errors}"));
    let Value::Tree(entries) = &plan.tasks[1].params["source"] else { panic!("not a tree") };
    let paths: Vec<String> =
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(paths, ["deep", "deep/two", "one"]);
    let digest = cm_wire::Digest::of(b"2\n");
    assert!(matches!(&plan.contents[&digest], ContentSource::File(path) if path.ends_with("sub/deep/two")));
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn an_included_template_that_fails_is_shown_at_its_own_line() {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        (
            "roles/web/role.yaml",
            "params: { x: { type: string } }\ntasks:\n  - file: /etc/c\n    template: outer.j2\n",
        ),
        ("roles/web/templates/outer.j2", "a\n{% include 'inner.j2' %}"),
        ("roles/web/templates/inner.j2", "one\ntwo {{ x }}\n"),
    ]);
    insta::assert_snapshot!(repository.plan("web1").map(|_| ()).unwrap_err());
}
