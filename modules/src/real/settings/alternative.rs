//! Link groups of update-alternatives(1): its own files for looks, the program for changes.

use std::{fs, io::ErrorKind, path::Path, time::Instant};

use super::tool;
use crate::{Doing, Problem, real::Real};

pub(super) fn read(name: &str) -> Result<Option<String>, Problem> {
    let place = Path::new("/var/lib/dpkg/alternatives").join(name);
    let text = match fs::read(&place) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(format_args!("reading {}", place.display())),
    };
    let mode = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mode = if mode == b"manual" { "manual" } else { "auto" };
    let link = Path::new("/etc/alternatives").join(name);
    let target = match fs::read_link(&link) {
        Ok(target) => target,
        // A group whose links somebody broke selects nothing.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            return Ok(Some(mode.to_owned()));
        }
        Err(error) => return Err(error).doing(format_args!("reading {}", link.display())),
    };
    Ok(Some(format!("{mode} {}", target.display())))
}

pub(super) fn set(real: &Real, name: &str, value: Option<&str>, deadline: Instant) -> Result<(), Problem> {
    let doing = format!("selecting an alternative of {name}");
    let run = |argv: &[&str]| tool::run(real, &doing, argv, None, deadline);
    match value.map(|value| value.split_once(' ').unwrap_or((value, ""))) {
        None if read(name)?.is_none() => Ok(()),
        None => run(&["update-alternatives", "--quiet", "--remove-all", name]),
        Some(("manual", path)) => run(&["update-alternatives", "--quiet", "--set", name, path]),
        Some(_) => run(&["update-alternatives", "--quiet", "--auto", name]),
    }
}
