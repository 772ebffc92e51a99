//! Secrets are decrypted when a template asks for them, and everything that holds one is known.

mod support;

use std::fs;

use age::secrecy::ExposeSecret as _;
use cm_plan::{FactsBook, Request, ShownValue, encrypt, set_secret};
use cm_wire::Secret;
use support::{Repository, load, outline, plan};

const ROLE: &str = "params:
  token: { type: string, default: given, sensitive: true }
tasks:
  - file: /etc/plain
    content: \"password={{ secrets.db }}\\n\"
  - file: /etc/through
    content: \"{{ url }}\"
  - file: /etc/changed
    content: \"{{ secrets.db | b64encode }}\"
  - file: /etc/indirect
    content: \"{{ hashed }} {{ password | upper }}\"
  - file: /etc/template
    template: t.j2
  - file: /etc/kept
    content: \"{{ token }} {{ secrets.unused | default('x') if false else 'y' }}\"
";

fn repository() -> (Repository, String) {
    let key = age::x25519::Identity::generate();
    let inventory = "hosts:
  web1:
groups:
  web:
    hosts: [web1]
    roles: [web]
    vars: { url: \"pg://u:{{ secrets.db }}@h\", password: \"{{ secrets.db }}\", hashed: \"{{ secrets.db | sha256 }}\" }
";
    let repository = Repository::new(&[
        ("inventory.yaml", inventory),
        ("roles/web/role.yaml", ROLE),
        ("roles/web/templates/t.j2", "{% include 'inner.j2' %}"),
        ("roles/web/templates/inner.j2", "{{ secrets.db | quote }}"),
        ("cm.toml", "[secrets]\nidentity = \"KEY\"\n"),
    ]);
    let recipient = key.to_public().to_string();
    for (name, value) in [("db", "hunter2!"), ("unused", "never")] {
        let encrypted = encrypt(&Secret::new(value.into()), [recipient.as_str()]).unwrap();
        set_secret(repository.path(), name, &encrypted).unwrap();
    }
    (repository, key.to_string().expose_secret().to_owned())
}

#[test]
fn what_is_used_is_told_and_what_changed_is_hidden_whole() {
    let (repository, key) = repository();
    let path = repository.path().join("key.txt");
    fs::write(&path, key).unwrap();
    fs::write(repository.path().join("cm.toml"), format!("[secrets]\nidentity = {path:?}\n")).unwrap();
    let project = load(repository.path(), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let plan = plan(&project, "web1", &Request::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut secrets: Vec<&str> = plan.secrets.iter().map(Secret::expose).collect();
    secrets.sort_unstable();
    // The secret itself, the sensitive parameter, and the variable that holds the secret's hash.
    assert_eq!(secrets.len(), 3);
    assert_eq!(secrets.iter().filter(|secret| secret.len() == 64).count(), 1);
    assert!(secrets.contains(&"hunter2!") && secrets.contains(&"given"));
    let sensitive: Vec<&str> =
        plan.tasks.iter().filter(|task| task.sensitive).map(|task| task.id.as_str()).collect();
    assert_eq!(sensitive, ["file:/etc/changed", "file:/etc/indirect", "file:/etc/template"]);
    assert!(outline(&plan).contains("<password=hunter2!\\n>"));

    let host = project.inventory().host_id("web1").unwrap();
    let variables = project.variables(host, None, &FactsBook::default(), None).unwrap();
    let shown: Vec<(&str, &ShownValue)> =
        variables.iter().map(|variable| (variable.name.as_str(), &variable.value)).collect();
    let text = |text: &str| ShownValue::Value(cm_wire::Value::from(text));
    assert_eq!(
        shown,
        [
            ("token", &ShownValue::Secret),
            ("hashed", &text("[secret]")),
            ("password", &text("[secret]")),
            ("url", &text("pg://u:[secret]@h")),
        ]
    );
}

#[test]
fn without_a_key_the_secret_is_named() {
    let (repository, _) = repository();
    let missing = repository.path().join("nowhere.txt");
    fs::write(repository.path().join("cm.toml"), format!("[secrets]\nidentity = {missing:?}\n")).unwrap();
    // Reading and checking needs no key.
    let project = load(repository.path(), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let errors = plan(&project, "web1", &Request::default()).unwrap_err();
    assert!(errors.contains("cannot use the key `"), "{errors}");
    assert!(errors.contains("no such file or directory"), "{errors}");
}
