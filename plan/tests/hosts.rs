//! What can only be told when a host's facts are known.

mod support;

use support::Repository;

macro_rules! told {
    ($role:expr) => {
        insta::assert_snapshot!(
            Repository::role($role).plan("web1").map(|plan| support::outline(&plan)).unwrap_err()
        )
    };
}

#[test]
fn two_tasks_that_contradict_each_other() {
    told!(
        "tasks:
  - file: /etc/a
    mode: \"0644\"
  - file: /etc/a
    mode: \"0600\"
  - file: /etc/b
  - directory: /etc/b
  - file: /etc/c
  - file: /etc/c
    state: absent
  - file: /etc/e
    state: absent
  - line: /etc/e
    text: x
  - user: deploy
    sensitive: true
    shell: /bin/sh
  - user: deploy
    shell: /bin/bash
"
    );
}

#[test]
fn templates_that_fail() {
    told!(
        "params: { port: { type: int, default: 80 }, name: { type: string }, list: { type: list, default: [1] } }
tasks:
  - file: /etc/a
    content: \"{{ port.x }}\"
  - file: /etc/b
    content: |
      first
      {{ name }}
  - file: /etc/c
    content: \"{{ list + 1 }}\"
  - file: /etc/d
    when: port
  - file: /etc/e
    mode: \"{{ 644 }}\"
  - service: nginx
    enabled: \"{{ name | default('yes') }}\"
  - file: /etc/f
    owner: \"{{ list }}\"
  - file: \"{{ 'relative' }}\"
  - file: \"/etc/{{ item }}\"
    each: port
  - file: /etc/h
    template: \"{{ name | default('no') }}.j2\"
"
    );
}

#[test]
fn two_tasks_that_contradict_each_other_only_on_a_host() {
    told!(
        "params: { mode: { type: string, default: \"0600\" }, user: { type: string, default: deploy } }
tasks:
  - file: /etc/a
    mode: \"0644\"
  - file: /etc/a
    mode: \"{{ mode }}\"
  - file: /etc/d
    content: x
  - file: /etc/d
    content: y
  - file: /etc/c
    owner: root
  - file: /etc/c
    when: node.cpus > 0
    owner: \"{{ user }}\"
"
    );
}

#[test]
fn a_circle_of_tasks() {
    told!(
        "tasks:
  - file: /etc/a
    needs: file:/etc/b
  - file: /etc/b
    needs: service:nginx
  - service: nginx
    needs: file:/etc/a
"
    );
}

#[test]
fn a_circle_of_variables() {
    told!(
        "params:
  a: { type: string, default: \"{{ b }}\" }
  b: { type: string, default: \"{{ c }}\" }
  c: { type: string, default: \"{{ a }}\" }
  n: { type: int, default: \"{{ 'x' }}\" }
tasks:
  - file: /etc/a
    content: \"{{ a }}\"
  - file: /etc/b
    content: \"{{ n }}\"
"
    );
}
