//! Cases of `git` on the fake node, whose git is played; the module's own tests have real repositories.

use std::io;

use cm_modules::{
    Node,
    node::{Command, Finished, SettingKind},
};
use cm_wire::Output;

use crate::case::{Act, BASE, Case, Cases, Fact, at, directory, is_directory};

const HEAD: &str = "1111111111111111111111111111111111111111";
const OTHER: &str = "2222222222222222222222222222222222222222";
const URL: &str = "https://git.example/app.git";

/// Says what a repository and a work tree without changes would say.
fn git(_node: &dyn Node, command: &Command<'_>) -> io::Result<Finished> {
    let has = |word: &str| command.argv.iter().any(|argument| argument == word);
    let (status, stdout) = if has("ls-remote") {
        (0, format!("{HEAD}\trefs/heads/main\n{HEAD}\tHEAD\n"))
    } else if has("rev-parse") {
        (0, format!("{HEAD}\n"))
    } else {
        (i32::from(has("--get")), String::new())
    };
    Ok(Finished { output: Output { status, stdout, ..Output::default() }, timed_out: false })
}

fn tree() -> String {
    format!("{BASE}/deep/app")
}

fn tree_at(revision: &str, url: &str) -> Act {
    Act::Setting(SettingKind::GitCheckout, tree(), Some(format!("{revision} {url}")))
}

fn is_at(revision: &str) -> Fact {
    Fact::Value { kind: SettingKind::GitCheckout, key: tree(), value: Some(format!("{revision} {URL}")) }
}

pub fn cases() -> Cases {
    Cases::of("git")
        .without_drift("depth", "says how much is fetched")
        .without_drift("key", "says how to ask")
        .without_drift("update", "says when it is brought to its revision")
        .without_drift("force", "is for files, which the played git has not")
        .case(
            Case::new(
                "new",
                [("path", at("deep/app")), ("repository", URL.into()), ("revision", "main".into())],
            )
            .fake()
            .programs(git)
            .ends([is_directory("deep/app"), is_at(HEAD)])
            .drift(["revision"], "revision", [tree_at(OTHER, URL)])
            .drift(
                ["repository"],
                "repository",
                [tree_at(HEAD, "https://git.example/other.git")],
            ),
        )
        .case(
            Case::new("newer", [("path", at("deep/app")), ("repository", URL.into())])
                .fake()
                .programs(git)
                .before([directory("deep/app", 0o750), tree_at(OTHER, URL)])
                .ends([is_at(HEAD)]),
        )
        .case(
            Case::new(
                "stays",
                [("path", at("deep/app")), ("repository", URL.into()), ("update", false.into())],
            )
            .fake()
            .programs(git)
            .before([directory("deep/app", 0o750), tree_at(OTHER, URL)])
            .at_rest(),
        )
}
