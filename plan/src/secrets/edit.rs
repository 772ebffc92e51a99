//! Writing one value into `secrets.yaml` without touching the rest of it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::SECRETS_FILE;

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SecretsFileError {
    /// Reading or writing failed.
    #[error("cannot change {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It cannot be a key of the file, nor a word in templates.
    #[error("`{0}` cannot be the name of a secret: letters, digits and `_`")]
    Name(String),
}

/// Puts an encrypted value (as `encrypt` gives it) under a name into the `secrets.yaml` of a repository, which
/// is made where there is none; every other line stays as it is.
///
/// # Errors
/// When the name cannot be one, or the file cannot be read or written; it is then as it was.
pub fn set_secret(root: &Path, name: &str, encrypted: &str) -> Result<(), SecretsFileError> {
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name != super::RECIPIENTS;
    if !good {
        return Err(SecretsFileError::Name(name.to_owned()));
    }
    let path = root.join(SECRETS_FILE);
    let failed = |source| SecretsFileError::Io { path: path.clone(), source };
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let new = replace(&old, name, encrypted);
    let temporary = path.with_extension("yaml.new");
    std::fs::write(&temporary, new).map_err(failed)?;
    std::fs::rename(&temporary, &path).map_err(failed)
}

/// The text with the value of a top-level key replaced (its continuation lines too), or the key added at the end.
fn replace(text: &str, name: &str, value: &str) -> String {
    let mut new = String::with_capacity(text.len() + value.len());
    let mut done = false;
    let mut skipping = false;
    for line in text.split_inclusive('\n') {
        let continues = line.starts_with([' ', '\t']) || line.trim().is_empty();
        if skipping && continues && !line.trim().is_empty() {
            continue;
        }
        skipping = false;
        let key = line.split_once(':').map(|(key, _)| key.trim_end().trim_matches(['"', '\'']));
        if key == Some(name) && !line.starts_with([' ', '#']) {
            new.push_str(&format!("{name}: {value}\n"));
            done = true;
            skipping = true;
        } else {
            new.push_str(line);
        }
    }
    if !done {
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        new.push_str(&format!("{name}: {value}\n"));
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_value_changes() {
        let old = "# ours\nrecipients: [age1x]\na: |\n  -----BEGIN\n  x\nb: age:2 # two\n";
        assert_eq!(replace(old, "a", "age:1"), "# ours\nrecipients: [age1x]\na: age:1\nb: age:2 # two\n");
        assert_eq!(replace(old, "c", "age:3"), format!("{old}c: age:3\n"));
        assert_eq!(replace("a: age:1", "b", "age:2"), "a: age:1\nb: age:2\n");
    }
}
