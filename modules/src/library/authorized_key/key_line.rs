//! Lines of an authorized_keys file, as sshd(8) reads them.

/// A public key with its options and comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyLine {
    /// `command="…",no-pty`, empty for none.
    pub(super) options: String,
    /// `ssh-ed25519`, …
    pub(super) kind: String,
    /// The key in base64: what tells one key from another.
    pub(super) blob: String,
    /// What follows it.
    pub(super) comment: String,
}

impl KeyLine {
    /// Reads a line; none for blank lines, comments and what sshd(8) would not take for a key either.
    pub(super) fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let words = words(line);
        let at = words.iter().position(|(_, word)| is_kind(word))?;
        // Options are one word; sshd takes nothing else before the kind.
        if at > 1 {
            return None;
        }
        let (blob_at, blob) = words.get(at + 1)?;
        Some(Self {
            options: if at == 0 { String::new() } else { words[0].1.to_owned() },
            kind: words[at].1.to_owned(),
            blob: (*blob).to_owned(),
            comment: line[blob_at + blob.len()..].trim().to_owned(),
        })
    }

    /// Reads a key that somebody wrote, strictly.
    ///
    /// # Errors
    /// A fragment that says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.lines().count() > 1 {
            return Err("holds several lines; write a list of keys".into());
        }
        if text.contains("PRIVATE KEY") {
            return Err("is a private key; the public one is in the file that ends in .pub".into());
        }
        let Some(key) = Self::read(text) else {
            return Err(format!("wants a public key such as \"ssh-ed25519 AAAA… anna@desk\", not {text:?}"));
        };
        // The kind stands inside the key once more: a cut or mistyped key shows here, not at the login.
        let kind = decode(&key.blob).and_then(|bytes| {
            let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
            let kind = bytes.get(4..4 + length)?;
            (bytes.len() > 4 + length).then(|| String::from_utf8_lossy(kind).into_owned())
        });
        match kind {
            Some(kind) if kind == key.kind => Ok(key),
            Some(kind) => Err(format!("is damaged: it says {} and holds a key of kind {kind:?}", key.kind)),
            None => Err(format!("is damaged: {:?} is not a whole key in base64", key.blob)),
        }
    }

    /// The line without its newline.
    pub(super) fn show(&self) -> String {
        let words = [&self.options, &self.kind, &self.blob, &self.comment];
        words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|start| word.starts_with(start))
}

/// The words of a line with their places; blanks within double quotes do not part them.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let (mut start, mut quoted, mut escaped) = (None, false, false);
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                start.get_or_insert(at);
            }
            ' ' | '\t' if !quoted => {
                if let Some(start) = start.take() {
                    words.push((start, &line[start..at]));
                }
            }
            _ => {
                start.get_or_insert(at);
            }
        }
    }
    if let Some(start) = start {
        words.push((start, &line[start..]));
    }
    words
}

/// Base64 (RFC 4648) with its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) || text.is_empty() {
        return None;
    }
    let body = text.trim_end_matches('=');
    if text.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in body.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q";

    #[test]
    fn lines_are_taken_apart() {
        let plain = KeyLine::read(&format!("  ssh-ed25519 {KEY}  anna at desk ")).unwrap();
        assert_eq!(
            (plain.options.as_str(), plain.blob.as_str(), plain.comment.as_str()),
            ("", KEY, "anna at desk")
        );
        let options = r#"command="echo \"a b\" ssh-rsa",no-pty"#;
        let line = format!("{options} ssh-ed25519 {KEY}");
        let key = KeyLine::read(&line).unwrap();
        assert_eq!(
            (key.options.as_str(), key.kind.as_str(), key.comment.as_str()),
            (options, "ssh-ed25519", "")
        );
        assert_eq!(key.show(), line);
        for other in ["", "# ssh-ed25519 AAAA", "ssh-ed25519", "a b ssh-rsa AAAA", "nonsense"] {
            assert_eq!(KeyLine::read(other), None, "{other}");
        }
    }

    #[test]
    fn damaged_keys_are_refused() {
        assert!(KeyLine::parse(&format!("ssh-ed25519 {KEY}")).is_ok());
        for (text, error) in [
            (format!("ssh-rsa {KEY}"), "is damaged: it says ssh-rsa"),
            (format!("ssh-ed25519 {}", &KEY[..20]), "is damaged"),
            (format!("ssh-ed25519 {}", &KEY[..21]), "not a whole key"),
            (KEY.to_owned(), "wants a public key"),
            (format!("ssh-ed25519 {KEY}\nssh-ed25519 {KEY}"), "several lines"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "private key"),
        ] {
            let got = KeyLine::parse(&text).unwrap_err();
            assert!(got.contains(error), "{text}: {got}");
        }
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode("aGVsbG8h"), Some(b"hello!".to_vec()));
        for bad in ["", "a", "aGVsbG8", "a===", "a*==", "=aaa"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
