//! user, group and authorized_key.

use cm_tests::{Hosts, Repository, hosts};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3p3mJtX0GIVcaSVC1f2yqm0gGXxU2HkUXZkHgqTg5r anna@desk";

#[test]
fn accounts_before_the_files_they_own() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let role = format!(
        r#"
tasks:
  - file: /srv/accounts/app/config
    content: x
    owner: app
    group: operators
    mode: "0640"
  - directory: /srv/accounts/app
    owner: app
  - authorized_key: app
    key: "{KEY}"
  - user: app
    uid: 4711
    group: operators
    groups: [adm]
    home: /srv/home-of-app
    shell: /bin/sh
    comment: the application
  - user: daemonic
    system: true
  - group: operators
    gid: 4700
"#
    );
    repository.role("accounts", &role);
    repository.converges("accounts on releases");
    for host in Hosts::RELEASES {
        let end = hosts.sh(
            host,
            "getent passwd app; getent group operators; id -nG app; stat -c '%U %G %a' /srv/accounts/app /srv/accounts/app/config; \
             cat /srv/home-of-app/.ssh/authorized_keys; stat -c '%U %a' /srv/home-of-app/.ssh /srv/home-of-app/.ssh/authorized_keys; \
             test $(id -u daemonic) -lt 1000 && getent shadow app | cut -d: -f2 | cut -c1",
        );
        let wanted = format!(
            "app:x:4711:4700:the application:/srv/home-of-app:/bin/sh\noperators:x:4700:\noperators adm\napp root 755\napp operators 640\n\
             {KEY}\napp 700\napp 600\n!\n"
        );
        assert_eq!(end, wanted, "on {host}");
        hosts.sh(host, "usermod -s /bin/bash -G '' app; rm /srv/home-of-app/.ssh/authorized_keys; groupmod -g 4701 operators");
    }
    let found = repository.mends("accounts on releases");
    assert!(found.iter().any(|change| change.task == "authorized_key:app"), "{found:#?}");
    repository.role(
        "leave",
        "tasks:\n  - user: [app, daemonic]\n    state: absent\n  - group: operators\n    state: absent\n",
    );
    repository.converges("leave on releases");
    for host in Hosts::RELEASES {
        assert!(!hosts.holds(host, "getent passwd app daemonic || getent group operators"), "on {host}");
    }
}
