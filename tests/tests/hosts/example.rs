//! The contract's own role, word for word, with the real nginx of Debian.

use cm_tests::{Hosts, Repository, hosts};

const ROLE: &str = r#"description: nginx serving one site
params:
  port:   { type: int, default: 80, min: 1, max: 65535 }
  domain: { type: string, required: true, description: public name of the site }
  tls:    { type: bool, default: false }
needs: [base]

tasks:
  - package: [nginx, curl]
  - user: deploy
    system: true
  - directory: /srv/www
    owner: deploy
  - file: /srv/www/index.html
    content: "hello from {{ node.hostname }}\n"
  - file: /etc/nginx/sites-enabled/site.conf
    template: site.conf.j2
    mode: "0644"
    reloads: nginx
  - service: nginx
    state: running
    enabled: true

verify:
  - http: "http://127.0.0.1:{{ port }}/"
    status: 200
    contains: hello
cleanup: []            # extra tasks on decommission, before what cm put there is taken back
"#;

#[test]
fn the_role_of_the_contract_serves_its_site() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  web: { hosts: [d11, d12, d13], roles: [base, web], vars: { port: 8080, domain: example.org } }\n",
    );
    repository.role("web", ROLE);
    repository.role("base", "tasks:\n  - file: /etc/motd\n    content: \"managed by cm\\n\"\n");
    repository.write(
        "roles/web/templates/site.conf.j2",
        "server {\n    listen {{ port }};\n    server_name {{ domain }};\n    root /srv/www;\n}\n",
    );
    repository.converges("on web");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "curl -s http://127.0.0.1:8080/"), format!("hello from {host}\n"));
        assert_eq!(hosts.sh(host, "cat /etc/motd; stat -c %U /srv/www"), "managed by cm\ndeploy\n");
        hosts.sh(host, "systemctl stop nginx");
    }
    // A stopped service, and the check that sees it from outside.
    let found = repository.cm("verify on web --json").exits(2);
    assert!(
        found.tasks().iter().any(|task| task["check"] == true && task["outcome"] != "ok"),
        "{}",
        found.stdout
    );
    repository.converges("on web");
    repository.converges("on web --set port=8081");
    assert_eq!(hosts.sh("d13", "curl -s http://127.0.0.1:8081/"), "hello from d13\n");
    for host in Hosts::RELEASES {
        hosts.sh(
            host,
            "systemctl stop nginx; systemctl -q disable nginx; rm /etc/nginx/sites-enabled/site.conf",
        );
    }
}
