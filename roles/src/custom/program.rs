//! The program of a module, as far as the controller looks at it: that a node can execute it.

use std::{io::Read as _, os::unix::fs::PermissionsExt as _, path::Path};

use cm_syntax::{Diagnostic, Diagnostics};
use cm_wire::{ContentRef, Digest};

use super::MODULES;

/// Bytes of a program.
const LARGEST: u64 = 64 * 1024 * 1024;

pub(super) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Reads the program of a module; what keeps a node from executing it is told.
pub(super) fn read(
    path: &Path,
    name: &str,
    files: &[String],
    diagnostics: &mut Diagnostics,
) -> Option<ContentRef> {
    let shown = format!("{MODULES}/{name}");
    let wrong = |message: String, hint: &str| Some(Diagnostic::error(message).hint(hint));
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("the module `{name}` has no program `{shown}`");
            let other = files.iter().find(|file| {
                file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest != ".yaml")
            });
            let diagnostic = Diagnostic::error(message).caused_by(error.to_string().to_lowercase());
            diagnostics.push(match other {
                Some(other) => diagnostic.hint(format!("rename `{MODULES}/{other}` to `{shown}`")),
                None => diagnostic
                    .hint(format!("`{shown}` is an executable file beside its declaration `{shown}.yaml`")),
            });
            return None;
        }
    };
    let problem = if !found.is_file() {
        wrong(format!("`{shown}` is not a file"), "a module is a program and its declaration beside it")
    } else if found.len() > LARGEST {
        wrong(format!("`{shown}` has {} bytes", found.len()), "a module's program has at most 64 MiB")
    } else if !is_executable(path) {
        wrong(format!("`{shown}` is not executable"), &format!("`chmod +x {shown}`"))
    } else {
        None
    };
    if let Some(problem) = problem {
        diagnostics.push(problem);
        return None;
    }
    let mut bytes = Vec::new();
    if let Err(error) = std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        diagnostics.push(Diagnostic::error(format!("cannot read `{shown}`")).caused_by(error.to_string()));
        return None;
    }
    if let Some((message, hint)) = not_executed(&bytes) {
        diagnostics.push(Diagnostic::error(format!("`{shown}` {message}")).hint(hint));
        return None;
    }
    Some(ContentRef { digest: Digest::of(&bytes), size: bytes.len() as u64 })
}

/// Why no kernel would execute this.
fn not_executed(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"\x7fELF") {
        return None;
    }
    let Some(line) = bytes.strip_prefix(b"#!") else {
        return Some((
            "is neither a script nor a binary that Linux can execute",
            "a script begins with its interpreter: `#!/bin/sh`",
        ));
    };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Some(("has Windows line ends", "no node has an interpreter whose name ends with \\r"));
    }
    let path = line.trim_ascii_start();
    (!path.starts_with(b"/")).then_some((
        "names no interpreter by its path",
        "write `#!/bin/sh`, `#!/usr/bin/python3` or the like",
    ))
}
