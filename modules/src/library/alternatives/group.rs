//! The file of a link group as update-alternatives(1) writes it: its mode, its link, the links that go with it
//! (slaves), and its choices.

use std::fmt;

/// A link group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    manual: bool,
    link: String,
    /// Names and links of slaves.
    slaves: Vec<(String, String)>,
    choices: Vec<Choice>,
}

/// A path that a group may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The path.
    pub path: String,
    /// The highest one is chosen automatically.
    pub priority: i64,
    /// What each slave stands for with it; empty for nothing.
    slaves: Vec<String>,
}

impl Group {
    /// A group without choices.
    #[must_use]
    pub fn new(link: &str) -> Self {
        Self { manual: false, link: link.to_owned(), slaves: Vec::new(), choices: Vec::new() }
    }

    /// Reads a file; none where it is none of the kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let manual = match lines.next()? {
            "auto" => false,
            "manual" => true,
            _ => return None,
        };
        let link = lines.next()?.to_owned();
        let mut slaves = Vec::new();
        loop {
            match lines.next()? {
                "" => break,
                name => slaves.push((name.to_owned(), lines.next()?.to_owned())),
            }
        }
        let mut choices = Vec::new();
        loop {
            match lines.next()? {
                "" => break,
                path => {
                    let priority = lines.next()?.parse().ok()?;
                    let stand_for = slaves.iter().map(|_| lines.next().map(str::to_owned));
                    choices.push(Choice {
                        path: path.to_owned(),
                        priority,
                        slaves: stand_for.collect::<Option<_>>()?,
                    });
                }
            }
        }
        Some(Self { manual, link, slaves, choices })
    }

    /// The link that users know.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// What it may stand for.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// A choice by its path.
    #[must_use]
    pub fn choice(&self, path: &str) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.path == path)
    }

    /// Whether a path is one of the choices.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.choice(path).is_some()
    }

    /// The choice with the highest priority, the first of several.
    #[must_use]
    pub fn best(&self) -> Option<&str> {
        let highest = self.choices.iter().map(|choice| choice.priority).max()?;
        self.choices.iter().find(|choice| choice.priority == highest).map(|choice| choice.path.as_str())
    }

    /// Makes a path a choice with this priority, and the link that of the group.
    pub fn register(&mut self, link: &str, path: &str, priority: i64) {
        link.clone_into(&mut self.link);
        match self.choices.iter_mut().find(|choice| choice.path == path) {
            Some(choice) => choice.priority = priority,
            None => {
                let slaves = vec![String::new(); self.slaves.len()];
                self.choices.push(Choice { path: path.to_owned(), priority, slaves });
                // As update-alternatives writes them.
                crate::in_order::sort_by(&mut self.choices, |a, b| a.path.cmp(&b.path));
            }
        }
    }

    /// Takes a choice out.
    pub fn remove(&mut self, path: &str) {
        self.choices.retain(|choice| choice.path != path);
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", if self.manual { "manual" } else { "auto" }, self.link)?;
        for (name, link) in &self.slaves {
            writeln!(f, "{name}\n{link}")?;
        }
        writeln!(f)?;
        for choice in &self.choices {
            writeln!(f, "{}\n{}", choice.path, choice.priority)?;
            for slave in &choice.slaves {
                writeln!(f, "{slave}")?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDITOR: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
        /bin/ed\n-100\n/usr/share/man/man1/ed.1.gz\n/usr/bin/vim.basic\n30\n\n\n";

    #[test]
    fn a_file_is_written_back_byte_for_byte() {
        let group = Group::parse(EDITOR).unwrap();
        assert_eq!(group.to_string(), EDITOR);
        assert_eq!(
            (group.link(), group.best(), group.choices().len()),
            ("/usr/bin/editor", Some("/usr/bin/vim.basic"), 2)
        );
        for wrong in ["", "auto\n", "other\n/x\n\n\n", "auto\n/x\n\n/bin/a\nhigh\n\n", "auto\n/x\nname\n"] {
            assert_eq!(Group::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn choices_come_and_go() {
        let mut group = Group::parse(EDITOR).unwrap();
        group.register("/usr/bin/editor", "/opt/ed", 40);
        assert_eq!(
            group.to_string(),
            EDITOR.replace("/usr/bin/vim.basic", "/opt/ed\n40\n\n/usr/bin/vim.basic")
        );
        assert_eq!(group.best(), Some("/opt/ed"));
        group.register("/usr/bin/editor", "/opt/ed", 30);
        assert_eq!(group.best(), Some("/opt/ed"), "the first of several");
        group.remove("/opt/ed");
        assert_eq!(group.to_string(), EDITOR);
        let mut new = Group::new("/usr/bin/x");
        new.register("/usr/bin/x", "/opt/x", 1);
        assert_eq!(new.to_string(), "auto\n/usr/bin/x\n\n/opt/x\n1\n\n");
    }
}
