//! The contents that an agent has asked for, as frames: several small ones in one write, large ones piece by piece.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_plan::ContentSource;
use cm_wire::{Digest, Piece, ToAgent, encode};

/// Contents travel in pieces of this many bytes; about as many are written at once.
const PIECE: usize = 256 * 1024;

/// What is asked for and not sent yet.
pub(super) struct Outgoing {
    contents: Arc<HashMap<Digest, ContentSource>>,
    asked: VecDeque<Digest>,
    /// The content of which a part was sent.
    begun: Option<Begun>,
    /// Frames to send; empty until filled.
    pub(super) frames: Vec<u8>,
    piece: Vec<u8>,
}

enum Begun {
    Bytes { digest: Digest, sent: usize },
    File { digest: Digest, file: File, path: PathBuf },
}

impl Outgoing {
    pub(super) fn of(contents: Arc<HashMap<Digest, ContentSource>>) -> Self {
        Self { contents, asked: VecDeque::new(), begun: None, frames: Vec::new(), piece: Vec::new() }
    }

    pub(super) fn ask(&mut self, digest: Digest) {
        self.asked.push_back(digest);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.begun.is_none()
    }

    /// Whether filling reads files, which may take its time.
    pub(super) fn reads(&self) -> bool {
        let file = |digest: &Digest| matches!(self.contents.get(digest), Some(ContentSource::File(_)));
        match &self.begun {
            Some(Begun::File { .. }) => true,
            Some(Begun::Bytes { .. }) => false,
            None => self.asked.iter().any(file),
        }
    }

    /// Makes the next frames, in place of those that were sent.
    ///
    /// # Errors
    /// When one cannot be made; pieces always can.
    pub(super) fn fill(&mut self) -> std::io::Result<()> {
        self.frames.clear();
        while self.frames.len() < PIECE {
            let begun = match self.begun.take() {
                Some(begun) => begun,
                None => match self.asked.pop_front() {
                    Some(digest) => match self.begin(digest) {
                        Ok(begun) => begun,
                        Err(reason) => {
                            self.refuse(digest, reason)?;
                            continue;
                        }
                    },
                    None => break,
                },
            };
            self.begun = self.go_on(begun)?;
        }
        if self.is_empty() {
            // The next time may be long from now.
            self.piece = Vec::new();
        }
        Ok(())
    }

    fn begin(&self, digest: Digest) -> Result<Begun, String> {
        match self.contents.get(&digest) {
            Some(ContentSource::Bytes(_)) => Ok(Begun::Bytes { digest, sent: 0 }),
            Some(ContentSource::File(path)) => match File::open(path) {
                Ok(file) => Ok(Begun::File { digest, file, path: path.clone() }),
                Err(error) => Err(unreadable(path, &error)),
            },
            None => Err("it is not part of this host's catalog".to_owned()),
        }
    }

    /// Adds the next piece of a content; what is left of it.
    fn go_on(&mut self, begun: Begun) -> std::io::Result<Option<Begun>> {
        match begun {
            Begun::Bytes { digest, sent } => {
                let Some(ContentSource::Bytes(bytes)) = self.contents.get(&digest) else { return Ok(None) };
                let end = bytes.len().min(sent + PIECE);
                let last = end == bytes.len();
                push(&mut self.frames, digest, &bytes[sent..end], last)?;
                Ok((!last).then_some(Begun::Bytes { digest, sent: end }))
            }
            Begun::File { digest, file, path } => {
                self.piece.clear();
                self.piece.reserve(PIECE);
                match (&file).take(PIECE as u64).read_to_end(&mut self.piece) {
                    Ok(count) => {
                        // A full piece may be the last one: an empty one tells it then.
                        let last = count < PIECE;
                        push(&mut self.frames, digest, &self.piece, last)?;
                        Ok((!last).then_some(Begun::File { digest, file, path }))
                    }
                    Err(error) => self.refuse(digest, unreadable(&path, &error)).map(|()| None),
                }
            }
        }
    }

    fn refuse(&mut self, digest: Digest, reason: String) -> std::io::Result<()> {
        let frame = encode(&ToAgent::NoContent { digest, reason }).map_err(std::io::Error::other)?;
        self.frames.extend(frame);
        Ok(())
    }
}

fn push(frames: &mut Vec<u8>, digest: Digest, bytes: &[u8], last: bool) -> std::io::Result<()> {
    Piece { digest, bytes, last }.push(frames).map_err(std::io::Error::other)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cm_wire::decode;

    /// What an agent gets for these: contents by digest, or the reason why not; and the number of writes.
    fn sent(outgoing: &mut Outgoing) -> (HashMap<Digest, Result<Vec<u8>, String>>, usize) {
        let (mut got, mut arriving, mut writes) = (HashMap::new(), HashMap::<_, Vec<u8>>::new(), 0);
        while !outgoing.is_empty() {
            outgoing.fill().unwrap();
            writes += 1;
            let mut rest = &outgoing.frames[..];
            while let Some((message, used)) = decode(rest).unwrap() {
                rest = &rest[used..];
                match message {
                    ToAgent::Content { digest, bytes, last } => {
                        arriving.entry(digest).or_default().extend(bytes);
                        if last {
                            got.insert(digest, Ok(arriving.remove(&digest).unwrap()));
                        }
                    }
                    ToAgent::NoContent { digest, reason } => {
                        got.insert(digest, Err(reason));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(rest.is_empty(), "frames are whole");
        }
        (got, writes)
    }

    #[test]
    fn small_contents_go_together_and_large_ones_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let (mut contents, mut wanted) = (HashMap::new(), HashMap::new());
        for size in [0, 1, 5, 2000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7] {
            for file in [false, true] {
                let bytes = vec![size as u8 ^ u8::from(file) ^ 0x55; size + usize::from(file)];
                let digest = Digest::of(&bytes);
                let source = if file {
                    let path = folder.path().join(size.to_string());
                    std::fs::write(&path, &bytes).unwrap();
                    ContentSource::File(path)
                } else {
                    ContentSource::Bytes(bytes.clone().into())
                };
                contents.insert(digest, source);
                wanted.insert(digest, bytes);
            }
        }
        let lost = Digest::of(b"lost");
        contents.insert(lost, ContentSource::File(folder.path().join("lost")));
        let foreign = Digest::of(b"foreign");
        let mut outgoing = Outgoing::of(Arc::new(contents));
        assert!(outgoing.is_empty() && !outgoing.reads());
        wanted.keys().chain([&lost, &foreign]).for_each(|digest| outgoing.ask(*digest));
        assert!(outgoing.reads());
        let (mut got, writes) = sent(&mut outgoing);
        assert!(got.remove(&lost).unwrap().unwrap_err().contains("lost: No such file"));
        assert!(got.remove(&foreign).unwrap().unwrap_err().contains("not part"));
        let total: usize = wanted.values().map(Vec::len).sum();
        assert!(writes <= total / PIECE + 1, "{writes} writes");
        assert_eq!(got, wanted.into_iter().map(|(digest, bytes)| (digest, Ok(bytes))).collect());
    }
}
