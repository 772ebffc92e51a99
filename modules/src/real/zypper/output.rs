//! What zypper prints with `--xmlout`, read.

use std::collections::{BTreeMap, BTreeSet};

use crate::real::manager::{Database, Simulated};

/// A package as zypper names it.
pub(super) struct Solvable {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
}

/// The names that /etc/zypp/locks locks.
pub(super) fn locked(text: &str) -> BTreeSet<String> {
    let name = |line: &str| line.strip_prefix("solvable_name:").map(|name| name.trim().to_owned());
    text.lines().filter_map(name).collect()
}

/// The value of an attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let end = tag[start..].find('"')?;
    Some(unescape(&tag[start..start + end]))
}

fn unescape(text: &str) -> String {
    let entities = [("&apos;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

fn solvable(tag: &str) -> Option<Solvable> {
    let kind = attribute(tag, "type").or_else(|| attribute(tag, "kind"))?;
    (kind == "package").then_some(())?;
    Some(Solvable {
        name: attribute(tag, "name")?,
        version: attribute(tag, "edition")?,
        architecture: attribute(tag, "arch")?,
    })
}

/// Every tag of a text, without its brackets.
fn tags(text: &str) -> impl Iterator<Item = &str> {
    text.split('<').skip(1).filter_map(|rest| rest.split('>').next())
}

/// Every package of the answer to a search.
pub(super) fn solvables(text: &str) -> impl Iterator<Item = Solvable> {
    tags(text).filter(|tag| tag.starts_with("solvable ")).filter_map(solvable)
}

/// Reads what an installation would do.
pub(super) fn summary(text: &str, native: &Database) -> Simulated {
    let mut found = Simulated::default();
    let mut going = false;
    for tag in tags(text) {
        match tag {
            "to-remove" => going = true,
            "to-install" | "to-upgrade" | "to-downgrade" | "to-reinstall" | "to-change-arch"
            | "to-change-vendor" => going = false,
            tag if tag.starts_with("solvable ") => {
                let Some(Solvable { name, version, architecture }) = solvable(tag) else { continue };
                let name = native.shown(&name, &architecture);
                if going {
                    found.removed.insert(name);
                } else {
                    found.installed.insert(name, version);
                }
            }
            _ => {}
        }
    }
    found
}

/// What is wrong, in one line.
pub(super) fn reason(text: &str) -> Option<String> {
    let after = |mark: &str| {
        let start = text.find(mark)? + mark.len();
        text[start..].split(['\n', '<']).next().map(|line| unescape(line.trim()))
    };
    // What rpm said is more than that the installation failed.
    let rpm = || {
        let said = |line: &&str| line.starts_with("error: ") && !line.ends_with(": install failed");
        text.lines().find(said).map(|line| unescape(&line["error: ".len()..]))
    };
    after("<description>Problem: ").or_else(rpm).or_else(|| after("<message type=\"error\">"))
}

/// The packages whose installation or removal failed, each with what was said of it.
pub(super) fn broken(text: &str) -> BTreeMap<String, String> {
    let mut broken = BTreeMap::new();
    for line in text.lines() {
        let Some(package) = ["Installation of ", "Removal of "].iter().find_map(|start| {
            line.strip_prefix("<message type=\"error\">")?.strip_prefix(start)?.split(' ').next()
        }) else {
            continue;
        };
        if let Some(name) = package.rsplitn(3, '-').nth(2) {
            broken.insert(name.to_owned(), reason(text).unwrap_or_default());
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// zypper 1.14.42.
    #[test]
    fn answers_are_read() {
        let search = "<?xml version='1.0'?>\n<stream>\n<search-result version=\"0.0\">\n<solvable-list>\n\
            <solvable status=\"not-installed\" name=\"a\" kind=\"package\" edition=\"2.0-1\" arch=\"noarch\" repository=\"own\"/>\n\
            <solvable status=\"installed\" name=\"a\" kind=\"patch\" edition=\"7\" arch=\"noarch\" repository=\"own\"/>\n\
            </solvable-list>\n</search-result>\n</stream>\n";
        let found: Vec<_> =
            solvables(search).map(|found| format!("{} {}", found.name, found.version)).collect();
        assert_eq!(found, ["a 2.0-1"]);
        let summary_text = "<install-summary download-size=\"5549\" space-usage-diff=\"0\" packages-to-change=\"2\">\n\
            <to-upgrade>\n<solvable type=\"package\" name=\"x\" edition=\"1.0-1\" arch=\"noarch\" edition-old=\"0.9-1\" arch-old=\"noarch\" summary=\"a &lt;b&gt;\">\n\
            <description>x</description></solvable>\n</to-upgrade>\n<to-remove>\n\
            <solvable type=\"package\" name=\"a\" edition=\"1.0-1\" arch=\"i586\" summary=\"x\">\n\
            <description>x</description></solvable>\n</to-remove>\n</install-summary>\n";
        let found = summary(summary_text, &Database::new("x86_64"));
        assert_eq!(found.installed.into_iter().collect::<Vec<_>>(), [("x".to_owned(), "1.0-1".to_owned())]);
        assert_eq!(found.removed.into_iter().collect::<Vec<_>>(), ["a:i586"]);
        assert!(
            locked("\ntype: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: a\n\n")
                .contains("a")
        );
    }

    #[test]
    fn what_is_wrong_is_found() {
        let problem = "<prompt id=\"1\">\n<description>Problem: nothing provides nowhere needed by bad-1.0-1.noarch\n Solution 1: do not install\n</description>\n";
        assert_eq!(reason(problem).unwrap(), "nothing provides nowhere needed by bad-1.0-1.noarch");
        let unknown = "<message type=\"error\">No provider of &apos;nosuch&apos; found.</message>\n";
        assert_eq!(reason(unknown).unwrap(), "No provider of 'nosuch' found.");
        let failed = "<message type=\"error\">Installation of broken-1.0-1.noarch failed:\nError: Subprocess failed. Error: RPM failed: x\nerror: lua script failed: [string &quot;%prein(broken-1.0-1.noarch)&quot;]:1: it is broken\nerror: broken-1.0-1.noarch: install failed\n</message>\n";
        assert!(broken(failed)["broken"].ends_with("it is broken"));
    }
}
