//! Whatever is in the files of a repository, reading it and compiling a host gives a plan or errors, never a panic.

mod support;

use std::{fs, path::Path};

use cm_plan::{FactsBook, LoadOptions, Project, Request};
use cm_syntax::Style;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

const PIECES: &[&str] = &[
    "{{ ",
    " }}",
    "{% for x in y %}",
    "{% endif %}",
    "{#",
    "é",
    "\"",
    "'",
    ": ",
    "- ",
    "\n",
    "[",
    "]",
    "{",
    "}",
    "|",
    "port",
    "item",
    "hosts.x",
    "secrets.y",
    " | ",
    "default(",
    ")",
    "needs: ",
    "when: ",
    "each: ",
    "&a ",
    "*a",
    "  ",
    "!x ",
    "0644",
    "\t",
    "#",
    "..",
    "/",
];

#[test]
fn damaged_files_are_told_and_never_crash() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str| {
        let to = folder.path().join(from);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new("tests/contract").join(from), to).unwrap();
    };
    let files = ["inventory.yaml", "roles/web/role.yaml", "roles/web/templates/site.conf.j2"];
    files.into_iter().for_each(copy);
    let mut numbers = Numbers(7);
    let mut plans = 0;
    for round in 0..600 {
        let name = files[round % files.len()];
        let path = folder.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        let mut text: Vec<char> = whole.chars().collect();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(text.len());
            match numbers.below(3) {
                0 => drop(text.drain(at..(at + 1 + numbers.below(6)).min(text.len()))),
                1 => drop(text.splice(at..at, PIECES[numbers.below(PIECES.len())].chars())),
                _ => {
                    let end = (at + numbers.below(30)).min(text.len());
                    let piece: Vec<char> = text[at..end].to_vec();
                    let to = numbers.below(text.len());
                    text.splice(to..to, piece);
                }
            }
        }
        fs::write(&path, text.iter().collect::<String>()).unwrap();
        match Project::load(folder.path(), &LoadOptions::default()) {
            Err(error) => assert!(!error.diagnostics.render(&error.sources, Style::plain()).is_empty()),
            Ok(project) => {
                for (host, found) in project.inventory().hosts().take(2) {
                    let facts = support::facts(found.name());
                    let plan = project.compile(host, &facts, &FactsBook::default(), &Request::default());
                    match plan {
                        Ok(_) => plans += 1,
                        Err(errors) => assert!(!errors.render(project.sources(), Style::plain()).is_empty()),
                    }
                }
            }
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(plans > 20, "the damage left only {plans} plans: nothing but reading was tried");
}
