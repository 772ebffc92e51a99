//! Damaged files of OpenSSH: known_hosts, ssh_config, and the lists of jump hosts in it.

use std::path::Path;

use cm_fuzz::{Target, answer, fuzz};

use crate::{
    jump_list::parse_jumps,
    known_hosts::KnownHostsFile,
    ssh_config::{Config, ConfigPaths, evaluate},
};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

#[test]
fn known_hosts() {
    const WORDS: &[&str] = &[
        "|1|",
        "|",
        "=",
        "@revoked ",
        "@cert-authority ",
        "*",
        "?",
        "!",
        "[web1]:22",
        ",",
        " ",
        "\t",
        "\n",
        "#",
        "ssh-rsa ",
        "AAAA",
        "web1",
        "\r\n",
        "ssh-ed25519 ",
    ];
    let target = Target::new("known-hosts", WORDS)
        .seed(format!("web1,10.0.0.* {KEY} me\n@revoked * {KEY}\n[web1]:2222 {KEY}\n!web2,web* {KEY}\n"))
        .seed(format!("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM= {KEY}\n"));
    fuzz(target, |input| {
        let file = KnownHostsFile::parse(Path::new("known_hosts"), &String::from_utf8_lossy(input));
        let found: Vec<_> =
            ["web1", "[web1]:2222", "10.0.0.1", ""].iter().flat_map(|name| file.entries(name)).collect();
        answer(&found.iter().map(|entry| format!("{:?} ", entry.marker)).collect::<String>())
    });
}

#[test]
fn ssh_config() {
    const WORDS: &[&str] = &[
        "Host ",
        "Match all\n",
        "Match exec x\n",
        "Include config",
        "Include *",
        "Include ~/x",
        "ProxyJump a,b@c:1",
        "\"",
        "'",
        "=",
        "\n",
        "  ",
        "#",
        "%h",
        "%%",
        "${HOME}",
        "*",
        "!",
        "Port 99999999999",
        "User ",
        "HostName ",
        "ServerAliveInterval 1w",
        "ConnectTimeout ",
        "IdentityFile ",
        "\\",
        "\t",
        "\r\n",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let target = Target::new("ssh-config", WORDS).seed(
        "Host web*\n  HostName %h.example.org\n  Port 2222\nHost * !web9\n  ProxyJump me@jump:22,[::1]:23\n  \
         IdentityFile \"~/.ssh/a b\"\nMatch all\n  ServerAliveInterval 10\nInclude other*\n",
    );
    fuzz(target, move |input| {
        std::fs::write(&path, input).unwrap();
        let paths = ConfigPaths { files: vec![path.clone()], home: folder.path().to_owned() };
        let settings = evaluate(&Config::read(&paths), "web1");
        let jumps = settings.proxy_jump.as_deref().map(parse_jumps);
        answer(&format!("{jumps:?} {:?} {:?}", settings.host_name.is_some(), settings.port.is_some()))
    });
}
