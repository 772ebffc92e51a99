//! Damaged inventories and targets: an inventory or errors that can be shown.

use cm_fuzz::{Target, answer, fuzz};
use cm_inventory::Inventory;
use cm_syntax::{Diagnostics, Sources, Style};

const WORDS: &[&str] = &[
    "hosts:\n",
    "groups:\n",
    "defaults:\n",
    "vars:\n",
    "roles:\n",
    "ssh:\n",
    "become: true\n",
    "address: ",
    "order:\n",
    "  ",
    "    ",
    "\n",
    ": ",
    "{ ",
    " }",
    "[",
    "]",
    "web[1:9]",
    "web[01:999999999]",
    "[a:z]",
    "children: ",
    "hosts: [all]",
    "web1",
    "all",
    "after: ",
    "port: 22",
    "{{ x }}",
    "- ",
    "\"",
    "timeout: 10s",
    "99999999999999999999",
];

const EXAMPLE: &str = "hosts:\n  web[1:3]: { address: \"10.0.0.{{ index }}\" }\n  db1:\n    address: 10.0.1.1\n    vars: { a: 1 }\n\
                       groups:\n  web: { hosts: [web1, web2], vars: { x: [1, 2] }, roles: [nginx] }\n  all_of:\n    groups: [web]\n\
                       defaults:\n  ssh: { user: admin, port: 22, config: none }\n  become: true\n";

#[test]
fn inventories() {
    let target = Target { cost: 64 * 1024, ..Target::new("inventory", WORDS) }.seed(EXAMPLE);
    fuzz(target, |input| {
        let sources = Sources::new();
        let file = sources.add("inventory.yaml", String::from_utf8_lossy(input).into_owned());
        let mut diagnostics = Diagnostics::new();
        let _ = Inventory::from_files(&sources, &[file], &mut diagnostics);
        answer(&diagnostics.render(&sources, Style::plain()))
    });
}

const WORDS_OF_ANSIBLE: &[&str] = &[
    "[web]\n",
    "[web:children]\n",
    "[web:vars]\n",
    "[",
    "]",
    ":",
    "web[1:9:2]",
    "web[a:f]",
    "[2001:db8::1]:22",
    "=",
    "='",
    "\"",
    "# ",
    ";",
    "\\",
    "{'a': (1, 2)}",
    "[1, [",
    "0x1F",
    "1e9",
    "'\\x41'",
    "ansible_host=",
    "ansible_ssh_common_args='-o ProxyJump=",
    "-o ",
    "{{ a }}",
    "{{ inventory_hostname }}",
    "ansible_group_priority=9",
    "ansible_become=yes ",
    "\n",
    " ",
];

/// INI has an ending of its own; what has none is told apart by what it holds.
fn read_as(name: &str, input: &[u8]) -> u64 {
    let sources = Sources::new();
    let file = sources.add(name, String::from_utf8_lossy(input).into_owned());
    let mut diagnostics = Diagnostics::new();
    let inventory = Inventory::from_files(&sources, &[file], &mut diagnostics);
    let list = inventory.ansible_list().to_string();
    answer(&format!("{}{}", list.len(), diagnostics.render(&sources, Style::plain())))
}

#[test]
fn ini_of_ansible() {
    let seed = "h ansible_host=10.0.0.1 a=\"{'x': [1, 2]}\"\n[web]\nw[01:03]:22 b='c d' # e\n[all:vars]\nx = 5 # y\n\
                [outer:children]\nweb\n[web:vars]\nansible_user={{ u }}\nu=bob\n";
    let target = Target { cost: 64 * 1024, ..Target::new("ansible-ini", WORDS_OF_ANSIBLE) }.seed(seed);
    fuzz(target, |input| read_as("hosts.ini", input));
}

const WORDS_OF_ANSIBLE_YAML: &[&str] = &[
    "all:\n",
    "  children:\n",
    "  hosts:\n",
    "  vars:\n",
    "    web:\n",
    "      hosts: { a: , \"b[1:3]\": { x: 1 } }\n",
    "\"w[1:99999999]\": ",
    "&a ",
    "*a",
    "<<: ",
    "!vault |\n",
    "!unsafe ",
    "0644",
    "1:30",
    "yes",
    ": ",
    "{ ",
    " }",
    "ansible_group_priority: 5",
    "plugin: x",
    "{{ x }}",
    "- ",
    "\n",
];

#[test]
fn yaml_of_ansible() {
    let seed = "all:\n  vars: { a: 0644, b: yes }\n  children:\n    web:\n      hosts:\n        \"w[1:3]:22\": { x: !unsafe \"{{ y }}\" }\n      vars: { ansible_host: \"{{ inventory_hostname }}.lan\" }\n";
    let target = Target { cost: 64 * 1024, ..Target::new("ansible-yaml", WORDS_OF_ANSIBLE_YAML) }.seed(seed);
    fuzz(target, |input| read_as("hosts.yml", input));
}

const WORDS_OF_LISTS: &[&str] = &[
    "\"_meta\": {\"hostvars\": {",
    "\"hosts\": [",
    "\"children\": [",
    "\"vars\": {",
    "\"all\": {",
    "\"web\"",
    "\"ansible_host\": \"{{ a }}\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1e999",
    "\"\\ud800\"",
];

#[test]
fn lists_of_programs() {
    let seed = r#"{"web": {"hosts": ["a", "b"], "vars": {"x": [1, null]}, "children": ["in"]}, "in": ["c"], "_meta": {"hostvars": {"a": {"ansible_port": "22"}}}}"#;
    let target = Target { cost: 64 * 1024, ..Target::new("ansible-list", WORDS_OF_LISTS) }.seed(seed);
    fuzz(target, |input| read_as("hosts.json", input));
}
