//! Kernel parameters under /proc/sys.

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
};

use crate::{Doing, Problem};

/// As sysctl(8) does: dots part folders, and a slash stands for a dot within a name. A name written with
/// slashes first (`net/ipv4/conf/eth0.1/forwarding`) is a path already.
fn place(key: &str) -> PathBuf {
    let slash_first = key.find('/').is_some_and(|slash| key.find('.').is_none_or(|dot| slash < dot));
    let path: String = if slash_first {
        key.to_owned()
    } else {
        key.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    };
    PathBuf::from("/proc/sys").join(path)
}

pub(super) fn read(key: &str) -> Result<Option<String>, Problem> {
    match std::fs::read_to_string(place(key)) {
        Ok(text) => Ok(Some(text.split_whitespace().collect::<Vec<_>>().join(" "))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(format_args!("reading the kernel parameter {key}")),
    }
}

pub(super) fn set(key: &str, value: Option<&str>) -> Result<(), Problem> {
    // A parameter cannot be taken away; it stays as it is.
    let Some(value) = value else { return Ok(()) };
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).open(place(key))?;
        // The kernel takes a value only whole, in one call.
        let bytes = format!("{value}\n");
        file.write_all(bytes.as_bytes())
    };
    let doing = format!("setting the kernel parameter {key} to {value:?}");
    write().or_else(|error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => Err(read_only(&doing)),
        ErrorKind::PermissionDenied if rustix::process::geteuid().is_root() => Err(read_only(&doing)),
        ErrorKind::InvalidInput => Err(Problem::new(format!("{doing}: the kernel does not take this value"))
            .hint("the kernel's documentation of the parameter says which values it has")),
        _ => Err(error).doing(doing),
    })
}

fn read_only(doing: &str) -> Problem {
    Problem::new(format!("{doing}: it is read-only here")).hint(
        "in a container most parameters are those of its host and cannot be set; `apply: false` only writes the \
         file for the next boot",
    )
}
