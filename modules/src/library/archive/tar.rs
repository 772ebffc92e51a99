//! tar archives, read as a stream: POSIX ustar and pax (IEEE 1003.1, pax), GNU's long names.

use std::io::{self, Read};

use super::members::{Member, MemberKind, Visit};
use crate::Problem;

const BLOCK: usize = 512;
/// Longest name, link target or extended header, in bytes.
const TEXT_LIMIT: u64 = 1024 * 1024;

/// Whether a block may be the head of a member.
pub fn is_header(block: &[u8]) -> bool {
    block.len() >= BLOCK && checksum_fits(&block[..BLOCK])
}

/// Visits every member.
///
/// # Errors
/// When it is no tar archive, or ends in the middle; what the visitor returns.
pub fn read(reader: &mut dyn Read, visit: Visit<'_>) -> Result<(), Problem> {
    let mut extended = Extended::default();
    let mut first = true;
    loop {
        let mut block = [0; BLOCK];
        match fill(reader, &mut block).map_err(|error| unreadable(&error))? {
            0 if !first => return Ok(()),
            0 => return Err(Problem::new("the archive is empty")),
            BLOCK => {}
            _ => return Err(cut()),
        }
        if block == [0; BLOCK] {
            return Ok(());
        }
        if !checksum_fits(&block) {
            return Err(if first {
                Problem::new("it is no archive of a kind that is known")
                    .hint("tar, tar.gz, tar.xz, tar.zst, tar.bz2 and zip can be unpacked")
            } else {
                Problem::new("the archive is damaged: the head of a member does not fit its checksum")
            });
        }
        first = false;
        let kind = block[156];
        let mut size = number(&block[124..136])?;
        // What extends the next member is itself a member.
        if matches!(kind, b'L' | b'K' | b'x' | b'g') {
            let text = take_text(reader, size)?;
            match kind {
                b'L' => extended.name = Some(without_end(text)),
                b'K' => extended.target = Some(without_end(text)),
                b'x' => extended.read(&text)?,
                _ => {}
            }
            continue;
        }
        let extended = std::mem::take(&mut extended);
        if let Some(given) = extended.size {
            size = given;
        }
        let mode = u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0o644);
        let name = extended.name.unwrap_or_else(|| name(&block));
        let target = extended.target.unwrap_or_else(|| text(&block[157..257]));
        let kind = match kind {
            _ if extended.sparse => MemberKind::Special("sparse file"),
            b'0' | 0 | b'7' if name.ends_with(b"/") => MemberKind::Directory { mode },
            b'0' | 0 | b'7' => MemberKind::File { mode },
            b'1' => MemberKind::HardLink { target },
            b'2' => MemberKind::Link { target },
            b'3' => MemberKind::Special("character device"),
            b'4' => MemberKind::Special("block device"),
            b'5' => MemberKind::Directory { mode },
            b'6' => MemberKind::Special("pipe"),
            b'S' => MemberKind::Special("sparse file"),
            // A label of the archive.
            b'V' => {
                skip(reader, padded(size)?)?;
                continue;
            }
            _ => MemberKind::Special("member of an unknown kind"),
        };
        // Links say a size, too, and have no content.
        let size =
            if matches!(kind, MemberKind::HardLink { .. } | MemberKind::Link { .. }) { 0 } else { size };
        let rest = {
            let mut content = Content { reader, left: size, cut: false };
            let visited = visit(Member { name, kind }, &mut content);
            if content.cut {
                return Err(cut());
            }
            visited?;
            content.left
        };
        skip(reader, rest + padded(size)? - size)?;
    }
}

/// What comes before a member and extends it.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Extended {
    /// Reads `LENGTH KEY=VALUE\n` records.
    fn read(&mut self, mut text: &[u8]) -> Result<(), Problem> {
        let damaged = || Problem::new("the archive is damaged: an extended header makes no sense");
        while !text.is_empty() {
            let blank = text.iter().position(|&byte| byte == b' ').ok_or_else(damaged)?;
            let length: usize = std::str::from_utf8(&text[..blank])
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(damaged)?;
            let record = text.get(blank + 1..length).and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or_else(damaged)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.target = Some(value.to_owned()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(damaged)?);
                }
                _ if key.starts_with(b"GNU.sparse") => self.sparse = true,
                _ => {}
            }
            text = &text[length..];
        }
        Ok(())
    }
}

/// The content of one member.
struct Content<'a> {
    reader: &'a mut dyn Read,
    left: u64,
    cut: bool,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            self.cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn cut() -> Problem {
    Problem::new("the archive ends in the middle of a member; it was not transferred whole")
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::new(format!("reading the archive: {error}"))
}

/// Fills a buffer as far as there is something.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn skip(reader: &mut dyn Read, count: u64) -> Result<(), Problem> {
    let skipped = io::copy(&mut reader.take(count), &mut io::sink()).map_err(|error| unreadable(&error))?;
    if skipped == count { Ok(()) } else { Err(cut()) }
}

fn padded(size: u64) -> Result<u64, Problem> {
    size.checked_next_multiple_of(BLOCK as u64)
        .ok_or_else(|| Problem::new("the archive says an impossible size"))
}

fn take_text(reader: &mut dyn Read, size: u64) -> Result<Vec<u8>, Problem> {
    if size > TEXT_LIMIT {
        return Err(Problem::new("the archive has a name longer than any file system takes"));
    }
    let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
    if fill(reader, &mut text).map_err(|error| unreadable(&error))? < text.len() {
        return Err(cut());
    }
    skip(reader, padded(size)? - size)?;
    Ok(text)
}

fn without_end(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&0) {
        text.pop();
    }
    text
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> Vec<u8> {
    field[..field.iter().position(|&byte| byte == 0).unwrap_or(field.len())].to_owned()
}

fn name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&block[..100]);
    // POSIX; GNU's magic is followed by blanks and has no prefix.
    let prefix = if &block[257..263] == b"ustar\0" { text(&block[345..500]) } else { Vec::new() };
    if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
}

/// Octal digits, or GNU's base 256 where the first bit is set.
fn number(field: &[u8]) -> Result<u64, Problem> {
    let impossible = || Problem::new("the archive is damaged: a number in it makes no sense");
    if field[0] & 0x80 != 0 {
        let (first, rest) = (u64::from(field[0] & 0x7f), &field[1..]);
        return rest
            .iter()
            .try_fold(first, |number, &byte| number.checked_mul(256).map(|number| number + u64::from(byte)))
            .ok_or_else(impossible);
    }
    let digits = String::from_utf8_lossy(field);
    let digits = digits.trim_matches(['\0', ' ']);
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| impossible()) }
}

fn checksum_fits(block: &[u8]) -> bool {
    let Ok(given) = number(&block[148..156]) else { return false };
    let with = |value: fn(u8) -> i64| {
        let sum: i64 = block
            .iter()
            .enumerate()
            .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { value(byte) })
            .sum();
        sum == i64::try_from(given).unwrap_or(-1)
    };
    // Old programs added bytes as signed numbers.
    block[..BLOCK] != [0; BLOCK] && (with(i64::from) || with(|byte| i64::from(byte.cast_signed())))
}
