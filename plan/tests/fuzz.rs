//! Damaged roles: a plan or errors that can be shown, templates in them included, in bounded time and memory.

mod support;

use std::fs;

use cm_fuzz::{Target, answer, fuzz};
use support::{INVENTORY, Repository, plan};

const WORDS: &[&str] = &[
    "tasks:\n",
    "  - file: /a\n",
    "    content: ",
    "{{ ",
    " }}",
    "{% for x in [1,2] %}",
    "{% endfor %}",
    "{% if ",
    "{%",
    "each: ",
    "item",
    "when: ",
    "needs: ",
    "params:\n",
    "verify:\n",
    "    ",
    "\n",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    "needs: file:/a",
    " | default(1)",
    " | join(',')",
    " ~ ",
    " * 999999999",
    "range(99999999)",
    "'x' * 99999999",
    "node.hostname",
    "secrets.x",
    "\"0644\"",
    "service: nginx\n",
    "package: x\n",
    "command: y\n",
    "*a",
    "&a ",
    "<<: ",
    "..",
    "notify: ",
];

const EXAMPLE: &str = "params:\n  port: { type: int, default: 80 }\n  names: { type: list, default: [a, b] }\ntasks:\n  - package: nginx\n  \
                       - file: \"/etc/{{ item }}\"\n    each: \"{{ names }}\"\n    content: |\n      {% for n in names %}{{ n }} {% endfor %}\n      \
                       {{ port + 1 }}\n    mode: \"0644\"\n  - service: nginx\n    when: node.os.name == 'debian'\n    needs: package:nginx\n\
                       verify:\n  - port: \"{{ port }}\"\n";

#[test]
fn roles() {
    let repository = Repository::new(&[("inventory.yaml", INVENTORY), ("roles/web/role.yaml", EXAMPLE)]);
    let target = Target { largest: 2048, cost: 256 * 1024, ..Target::new("role", WORDS) }.seed(EXAMPLE);
    fuzz(target, move |input| {
        let text = String::from_utf8_lossy(input);
        fs::write(repository.path().join("roles/web/role.yaml"), text.as_bytes()).unwrap();
        let told = repository.load().map(|project| plan(&project, "web1", &cm_plan::Request::default()));
        match told {
            Ok(Ok(plan)) => answer(&format!("{} tasks", "x".repeat(plan.tasks.len().min(20)))),
            Ok(Err(errors)) | Err(errors) => {
                assert!(!errors.is_empty(), "errors that say nothing");
                answer(&errors)
            }
        }
    });
}
