//! The command line.

use std::path::PathBuf;

use crate::section::Section;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The release build of `cm`.
    pub cm: PathBuf,
    /// The repository of sources, for its page.
    pub root: PathBuf,
    /// Fewer hosts, fewer rounds.
    pub quick: bool,
    /// Only write the page anew from what is kept.
    pub page_only: bool,
    /// The sections to run, in the order of the page.
    pub sections: Vec<&'static str>,
}

/// How it is called.
#[must_use]
pub fn usage(sections: &[&Section]) -> String {
    let mut text = "usage: cargo xtask bench [--quick] [--page] [SECTION...]\n\n\
                    \x20 --quick  fewer hosts and rounds; without sections those that take five minutes in all\n\
                    \x20 --page   measure nothing; write docs/performance.md anew from what earlier runs here have kept\n\n\
                    sections:\n"
        .to_owned();
    for section in sections {
        text.push_str(&format!("  {:12} {}\n", section.name, section.title));
    }
    text
}

/// Reads the command line; an error is what to tell.
///
/// # Errors
/// A word that is neither an option nor a section, or an option without its value.
pub fn parse(
    words: impl IntoIterator<Item = String>,
    sections: &[&'static Section],
) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        cm: "target/release/cm".into(),
        root: ".".into(),
        quick: false,
        page_only: false,
        sections: Vec::new(),
    };
    let mut asked = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().map(PathBuf::from).ok_or_else(|| format!("{word} wants a path"));
        match word.as_str() {
            "--quick" => arguments.quick = true,
            "--page" => arguments.page_only = true,
            "--cm" => arguments.cm = value()?,
            "--root" => arguments.root = value()?,
            name if sections.iter().any(|section| section.name == name) => asked.push(word),
            _ => return Err(format!("`{word}` is neither an option nor a section\n\n{}", usage(sections))),
        }
    }
    let chosen = |section: &&&'static Section| {
        if asked.is_empty() {
            !arguments.quick || section.quick
        } else {
            asked.iter().any(|name| name == section.name)
        }
    };
    arguments.sections = sections.iter().filter(chosen).map(|section| section.name).collect();
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{findings::Findings, ground::Ground};

    static ONE: Section = Section { name: "one", title: "One", about: "", quick: true, run };
    static TWO: Section = Section { name: "two", title: "Two", about: "", quick: false, run };

    fn run(_: &Ground) -> anyhow::Result<Findings> {
        Ok(Findings::default())
    }

    fn sections(line: &str) -> Vec<&'static str> {
        parse(line.split_whitespace().map(str::to_owned), &[&ONE, &TWO]).unwrap().sections
    }

    #[test]
    fn without_names_all_are_run_or_the_quick_ones() {
        assert_eq!(sections(""), ["one", "two"]);
        assert_eq!(sections("--quick"), ["one"]);
        assert_eq!(sections("--quick two"), ["two"]);
        assert_eq!(sections("two one"), ["one", "two"]);
    }

    #[test]
    fn what_is_not_known_is_told_with_all_that_is() {
        let error = parse(["thre".to_owned()], &[&ONE, &TWO]).unwrap_err();
        assert!(error.contains("`thre`") && error.contains("  two          Two"), "{error}");
        assert!(parse(["--cm".to_owned()], &[]).is_err());
    }
}
