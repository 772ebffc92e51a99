//! age: who can read, and the two forms an encrypted value has in the file.

use std::{
    fmt,
    io::{Read as _, Write as _},
    path::PathBuf,
    str::FromStr as _,
};

use age::{Identity, Recipient, ssh, x25519};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use cm_syntax::{Diagnostic, Node, Spanned};
use cm_wire::Secret;

/// Names the environment variable that holds an identity or the path of one.
const VARIABLE: &str = "CM_AGE_IDENTITY";
const PREFIX: &str = "age:";
const ARMOR: (&str, &str) = ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----");
/// A secret larger than this is not a secret but a file.
const LARGEST: u64 = 1024 * 1024;

/// Why a value was not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// Nobody could read it.
    #[error("there is nobody to encrypt for: `recipients` of secrets.yaml or cm.toml is empty")]
    NoRecipients,
    /// Not a public key.
    #[error("`{0}` is neither an age recipient (age1…) nor a public SSH key (ssh-ed25519, ssh-rsa)")]
    Recipient(String),
    /// age could not do it.
    #[error("age could not encrypt")]
    Age(#[source] age::EncryptError),
    /// Writing to memory failed.
    #[error("age could not encrypt")]
    Write(#[source] std::io::Error),
}

pub(super) fn parse_recipient(text: &str) -> Result<Box<dyn Recipient + Send>, EncryptError> {
    let text = text.trim();
    if let Ok(recipient) = x25519::Recipient::from_str(text) {
        return Ok(Box::new(recipient));
    }
    match ssh::Recipient::from_str(text) {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(_) => Err(EncryptError::Recipient(text.to_owned())),
    }
}

/// Encrypts a value for these recipients, as `age:…` to be written to the file.
///
/// # Errors
/// When there are no recipients, or one is not a public key.
pub fn encrypt<'a>(
    value: &Secret,
    recipients: impl IntoIterator<Item = &'a str>,
) -> Result<String, EncryptError> {
    let recipients: Vec<Box<dyn Recipient + Send>> =
        recipients.into_iter().map(parse_recipient).collect::<Result<_, _>>()?;
    if recipients.is_empty() {
        return Err(EncryptError::NoRecipients);
    }
    let encryptor = age::Encryptor::with_recipients(
        recipients.iter().map(|recipient| -> &dyn Recipient { &**recipient }),
    )
    .map_err(EncryptError::Age)?;
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes).map_err(EncryptError::Write)?;
    writer.write_all(value.expose().as_bytes()).map_err(EncryptError::Write)?;
    writer.finish().map_err(EncryptError::Write)?;
    Ok(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

/// Decrypts a value as it stands in the file (`age:…` or armored) with one identity file's text.
///
/// # Errors
/// A fragment that says why not.
pub fn decrypt(value: &str, identity: &str) -> Result<Secret, String> {
    let bytes = decode(value)?;
    Identities::parse(identity, "the given key")?.open(&bytes)
}

/// The encrypted bytes of a value of the file.
pub(super) fn read(node: &Node) -> Result<Vec<u8>, String> {
    match node.as_text() {
        Some(text) => decode(text),
        None => Err(format!("wants an encrypted string, not {}", node.kind())),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let encoded: String = if let Some(encoded) = text.strip_prefix(PREFIX) {
        encoded.split_whitespace().collect()
    } else if let Some(rest) = text.strip_prefix(ARMOR.0) {
        let body = rest.strip_suffix(ARMOR.1).ok_or("is cut off: its last line is missing")?;
        body.split_whitespace().collect()
    } else {
        return Err("stands here in clear text".into());
    };
    BASE64_STANDARD.decode(encoded).map_err(|_| "is not base64 after `age:`".into())
}

/// Keys that decrypt, and where they came from.
pub(super) struct Identities {
    keys: Vec<Box<dyn Identity + Send + Sync>>,
    origin: String,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Identities {
    /// Looks for them where the module's documentation says.
    #[expect(clippy::result_large_err, reason = "made once")]
    pub fn find(configured: Option<&Spanned<PathBuf>>) -> Result<Self, Diagnostic> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        if let Ok(text) = std::env::var(VARIABLE)
            && !text.is_empty()
        {
            if text.trim_start().starts_with("AGE-SECRET-KEY-") {
                return Self::parse(&text, &format!("that in ${VARIABLE}")).map_err(|message| {
                    Diagnostic::error(format!("${VARIABLE} holds no usable key")).caused_by(message)
                });
            }
            return Self::file(expand(PathBuf::from(text), home.as_ref()), None);
        }
        if let Some(path) = configured {
            return Self::file(expand(path.value.clone(), home.as_ref()), Some(path));
        }
        let default = home.map(|home| home.join(".config/cm/age.txt"));
        match default.filter(|path| path.exists()) {
            Some(path) => Self::file(path, None),
            None => Err(Diagnostic::error("secrets are needed, and there is no key to read them")
                .hint(format!("set {VARIABLE} to the path of an age identity, or `secrets.identity` in cm.toml"))
                .hint("`age-keygen -o ~/.config/cm/age.txt` makes one; its public half belongs into `recipients` of secrets.yaml")),
        }
    }

    #[expect(clippy::result_large_err, reason = "made once")]
    fn file(path: PathBuf, configured: Option<&Spanned<PathBuf>>) -> Result<Self, Diagnostic> {
        let failed = |message: String| {
            let diagnostic =
                Diagnostic::error(format!("cannot use the key `{}`", path.display())).caused_by(message);
            match configured {
                Some(configured) => diagnostic.at(configured.span, "named here"),
                None => diagnostic,
            }
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let text = error.to_string();
            failed(text.split(" (os error").next().unwrap_or_default().to_lowercase())
        })?;
        Self::parse(&text, &path.display().to_string()).map_err(failed)
    }

    fn parse(text: &str, origin: &str) -> Result<Self, String> {
        let origin = origin.to_owned();
        if text.contains("-----BEGIN") {
            let identity =
                ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|error| error.to_string())?;
            return match identity {
                ssh::Identity::Unencrypted(_) => Ok(Self { keys: vec![Box::new(identity)], origin }),
                ssh::Identity::Encrypted(_) => {
                    Err("this SSH key has a passphrase; keys without one can be used".into())
                }
                ssh::Identity::Unsupported(_) => {
                    Err("age cannot use SSH keys of this kind; ed25519 and rsa can be used".into())
                }
            };
        }
        let mut keys: Vec<Box<dyn Identity + Send + Sync>> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let key = x25519::Identity::from_str(line)
                .map_err(|error| format!("a line is not an age identity: {error}"))?;
            keys.push(Box::new(key));
        }
        if keys.is_empty() { Err("it holds no key".into()) } else { Ok(Self { keys, origin }) }
    }

    /// Where the keys came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Decrypts an age file.
    pub fn open(&self, ciphertext: &[u8]) -> Result<Secret, String> {
        let decryptor = age::Decryptor::new(ciphertext).map_err(|error| error.to_string())?;
        let keys = self.keys.iter().map(|key| -> &dyn Identity { &**key });
        let reader = decryptor.decrypt(keys).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => "it was not encrypted for this key".to_owned(),
            other => other.to_string(),
        })?;
        let mut text = String::new();
        reader.take(LARGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(Secret::new(text))
    }
}

fn expand(path: PathBuf, home: Option<&PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_for_a_key_is_opened_by_it_and_by_no_other() {
        use age::secrecy::ExposeSecret as _;
        let (mine, other) = (x25519::Identity::generate(), x25519::Identity::generate());
        let text = encrypt(&Secret::new("geheim\n".into()), [mine.to_public().to_string().as_str()]).unwrap();
        assert!(text.starts_with("age:") && !text.contains("geheim"));
        let key = mine.to_string();
        assert_eq!(decrypt(&text, key.expose_secret()).unwrap().expose(), "geheim\n");
        let other = other.to_string();
        assert_eq!(decrypt(&text, other.expose_secret()).unwrap_err(), "it was not encrypted for this key");
    }

    #[test]
    fn clear_text_and_damage_are_told() {
        assert_eq!(decode("hunter2").unwrap_err(), "stands here in clear text");
        assert!(decode("age:%%").is_err());
        assert!(matches!(encrypt(&Secret::new("x".into()), []), Err(EncryptError::NoRecipients)));
        assert!(matches!(
            encrypt(&Secret::new("x".into()), ["age1nonsense"]),
            Err(EncryptError::Recipient(_))
        ));
    }
}
