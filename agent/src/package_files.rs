//! Which package a unit's file came with.

use std::path::Path;

use cm_modules::Node;

/// The longest list of a package's files that is read, in bytes.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The file a unit was loaded from; none where there is none.
pub fn fragment(node: &dyn Node, unit: &str) -> Option<String> {
    let units = node.units(&[unit.to_owned()]).ok()?;
    Some(units.get(unit)?.fragment.clone()).filter(|path| !path.is_empty())
}

/// Whether a file belongs to a package, as dpkg knows it.
pub fn belongs(node: &dyn Node, file: &str, package: &str) -> bool {
    // The same file where /lib is a link to /usr/lib.
    let other = file.strip_prefix("/usr").unwrap_or(file);
    let list = Path::new("/var/lib/dpkg/info").join(format!("{package}.list"));
    let text = node.read(&list, LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(|line| line == file || line == other)
}
