//! Hosts from an inventory of Ansible, and groups that take hosts by rule.

use cm_tests::{Repository, hosts};

const ROLE: &str = "params:\n  word: { type: string, required: true }\n  path: { type: string, default: /srv/from-inventory }\n\
                    tasks:\n  - file: \"{{ path }}\"\n    content: \"{{ word }} {{ rack | default('none') }}\\n\"\n";

#[test]
fn a_role_goes_through_an_inventory_of_ansible() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    let (key, known) = (hosts.lab.key_path(), hosts.lab.known_hosts_path());
    repository.role("word", ROLE).write(
        "production/hosts.ini",
        format!(
            "[web]\nd12 ansible_host={} rack='a b'\nd13 address_of_mine={} ansible_host=\"{{{{ address_of_mine }}}}\"\n\
             [all:vars]\nansible_user=admin\nansible_become=yes\nansible_ssh_private_key_file={}\n\
             ansible_ssh_common_args='-F none -o UserKnownHostsFile={} -o ControlMaster=auto'\nword=weak\n",
            hosts.address("d12"),
            hosts.address("d13"),
            key.display(),
            known.display()
        ),
    );
    repository.write("production/group_vars/web.yml", "word: \"{{ inventory_hostname }} by ansible\"\n");
    // What a group is for is said in our own words; its hosts are Ansible's.
    repository.write("ours.yaml", "groups:\n  web: { roles: [word] }\n");
    repository.write("cm.toml", "inventory = [\"production/hosts.ini\", \"ours.yaml\"]\n");
    hosts.sh("d12", "rm -f /srv/from-inventory");
    hosts.sh("d13", "rm -f /srv/from-inventory");
    repository.converges("on web");
    assert_eq!(hosts.sh("d12", "cat /srv/from-inventory"), "d12 by ansible a b\n");
    assert_eq!(hosts.sh("d13", "cat /srv/from-inventory"), "d13 by ansible none\n");
    let _ = repository.cm("vars d12").exits(0).says(&["production/group_vars/web.yml:1", "hosts.ini"]);
    // The inventory of the command line counts alone.
    let _ = repository.cm("-i production/hosts.ini plan on web").exits(1).says(&["no role belongs"]);
    let _ = repository.cm("-i production/hosts.ini plan word on d12").exits(0);
}

#[test]
fn groups_take_hosts_by_their_facts() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  candidates: { hosts: [d11, d12, d13] }\n  \
           twelve:\n    where: \"'candidates' in host.groups and node.os.version == '12'\"\n    roles: [word]\n    vars: { word: twelve }\n  \
           others: { where: \"'candidates' in host.groups and 'twelve' not in host.groups\", roles: [word], vars: { word: \"{{ groups.twelve.hosts | join(',') }}\" } }\n",
    );
    repository.role("word", ROLE.replace("from-inventory", "from-rule").as_str());
    for host in ["d11", "d12", "d13", "e12"] {
        hosts.sh(host, "rm -f /srv/from-rule");
    }
    // Nothing is known before anybody is asked.
    let _ = repository.cm("inventory").exits(0).says(&["`d12` belongs to `twelve`"]);
    repository.converges("on twelve");
    assert_eq!(hosts.sh("d12", "cat /srv/from-rule"), "twelve none\n");
    assert!(["d11", "d13", "e12"].iter().all(|host| !hosts.holds(host, "test -e /srv/from-rule")));
    // What was told is remembered: now it is known without asking.
    let _ = repository.cm("inventory others").exits(0).says(&["d11", "d13"]);
    repository.converges("on others");
    assert_eq!(hosts.sh("d13", "cat /srv/from-rule"), "d12 none\n");
    // A host that says nothing and never did is left out, and that counts.
    let more = "hosts:\n  silent: { address: 127.0.0.1, ssh: { port: 1, attempts: 1 } }\ngroups:\n  candidates: { hosts: [silent] }\n";
    let first = std::fs::read_to_string(repository.folder().join("inventory.yaml")).unwrap();
    std::fs::remove_file(repository.folder().join("inventory.yaml")).unwrap();
    repository.write("inventory/lab.yaml", first).write("inventory/more.yaml", more);
    let ran = repository.cm("apply on twelve").exits(4);
    assert!(ran.said().contains("`silent` could not be reached"), "{}", ran.said());
    assert!(ran.said().contains("left out of `twelve`"), "{}", ran.said());
}
