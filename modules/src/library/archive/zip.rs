//! zip archives, read by their central directory (APPNOTE.TXT of PKWARE); stored and deflated members.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::bufread::DeflateDecoder;

use super::crc32::Crc32;
use super::members::{Member, MemberKind, Visit};
use crate::{Problem, node::Source};

/// Longest end of an archive that is searched for its directory: the record and the longest comment.
const END_LIMIT: u64 = 22 + 65_535;
/// Largest directory, in bytes.
const DIRECTORY_LIMIT: u64 = 512 * 1024 * 1024;
/// Longest target of a link.
const TARGET_LIMIT: u64 = 4096;

/// Visits every member.
///
/// # Errors
/// When it is damaged, or has members of a kind that cannot be read; what the visitor returns.
pub fn read(source: &mut Source, visit: Visit<'_>) -> Result<(), Problem> {
    let directory = directory(source)?;
    let mut rest = &directory[..];
    while let Some(head) = rest.get(..46).filter(|head| head.starts_with(b"PK\x01\x02")) {
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(head, at)));
        let end = 46 + lengths.iter().sum::<usize>();
        let Some(record) = rest.get(..end) else { return Err(damaged()) };
        let name = &record[46..46 + lengths[0]];
        let extra = &record[46 + lengths[0]..46 + lengths[0] + lengths[1]];
        member(source, head, name, extra, visit)?;
        rest = &rest[end..];
    }
    Ok(())
}

fn member(
    source: &mut Source,
    head: &[u8],
    name: &[u8],
    extra: &[u8],
    visit: Visit<'_>,
) -> Result<(), Problem> {
    let shown = super::members::show(name);
    if u16_at(head, 8) & 1 != 0 {
        return Err(Problem::new(format!("the archive's member {shown:?} is encrypted")));
    }
    let mut size = u64::from(u32_at(head, 24));
    let mut packed = u64::from(u32_at(head, 20));
    let mut offset = u64::from(u32_at(head, 42));
    large_numbers(extra, [&mut size, &mut packed, &mut offset])?;
    // Made on a system with Unix modes; else only "directory" and "read-only" are known.
    let attributes = if head[5] == 3 { u32_at(head, 38) >> 16 } else { 0 };
    let mode = attributes & 0o7777;
    let kind = match attributes & 0o170_000 {
        _ if name.ends_with(b"/") => MemberKind::Directory { mode: if mode == 0 { 0o755 } else { mode } },
        0o040_000 => MemberKind::Directory { mode },
        0 | 0o100_000 => MemberKind::File { mode: if mode == 0 { 0o644 } else { mode } },
        0o120_000 => MemberKind::Link { target: Vec::new() },
        _ => MemberKind::Special("special file"),
    };
    let mut local = [0; 30];
    let found = source.seek(SeekFrom::Start(offset)).and_then(|_| source.read_exact(&mut local));
    found.map_err(|_| damaged())?;
    if !local.starts_with(b"PK\x03\x04") {
        return Err(damaged());
    }
    let skipped = i64::from(u16_at(&local, 26)) + i64::from(u16_at(&local, 28));
    source.seek(SeekFrom::Current(skipped)).map_err(|_| damaged())?;
    let packed = io::BufReader::with_capacity(64 * 1024, source).take(packed);
    let content: Box<dyn Read> = match u16_at(head, 10) {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        method => {
            return Err(Problem::new(format!(
                "the archive's member {shown:?} is packed by method {method}, which is not known"
            ))
            .hint("pack it by `zip` as it is by default"));
        }
    };
    let mut content = Checked { content, crc: Crc32::new(), expected: u32_at(head, 16), left: size };
    let kind = match kind {
        MemberKind::Link { .. } => {
            let mut target = Vec::new();
            (&mut content)
                .take(TARGET_LIMIT)
                .read_to_end(&mut target)
                .map_err(|error| Problem::new(format!("reading the archive's member {shown:?}: {error}")))?;
            MemberKind::Link { target }
        }
        kind => kind,
    };
    visit(Member { name: name.to_owned(), kind }, &mut content)
}

/// A content that must be as long as it was said to be, and undamaged.
struct Checked<'a> {
    content: Box<dyn Read + 'a>,
    crc: Crc32,
    expected: u32,
    left: u64,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
        let count = self.content.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(wrong)?;
        self.crc.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && (self.left > 0 || self.crc.sum() != self.expected) {
            return Err(wrong());
        }
        Ok(count)
    }
}

/// The central directory.
fn directory(source: &mut Source) -> Result<Vec<u8>, Problem> {
    let all = source.seek(SeekFrom::End(0)).map_err(|_| damaged())?;
    let start = all.saturating_sub(END_LIMIT);
    let mut end = Vec::new();
    source.seek(SeekFrom::Start(start)).map_err(|_| damaged())?;
    source.take(END_LIMIT).read_to_end(&mut end).map_err(|_| damaged())?;
    let at = end.windows(22).rposition(|window| window.starts_with(b"PK\x05\x06")).ok_or_else(cut)?;
    let record = &end[at..];
    let (mut size, mut offset) = (u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
    // The locator of a large archive's record stands right before.
    if let Some(locator) = at.checked_sub(20).map(|at| &end[at..at + 20])
        && locator.starts_with(b"PK\x06\x07")
    {
        let mut large = [0; 56];
        let found = source
            .seek(SeekFrom::Start(u64_at(locator, 8)))
            .and_then(|_| source.read_exact(&mut large))
            .is_ok();
        if !found || !large.starts_with(b"PK\x06\x06") {
            return Err(damaged());
        }
        (size, offset) = (u64_at(&large, 40), u64_at(&large, 48));
    }
    if size > DIRECTORY_LIMIT || offset.checked_add(size).is_none_or(|end| end > all) {
        return Err(damaged());
    }
    let mut directory = vec![0; usize::try_from(size).map_err(|_| damaged())?];
    source
        .seek(SeekFrom::Start(offset))
        .and_then(|_| source.read_exact(&mut directory))
        .map_err(|_| damaged())?;
    Ok(directory)
}

/// Numbers that do not fit 32 bits stand in an extra field, in this order, each only where it did not fit.
fn large_numbers(mut extra: &[u8], numbers: [&mut u64; 3]) -> Result<(), Problem> {
    while extra.len() >= 4 {
        let end = 4 + usize::from(u16_at(extra, 2));
        let field = extra.get(4..end).ok_or_else(damaged)?;
        if u16_at(extra, 0) == 1 {
            let mut values = field.chunks_exact(8);
            for number in numbers {
                if *number == u64::from(u32::MAX) {
                    *number = u64_at(values.next().ok_or_else(damaged)?, 0);
                }
            }
            return Ok(());
        }
        extra = &extra[end..];
    }
    Ok(())
}

fn damaged() -> Problem {
    Problem::new("the archive is damaged: its directory makes no sense")
}

fn cut() -> Problem {
    Problem::new("the archive has no directory at its end; it was not transferred whole")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
