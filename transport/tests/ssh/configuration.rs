//! ssh_config, as OpenSSH understands it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use cm_transport::{AgentUse, ConfigSource, HostKeyPolicy, ResolveError, Resolver, ResolverOptions, Wanted};
use tempfile::{TempDir, tempdir};

fn home(config: &str) -> TempDir {
    let home = tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(home.path().join(".ssh/config"), config).unwrap();
    home
}

fn resolver(home: &Path, without_openssh: bool) -> Resolver {
    Resolver::new(ResolverOptions {
        config: ConfigSource::File(home.join(".ssh/config")),
        home: Some(home.to_owned()),
        without_openssh,
        hosts: HashMap::new(),
    })
}

const CONFIG: &str = r#"
# comments and blanks
Host web* !web9
    User deploy
    Port 2222
    IdentityFile ~/.ssh/web_key
    IdentityFile "~/my keys/%r-on-%n"
    CertificateFile ~/.ssh/web-cert.pub
    IdentitiesOnly yes
    ServerAliveInterval 7
    ServerAliveCountMax 9
Host web1
    HostName 10.0.0.1
    User ignored-because-second
Host *.lan 10.1.*
    User = lan
    ProxyJump gate
    HostKeyAlias lan-cluster
    IdentityAgent /run/agent.sock
Host gate
    HostName gate.example.org
    Port 2200
    ProxyJump outer@outer-gate:23
Host strict
    StrictHostKeyChecking accept-new
    UserKnownHostsFile ~/.ssh/one ~/.ssh/two
    GlobalKnownHostsFile none
    ConnectTimeout 4
    ConnectionAttempts 5
    HashKnownHosts yes
    IdentityAgent none
Host token
    HostName %h.example.org
Host loop-a
    ProxyJump loop-b
Host loop-b
    ProxyJump loop-a
Host by-command
    ProxyCommand nc -x proxy:1080 %h %p
Host all-behind-*
    ProxyJump all-behind-gate
"#;

#[tokio::test]
async fn openssh_and_our_own_reader_agree() {
    let home = home(CONFIG);
    let (theirs, ours) = (resolver(home.path(), false), resolver(home.path(), true));
    for name in [
        "web1",
        "web2",
        "web9",
        "db.lan",
        "gate",
        "strict",
        "token",
        "unmentioned",
        "by-command",
        "10.1.2.3",
        "all-behind-gate",
        "all-behind-x",
    ] {
        let wanted = Wanted::new(name);
        assert_eq!(theirs.resolve(&wanted).await.unwrap(), ours.resolve(&wanted).await.unwrap(), "{name}");
    }
}

#[tokio::test]
async fn settings_are_taken_from_the_blocks_that_match() {
    let home = home(CONFIG);
    let resolver = resolver(home.path(), false);
    let ssh = home.path().join(".ssh");
    let web1 = resolver.resolve(&Wanted::new("web1")).await.unwrap();
    assert_eq!((web1.address.as_str(), web1.port, web1.user.as_str()), ("10.0.0.1", 2222, "deploy"));
    assert_eq!(web1.identities, [ssh.join("web_key"), home.path().join("my keys/deploy-on-web1")]);
    assert_eq!(web1.certificates, [ssh.join("web-cert.pub")]);
    assert!(web1.identities_only && web1.default_identities.is_empty());
    assert_eq!((web1.keepalive, web1.keepalive_max), (Duration::from_secs(7), 9));
    assert_eq!(web1.agent, AgentUse::Environment);

    let web2 = resolver.resolve(&Wanted::new("web2")).await.unwrap();
    assert_eq!((web2.address.as_str(), web2.user.as_str()), ("web2", "deploy"));
    assert_eq!(web2.identities[1], home.path().join("my keys/deploy-on-web2"));

    let web9 = resolver.resolve(&Wanted::new("web9")).await.unwrap();
    assert_eq!(web9.port, 22);
    assert_eq!(web9.default_identities, [ssh.join("id_ed25519"), ssh.join("id_ecdsa"), ssh.join("id_rsa")]);
    assert_eq!(web9.known_hosts[0], ssh.join("known_hosts"));
    assert_eq!((web9.connect_timeout, web9.attempts), (Duration::from_secs(10), 3));

    let strict = resolver.resolve(&Wanted::new("strict")).await.unwrap();
    assert_eq!(strict.host_keys, HostKeyPolicy::AcceptNew);
    assert_eq!(strict.known_hosts, [ssh.join("one"), ssh.join("two")]);
    assert_eq!((strict.connect_timeout, strict.attempts), (Duration::from_secs(4), 5));
    assert!(strict.hash_known_hosts && strict.agent == AgentUse::None);

    let token = resolver.resolve(&Wanted::new("token")).await.unwrap();
    assert_eq!(token.address, "token.example.org");
    let command = resolver.resolve(&Wanted::new("by-command")).await.unwrap();
    assert_eq!(command.proxy_command.as_deref(), Some("nc -x proxy:1080 by-command 22"));
}

#[tokio::test]
async fn jump_hosts_have_their_own_settings_and_jump_hosts() {
    let home = home(CONFIG);
    let resolver = resolver(home.path(), false);
    let host = resolver.resolve(&Wanted::new("db.lan")).await.unwrap();
    assert_eq!(host.host_key_alias.as_deref(), Some("lan-cluster"));
    assert_eq!(host.agent, AgentUse::Path("/run/agent.sock".into()));
    let way: Vec<_> = host.jump.iter().map(|jump| (jump.address.as_str(), jump.port)).collect();
    assert_eq!(way, [("outer-gate", 23), ("gate.example.org", 2200)]);
    assert_eq!(host.jump[0].user, "outer");
    assert!(host.jump.iter().all(|jump| jump.jump.is_empty()));
    // `Host` blocks about addresses count where none is about the name.
    let by_address = Wanted { address: Some("10.1.0.5".to_owned()), ..Wanted::new("db5") };
    assert_eq!(resolver.resolve(&by_address).await.unwrap().user, "lan");
    // The jump host of a whole group is not its own jump host.
    assert_eq!(resolver.resolve(&Wanted::new("all-behind-gate")).await.unwrap().jump, []);
    assert_eq!(resolver.resolve(&Wanted::new("all-behind-x")).await.unwrap().jump.len(), 1);
    assert_eq!(
        resolver.resolve(&Wanted::new("loop-a")).await,
        Err(ResolveError::JumpLoop {
            host: "loop-a".to_owned(),
            chain: vec!["loop-a".to_owned(), "loop-b".to_owned(), "loop-a".to_owned()],
        })
    );
}

#[tokio::test]
async fn the_inventory_wins() {
    let home = home(CONFIG);
    let mut options = ResolverOptions {
        config: ConfigSource::File(home.path().join(".ssh/config")),
        home: Some(home.path().to_owned()),
        ..ResolverOptions::default()
    };
    options.hosts.insert(
        "bastion".to_owned(),
        Wanted {
            address: Some("192.0.2.1".to_owned()),
            user: Some("jumper".to_owned()),
            ..Wanted::new("bastion")
        },
    );
    let resolver = Resolver::new(options);
    let wanted = Wanted {
        address: Some("10.9.9.9".to_owned()),
        user: Some("admin".to_owned()),
        port: Some(22),
        key: Some("~/.ssh/inventory_key".into()),
        jump: Some("bastion,elsewhere:2022".to_owned()),
        known_hosts: Some("~/known".into()),
        host_keys: Some(HostKeyPolicy::AcceptNew),
        connect_timeout: Some(Duration::from_secs(3)),
        attempts: Some(1),
        ..Wanted::new("web1")
    };
    let web1 = resolver.resolve(&wanted).await.unwrap();
    assert_eq!((web1.address.as_str(), web1.port, web1.user.as_str()), ("10.9.9.9", 22, "admin"));
    let ssh = home.path().join(".ssh");
    assert_eq!(web1.identities[..2], [ssh.join("inventory_key"), ssh.join("web_key")]);
    assert_eq!(web1.known_hosts[0], home.path().join("known"));
    assert_eq!((web1.host_keys, web1.attempts), (HostKeyPolicy::AcceptNew, 1));
    let way: Vec<_> =
        web1.jump.iter().map(|jump| (jump.address.as_str(), jump.user.as_str(), jump.port)).collect();
    assert_eq!(way, [("192.0.2.1", "jumper", 22), ("elsewhere", "admin", 2022)]);
    assert_eq!(web1.jump[1].identities, [ssh.join("inventory_key")]);
    let direct = Wanted { jump: Some("none".to_owned()), ..Wanted::new("db.lan") };
    assert_eq!(resolver.resolve(&direct).await.unwrap().jump, []);
    let bad = Wanted { jump: Some("a:b:c@".to_owned()), ..Wanted::new("db1") };
    assert!(matches!(resolver.resolve(&bad).await, Err(ResolveError::BadJump { .. })));
    let option = Wanted::new("-oProxyCommand=touch /tmp/x");
    assert!(matches!(resolver.resolve(&option).await, Err(ResolveError::BadName { .. })));
}

#[tokio::test]
async fn match_lines_are_left_to_openssh() {
    let home = home("Match host web* exec \"test %n = web1\"\n User matched\nMatch all\n Port 2022\n");
    let resolver = resolver(home.path(), false);
    let web1 = resolver.resolve(&Wanted::new("web1")).await.unwrap();
    assert_eq!((web1.user.as_str(), web1.port, web1.address.as_str()), ("matched", 2022, "web1"));
    let web2 = resolver.resolve(&Wanted::new("web2")).await.unwrap();
    assert_ne!(web2.user, "matched");
    assert_eq!((web2.port, web2.address.as_str()), (2022, "web2"));
}

#[tokio::test]
async fn a_fault_in_the_file_is_told_in_the_words_of_ssh() {
    let home = home("Host *\n User x\n Portt 22\n");
    let error = resolver(home.path(), false).resolve(&Wanted::new("web1")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 3") && text.to_lowercase().contains("portt"), "{text}");
}

#[tokio::test]
async fn thousands_of_hosts_cost_as_many_processes_as_there_are_groups() {
    let home = home("Host web*\n User deploy\nHost db*\n User postgres\n");
    let resolver = resolver(home.path(), false);
    let started = Instant::now();
    for number in 0..3000 {
        let (name, user) = match number % 3 {
            0 => (format!("web{number}"), Some("deploy")),
            1 => (format!("db{number}"), Some("postgres")),
            _ => (format!("other{number}"), None),
        };
        let endpoint = resolver.resolve(&Wanted::new(name.clone())).await.unwrap();
        assert_eq!(endpoint.address, name);
        assert!(user.is_none_or(|user| endpoint.user == user));
    }
    let elapsed = started.elapsed();
    eprintln!("3000 hosts of three groups were resolved in {elapsed:?}");
    // 2000 processes of 14 ms would be 28 s.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
