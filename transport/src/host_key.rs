//! Decides whether a host's key is accepted.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::algorithms::{HostKeyOrder, host_key_algorithms};
use crate::endpoint::{DEFAULT_PORT, Endpoint, HostKeyPolicy};
use crate::error::{ConnectCause, KnownKey};
use crate::known_hosts::{Entry, KnownHostsCache, Marker, lookup_name};
use crate::known_hosts_edit;

/// A host key that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AcceptedKey {
    pub key: PublicKey,
}

impl AcceptedKey {
    /// Returns `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }
}

/// What is known about one host before it is asked.
#[derive(Debug, Clone)]
pub(crate) struct HostKeyCheck {
    address: String,
    /// Name in known_hosts.
    name: String,
    /// Name that a certificate must bear.
    principal: String,
    files: Vec<PathBuf>,
    entries: Vec<Entry>,
    /// Lines for the name without its port, where that is not 22: they count if they have the very key.
    portless_entries: Vec<Entry>,
    policy: Policy,
    /// The one kind of key to ask for.
    only: Option<Algorithm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Refuse,
    Write {
        hashed: bool,
    },
    /// Any key is taken: it is only looked at, nothing is sent.
    Show,
}

impl HostKeyCheck {
    /// Collects what the known_hosts files say about a host.
    ///
    /// # Errors
    /// A file is there but cannot be read.
    pub fn prepare(endpoint: &Endpoint, cache: &KnownHostsCache) -> Result<Self, ConnectCause> {
        let host = endpoint.host_key_alias.as_deref().unwrap_or(&endpoint.address);
        let (name, portless) = names_in_known_hosts(endpoint);
        let mut entries = Vec::new();
        let mut portless_entries = Vec::new();
        for file in &endpoint.known_hosts {
            let read = cache
                .read(file)
                .map_err(|source| ConnectCause::KnownHostsUnreadable { file: file.clone(), source })?;
            entries.extend(read.entries(&name));
            if let Some(portless) = &portless {
                portless_entries.extend(read.entries(portless));
            }
        }
        Ok(Self {
            address: endpoint.socket_name(),
            name,
            principal: host.to_ascii_lowercase(),
            files: endpoint.known_hosts.clone(),
            entries,
            portless_entries,
            only: None,
            policy: match endpoint.host_keys {
                HostKeyPolicy::Strict => Policy::Refuse,
                HostKeyPolicy::AcceptNew => Policy::Write { hashed: endpoint.hash_known_hosts },
            },
        })
    }

    /// Turns the check off, to look at a key (of one kind, if `only` names it) without using the connection.
    pub fn only_show(mut self, only: Option<Algorithm>) -> Self {
        self.policy = Policy::Show;
        self.only = only;
        self
    }

    /// Returns the order in which host keys are asked for: kinds that are known come first, or a host that is known
    /// by an older kind of key would show another one.
    pub fn order(&self) -> HostKeyOrder {
        if let Some(only) = &self.only {
            return HostKeyOrder { keys: vec![only.clone()], certificates: false };
        }
        let known: Vec<&Entry> = self.all_entries().filter(|entry| entry.marker == Marker::Key).collect();
        let mut keys = host_key_algorithms();
        keys.sort_by_key(|algorithm| !known.iter().any(|entry| same_kind(&entry.key.algorithm(), algorithm)));
        HostKeyOrder {
            keys,
            certificates: self.policy != Policy::Show
                && self.all_entries().any(|entry| entry.marker == Marker::CertAuthority),
        }
    }

    fn all_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().chain(&self.portless_entries)
    }

    /// Decides; with `accept-new` an unknown key is written down.
    ///
    /// # Errors
    /// The cause for which the key is refused.
    pub async fn check(&self, offered: &PublicKeyOrCertificate) -> Result<AcceptedKey, ConnectCause> {
        let key = offered.public_key();
        if self.policy == Policy::Show {
            return Ok(AcceptedKey { key });
        }
        self.check_revoked(&key)?;
        if let Some(certificate) = offered.certificate() {
            let authority = PublicKey::from(certificate.signature_key().clone());
            self.check_revoked(&authority)?;
            let trusted = self.all_entries().any(|entry| {
                entry.marker == Marker::CertAuthority && entry.key.key_data() == authority.key_data()
            });
            if trusted {
                check_certificate(certificate, &self.principal, SystemTime::now()).map_err(|reason| {
                    ConnectCause::HostCertificateInvalid { address: self.address.clone(), reason }
                })?;
                return Ok(AcceptedKey { key });
            }
            // An authority that nobody trusts proves nothing: the key in the certificate is judged as a plain one.
        }
        self.check_plain(key).await
    }

    fn check_revoked(&self, key: &PublicKey) -> Result<(), ConnectCause> {
        match self
            .all_entries()
            .find(|entry| entry.marker == Marker::Revoked && entry.key.key_data() == key.key_data())
        {
            Some(entry) => Err(ConnectCause::HostKeyRevoked {
                address: self.address.clone(),
                key_type: key_type(key),
                fingerprint: fingerprint(key),
                place: entry.place.clone(),
            }),
            None => Ok(()),
        }
    }

    async fn check_plain(&self, key: PublicKey) -> Result<AcceptedKey, ConnectCause> {
        let is_key = |entry: &&Entry| entry.marker == Marker::Key;
        if self.all_entries().filter(is_key).any(|entry| entry.key.key_data() == key.key_data()) {
            return Ok(AcceptedKey { key });
        }
        // Any other key counts as a change, also one of another kind than is known: the known kinds were asked for
        // first, so whoever answers does not have them.
        let expected: Vec<KnownKey> = self.entries.iter().filter(is_key).map(known_key).collect();
        if !expected.is_empty() {
            return Err(self.changed(&key, expected));
        }
        let Policy::Write { hashed } = self.policy else {
            return Err(ConnectCause::HostKeyUnknown {
                address: self.address.clone(),
                name: self.name.clone(),
                key_type: key_type(&key),
                fingerprint: fingerprint(&key),
                searched: self.files.clone(),
            });
        };
        self.write(key, hashed).await
    }

    async fn write(&self, key: PublicKey, hashed: bool) -> Result<AcceptedKey, ConnectCause> {
        let Some(file) = self.files.first().cloned() else {
            // No file to remember keys in (`UserKnownHostsFile none`): every host is new each time.
            return Ok(AcceptedKey { key });
        };
        let written = {
            let (file, name, key) = (file.clone(), self.name.clone(), key.clone());
            tokio::task::spawn_blocking(move || known_hosts_edit::add(&file, &name, &key, hashed)).await
        };
        let not_written = |source: std::io::Error| ConnectCause::KnownHostsNotWritten {
            address: self.address.clone(),
            file: file.clone(),
            source,
        };
        let present =
            written.map_err(|error| not_written(std::io::Error::other(error)))?.map_err(not_written)?;
        // Another connection may have written the same host's key meanwhile; another key is then a change.
        if present.is_empty() || present.iter().any(|entry| entry.key.key_data() == key.key_data()) {
            return Ok(AcceptedKey { key });
        }
        Err(self.changed(&key, present.iter().map(known_key).collect()))
    }

    fn changed(&self, key: &PublicKey, expected: Vec<KnownKey>) -> ConnectCause {
        ConnectCause::HostKeyChanged {
            address: self.address.clone(),
            name: self.name.clone(),
            key_type: key_type(key),
            fingerprint: fingerprint(key),
            expected,
        }
    }
}

/// Makes the public form of an entry.
pub(crate) fn known_key(entry: &Entry) -> KnownKey {
    KnownKey {
        key_type: key_type(&entry.key),
        fingerprint: fingerprint(&entry.key),
        place: entry.place.clone(),
    }
}

/// Returns the name under which an endpoint stands in known_hosts, and that name without its port where it has one.
pub(crate) fn names_in_known_hosts(endpoint: &Endpoint) -> (String, Option<String>) {
    // An alias stands without a port (ssh_config(5), HostKeyAlias).
    let (host, port) = match &endpoint.host_key_alias {
        Some(alias) => (alias.as_str(), DEFAULT_PORT),
        None => (endpoint.address.as_str(), endpoint.port),
    };
    (lookup_name(host, port), (port != DEFAULT_PORT).then(|| lookup_name(host, DEFAULT_PORT)))
}

/// Returns `SHA256:…` of a key.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Returns the name of a key's kind, such as `ssh-ed25519`.
pub(crate) fn key_type(key: &PublicKey) -> String {
    key.algorithm().to_string()
}

/// Says whether two algorithms use the same kind of key; the hashes of RSA do not matter.
fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || one == other
}

/// Checks what a certificate itself says (PROTOCOL.certkeys): kind, signature, time, name, options.
fn check_certificate(certificate: &Certificate, name: &str, now: SystemTime) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is a certificate for users, not for hosts".to_owned());
    }
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return Err("it is signed with SHA-1".to_owned());
    }
    if !certificate.valid_principals().is_empty()
        && !certificate.valid_principals().iter().any(|principal| principal.eq_ignore_ascii_case(name))
    {
        return Err(format!("it is for {}, not for {name}", certificate.valid_principals().join(", ")));
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("it demands the option `{option}`, which is not known"));
    }
    let seconds = now.duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
    if seconds < certificate.valid_after() {
        return Err("it is not valid yet (or the clock of this machine is behind)".to_owned());
    }
    if seconds >= certificate.valid_before() {
        return Err("it has expired".to_owned());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(seconds, [&authority])
        .map_err(|_| "the signature of its authority is wrong".to_owned())
}
