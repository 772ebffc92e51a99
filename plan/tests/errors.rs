//! What is wrong in a repository is told all at once, each with its place and the nearest name.

mod support;

use support::{INVENTORY, Repository};

macro_rules! told {
    ($role:expr) => {
        insta::assert_snapshot!(Repository::role($role).errors())
    };
}

#[test]
fn unknown_keys_modules_and_parameters() {
    told!(
        "params: { port: { type: int, default: 80, mni: 1 } }
task: []
tasks:
  - file: /etc/x
    notfy: nginx
    contnet: x
    wen: true
  - flie: /etc/y
  - name: install
    package: nginx
  - owner: root
    file: /etc/z
  - when: true
  - directory
  - 5
  - file: /etc/a
    notify: nginx
    zzz: 1
verify:
  - htpt: x
  - package: nginx
"
    );
}

#[test]
fn written_values_of_the_wrong_kind() {
    told!(
        "tasks:
  - file: /etc/a
    mode: 0644
  - file: /etc/b
    mode: 644
  - file: /etc/c
    mode: \"0999\"
  - file: etc/d
  - file: /etc/../e
  - file: /etc/f
    content: 12
  - file: /etc/g
    owner:
  - file: 5
  - service: nginx
    enabled: yes
    state: runing
  - package: []
  - file: /etc/h
    content: x
    source: y
  - file: /etc/i
    state: absent
    content: x
  - file: /etc/j
    sensitive: on
    timeout: soon
    retry: { times: -1, dleay: 4 }
    tags: [a b]
    become: yes
    when: 5
    each: 7
  - file: /etc/k
    when: yes
  - link: /etc/l
"
    );
}

#[test]
fn templates_in_values() {
    told!(
        "params: { port: { type: int, default: 80 }, domain: { type: string, default: a } }
tasks:
  - file: /etc/a
    content: \"{{ prot }} and {{ domain | uper }} {{ node.os.famly }}\"
  - file: /etc/b
    content: |
      one
      {{ port is evn }}
      {% if port > %}x{% endif %}
  - file: /etc/c
    content: \"{% for x in groups.wbe.hosts %}{{ x }}{{ y }}{% endfor %}\"
  - file: /etc/d
    content: \"{{ hosts.web2.address }} {{ hosts['web1'].adress }} {{ host.vars.rack }} {{ secrets.nothing }}\"
  - file: /etc/e
    content: \"{{ rnage(3) }} {{ item }}\"
  - file: /etc/f
    content: \"{{ port\"
  - file: /etc/g
    when: prot == 80
  - file: /etc/h
    when: \"{{ port == 80 }} and {{ true }}\"
  - file: \"/etc/{{ item.nmae }}\"
    each: [{ name: a }]
    content: \"{{ nothing | default('x') }}{{ other is defined }}\"
"
    );
}

#[test]
fn template_files_and_other_files() {
    let role = "tasks:
  - file: /etc/a
    template: site.conf.j2
  - file: /etc/b
    template: stie.conf.j2
  - file: /etc/c
    source: logo.pgn
  - file: /etc/d
    source: folder
  - tree: /srv/x
    source: logo.png
  - tree: /srv/y
    source: foldre
  - file: /etc/e
    source: ../../secret
";
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        ("roles/web/role.yaml", role),
        ("roles/web/templates/site.conf.j2", "listen {{ prot }};\n{% include 'hedaer.j2' %}\n{% if x %}\n"),
        ("roles/web/templates/ok.j2", "listen {{ prot }};\n{% include 'hedaer.j2' %}\n"),
        ("roles/web/templates/header.j2", "# {{ node.hostnam }}\n"),
        ("roles/web/files/logo.png", "x"),
        ("roles/web/files/folder/x", "x"),
    ]);
    insta::assert_snapshot!(repository.errors());
}

#[test]
fn names_of_other_tasks() {
    told!(
        "tasks:
  - service: nginx
    id: web
  - service: php-fpm
  - package: [nginx, curl]
  - file: /etc/a
    reloads: ngnix
    restarts: [service:php-fpm, php-fpm.service, package:nginx]
    needs: [packge:nginx, package:curl, web, curl]
  - file: /etc/b
    id: web
    reloads: apache
"
    );
}

#[test]
fn roles_that_are_not_there_or_go_in_a_circle() {
    let repository = Repository::new(&[
        ("inventory.yaml", "hosts:\n  web1:\ngroups:\n  web: { hosts: [web1], roles: [wbe, base] }\n"),
        ("roles/web/role.yaml", "needs: [a, bsae, { role: a, wiht: 1 }, 5]\n"),
        ("roles/a/role.yaml", "needs:\n  - { role: b, with: { prot: 1 } }\n"),
        ("roles/b/role.yaml", "params: { port: { type: int } }\nneeds: [a]\n"),
        ("roles/c/role.yaml", "needs: c\n"),
        ("roles/d/role.yaml", "tasks: [\n"),
    ]);
    insta::assert_snapshot!(repository.errors());
}

#[test]
fn parameters_and_their_values() {
    let repository = Repository::new(&[
        (
            "inventory.yaml",
            "hosts:
  web1: { vars: { tls: yes, level: hgih } }
  web2: { vars: { port: 99999, name: 5 } }
groups:
  web: { hosts: [web1, web2], roles: [web], vars: { port: \"80\", many: [a, 2] } }
",
        ),
        (
            "roles/web/role.yaml",
            "params:
  port: { type: int, default: 80, min: 1, max: 65535 }
  tls: { type: bool, default: false }
  domain: { type: string, required: true }
  level: { choices: [low, high], default: low }
  name: { type: string, pattern: \"[a-z]+\", default: a }
  many: { type: list, items: string, default: [] }
  bad: { type: itn }
  worse: { type: int, default: x }
  both: { type: int, required: true, default: 1 }
  host: { type: string }
  a-b: { type: string }
  expression: { type: string, pattern: \"(\" }
",
        ),
    ]);
    insta::assert_snapshot!(repository.errors());
}

#[test]
fn values_from_the_command_line() {
    let repository = Repository::role("params: { port: { type: int, default: 80 } }\n");
    let told = |set: &[&str]| support::load(repository.path(), set).unwrap_err();
    insta::assert_snapshot!(told(&["prot=80", "port=many", "port"]));
}

#[test]
fn variables_of_the_inventory_are_checked_too() {
    let repository = Repository::new(&[
        (
            "inventory.yaml",
            "hosts:\n  web1: { vars: { url: \"http://{{ domian }}/\", domain: \"{{ host.nmae }}\", bad: \"{{ x\" } }\n",
        ),
        ("roles/web/role.yaml", "tasks: []\n"),
    ]);
    insta::assert_snapshot!(repository.errors());
}

#[test]
fn secrets_in_clear_text() {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        ("roles/web/role.yaml", "tasks: []\n"),
        ("secrets.yaml", "recipients: [age1wrong]\ndb: hunter2\nother: 5\nbroken: \"age:%%%\"\n"),
    ]);
    insta::assert_snapshot!(repository.errors());
}

#[test]
fn what_is_certain_on_every_host_is_told_without_one() {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        (
            "roles/web/role.yaml",
            "needs: [base]
tasks:
  - file: /etc/a
    mode: \"0600\"
  - file: /etc/b
    when: node.cpus > 100
    mode: \"0600\"
  - file: /etc/c
    become: deploy
",
        ),
        (
            "roles/base/role.yaml",
            "tasks:\n  - file: /etc/a\n    mode: \"0644\"\n  - file: /etc/b\n    mode: \"0644\"\n",
        ),
        (
            "roles/unused/role.yaml",
            "params: { x: { type: string, default: y } }
tasks:
  - package: nginx
    needs: file:/etc/x
  - file: /etc/x
    content: \"{{ x }}\"
    needs: service:nginx
  - service: nginx
    needs: package:nginx
",
        ),
    ]);
    insta::assert_snapshot!(repository.errors());
}
