//! `secrets.yaml`: names anyone can read, values only those who hold a key.
//!
//! ```yaml
//! recipients: [age1…, "ssh-ed25519 AAAA… anna@desk"]   # who can read new values
//! db_password: age:YWdlLWVuY3J5cHRpb24ub3Jn…           # base64 of the age file
//! ```
//!
//! A value may also be the armored text of an age file. The identity that decrypts is, in this order: the
//! file (or the `AGE-SECRET-KEY-…` itself) in `CM_AGE_IDENTITY`, `secrets.identity` of `cm.toml`, `~/.config/cm/age.txt`. It holds
//! X25519 keys, or is an SSH key without passphrase. Values are decrypted when a template first asks for them.

mod crypt;
mod edit;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cm_syntax::{Diagnostic, Diagnostics, Sources, Span, Spanned, Yaml, parse_collecting};
use cm_wire::Secret;
use minijinja::{
    Value,
    value::{Enumerator, Object},
};

pub use crypt::{EncryptError, decrypt, encrypt};
pub use edit::{SecretsFileError, set_secret};

/// The file of a repository that holds its secrets.
pub const SECRETS_FILE: &str = "secrets.yaml";
const RECIPIENTS: &str = "recipients";

/// All secrets of a repository, decrypted one by one when they are asked for.
#[derive(Debug, Default)]
pub struct Secrets {
    entries: BTreeMap<Arc<str>, Entry>,
    recipients: Vec<Spanned<String>>,
    identity: Option<Spanned<PathBuf>>,
    identities: OnceLock<Result<crypt::Identities, Diagnostic>>,
}

#[derive(Debug)]
struct Entry {
    span: Span,
    ciphertext: Vec<u8>,
    value: OnceLock<Result<Secret, Diagnostic>>,
}

impl Secrets {
    /// Reads the secrets of the repository at `root`; none where it has no file of them.
    ///
    /// `identity` and `recipients` are those of `cm.toml`.
    pub fn load(
        root: &Path,
        identity: Option<Spanned<PathBuf>>,
        recipients: &[Spanned<String>],
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut secrets = Self { identity, recipients: recipients.to_vec(), ..Self::default() };
        if !root.join(SECRETS_FILE).exists() {
            return secrets;
        }
        let file = match sources.read(root, Path::new(SECRETS_FILE)) {
            Ok(file) => file,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return secrets;
            }
        };
        let Some(node) = parse_collecting(sources, file, diagnostics) else { return secrets };
        let entries = match &node.value {
            Yaml::Map(entries) => entries.as_slice(),
            Yaml::Null => &[],
            _ => {
                let message = format!("`{SECRETS_FILE}` must be a map, not {}", node.described());
                diagnostics.push(Diagnostic::error(message).at(node.span, "`name: age:…` was expected"));
                &[]
            }
        };
        for entry in entries {
            if entry.key.value == RECIPIENTS {
                let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
                let texts =
                    items.iter().filter_map(|item| Some(Spanned::new(item.as_text()?.to_owned(), item.span)));
                secrets.recipients.extend(texts);
                continue;
            }
            match crypt::read(&entry.value) {
                Ok(ciphertext) => {
                    let value = Entry { span: entry.value.span, ciphertext, value: OnceLock::new() };
                    secrets.entries.insert(entry.key.value.as_str().into(), value);
                }
                Err(message) => {
                    let message = format!("secret `{}` {message}", entry.key.value);
                    diagnostics.push(
                        Diagnostic::error(message)
                            .at(entry.value.span, "")
                            .hint(format!("`cm secrets set {}` encrypts a value", entry.key.value)),
                    );
                    // The name is known all the same: what uses it is not wrong.
                    let value =
                        Entry { span: entry.value.span, ciphertext: Vec::new(), value: OnceLock::new() };
                    secrets.entries.insert(entry.key.value.as_str().into(), value);
                }
            }
        }
        for recipient in &secrets.recipients {
            if let Err(error) = crypt::parse_recipient(&recipient.value) {
                diagnostics.push(Diagnostic::error(error.to_string()).at(recipient.span, ""));
            }
        }
        secrets
    }

    /// Names of all secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|name| -> &str { name })
    }

    /// Who new values are encrypted for.
    #[must_use]
    pub fn recipients(&self) -> &[Spanned<String>] {
        &self.recipients
    }

    /// The value of a secret; none where there is no such secret.
    ///
    /// # Errors
    /// That no key is at hand, or none that opens it.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    pub fn get(&self, name: &str) -> Option<Result<Secret, Diagnostic>> {
        let entry = self.entries.get(name)?;
        let value = entry.value.get_or_init(|| {
            let identities = self.identities.get_or_init(|| crypt::Identities::find(self.identity.as_ref()));
            let identities = identities.as_ref().map_err(Clone::clone)?;
            identities.open(&entry.ciphertext).map_err(|message| {
                Diagnostic::error(format!("secret `{name}` cannot be decrypted"))
                    .at(entry.span, "encrypted here")
                    .caused_by(message)
                    .hint(format!("the key used is {}", identities.origin()))
            })
        });
        Some(value.clone())
    }
}

/// `secrets` in the templates of one host; remembers which were used, for redaction.
#[derive(Debug)]
pub(crate) struct SecretsObject {
    secrets: Arc<Secrets>,
    used: Mutex<BTreeSet<Arc<str>>>,
    failures: Mutex<Vec<Diagnostic>>,
}

impl SecretsObject {
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, used: Mutex::default(), failures: Mutex::default() }
    }

    /// Every secret that was asked for so far.
    pub fn used(&self) -> Vec<Secret> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter().filter_map(|name| self.secrets.get(name)?.ok()).collect()
    }

    /// Why secrets could not be had, since the last call.
    pub fn take_failures(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Object for SecretsObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self.secrets.get(key)? {
            Ok(secret) => {
                self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into());
                Some(Value::from(secret.expose()))
            }
            Err(diagnostic) => {
                let message = diagnostic.message.clone();
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(diagnostic);
                Some(Value::from(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.secrets.names().map(Value::from).collect())
    }
}
