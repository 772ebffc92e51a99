//! Which hosts are believed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cm_transport::{
    ConnectCause, ConnectError, Connection, Connector, ConnectorOptions, Endpoint, HostKeyPolicy, TrustError,
};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey, PublicKey};
use tempfile::{TempDir, tempdir};

use crate::server::{Behaviour, TestServer, new_key, write_key};
use crate::tools::{keygen, run};

fn connector() -> Connector {
    Connector::new(ConnectorOptions { retry_pause: Duration::from_millis(5), ..ConnectorOptions::default() })
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

struct Setup {
    folder: TempDir,
    server: TestServer,
    endpoint: Endpoint,
}

impl Setup {
    async fn new(behaviour: Behaviour, known_hosts: &str) -> Self {
        let folder = tempdir().unwrap();
        let server = TestServer::start(behaviour).await;
        let mut endpoint = server.endpoint(folder.path());
        endpoint.known_hosts = vec![folder.path().join("known_hosts")];
        let setup = Self { folder, server, endpoint };
        setup.write(known_hosts);
        setup
    }

    /// Writes known_hosts; `NAME` stands for the name of the server there.
    fn write(&self, text: &str) {
        std::fs::write(&self.endpoint.known_hosts[0], text.replace("NAME", &self.name())).unwrap();
    }

    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.server.address.port())
    }

    fn known_hosts(&self) -> String {
        std::fs::read_to_string(&self.endpoint.known_hosts[0]).unwrap()
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        connector().connect(&self.endpoint).await
    }

    fn nothing_was_sent(&self) {
        assert_eq!(self.server.seen.offered.lock().unwrap().len(), 0);
    }
}

fn ecdsa() -> PrivateKey {
    let algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).unwrap()
}

#[tokio::test]
async fn an_unknown_key_is_refused_before_anything_is_sent() {
    let setup = Setup::new(Behaviour::default(), "").await;
    let error = setup.connect().await.unwrap_err();
    let key = fingerprint(&setup.server.host_key);
    assert_eq!(
        error.to_string(),
        format!("the host key of `web1` ({}) is not known; nothing was sent", setup.server.address)
    );
    assert_eq!(error.details(), [format!("received  ssh-ed25519 {key}")]);
    assert!(error.hint().unwrap().contains(&format!("`cm node trust web1 --fingerprint {key}`")));
    assert_eq!((error.attempts, error.is_temporary()), (1, false));
    setup.nothing_was_sent();
}

#[tokio::test]
async fn accept_new_writes_the_key_once_and_knows_it_then() {
    let mut setup = Setup::new(Behaviour::default(), "").await;
    std::fs::remove_file(&setup.endpoint.known_hosts[0]).unwrap();
    setup.endpoint.known_hosts = vec![setup.folder.path().join("home/.ssh/known_hosts")];
    setup.endpoint.host_keys = HostKeyPolicy::AcceptNew;
    let connector = connector();
    let hosts: Vec<_> = (0..6)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), setup.endpoint.clone());
            tokio::spawn(async move { connector.connect(&endpoint).await.map(drop) })
        })
        .collect();
    for host in hosts {
        host.await.unwrap().unwrap();
    }
    assert_eq!(setup.known_hosts(), setup.server.known_hosts_line());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&setup.folder.path().join("home/.ssh")), 0o700);
    setup.endpoint.host_keys = HostKeyPolicy::Strict;
    setup.connect().await.unwrap();
}

#[tokio::test]
async fn accept_new_hides_names_where_ssh_config_says_so() {
    let mut setup = Setup::new(Behaviour::default(), "").await;
    setup.endpoint.host_keys = HostKeyPolicy::AcceptNew;
    setup.endpoint.hash_known_hosts = true;
    setup.connect().await.unwrap();
    let text = setup.known_hosts();
    assert!(text.starts_with("|1|") && !text.contains("127.0.0.1"), "{text}");
    // OpenSSH finds it too.
    let found =
        run("ssh-keygen", &["-F", &setup.name(), "-f", setup.endpoint.known_hosts[0].to_str().unwrap()]);
    assert!(found.contains("found: line 1"), "{found}");
    setup.endpoint.host_keys = HostKeyPolicy::Strict;
    setup.connect().await.unwrap();
}

#[tokio::test]
async fn a_changed_key_is_refused_whatever_the_policy_is() {
    let old = new_key();
    let line = format!("NAME {}\n", old.public_key().to_openssh().unwrap());
    let mut setup = Setup::new(Behaviour::default(), &format!("# comment\nother {line}{line}")).await;
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        setup.endpoint.host_keys = policy;
        let error = setup.connect().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the host key of `web1` ({}) has changed; nothing was sent", setup.server.address)
        );
        assert_eq!(
            error.details(),
            [
                format!(
                    "expected  ssh-ed25519 {}  ({}, line 3)",
                    fingerprint(old.public_key()),
                    setup.endpoint.known_hosts[0].display()
                ),
                format!("received  ssh-ed25519 {}", fingerprint(&setup.server.host_key)),
            ]
        );
        assert_eq!((error.attempts, error.is_temporary()), (1, false));
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_key_of_another_kind_than_is_known_is_a_change_too() {
    let known = ecdsa();
    let mut setup =
        Setup::new(Behaviour::default(), &format!("NAME {}\n", known.public_key().to_openssh().unwrap()))
            .await;
    setup.endpoint.host_keys = HostKeyPolicy::AcceptNew;
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::HostKeyChanged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_known_by_an_older_kind_of_key_is_asked_for_that_one() {
    let (newer, older) = (new_key(), ecdsa());
    let line = format!("NAME {}\n", older.public_key().to_openssh().unwrap());
    let setup =
        Setup::new(Behaviour { host_keys: vec![newer, older.clone()], ..Behaviour::default() }, &line).await;
    let connection = setup.connect().await.unwrap();
    assert_eq!(connection.host_key_fingerprint(), Some(fingerprint(older.public_key()).as_str()));
}

#[tokio::test]
async fn a_revoked_key_is_refused_even_if_another_line_knows_it() {
    let setup = Setup::new(Behaviour::default(), "").await;
    let key = setup.server.host_key.to_openssh().unwrap();
    setup.write(&format!("NAME {key}\n@revoked * {key}\n"));
    let error = setup.connect().await.unwrap_err();
    // The mark is for all names; it stands under the plain name and so also counts for a port.
    match &*error.cause {
        ConnectCause::HostKeyRevoked { place, .. } => assert_eq!(place.line, 2),
        other => panic!("{other:?}"),
    }
    assert!(!error.is_temporary());
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_line_without_the_port_counts_if_it_has_the_very_key() {
    let setup = Setup::new(Behaviour::default(), "").await;
    setup.write(&format!("127.0.0.1 {}\n", setup.server.host_key.to_openssh().unwrap()));
    setup.connect().await.unwrap();
    setup.write(&format!("127.0.0.1 {}\n", new_key().public_key().to_openssh().unwrap()));
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::HostKeyUnknown { .. }), "{error:?}");
}

#[tokio::test]
async fn an_alias_is_looked_up_in_place_of_the_address() {
    let mut setup = Setup::new(Behaviour::default(), "").await;
    setup.write(&format!("the-cluster {}\n", setup.server.host_key.to_openssh().unwrap()));
    setup.endpoint.host_key_alias = Some("the-cluster".to_owned());
    setup.connect().await.unwrap();
}

/// Makes a host key and a certificate for it.
fn certified(folder: &Path, principals: &str, validity: &str) -> (PrivateKey, Certificate, String) {
    let authority = keygen(folder, "authority", "ed25519", "");
    let host = new_key();
    let path = write_key(folder, "host", &host);
    std::fs::write(folder.join("host.pub"), host.public_key().to_openssh().unwrap()).unwrap();
    let (authority_text, public) = (authority.to_str().unwrap(), folder.join("host.pub"));
    let mut arguments = vec!["-q", "-s", authority_text, "-I", "a host", "-h"];
    if !principals.is_empty() {
        arguments.extend(["-n", principals]);
    }
    arguments.extend(["-V", validity, public.to_str().unwrap()]);
    run("ssh-keygen", &arguments);
    drop(path);
    let text = std::fs::read_to_string(folder.join("host-cert.pub")).unwrap();
    let authority = std::fs::read_to_string(folder.join("authority.pub")).unwrap();
    (host, Certificate::from_openssh(text.trim()).unwrap(), authority)
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_stands_for_the_key() {
    let folder = tempdir().unwrap();
    let (host, certificate, authority) = certified(folder.path(), "127.0.0.1,web1", "-1h:+1h");
    let behaviour =
        Behaviour { host_keys: vec![host], certificates: vec![certificate], ..Behaviour::default() };
    let setup = Setup::new(behaviour, &format!("@cert-authority NAME,*.lan {authority}")).await;
    setup.connect().await.unwrap();
    // Without the authority the key in the certificate is a plain unknown one.
    setup.write("");
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::HostKeyUnknown { .. }), "{error:?}");
    // An authority can be revoked.
    setup.write(&format!("@cert-authority NAME {authority}@revoked NAME {authority}"));
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::HostKeyRevoked { .. }), "{error:?}");
}

#[tokio::test]
async fn certificates_for_others_and_of_other_times_are_refused() {
    for (principals, validity, expected) in [
        ("other.lan,db1", "-1h:+1h", "it is for other.lan, db1, not for 127.0.0.1"),
        ("127.0.0.1", "-2h:-1h", "it has expired"),
        ("127.0.0.1", "+1h:+2h", "it is not valid yet (or the clock of this machine is behind)"),
    ] {
        let folder = tempdir().unwrap();
        let (host, certificate, authority) = certified(folder.path(), principals, validity);
        let behaviour =
            Behaviour { host_keys: vec![host], certificates: vec![certificate], ..Behaviour::default() };
        let setup = Setup::new(behaviour, &format!("@cert-authority NAME {authority}")).await;
        let error = setup.connect().await.unwrap_err();
        match &*error.cause {
            ConnectCause::HostCertificateInvalid { reason, .. } => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        }
        setup.nothing_was_sent();
    }
}

#[tokio::test]
async fn an_authority_that_is_known_does_not_shut_out_hosts_with_plain_keys() {
    let folder = tempdir().unwrap();
    let (_, _, authority) = certified(folder.path(), "", "-1h:+1h");
    let setup = Setup::new(Behaviour::default(), "").await;
    let key = setup.server.host_key.to_openssh().unwrap();
    setup.write(&format!("@cert-authority NAME {authority}NAME {key}\n"));
    setup.connect().await.unwrap();
}

#[tokio::test]
async fn trust_replaces_the_old_key_if_the_fingerprint_is_shown() {
    let old = new_key();
    let line = format!("NAME {}\n", old.public_key().to_openssh().unwrap());
    let setup = Setup::new(Behaviour::default(), &line).await;
    let wanted = fingerprint(&setup.server.host_key);

    let error = connector().trust(&setup.endpoint, &fingerprint(new_key().public_key())).await.unwrap_err();
    match &error {
        TrustError::OtherKey { offered, .. } => assert_eq!(offered[0].fingerprint, wanted),
        other => panic!("{other:?}"),
    }
    assert_eq!(setup.known_hosts(), line.replace("NAME", &setup.name()));
    assert!(matches!(
        connector().trust(&setup.endpoint, "MD5:00:11").await,
        Err(TrustError::NotAFingerprint(_))
    ));

    let trusted = connector().trust(&setup.endpoint, &wanted).await.unwrap();
    assert_eq!(trusted.key.fingerprint, wanted);
    assert_eq!(trusted.replaced.len(), 1);
    assert_eq!(trusted.replaced[0].fingerprint, fingerprint(old.public_key()));
    setup.nothing_was_sent();
    setup.connect().await.unwrap();
}

#[tokio::test]
async fn trust_takes_the_fingerprint_of_any_of_the_hosts_keys() {
    let (newer, older) = (new_key(), ecdsa());
    let setup =
        Setup::new(Behaviour { host_keys: vec![newer, older.clone()], ..Behaviour::default() }, "").await;
    let wanted = fingerprint(older.public_key());
    let trusted = connector().trust(&setup.endpoint, &wanted).await.unwrap();
    assert_eq!(trusted.key.key_type, "ecdsa-sha2-nistp256");
    let connection = setup.connect().await.unwrap();
    assert_eq!(connection.host_key_fingerprint(), Some(wanted.as_str()));
}

#[tokio::test]
async fn a_known_hosts_file_that_cannot_be_used_is_an_error() {
    let mut setup = Setup::new(Behaviour::default(), "").await;
    // A folder cannot be read as a file, not even by root.
    setup.endpoint.known_hosts = vec![setup.folder.path().to_owned()];
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::KnownHostsUnreadable { .. }), "{error:?}");
    setup.endpoint.known_hosts = vec!["/proc/cm-no-such-folder/known_hosts".into()];
    setup.endpoint.host_keys = HostKeyPolicy::AcceptNew;
    let error = setup.connect().await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::KnownHostsNotWritten { .. }), "{error:?}");
    setup.nothing_was_sent();
}
