//! pacman's files and what it prints, read.

use cm_wire::Output;

use crate::real::manager::{Database, Entry};

/// Adds the package of a `desc` file: headings such as `%NAME%`, their lines, an empty line.
pub(super) fn add_package(database: &mut Database, text: &str) {
    fn block<'a>(text: &'a str, heading: &'a str) -> impl Iterator<Item = &'a str> {
        text.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.is_empty())
    }
    let first = |heading: &'static str| block(text, heading).next().unwrap_or_default();
    let name = first("%NAME%");
    if name.is_empty() {
        return;
    }
    let entry = Entry {
        version: first("%VERSION%").to_owned(),
        architecture: first("%ARCH%").to_owned(),
        manual: first("%REASON%") != "1",
        held: false,
    };
    let provides =
        block(text, "%PROVIDES%").map(|provided| provided.split(['=', '<', '>']).next().unwrap_or_default());
    database.add(name, entry, provides);
}

/// The packages of `IgnorePkg` in pacman.conf; patterns such as `linux*` may be among them.
pub(super) fn ignored(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| key.trim() == "IgnorePkg")
        .flat_map(|(_, value)| value.split_whitespace().map(str::to_owned))
        .collect()
}

/// Lines of `pacman -Sl`: `core bash 5.2-1 [installed]`, as names and versions.
pub(super) fn listed(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    })
}

/// A version that rpm's order puts where pacman's (vercmp(8)) does: letters right after digits are older than
/// their absence.
pub(super) fn comparable(version: &str) -> String {
    let mut text = String::new();
    let (mut before, mut release) = ('.', false);
    for character in version.chars() {
        release |= character == '-';
        if before.is_ascii_digit() && character.is_ascii_alphabetic() && !release {
            text.push('~');
        }
        text.push(character);
        before = character;
    }
    text
}

/// What is wrong, in one line: the detail after `::`, or the first error.
pub(super) fn reason(output: &Output) -> Option<String> {
    let lines = || output.stderr.lines().chain(output.stdout.lines());
    let detail = lines().filter(|line| !line.contains('?')).find_map(|line| {
        let detail = line.strip_prefix(":: ")?;
        ["unable to satisfy", "removing ", "installing "]
            .iter()
            .any(|start| detail.starts_with(start))
            .then_some(detail)
    });
    let conflict =
        || lines().find_map(|line| line.strip_prefix(":: ").filter(|line| line.ends_with("are in conflict")));
    let error = || lines().find_map(|line| line.strip_prefix("error: "));
    detail.or_else(conflict).or_else(error).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::real::rpm;

    /// The order that vercmp(8) gives, and versions of packages.
    #[test]
    fn versions_are_ordered_as_pacman_orders_them() {
        let order = ["1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0", "1.0.a", "1.0.1"];
        for pair in order.windows(2) {
            let (one, other) = (comparable(pair[0]), comparable(pair[1]));
            assert_eq!(rpm::compare(&one, &other), Ordering::Less, "{pair:?}");
        }
        assert_eq!(rpm::compare(&comparable("1:0.1-1"), &comparable("2.0-1")), Ordering::Greater);
        assert_eq!(rpm::compare(&comparable("6.1-10"), &comparable("6.1-9")), Ordering::Greater);
    }

    /// pacman 6.0.2.
    #[test]
    fn files_and_answers_are_read() {
        let mut database = Database::new("x86_64");
        let text = "%NAME%\nlib\n\n%VERSION%\n1.0-1\n\n%BASE%\nlib\n\n%ARCH%\nany\n\n%REASON%\n1\n\n%LICENSE%\nMIT\n\n%PROVIDES%\nlibx=1\nother\n\n";
        add_package(&mut database, text);
        let lib = database.installed("libx").unwrap();
        assert_eq!(
            (lib.version.as_str(), lib.manual, lib.provided_by.as_deref()),
            ("1.0-1", false, Some("lib"))
        );
        assert_eq!(ignored("[options]\n#IgnorePkg = x\nIgnorePkg   = linux* bash\n"), ["linux*", "bash"]);
        let list = "own a 2.0-1 [installed]\nown a1 1.0-1\n";
        assert_eq!(listed(list).collect::<Vec<_>>(), [("a", "2.0-1"), ("a1", "1.0-1")]);
        let said = |stdout: &str, stderr: &str| {
            reason(&Output { status: 1, stdout: stdout.into(), stderr: stderr.into() })
        };
        for (stdout, stderr, expected) in [
            (
                ":: unable to satisfy dependency 'nowhere' required by bad\n",
                "error: failed to prepare transaction (could not satisfy dependencies)\n",
                "unable to satisfy dependency 'nowhere' required by bad",
            ),
            (
                ":: removing lib breaks dependency 'lib' required by app\n",
                "error: failed to prepare transaction (could not satisfy dependencies)\n",
                "removing lib breaks dependency 'lib' required by app",
            ),
            (
                ":: x and a are in conflict. Remove a? [y/N] \n:: x and a are in conflict\n",
                "error: unresolvable package conflicts detected\n",
                "x and a are in conflict",
            ),
            ("", "error: target not found: nosuch\n", "target not found: nosuch"),
        ] {
            assert_eq!(said(stdout, stderr).unwrap(), expected);
        }
    }
}
