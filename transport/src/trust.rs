//! `cm node trust`: looks at the key that a host shows and writes it into known_hosts in place of the old ones.

use std::io;
use std::path::PathBuf;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use thiserror::Error;

use crate::connector::{Check, Connector};
use crate::endpoint::Endpoint;
use crate::error::{ConnectError, KnownKey};
use crate::host_key::{fingerprint, key_type, known_key, names_in_known_hosts};
use crate::known_hosts_edit;

/// A key that a host showed. Nothing is known yet about whether it is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedKey {
    /// Such as `ssh-ed25519`.
    pub key_type: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    key: PublicKey,
}

/// What [`Connector::trust`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The key that is trusted now.
    pub key: OfferedKey,
    /// The file it was written to.
    pub file: PathBuf,
    /// The keys that were taken out.
    pub replaced: Vec<KnownKey>,
}

/// A host's key was not written.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The host could not be asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host shows other keys than the one that was named.
    #[error("`{host}` ({address}) does not show the key {wanted}; nothing was changed")]
    OtherKey {
        /// Name of the host.
        host: String,
        /// `address:port`.
        address: String,
        /// The fingerprint that was asked for.
        wanted: String,
        /// The keys that the host shows.
        offered: Vec<OfferedKey>,
    },
    /// The fingerprint is not one.
    #[error("`{0}` is not a fingerprint of the form SHA256:…")]
    NotAFingerprint(String),
    /// There is no file to write to (`UserKnownHostsFile none`).
    #[error("`{0}` has no known_hosts file that the key could be written to")]
    NoFile(String),
    /// The file could not be changed.
    #[error("{} could not be changed", .file.display())]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl TrustError {
    /// Returns lines that belong below the error: the keys that the host shows.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Connect(error) => error.details(),
            Self::OtherKey { offered, .. } => {
                offered.iter().map(|key| format!("received  {} {}", key.key_type, key.fingerprint)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Connect(error) => return error.hint(),
            Self::OtherKey { host, .. } => format!(
                "compare with the console of `{host}`: \
                 `for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done`"
            ),
            Self::NotAFingerprint(_) => {
                "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host prints it".to_owned()
            }
            Self::NoFile(_) => "set `known_hosts:` in the inventory".to_owned(),
            Self::NotWritten { file, .. } => format!("check owner and mode of {}", file.display()),
        })
    }
}

impl Connector {
    /// Returns the key that a host shows, without logging in and without judging it.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn offered_key(&self, endpoint: &Endpoint) -> Result<OfferedKey, ConnectError> {
        self.offered(endpoint, None).await
    }

    /// Makes the key with this fingerprint the one key of a host, if the host shows it.
    ///
    /// All kinds of keys are asked for one after the other, because the fingerprint may be that of any of them.
    ///
    /// # Errors
    /// The host cannot be reached, shows another key, or the file cannot be written.
    pub async fn trust(&self, endpoint: &Endpoint, wanted: &str) -> Result<Trusted, TrustError> {
        let well_formed = wanted.strip_prefix("SHA256:").is_some_and(|rest| rest.len() >= 43);
        if !well_formed {
            return Err(TrustError::NotAFingerprint(wanted.to_owned()));
        }
        let wanted = wanted.trim_end_matches('=');
        let mut offered: Vec<OfferedKey> = Vec::new();
        for only in [None, Some(Algorithm::Ed25519), Some(ecdsa()), Some(rsa())] {
            match self.offered(endpoint, only.clone()).await {
                Ok(key) if key.fingerprint == wanted => return self.trust_key(endpoint, key).await,
                Ok(key) if offered.contains(&key) => {}
                Ok(key) => offered.push(key),
                // The host has no key of this kind.
                Err(_) if only.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TrustError::OtherKey {
            host: endpoint.host.clone(),
            address: endpoint.socket_name(),
            wanted: wanted.to_owned(),
            offered,
        })
    }

    /// Makes a key that [`offered_key`](Self::offered_key) returned, and that somebody has compared, the one key of a
    /// host.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn trust_key(&self, endpoint: &Endpoint, key: OfferedKey) -> Result<Trusted, TrustError> {
        let Some(file) = endpoint.known_hosts.first().cloned() else {
            return Err(TrustError::NoFile(endpoint.host.clone()));
        };
        let (name, _) = names_in_known_hosts(endpoint);
        let hashed = endpoint.hash_known_hosts;
        let replaced = {
            let (file, public) = (file.clone(), key.key.clone());
            tokio::task::spawn_blocking(move || known_hosts_edit::replace(&file, &name, &public, hashed))
                .await
        };
        let not_written = |source| TrustError::NotWritten { file: file.clone(), source };
        let replaced =
            replaced.map_err(|error| not_written(io::Error::other(error)))?.map_err(not_written)?;
        Ok(Trusted { key, replaced: replaced.iter().map(known_key).collect(), file })
    }

    async fn offered(
        &self,
        endpoint: &Endpoint,
        only: Option<Algorithm>,
    ) -> Result<OfferedKey, ConnectError> {
        let greeted = self.greet_with_retries(endpoint, &Check::Show(only)).await?;
        let key = greeted.key().key.clone();
        Ok(OfferedKey { key_type: key_type(&key), fingerprint: fingerprint(&key), key })
    }
}

fn ecdsa() -> Algorithm {
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }
}

fn rsa() -> Algorithm {
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) }
}
