//! Changes known_hosts: adds a key, or replaces the keys of a host. Several processes may do so at once.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;

use crate::known_hosts::{Entry, KnownHostsFile, Marker, hash_name, hosts_match};

/// Adds a key unless the host has one by now; returns the keys that it had under the lock.
///
/// The file is made with mode 0600 and its folder with 0700 where they are missing.
pub(crate) fn add(path: &Path, name: &str, key: &PublicKey, hashed: bool) -> io::Result<Vec<Entry>> {
    let mut file = open_locked(path)?;
    let bytes = read_all(&mut file)?;
    let text = String::from_utf8_lossy(&bytes);
    let present: Vec<Entry> = KnownHostsFile::parse(path, &text)
        .entries(name)
        .filter(|entry| entry.marker == Marker::Key)
        .collect();
    if !present.is_empty() {
        return Ok(present);
    }
    let mut addition = line(name, key, hashed)?;
    if !text.is_empty() && !text.ends_with('\n') {
        addition.insert(0, '\n');
    }
    // One write in append mode: whole even if this process is killed at once.
    file.write_all(addition.as_bytes())?;
    file.sync_all()?;
    Ok(Vec::new())
}

/// Makes `key` the only key of a host in this file and returns the keys that went.
///
/// Lines for this host alone go; from lines for several hosts only this name goes. Lines with wildcards or
/// markers stay. The new file replaces the old one in one step.
pub(crate) fn replace(path: &Path, name: &str, key: &PublicKey, hashed: bool) -> io::Result<Vec<Entry>> {
    let mut file = open_locked(path)?;
    let bytes = read_all(&mut file)?;
    let gone: Vec<Entry> = KnownHostsFile::parse(path, &String::from_utf8_lossy(&bytes))
        .entries(name)
        .filter(|entry| entry.marker == Marker::Key && entry.key.key_data() != key.key_data())
        .collect();
    let mut kept = Vec::with_capacity(bytes.len());
    for old in bytes.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(old) {
            Ok(text) => kept.extend(without_host(text, name).unwrap_or_default().as_bytes()),
            // A comment in another encoding: stays as it is.
            Err(_) => kept.extend(old),
        }
    }
    if kept.last().is_some_and(|byte| *byte != b'\n') {
        kept.push(b'\n');
    }
    kept.extend(line(name, key, hashed)?.as_bytes());

    // A link is followed, or the rename would replace the link.
    let target = path.canonicalize()?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(&kept)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    temporary.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    Ok(gone)
}

fn line(name: &str, key: &PublicKey, hashed: bool) -> io::Result<String> {
    let key = PublicKey::from(key.key_data().clone()).to_openssh().map_err(io::Error::other)?;
    let name = if hashed {
        hash_name(name).map_err(|_| io::Error::other("no random numbers"))?.to_string()
    } else {
        name.to_owned()
    };
    Ok(format!("{name} {}\n", key.trim_end()))
}

/// Returns a line without a host's name, `None` if nothing of it is left.
fn without_host(old: &str, name: &str) -> Option<String> {
    let trimmed = old.trim_start();
    let Some(field) = trimmed.split_ascii_whitespace().next() else { return Some(old.to_owned()) };
    if field.starts_with(['#', '@']) {
        return Some(old.to_owned());
    }
    match field.parse::<HostPatterns>() {
        Ok(hashed @ HostPatterns::HashedName { .. }) => (!hosts_match(hashed, name)).then(|| old.to_owned()),
        Ok(HostPatterns::Patterns(patterns)) => {
            if !patterns.iter().any(|pattern| pattern.eq_ignore_ascii_case(name)) {
                return Some(old.to_owned());
            }
            let rest: Vec<&str> = patterns
                .iter()
                .filter(|pattern| !pattern.eq_ignore_ascii_case(name))
                .map(String::as_str)
                .collect();
            // What is left must still name somebody; a list of negations alone does not.
            if rest.iter().all(|pattern| pattern.starts_with('!')) {
                return None;
            }
            Some(trimmed.replacen(field, &rest.join(","), 1))
        }
        Err(_) => Some(old.to_owned()),
    }
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens the file for appending under an exclusive lock, making it and its folder where they are missing.
fn open_locked(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    loop {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        file.lock()?;
        // Whoever held the lock may have put a new file in its place.
        let (locked, named) = (file.metadata()?, std::fs::metadata(path)?);
        if (locked.dev(), locked.ino()) == (named.dev(), named.ino()) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> PublicKey {
        let data = russh::keys::ssh_key::public::Ed25519PublicKey([number; 32]);
        PublicKey::from(russh::keys::ssh_key::public::KeyData::Ed25519(data))
    }

    fn keys_of(path: &Path, name: &str) -> Vec<PublicKey> {
        let text = std::fs::read_to_string(path).unwrap();
        KnownHostsFile::parse(path, &text).entries(name).map(|entry| entry.key).collect()
    }

    #[test]
    fn a_missing_folder_is_made_for_the_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".ssh/known_hosts");
        assert_eq!(add(&path, "web1", &key(1), false).unwrap(), []);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(keys_of(&path, "web1"), [key(1)]);
    }

    #[test]
    fn a_host_that_has_a_key_gets_no_second_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("known_hosts");
        std::fs::write(&path, "# no newline at the end").unwrap();
        add(&path, "web1", &key(1), true).unwrap();
        let present = add(&path, "web1", &key(2), true).unwrap();
        assert_eq!(present.len(), 1);
        assert_eq!(present[0].place.line, 2);
        assert_eq!(keys_of(&path, "web1"), [key(1)]);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("web1"));
    }

    #[test]
    fn many_writers_at_once_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("known_hosts");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let name = format!("web{number}");
                    if number % 4 == 0 {
                        replace(path, &name, &key(number), false).unwrap();
                    } else {
                        add(path, &name, &key(number), false).unwrap();
                    }
                });
            }
        });
        for number in 0..16 {
            assert_eq!(keys_of(&path, &format!("web{number}")), [key(number)]);
        }
    }

    #[test]
    fn replacing_keeps_other_hosts_comments_and_markers() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("known_hosts");
        let (one, two) = (key(1).to_openssh().unwrap(), key(2).to_openssh().unwrap());
        let hashed = hash_name("web1").unwrap().to_string();
        std::fs::write(
            &path,
            format!(
                "# web1\nweb1,10.0.0.1 {one} of both\nweb1 {two}\n{hashed} {two}\n@revoked web1 {two}\n\
                 *.lan {one}\n[web1]:2222 {one}\nrubbish\n"
            ),
        )
        .unwrap();
        let gone = replace(&path, "web1", &key(3), false).unwrap();
        assert_eq!(gone.iter().map(|entry| entry.place.line).collect::<Vec<_>>(), [2, 3, 4]);
        let three = key(3).to_openssh().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!(
                "# web1\n10.0.0.1 {one} of both\n@revoked web1 {two}\n*.lan {one}\n[web1]:2222 {one}\nrubbish\n\
                 web1 {three}\n"
            )
        );
    }
}
