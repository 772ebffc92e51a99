//! The members of an archive as a reader meets them, and where they belong.

use std::io::Read;

use crate::Problem;

/// One member, its name as it stands in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes, with slashes.
    pub name: Vec<u8>,
    pub kind: MemberKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    File {
        mode: u32,
    },
    Directory {
        mode: u32,
    },
    Link {
        target: Vec<u8>,
    },
    /// Another name of a member before it.
    HardLink {
        target: Vec<u8>,
    },
    /// What is never made: a device, a pipe, …
    Special(&'static str),
}

/// Takes one member after the other; the reader gives the content of a file.
pub type Visit<'a> = &'a mut dyn FnMut(Member, &mut dyn Read) -> Result<(), Problem>;

/// A name for a person, on one line.
pub fn show(name: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(name).chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Where a member belongs below the destination, after leading components were taken away; none: nowhere.
///
/// # Errors
/// When it would lead out of the destination.
pub fn place(name: &[u8], strip: usize) -> Result<Option<Vec<u8>>, Problem> {
    if name.starts_with(b"/") {
        return Err(refused(name, "has an absolute name"));
    }
    if name.contains(&0) {
        return Err(refused(name, "has a NUL byte in its name"));
    }
    let parts: Vec<&[u8]> =
        name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err(refused(name, "has a `..` in its name"));
    }
    let left = parts.get(strip..).unwrap_or_default();
    Ok((!left.is_empty()).then(|| left.join(&b'/')))
}

/// Refuses a link that leads out of the destination; `path` is where it is put.
///
/// # Errors
/// When it leads out.
pub fn check_link(path: &[u8], target: &[u8]) -> Result<(), Problem> {
    if target.is_empty() || target.contains(&0) {
        return Err(refused(path, "is a link to nothing"));
    }
    let mut depth = path.iter().filter(|&&byte| byte == b'/').count();
    let out = || refused(path, &format!("is a link to {}, out of the destination", show(target)));
    if target.starts_with(b"/") {
        return Err(out());
    }
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1).ok_or_else(out)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

fn refused(name: &[u8], why: &str) -> Problem {
    Problem::new(format!("the archive's member {:?} {why}; nothing was unpacked", show(name)))
        .hint("an archive is only unpacked where all of it stays below the destination")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_stripped() {
        let at = |name: &str, strip| place(name.as_bytes(), strip).unwrap().map(|path| show(&path));
        assert_eq!(at("./a//b/./c", 0).as_deref(), Some("a/b/c"));
        assert_eq!(at("a/b/c", 2).as_deref(), Some("c"));
        assert_eq!(at("a/b", 2), None);
        assert_eq!(at("./", 0), None);
        for name in ["/etc/passwd", "../x", "a/../../x", "a/..", "a\0b"] {
            assert!(place(name.as_bytes(), 0).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let check = |path: &str, target: &str| check_link(path.as_bytes(), target.as_bytes());
        for (path, target) in [("a/b", "../c"), ("a", "b/../c"), ("a/b/c", "../../d"), ("l", ".")] {
            check(path, target).unwrap();
        }
        for (path, target) in
            [("a", "../c"), ("a/b", "../../c"), ("a", "/etc"), ("a", "b/../../c"), ("a", "")]
        {
            assert!(check(path, target).is_err(), "{path} -> {target}");
        }
    }
}
