//! Logs in: which keys are offered, in which order, and what came of each.
//!
//! The order is that of `ssh`, except that keys which the user named come before the agent's other keys: servers hang
//! up after six refusals (`MaxAuthTries`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey, signature};
use russh::{MethodKind, SendError, Signer};
use tokio::net::UnixStream;

use crate::endpoint::{AgentUse, Endpoint};
use crate::error::{ConnectCause, Phase, TriedKey};
use crate::handler::ClientHandler;
use crate::host_key::{fingerprint, key_type};
use crate::keys::{KeyFile, KeyFileError, KeyFiles, UnlockError, read_certificate};

/// One thing to offer to the server.
struct Offer {
    public: PublicKey,
    certificate: Option<Certificate>,
    by: SignedBy,
    origin: String,
}

enum SignedBy {
    /// The agent holds the private key. The file is named where there is one, for messages only.
    Agent,
    File(Arc<KeyFile>),
}

/// What authentication needs beside the endpoint.
pub(crate) struct Login<'a> {
    pub endpoint: &'a Endpoint,
    pub keys: &'a KeyFiles,
    /// Limit for one answer of the server. The time that a person takes for a passphrase or a confirmation is not
    /// counted.
    pub limit: Duration,
}

/// What is collected while keys are tried.
#[derive(Default)]
struct Findings {
    tried: Vec<TriedKey>,
    methods: Vec<String>,
    /// First named key file that cannot be used.
    unusable: Option<(std::path::PathBuf, String)>,
    /// First key file whose passphrase is missing or wrong.
    locked: Option<(std::path::PathBuf, bool)>,
    refusals: usize,
}

impl Login<'_> {
    /// Logs in.
    ///
    /// # Errors
    /// No key is accepted, the connection is closed, or the server does not answer in time.
    pub async fn run(&self, handle: &mut Handle<ClientHandler>) -> Result<(), ConnectCause> {
        let mut findings = Findings::default();
        let mut agent = self.open_agent(handle, &mut findings).await;
        let offers = self.offers(agent.as_mut(), &mut findings).await;
        let mut rsa_hash = None;
        for offer in offers {
            if handle.is_closed() {
                findings.skip(&offer, "not tried: the host had closed the connection");
                continue;
            }
            if !findings.methods.is_empty() && !findings.methods.iter().any(|name| name == "publickey") {
                findings.skip(&offer, "not tried: the host accepts no public keys");
                continue;
            }
            let hash = match offer.public.algorithm() {
                Algorithm::Rsa { .. } => match rsa_hash {
                    Some(hash) => hash,
                    None => *rsa_hash.insert(best_rsa_hash(handle).await),
                },
                // Asking for it would wait a second for servers that never say.
                _ => None,
            };
            match self.offer(handle, &offer, hash, agent.as_mut(), &mut findings).await? {
                Outcome::In => return Ok(()),
                Outcome::Next => {}
            }
        }
        if findings.tried.iter().all(|key| key.fingerprint.is_empty()) && !handle.is_closed() {
            // Nothing was offered: ask what the server would take, for the message. It may even need no key.
            if let AuthResult::Success = self.none(handle, &mut findings).await? {
                return Ok(());
            }
        }
        Err(self.refused(findings, handle.is_closed()))
    }

    async fn none(
        &self,
        handle: &mut Handle<ClientHandler>,
        findings: &mut Findings,
    ) -> Result<AuthResult, ConnectCause> {
        let answer = handle.authenticate_none(self.endpoint.user.as_str());
        match tokio::time::timeout(self.limit, answer).await {
            Ok(Ok(result)) => {
                if let AuthResult::Failure { remaining_methods, .. } = &result {
                    findings.set_methods(remaining_methods);
                }
                Ok(result)
            }
            Ok(Err(error)) => Err(self.closed(&error.to_string())),
            Err(_) => Err(self.timed_out()),
        }
    }

    async fn offer(
        &self,
        handle: &mut Handle<ClientHandler>,
        offer: &Offer,
        hash: Option<HashAlg>,
        agent: Option<&mut AgentClient<UnixStream>>,
        findings: &mut Findings,
    ) -> Result<Outcome, ConnectCause> {
        let asking = AtomicBool::new(false);
        let mut signer = OfferSigner { offer, hash, agent, keys: self.keys, asking: &asking };
        let user = self.endpoint.user.as_str();
        let result = {
            let attempt = async {
                match &offer.certificate {
                    Some(certificate) => {
                        handle
                            .authenticate_certificate_with(user, certificate.clone(), hash, &mut signer)
                            .await
                    }
                    None => {
                        handle
                            .authenticate_publickey_with(user, offer.public.clone(), hash, &mut signer)
                            .await
                    }
                }
            };
            tokio::pin!(attempt);
            loop {
                match tokio::time::timeout(self.limit, &mut attempt).await {
                    Ok(result) => break result,
                    // A person is being asked: the server's limit (LoginGraceTime) is the only one.
                    Err(_) if asking.load(Ordering::Relaxed) => {}
                    Err(_) => return Err(self.timed_out()),
                }
            }
        };
        match result {
            Ok(AuthResult::Success) => Ok(Outcome::In),
            Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                if handle.is_closed() && remaining_methods.is_empty() {
                    findings.add(offer, "the host closed the connection");
                } else {
                    findings.set_methods(&remaining_methods);
                    findings.refusals += 1;
                    findings.add(
                        offer,
                        if partial_success {
                            "accepted, but the host demands a second proof that cm cannot give"
                        } else {
                            "refused"
                        },
                    );
                }
                Ok(Outcome::Next)
            }
            Err(SignError::Send) => {
                findings.add(offer, "the host closed the connection");
                Ok(Outcome::Next)
            }
            Err(SignError::Locked(reason)) => {
                findings.add(offer, &format!("the host would accept it, but {reason}"));
                if let SignedBy::File(file) = &offer.by {
                    findings
                        .locked
                        .get_or_insert((file.path().to_owned(), reason == UnlockError::WrongPassphrase));
                }
                Ok(Outcome::Next)
            }
            Err(SignError::Failed(reason)) => {
                findings.add(offer, &format!("the host would accept it, but {reason}"));
                Ok(Outcome::Next)
            }
        }
    }

    async fn open_agent(
        &self,
        handle: &Handle<ClientHandler>,
        findings: &mut Findings,
    ) -> Option<AgentClient<UnixStream>> {
        let path = match &self.endpoint.agent {
            AgentUse::None => return None,
            AgentUse::Path(path) => path.clone(),
            AgentUse::Environment => {
                std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty())?.into()
            }
        };
        let connecting = AgentClient::connect_uds(&path);
        let mut agent = match tokio::time::timeout(self.limit, connecting).await {
            Ok(Ok(agent)) => agent,
            Ok(Err(error)) => {
                findings.note_agent(&path, &error.to_string());
                return None;
            }
            Err(_) => {
                findings.note_agent(&path, "it does not answer");
                return None;
            }
        };
        if let Some(binding) = handle.agent_session_binding() {
            // Agents show keys with destination constraints only to bound connections; others refuse, which is fine.
            let _ = tokio::time::timeout(self.limit, agent.bind_session(binding, false)).await;
        }
        Some(agent)
    }

    /// Collects what to offer, in order, without a key twice.
    async fn offers(
        &self,
        agent: Option<&mut AgentClient<UnixStream>>,
        findings: &mut Findings,
    ) -> Vec<Offer> {
        let held = match agent {
            Some(agent) => match tokio::time::timeout(self.limit, agent.request_identities()).await {
                Ok(Ok(held)) => held,
                Ok(Err(error)) => {
                    findings.note_agent(Path::new("agent"), &error.to_string());
                    Vec::new()
                }
                Err(_) => {
                    findings.note_agent(Path::new("agent"), "it does not answer");
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        let certificates: Vec<Certificate> =
            self.endpoint.certificates.iter().filter_map(|path| read_certificate(path)).collect();
        let mut offers = Offers { list: Vec::new(), held: &held, certificates: &certificates };
        for path in &self.endpoint.identities {
            match self.keys.load(path).await {
                Ok(file) => offers.add_file(&file),
                Err(error) => {
                    findings.tried.push(TriedKey {
                        origin: path.display().to_string(),
                        key_type: String::new(),
                        fingerprint: String::new(),
                        outcome: error.to_string(),
                    });
                    findings.unusable.get_or_insert((path.clone(), error.to_string()));
                }
            }
        }
        let mut defaults = Vec::new();
        for path in &self.endpoint.default_identities {
            match self.keys.load(path).await {
                Ok(file) => defaults.push(file),
                Err(KeyFileError::Missing) => {}
                Err(error) => findings.tried.push(TriedKey {
                    origin: path.display().to_string(),
                    key_type: String::new(),
                    fingerprint: String::new(),
                    outcome: error.to_string(),
                }),
            }
        }
        if !self.endpoint.identities_only {
            offers.add_agent();
        }
        for file in &defaults {
            offers.add_file(file);
        }
        offers.list
    }

    fn refused(&self, findings: Findings, closed: bool) -> ConnectCause {
        let address = self.endpoint.socket_name();
        if closed && findings.refusals == 0 && findings.locked.is_none() {
            return ConnectCause::Closed {
                address,
                phase: Phase::Authentication,
                reason: "the host closed the connection".to_owned(),
                attempts: 1,
            };
        }
        if let Some((file, given)) = findings.locked {
            return ConnectCause::Passphrase { file, given, address, tried: findings.tried };
        }
        match findings.unusable {
            Some((file, reason)) if findings.refusals == 0 => {
                ConnectCause::KeyFile { file, reason, tried: findings.tried }
            }
            _ => ConnectCause::AuthenticationRefused {
                address,
                user: self.endpoint.user.clone(),
                tried: findings.tried,
                methods: findings.methods,
            },
        }
    }

    fn closed(&self, reason: &str) -> ConnectCause {
        ConnectCause::Closed {
            address: self.endpoint.socket_name(),
            phase: Phase::Authentication,
            reason: reason.to_owned(),
            attempts: 1,
        }
    }

    fn timed_out(&self) -> ConnectCause {
        ConnectCause::TimedOut {
            address: self.endpoint.socket_name(),
            limit: self.limit,
            phase: Phase::Authentication,
            attempts: 1,
        }
    }
}

enum Outcome {
    In,
    Next,
}

/// Builds the list of offers.
struct Offers<'a> {
    list: Vec<Offer>,
    held: &'a [AgentIdentity],
    certificates: &'a [Certificate],
}

impl Offers<'_> {
    fn add_file(&mut self, file: &Arc<KeyFile>) {
        let public = file.public();
        let in_agent = self.held.iter().any(|held| held.public_key().key_data() == public.key_data());
        let by = || if in_agent { SignedBy::Agent } else { SignedBy::File(Arc::clone(file)) };
        let origin = file.path().display().to_string();
        let certificates = file
            .certificate()
            .into_iter()
            .chain(self.certificates.iter().filter(|one| one.public_key() == public.key_data()));
        for certificate in certificates.cloned().collect::<Vec<_>>() {
            self.push(Offer {
                public: public.clone(),
                certificate: Some(certificate),
                by: by(),
                origin: format!("certificate of {origin}"),
            });
        }
        self.push(Offer { public: public.clone(), certificate: None, by: by(), origin });
    }

    fn add_agent(&mut self) {
        for held in self.held {
            let comment = held.comment();
            let origin = if comment.is_empty() { "agent".to_owned() } else { format!("agent: {comment}") };
            let (public, certificate) = match held {
                AgentIdentity::PublicKey { key, .. } => (key.clone(), None),
                AgentIdentity::Certificate { certificate, .. } => {
                    (held.public_key().into_owned(), Some(certificate.clone()))
                }
            };
            if certificate.is_none() {
                for extra in self.certificates.iter().filter(|one| one.public_key() == public.key_data()) {
                    self.push(Offer {
                        public: public.clone(),
                        certificate: Some(extra.clone()),
                        by: SignedBy::Agent,
                        origin: format!("certificate of {origin}"),
                    });
                }
            }
            self.push(Offer { public, certificate, by: SignedBy::Agent, origin });
        }
    }

    fn push(&mut self, offer: Offer) {
        // A certificate that an agent holds may be unknown to it under the plain key, hence both are compared.
        let known = self.list.iter().any(|one| {
            one.public.key_data() == offer.public.key_data() && one.certificate == offer.certificate
        });
        if !known {
            self.list.push(offer);
        }
    }
}

impl Findings {
    fn add(&mut self, offer: &Offer, outcome: &str) {
        self.tried.push(TriedKey {
            origin: offer.origin.clone(),
            key_type: key_type(&offer.public),
            fingerprint: fingerprint(&offer.public),
            outcome: outcome.to_owned(),
        });
    }

    fn skip(&mut self, offer: &Offer, outcome: &str) {
        self.add(offer, outcome);
    }

    fn note_agent(&mut self, path: &Path, reason: &str) {
        self.tried.push(TriedKey {
            origin: format!("agent at {}", path.display()),
            key_type: String::new(),
            fingerprint: String::new(),
            outcome: reason.to_owned(),
        });
    }

    fn set_methods(&mut self, methods: &[MethodKind]) {
        self.methods = methods.iter().map(|method| <&str>::from(method).to_owned()).collect();
    }
}

async fn best_rsa_hash(handle: &Handle<ClientHandler>) -> Option<HashAlg> {
    match handle.best_supported_rsa_hash().await {
        Ok(Some(hash)) => hash,
        // The server does not say: every server of the last ten years takes this one.
        Ok(None) | Err(_) => Some(HashAlg::Sha512),
    }
}

/// Signs one offer, wherever its private key is; called only when the server would accept the key.
struct OfferSigner<'a> {
    offer: &'a Offer,
    hash: Option<HashAlg>,
    agent: Option<&'a mut AgentClient<UnixStream>>,
    keys: &'a KeyFiles,
    asking: &'a AtomicBool,
}

#[derive(Debug)]
enum SignError {
    Send,
    Locked(UnlockError),
    Failed(String),
}

impl From<SendError> for SignError {
    fn from(_: SendError) -> Self {
        Self::Send
    }
}

impl Signer for OfferSigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        _hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        self.asking.store(true, Ordering::Relaxed);
        let signed = self.sign(identity, to_sign).await;
        self.asking.store(false, Ordering::Relaxed);
        signed
    }
}

impl OfferSigner<'_> {
    async fn sign(&mut self, identity: &AgentIdentity, mut to_sign: Vec<u8>) -> Result<Vec<u8>, SignError> {
        match &self.offer.by {
            SignedBy::Agent => {
                let Some(agent) = self.agent.as_mut() else {
                    return Err(SignError::Failed("the agent is gone".to_owned()));
                };
                // An agent that holds only the key does not know the certificate that lies in a file.
                let plain = AgentIdentity::from(self.offer.public.clone());
                let first = agent.sign_request(identity, self.hash, to_sign.clone()).await;
                let signed = match (first, identity) {
                    (Err(_), AgentIdentity::Certificate { .. }) => {
                        agent.sign_request(&plain, self.hash, to_sign).await
                    }
                    (result, _) => result,
                };
                signed.map_err(|error| SignError::Failed(format!("the agent did not sign: {error}")))
            }
            SignedBy::File(file) => {
                let key = self.keys.unlock(file).await.map_err(SignError::Locked)?;
                let signature = sign(&key, self.hash, &to_sign)
                    .map_err(|error| SignError::Failed(format!("it could not sign: {error}")))?;
                signature
                    .encode(&mut to_sign)
                    .map_err(|error| SignError::Failed(format!("it could not sign: {error}")))?;
                Ok(to_sign)
            }
        }
    }
}

fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Vec<u8>, russh::keys::ssh_key::Error> {
    let signature = match key.key_data() {
        KeypairData::Rsa(pair) => signature::Signer::try_sign(&(pair, hash), data)?,
        other => signature::Signer::try_sign(other, data)?,
    };
    let mut bytes = Vec::new();
    signature.encode(&mut bytes)?;
    Ok(bytes)
}
