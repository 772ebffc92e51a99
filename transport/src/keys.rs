//! Private key files: read once, decrypted once, asked for once.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key, load_public_key};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// A passphrase; wiped from memory when dropped.
pub type Passphrase = Zeroizing<String>;

/// Asks a person for the passphrase of a key file; `None` means that there is nobody to ask or that they declined.
///
/// It is called at most once for a key, and only when a server has said that it would accept the key and no agent
/// holds it.
pub type AskPassphrase =
    Arc<dyn Fn(PathBuf) -> Pin<Box<dyn Future<Output = Option<Passphrase>> + Send>> + Send + Sync>;

/// All key files that were used so far.
#[derive(Clone)]
pub(crate) struct KeyFiles {
    files: Arc<Mutex<HashMap<PathBuf, Arc<KeyFile>>>>,
    ask: Option<AskPassphrase>,
}

/// One key file.
pub(crate) struct KeyFile {
    path: PathBuf,
    public: PublicKey,
    certificate: Option<Certificate>,
    secret: Secret,
    unlocked: OnceCell<Result<Arc<PrivateKey>, UnlockError>>,
}

enum Secret {
    /// Usable at once.
    Plain(Arc<PrivateKey>),
    /// Text of the file, still encrypted.
    Encrypted(Zeroizing<String>),
    /// The file holds a public key only: an agent must sign.
    Elsewhere,
}

/// Why a key file cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyFileError {
    /// There is none.
    Missing,
    /// The reason in words.
    Unusable(String),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}

/// Why a key could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnlockError {
    /// Nobody gave a passphrase.
    NoPassphrase,
    /// It was the wrong one.
    WrongPassphrase,
    /// The file holds only the public key.
    NoSecret,
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPassphrase => "it is encrypted and nobody gave its passphrase",
            Self::WrongPassphrase => "it is encrypted and the passphrase is wrong",
            Self::NoSecret => "the file holds only the public key and no agent has the private one",
        })
    }
}

impl KeyFiles {
    /// Makes an empty collection.
    pub fn new(ask: Option<AskPassphrase>) -> Self {
        Self { files: Arc::default(), ask }
    }

    /// Reads a file, or returns it as it was read before.
    ///
    /// # Errors
    /// The file is missing, unreadable, open to others, or no key. Such results are not kept.
    pub async fn load(&self, path: &Path) -> Result<Arc<KeyFile>, KeyFileError> {
        if let Some(file) = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Arc::clone(file));
        }
        let read = {
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || KeyFile::read(&path))
                .await
                .map_err(|error| KeyFileError::Unusable(error.to_string()))??
        };
        // Two hosts may have read it at once: the first entry stays, so that both share one question.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(files.entry(path.to_owned()).or_insert_with(|| Arc::new(read))))
    }

    /// Returns the private key, asking for its passphrase where it needs one; asks once.
    ///
    /// # Errors
    /// No or a wrong passphrase; the answer stays the same for later calls.
    pub async fn unlock(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, UnlockError> {
        let text = match &file.secret {
            Secret::Plain(key) => return Ok(Arc::clone(key)),
            Secret::Elsewhere => return Err(UnlockError::NoSecret),
            Secret::Encrypted(text) => text,
        };
        file.unlocked
            .get_or_init(|| async {
                let Some(ask) = &self.ask else { return Err(UnlockError::NoPassphrase) };
                let passphrase = ask(file.path.clone()).await.ok_or(UnlockError::NoPassphrase)?;
                let text = text.clone();
                // bcrypt takes a tenth of a second of CPU on purpose.
                tokio::task::spawn_blocking(move || decode_secret_key(&text, Some(&passphrase)))
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .map(Arc::new)
                    .ok_or(UnlockError::WrongPassphrase)
            })
            .await
            .clone()
    }
}

impl KeyFile {
    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the certificate that lies beside the key (`KEY-cert.pub`).
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unusable = |reason: String| KeyFileError::Unusable(reason);
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Missing),
            Err(error) => return Err(unusable(error.to_string())),
        };
        if !metadata.is_file() {
            return Err(unusable("it is not a file".to_owned()));
        }
        let text =
            Zeroizing::new(std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?);
        let certificate = certificate_beside(path);
        if let Ok(public) = load_public_key(path) {
            let secret = Secret::Elsewhere;
            return Ok(Self {
                path: path.to_owned(),
                public,
                certificate,
                secret,
                unlocked: OnceCell::new(),
            });
        }
        // As ssh does: a key of ours that others can read is no secret any more.
        let mode = metadata.mode() & 0o7777;
        if metadata.uid() == rustix::process::getuid().as_raw() && mode & 0o077 != 0 {
            return Err(unusable(format!("its mode {mode:04o} is too open; a private key must be 0600")));
        }
        let (public, secret) = if let Ok(key) = PrivateKey::from_openssh(text.as_bytes())
            && key.is_encrypted()
        {
            (key.public_key().clone(), Secret::Encrypted(text))
        } else {
            match decode_secret_key(&text, None) {
                Ok(key) => (key.public_key().clone(), Secret::Plain(Arc::new(key))),
                Err(error) => {
                    if !text.contains("ENCRYPTED") {
                        return Err(unusable(format!("it is not a private key that can be read ({error})")));
                    }
                    // PEM hides the public key too; it stands in the file beside it.
                    let public = load_public_key(with_suffix(path, ".pub")).map_err(|_| {
                        unusable("it is encrypted in PEM form and there is no .pub file beside it".to_owned())
                    })?;
                    (public, Secret::Encrypted(text))
                }
            }
        };
        Ok(Self { path: path.to_owned(), public, certificate, secret, unlocked: OnceCell::new() })
    }
}

/// Reads a user certificate.
pub(crate) fn read_certificate(path: &Path) -> Option<Certificate> {
    let text = std::fs::read_to_string(path).ok()?;
    Certificate::from_openssh(text.trim()).ok()
}

fn certificate_beside(path: &Path) -> Option<Certificate> {
    // For a file that is a public key itself, `ssh` looks beside the private one.
    let name = path.to_str().and_then(|name| name.strip_suffix(".pub")).map_or(path, Path::new);
    read_certificate(&with_suffix(name, "-cert.pub"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
