use cm_syntax::{Diagnostics, Sources, Style};

use crate::{Connection, HostKeys, Inventory, Settings};

fn read(text: &str) -> (Inventory, String) {
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let file = sources.add("hosts.ini", text.to_owned());
    let inventory = Inventory::from_files(&sources, &[file], &mut diagnostics);
    let told = diagnostics.render(&sources, Style::plain());
    (inventory, told)
}

fn settings(inventory: &Inventory, host: &str) -> Settings {
    inventory.settings(inventory.host_id(host).unwrap())
}

#[test]
fn connection_variables_become_settings() {
    let (inventory, told) = read(
        "[web]\nw1 ansible_host='{{ base }}.{{ nr }}' nr=7 ansible_become=yes ansible_become_user=root ansible_become_password='{{ pw }}'\n\
         w2:2022 ansible_user=own ansible_connection=local\nw3 ansible_ssh_host=10.0.0.9 ansible_port=\"{{ p }}\" p=2200\n\
         [web:vars]\nbase=10.0.0\npw={{ secrets.sudo }}\nansible_user={{ 'ad' ~ 'min' }}\nansible_ssh_private_key_file=~/.ssh/k\n\
         ansible_ssh_common_args=-J bob@bastion -o StrictHostKeyChecking=no -p 99\nansible_timeout=7\n",
    );
    assert_eq!(told, "");
    let (w1, w2, w3) = (settings(&inventory, "w1"), settings(&inventory, "w2"), settings(&inventory, "w3"));
    let address = |host: &str| inventory.host(inventory.host_id(host).unwrap()).address().to_owned();
    assert_eq!(
        (address("w1"), address("w2"), address("w3")),
        ("10.0.0.7".into(), "w2".into(), "10.0.0.9".into())
    );
    assert_eq!(w1.ssh.user.unwrap().value, "admin");
    assert_eq!(w2.ssh.user.unwrap().value, "own");
    // What says one thing is stronger than arguments.
    assert_eq!(
        (w1.ssh.port.unwrap().value, w2.ssh.port.unwrap().value, w3.ssh.port.unwrap().value),
        (99, 2022, 2200)
    );
    assert_eq!((w1.connection, w2.connection), (Connection::Ssh, Connection::Local));
    assert!(w1.become_root.unwrap().value);
    assert_eq!(w1.become_password.unwrap().value, "{{ secrets.sudo }}");
    assert_eq!(w1.ssh.keys[0].value, "~/.ssh/k");
    assert_eq!(w1.ssh.jump.unwrap()[0].value, "bob@bastion");
    assert_eq!(w1.ssh.host_keys.unwrap().value, HostKeys::AcceptNew);
    assert_eq!(w1.ssh.connect_timeout.unwrap().value.as_secs(), 7);
}

#[test]
fn what_cannot_be_done_is_told_once() {
    let (inventory, told) = read(
        "[web]\nw[1:3]\n[odd]\nwin ansible_connection=winrm\nuser ansible_become=true ansible_become_user=postgres\n\
         port ansible_port=many\nloop a=\"{{ b }}\" b=\"{{ a }}\" ansible_host=\"{{ a }}\"\nfacts ansible_host=\"{{ ansible_default_ipv4.address }}\"\nodd ansible_become=maybe\n\
         [web:vars]\nansible_ssh_pass=x\nansible_ssh_common_args=-o Ciphers=aes -D 1080\nansible_become=1\nansible_become_method=doas\nansible_become_pass=clear\nnode=x\n",
    );
    assert!(inventory.host_id("win").is_none());
    assert_eq!(settings(&inventory, "w1").become_password.unwrap().value, "clear");
    insta::assert_snapshot!(told);
}

#[test]
fn sections_that_cannot_be_are_told_with_their_places() {
    let (_, told) = read(
        "[web:childs]\nx\n[a b]\n[web]\nh1 loose\nh2 'open\nh[1\n[outer:children]\nwep\na:b\n[none:vars]\nx=1\nno value\n[web:children]\nouter\n[outer:children]\nweb\nouter\n[web:vars]\nansible_group_priority=high\n",
    );
    insta::assert_snapshot!(told);
}

#[test]
fn hosts_of_ansible_take_what_our_own_groups_say() {
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let theirs =
        sources.add("hosts.ini", "[web]\nw1 v=host\n[web:vars]\nx=theirs\ny=theirs\nv=theirs\n".to_owned());
    let ours = "groups:\n  web: { vars: { x: ours, v: ours }, ssh: { user: anna } }\n  more: { groups: [web], roles: [base] }\ndefaults: { become: true }\n";
    let ours = sources.add("ours.yaml", ours.to_owned());
    let inventory = Inventory::from_files(&sources, &[theirs, ours], &mut diagnostics);
    assert_eq!(diagnostics.render(&sources, Style::plain()), "");
    let host = inventory.host_id("w1").unwrap();
    let variables = inventory.variables(host);
    let value = |name: &str| variables[name].value.as_text().unwrap().to_owned();
    assert_eq!((value("x"), value("y"), value("v")), ("ours".into(), "theirs".into(), "host".into()));
    assert_eq!(inventory.roles_of(host).len(), 1);
    let settings = inventory.settings(host);
    assert_eq!(
        (settings.ssh.user.unwrap().value.as_str(), settings.become_root.unwrap().value),
        ("anna", true)
    );
}
