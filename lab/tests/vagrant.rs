//! The virtual lab of `vagrant/`: its Vagrantfile is valid, its inventory is the lab's, and its users are
//! made by a script that works on a real host (proven with the lab's hosts in `real_hosts.rs`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("vagrant")
}

/// Says that a test is skipped for want of a tool, past the harness's capture; in CI that is a failure.
fn has(tool: &str, package: &str) -> bool {
    if Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI needs `{tool}`: apt-get install {package}"
    );
    let _ = writeln!(
        std::io::stderr(),
        "skipped: vagrant: `{tool}` is not installed (apt-get install {package})"
    );
    false
}

fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_vagrantfile_is_valid() {
    if !has("vagrant", "vagrant vagrant-libvirt") {
        return;
    }
    // Vagrant keeps notes beside the file and in the home folder; neither is the user's here.
    let scratch = tempfile::tempdir().unwrap();
    let validate = |hosts: &str| {
        Command::new("vagrant")
            .args(["validate", "--ignore-provider"])
            .current_dir(folder())
            .env("VAGRANT_HOME", scratch.path().join("home"))
            .env("VAGRANT_DOTFILE_PATH", scratch.path().join("notes"))
            .env("VAGRANT_CHECKPOINT_DISABLE", "1")
            .env("CM_HOSTS", hosts)
            .output()
            .unwrap()
    };
    assert_success(&validate("3"));
    assert!(!validate("none").status.success(), "a wrong number of hosts must be refused");
}

#[test]
fn its_inventory_is_the_labs() {
    if !has("ruby", "ruby") {
        return;
    }
    let script = "print LabFiles.new(count: 3, subnet: '10.213.7', folder: '/tmp/a \"b\"').inventory";
    let output =
        Command::new("ruby").args(["-r./lab_files", "-e", script]).current_dir(folder()).output().unwrap();
    assert_success(&output);
    let mut inventory: serde_yaml::Value = serde_yaml::from_slice(&output.stdout).unwrap();
    // As `cm lab up` writes it for three hosts in the same subnet and folder.
    let wanted: serde_yaml::Value = serde_yaml::from_str(
        "hosts:\n  web1: { address: 10.213.7.11 }\n  web2: { address: 10.213.7.12 }\n  db1: { address: 10.213.7.13 }\n\
         groups:\n  db: { hosts: [db1] }\n  web: { hosts: [web1, web2] }\n\
         defaults:\n  ssh:\n    user: admin\n    key: '/tmp/a \"b\"/lab_key'\n    known_hosts: '/tmp/a \"b\"/known_hosts'\n  become: true\n",
    )
    .unwrap();
    assert_eq!(inventory.as_mapping_mut().unwrap(), wanted.as_mapping().unwrap());
}

#[test]
fn a_host_is_settled_through_its_connection() {
    if !has("ruby", "ruby") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    // A connection that notes what it is asked for and answers with two keys.
    let script = r#"
        class Connection
          def upload(from, to); puts "upload #{File.basename(from)} #{to} #{File.exist?(from)}"; end
          def sudo(line)
            puts "sudo #{line}"
            yield :stdout, "ssh-ed25519 AAAA root@web1\necdsa BBBB x\n" if block_given?
          end
        end
        lab = LabFiles.new(count: 2, subnet: "10.9.9", folder: ARGV[0])
        lab.settle("web1", Connection.new)
        puts File.read(File.join(ARGV[0], "known_hosts"))
        lab.remove("web1")
        puts File.read(File.join(ARGV[0], "known_hosts"))
        printf("%o\n", File.stat(File.join(ARGV[0], "lab_key")).mode & 0777)
    "#;
    let output = Command::new("ruby")
        .args(["-r./lab_files", "-e", script])
        .arg(scratch.path().join("lab"))
        .current_dir(folder())
        .output()
        .unwrap();
    assert_success(&output);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "upload lab_key.pub /tmp/lab_key.pub true\n\
         upload users.sh /tmp/cm-users.sh true\n\
         sudo sh /tmp/cm-users.sh web1 10.9.9.11 db1 10.9.9.12 && rm -f /tmp/cm-users.sh\n\
         sudo cat /etc/ssh/ssh_host_*_key.pub\n\
         # Written by `vagrant up`; do not edit.\n\
         web1,10.9.9.11 ssh-ed25519 AAAA\n\
         web1,10.9.9.11 ecdsa BBBB\n\
         # Written by `vagrant up`; do not edit.\n\
         600\n"
    );
}
