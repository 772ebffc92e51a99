//! Tests that cannot run here say so past the harness's capture; where CI asks for everything they fail.

use std::io::Write as _;

/// Reports a skipped test.
pub(crate) fn skipped(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI wants all tests to run: {reason}");
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
