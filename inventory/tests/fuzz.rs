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
