//! What was unpacked, as the node remembers it: a text of one line a path.
//!
//! Names are bytes; everything but printable ASCII stands as `\xNN`.

use cm_wire::Digest;

use super::entries::{Entries, Entry, EntryKind};

/// The first line; another version is read as none.
const HEAD: &str = "cm archive 1\n";
/// The whole of one that a plan writes for an archive it cannot read.
const UNREAD: &str = "cm archive, unread\n";

/// What a manifest says.
#[derive(Debug, PartialEq, Eq)]
pub enum Manifest {
    /// These paths were unpacked.
    Known(Entries),
    /// In a plan: whatever the archive holds would have been unpacked.
    Unread,
}

impl Manifest {
    pub fn write(&self) -> Vec<u8> {
        let Self::Known(entries) = self else { return UNREAD.into() };
        let mut text = HEAD.to_owned();
        for (path, entry) in entries {
            let path = escape(path);
            let member = entry.member;
            text.push_str(&match &entry.kind {
                EntryKind::Directory { mode: Some(mode) } => format!("d {member} {mode:04o} {path}\n"),
                EntryKind::Directory { mode: None } => format!("d {member} - {path}\n"),
                EntryKind::File { mode, digest, size } => {
                    format!("f {member} {mode:04o} {digest} {size} {path}\n")
                }
                EntryKind::Link { target } => format!("l {member} {} {path}\n", escape(target)),
            });
        }
        text.into_bytes()
    }

    /// None where it is not whole or of another version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if text == UNREAD {
            return Some(Self::Unread);
        }
        let mut entries = Entries::new();
        for line in text.strip_prefix(HEAD)?.lines() {
            let mut fields = line.split(' ');
            let kind = fields.next()?;
            let member = fields.next()?.parse().ok()?;
            let kind = match kind {
                "d" => match fields.next()? {
                    "-" => EntryKind::Directory { mode: None },
                    mode => EntryKind::Directory { mode: Some(u32::from_str_radix(mode, 8).ok()?) },
                },
                "f" => EntryKind::File {
                    mode: u32::from_str_radix(fields.next()?, 8).ok()?,
                    digest: fields.next()?.parse::<Digest>().ok()?,
                    size: fields.next()?.parse().ok()?,
                },
                "l" => EntryKind::Link { target: unescape(fields.next()?)? },
                _ => return None,
            };
            entries.insert(unescape(fields.next()?)?, Entry { kind, member });
        }
        text.ends_with('\n').then_some(Self::Known(entries))
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'\\' {
            text.push(byte as char);
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest[at..].strip_prefix("\\x")?.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_whatever_the_names() {
        let file = |mode| EntryKind::File { mode, digest: Digest::of(b"x"), size: 7 };
        let entries: Entries = [
            (b"a b\n\\x41".to_vec(), file(0o755)),
            (b"\xff\xfe'".to_vec(), EntryKind::Link { target: b"\\ \n".to_vec() }),
            (b"d".to_vec(), EntryKind::Directory { mode: Some(0o700) }),
            (b"e".to_vec(), EntryKind::Directory { mode: None }),
        ]
        .into_iter()
        .enumerate()
        .map(|(member, (path, kind))| (path, Entry { kind, member }))
        .collect();
        let manifest = Manifest::Known(entries);
        let text = manifest.write();
        assert!(text.is_ascii());
        assert_eq!(Manifest::read(&text).unwrap(), manifest);
        assert_eq!(Manifest::read(&Manifest::Unread.write()).unwrap(), Manifest::Unread);
        // One cut anywhere within a line is none at all.
        for cut in 0..text.len() {
            if text[..cut].ends_with(b"\n") {
                continue;
            }
            assert_eq!(Manifest::read(&text[..cut]), None, "{cut}");
        }
    }
}
