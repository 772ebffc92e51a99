//! Reads known_hosts as OpenSSH does (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT); says which lines speak of a host.
//!
//! russh's own reader ignores `@revoked`, `@cert-authority`, wildcards, negation and tabs, and fails as a whole on one
//! line that it cannot decode.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ring::hmac;
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;

use crate::error::Place;
use crate::pattern;

/// One file, read.
///
/// Thousands of hosts look into files of thousands of lines: plain names are found by a map. A hashed name can only be
/// tried, line by line.
#[derive(Debug, Clone)]
pub(crate) struct KnownHostsFile {
    path: PathBuf,
    lines: Vec<Line>,
    /// Lines of plain names alone, by each of their names.
    plain: HashMap<Box<str>, Vec<usize>>,
    /// Lines with hashed names, wildcards or negations.
    tried: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Line {
    /// From 1.
    number: usize,
    marker: Marker,
    names: Names,
    /// Key type, base64 and comment, decoded only when the host matches.
    key: String,
}

/// Whom a line speaks of.
#[derive(Debug, Clone)]
enum Names {
    /// Plain names, which stand in the map.
    Plain,
    /// Patterns in lower case.
    Patterns(Vec<String>),
    Hashed {
        salted: hmac::Key,
        hash: [u8; 20],
    },
}

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// The host has this key.
    Key,
    /// This key signs the keys of the host.
    CertAuthority,
    /// This key must never be accepted.
    Revoked,
}

/// A line that speaks of the host that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub place: Place,
    pub marker: Marker,
    pub key: PublicKey,
}

impl KnownHostsFile {
    /// Reads text; lines that make no sense are passed over, as OpenSSH does.
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut file = Self::empty(path);
        for (index, line) in text.lines().enumerate() {
            let Some((line, names)) = Line::parse(index + 1, line) else { continue };
            let at = file.lines.len();
            match line.names {
                Names::Plain => {
                    for name in names {
                        let lines = file.plain.entry(name.into()).or_default();
                        // A name may stand twice in one line.
                        if lines.last() != Some(&at) {
                            lines.push(at);
                        }
                    }
                }
                Names::Patterns(_) | Names::Hashed { .. } => file.tried.push(at),
            }
            file.lines.push(line);
        }
        file
    }

    fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), lines: Vec::new(), plain: HashMap::new(), tried: Vec::new() }
    }

    /// Returns the lines that match a name (as [`lookup_name`] makes it), in order; keys that cannot be decoded are
    /// passed over.
    pub fn entries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let plain = self.plain.get(name).into_iter().flatten().copied();
        let tried = self.tried.iter().copied().filter(|&at| self.lines[at].names.match_by_trying(name));
        let mut found: Vec<usize> = plain.chain(tried).collect();
        found.sort_unstable();
        found.into_iter().filter_map(|at| {
            let line = &self.lines[at];
            Some(Entry {
                place: Place { file: self.path.clone(), line: line.number },
                marker: line.marker,
                key: PublicKey::from_openssh(&line.key).ok()?,
            })
        })
    }
}

impl Line {
    /// The line, and its names where all of them are plain.
    fn parse(number: usize, line: &str) -> Option<(Self, Vec<String>)> {
        let mut fields = line.split_ascii_whitespace().peekable();
        let marker = match *fields.peek()? {
            "@revoked" => Marker::Revoked,
            "@cert-authority" => Marker::CertAuthority,
            unknown if unknown.starts_with(['@', '#']) => return None,
            _ => Marker::Key,
        };
        if marker != Marker::Key {
            fields.next();
        }
        let (names, plain) = Names::of(fields.next()?.parse().ok()?);
        // The fields are joined by one blank each: the key's reader knows no tabs.
        let key = format!("{} {}", fields.next()?, fields.next()?);
        Some((Self { number, marker, names, key }, plain))
    }
}

impl Names {
    fn of(hosts: HostPatterns) -> (Self, Vec<String>) {
        match hosts {
            HostPatterns::Patterns(patterns) => {
                let patterns: Vec<String> = patterns.iter().map(|one| one.to_ascii_lowercase()).collect();
                if patterns.iter().any(|one| one.contains(['*', '?', '!'])) {
                    (Self::Patterns(patterns), Vec::new())
                } else {
                    (Self::Plain, patterns)
                }
            }
            HostPatterns::HashedName { salt, hash } => {
                let salted = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
                (Self::Hashed { salted, hash }, Vec::new())
            }
        }
    }

    fn match_by_trying(&self, name: &str) -> bool {
        match self {
            Self::Plain => false,
            Self::Patterns(patterns) => pattern::matches_list(patterns.iter().map(String::as_str), name),
            Self::Hashed { salted, hash } => hmac::verify(salted, name.as_bytes(), hash).is_ok(),
        }
    }
}

/// Makes the name under which a host stands in known_hosts: `host`, or `[host]:port` for another port than 22.
pub(crate) fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == crate::endpoint::DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// Says whether the host field of a line matches a name.
pub(crate) fn hosts_match(hosts: HostPatterns, name: &str) -> bool {
    let (names, plain) = Names::of(hosts);
    plain.iter().any(|one| one == name) || names.match_by_trying(name)
}

/// Hides a name as `HashKnownHosts` does.
pub(crate) fn hash_name(name: &str) -> Result<HostPatterns, ring::error::Unspecified> {
    let mut salt = [0; 20];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut salt)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    let tag = hmac::sign(&key, name.as_bytes());
    let mut hash = [0; 20];
    hash.copy_from_slice(tag.as_ref());
    Ok(HostPatterns::HashedName { salt: salt.to_vec(), hash })
}

/// Keeps files that were read, so that a thousand hosts read and parse known_hosts once.
#[derive(Debug, Default)]
pub(crate) struct KnownHostsCache {
    files: Mutex<HashMap<PathBuf, (Stamp, Arc<KnownHostsFile>)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl KnownHostsCache {
    /// Reads a file, or returns it as it was read before if it has not changed; a missing file is an empty one.
    ///
    /// # Errors
    /// The file is there but cannot be read.
    pub fn read(&self, path: &Path) -> io::Result<Arc<KnownHostsFile>> {
        use std::os::unix::fs::MetadataExt;

        let stamp = match std::fs::metadata(path) {
            Ok(metadata) => {
                Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Arc::new(KnownHostsFile::empty(path)));
            }
            Err(error) => return Err(error),
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, file)) = files.get(path)
            && *known == stamp
        {
            return Ok(Arc::clone(file));
        }
        // Comments may be in any encoding; names and keys are ASCII.
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let file = Arc::new(KnownHostsFile::parse(path, &text));
        files.insert(path.to_owned(), (stamp, Arc::clone(&file)));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

    fn found(text: &str, name: &str) -> Vec<(usize, Marker)> {
        KnownHostsFile::parse(Path::new("known_hosts"), text)
            .entries(name)
            .map(|entry| (entry.place.line, entry.marker))
            .collect()
    }

    #[test]
    fn plain_names_ports_lists_and_wildcards() {
        let text = format!(
            "web1,10.0.0.1 {ED25519} a comment with # and blanks\n\
             [web1]:2222 {ED25519}\n\
             *.example.com,!db.example.com\t{ED25519}\n\
             WEB9 {ED25519}\n"
        );
        assert_eq!(found(&text, "web1"), [(1, Marker::Key)]);
        assert_eq!(found(&text, "10.0.0.1"), [(1, Marker::Key)]);
        assert_eq!(found(&text, &lookup_name("web1", 2222)), [(2, Marker::Key)]);
        assert_eq!(found(&text, "web.example.com"), [(3, Marker::Key)]);
        assert_eq!(found(&text, "db.example.com"), []);
        assert_eq!(found(&text, &lookup_name("Web9", 22)), [(4, Marker::Key)]);
        assert_eq!(found(&text, "web"), []);
    }

    #[test]
    fn hashed_names_of_openssh_are_found() {
        // Recorded: `ssh-keygen -H` of OpenSSH 9.2 over a line for `example.org`.
        let (hashed, plain) = (recorded_hash(), "example.org");
        let text = format!("{hashed} {ED25519}\n");
        assert_eq!(found(&text, plain), [(1, Marker::Key)]);
        assert_eq!(found(&text, "example.com"), []);
    }

    fn recorded_hash() -> &'static str {
        "|1|Pw7k41AndIZZ1VNg9GE3tR2saSc=|0BxsM7c1bj1ZuukvoNyJETcpfMA="
    }

    #[test]
    fn own_hashes_are_found() {
        let hashed = hash_name("[web1]:2222").unwrap();
        assert!(hosts_match(hashed.clone(), "[web1]:2222"));
        assert!(!hosts_match(hashed.clone(), "web1"));
        assert!(hosts_match(hashed.to_string().parse().unwrap(), "[web1]:2222"));
    }

    #[test]
    fn plain_names_hashes_and_patterns_are_found_in_the_order_of_the_file() {
        let hashed = hash_name("web1").unwrap().to_string();
        let text = format!(
            "web* {ED25519}\nweb1,WEB1,10.0.0.1 {ED25519}\n{hashed} {ED25519}\nweb1,!web2 {ED25519}\nweb1 {OTHER}\n"
        );
        let keys = [1, 2, 3, 4, 5].map(|line| (line, Marker::Key));
        assert_eq!(found(&text, "web1"), keys);
        assert_eq!(found(&text, "web2"), [(1, Marker::Key)]);
    }

    #[test]
    fn markers_comments_and_rubbish() {
        let text = format!(
            "# web1 {ED25519}\n\
             \n\
             web1 ssh-ed25519 not*base64\n\
             web1\n\
             @revoked web1 {OTHER}\n\
             @cert-authority *.lan,web1 {OTHER}\n\
             @something web1 {OTHER}\n\
             web1 ssh-rsa AAAA\n\
             |1|broken web1 {ED25519}\n\
             \tweb1\t{ED25519}\r\n"
        );
        assert_eq!(
            found(&text, "web1"),
            [(5, Marker::Revoked), (6, Marker::CertAuthority), (10, Marker::Key)]
        );
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let cache = KnownHostsCache::default();
        assert_eq!(cache.read(&path).unwrap().entries("web1").count(), 0);
        std::fs::write(&path, format!("web1 {ED25519}\n")).unwrap();
        let first = cache.read(&path).unwrap();
        assert_eq!(first.entries("web1").count(), 1);
        assert!(Arc::ptr_eq(&first, &cache.read(&path).unwrap()));
        std::fs::write(
            &path,
            b"\xff\xfe comment\nweb2 ".iter().chain(ED25519.as_bytes()).copied().collect::<Vec<_>>(),
        )
        .unwrap();
        assert_eq!(cache.read(&path).unwrap().entries("web2").count(), 1);
    }
}
