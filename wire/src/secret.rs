//! Values that must not be shown: they print as `[secret]` and are taken out of every outgoing string.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A text that is sent but never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Marks a text as secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that must use it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Replaces secrets in texts that leave the process.
#[derive(Clone, Default)]
pub struct Redactor(Vec<String>);

impl Redactor {
    /// Makes one for these secrets. Texts of fewer than three bytes are not replaced: taking every
    /// `1` out of an output would hide nothing and ruin everything. A secret of several lines is
    /// also replaced line by line, because diffs cut texts at lines.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut words = Vec::new();
        for secret in secrets {
            words.push(secret.0.clone());
            words.extend(secret.0.lines().map(|line| line.trim().to_owned()));
        }
        words.retain(|word| word.len() >= 3);
        // The longest first, so that a secret that holds another is replaced whole.
        words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        words.dedup();
        Self(words)
    }

    /// Whether there is anything to replace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with every secret replaced by `[secret]`.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut result = Cow::Borrowed(text);
        for word in &self.0 {
            if result.contains(word.as_str()) {
                result = Cow::Owned(result.replace(word.as_str(), "[secret]"));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_secrets_and_single_lines_of_them() {
        let secrets = [Secret::new("hunter2\nsecond line".into()), Secret::new("hunter2-long".into())];
        let redactor = Redactor::new(&secrets);
        assert_eq!(redactor.apply("a hunter2-long b"), "a [secret] b");
        assert_eq!(redactor.apply("+hunter2"), "+[secret]");
        assert_eq!(redactor.apply("nothing"), "nothing");
        assert_eq!(format!("{:?}", secrets[0]), "[secret]");
    }
}
