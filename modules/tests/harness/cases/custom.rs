//! Cases of modules of a repository: the examples of docs/custom-modules.md, one in sh and one in Python.

use cm_modules::custom::{Declaration, Undo};

use super::CUSTOM;
use crate::case::{Case, Cases, at, directory, file, gone, has_mode, holds, program, remove};

/// `modules/conf_key.yaml` of the example.
fn conf_key() -> Declaration {
    Declaration {
        name: "conf_key".into(),
        program: program(include_bytes!("../../../../docs/examples/custom-modules/modules/conf_key")),
        subject: "key".into(),
        identity: vec!["file".into()],
        makes: Vec::new(),
        edits: vec!["path:{{ file }}".into()],
        needs: Vec::new(),
        absent: Some(("state".into(), "absent".into())),
        undo: Undo::Verb,
        parallel: false,
        timeout: 0,
        programs: Default::default(),
        defaults: [("value".to_owned(), "".into()), ("state".to_owned(), "present".into())].into(),
        secrets: Vec::new(),
    }
}

/// `modules/app_user.yaml` of the example.
fn app_user() -> Declaration {
    Declaration {
        name: "app_user".into(),
        program: program(include_bytes!("../../../../docs/examples/custom-modules/modules/app_user")),
        subject: "name".into(),
        identity: vec!["database".into()],
        edits: vec!["path:{{ database }}".into()],
        timeout: 60,
        programs: [("python3".to_owned(), "python3".to_owned())].into(),
        defaults: [("role".to_owned(), "reader".into()), ("state".to_owned(), "present".into())].into(),
        secrets: vec!["token".into()],
        ..conf_key()
    }
}

/// A line that a careless shell would break.
const ODD: &str = "it's \"odd\" \\ $(x) `y` %s 100% \u{fc},";

pub fn cases() -> Cases {
    let quoted = format!("a=1\nfont size={ODD}\nb=2\n");
    let users = "{\n \"alice\": {\n  \"role\": \"admin\",\n  \"token\": \"s3cret\"\n }\n}\n";
    let both = "{\n \"alice\": {\n  \"role\": \"admin\",\n  \"token\": \"s3cret\"\n },\n \"bob\": {\n  \"role\": \"reader\",\n  \"token\": \"x\"\n }\n}\n";
    let bob = "{\n \"bob\": {\n  \"role\": \"reader\",\n  \"token\": \"x\"\n }\n}\n";
    Cases::of(CUSTOM)
        .case(
            Case::foreign(
                "sh-value",
                &conf_key(),
                [("file", at("app.conf")), ("key", "font size".into()), ("value", ODD.into())],
            )
            .before([file("app.conf", "a=1\nfont size=9\nb=2\n", 0o640)])
            .ends([holds("app.conf", &quoted), has_mode("app.conf", 0o640)])
            .drift([], "value", [file("app.conf", quoted.replace("odd", "even"), 0o640)])
            .loose_drift([], "value", [file("app.conf", "a=1\nb=2\n", 0o640)])
            .loose_drift([], "value", [remove("app.conf")]),
        )
        .case(
            Case::foreign(
                "sh-new-file",
                &conf_key(),
                [("file", at("sub/app.conf")), ("key", "a".into()), ("value", "1".into())],
            )
            .before([directory("sub", 0o755)])
            .ends([holds("sub/app.conf", "a=1\n")])
            .drift([], "value", [remove("sub/app.conf")]),
        )
        .case(
            Case::foreign(
                "sh-absent",
                &conf_key(),
                [("file", at("app.conf")), ("key", "old".into()), ("state", "absent".into())],
            )
            .before([file("app.conf", "a=1\nold=x\n", 0o644)])
            .ends([holds("app.conf", "a=1\n")])
            .drift([], "value", [file("app.conf", "a=1\nold=y\n", 0o644)]),
        )
        .case(
            Case::foreign(
                "python-new",
                &app_user(),
                [
                    ("database", at("users.json")),
                    ("name", "alice".into()),
                    ("role", "admin".into()),
                    ("token", "s3cret".into()),
                ],
            )
            .ends([holds("users.json", users), has_mode("users.json", 0o600)])
            .drift([], "role", [file("users.json", users.replace("admin", "reader"), 0o600)])
            .drift([], "token", [file("users.json", users.replace("s3cret", "other"), 0o600)]),
        )
        .case(
            Case::foreign(
                "python-absent",
                &app_user(),
                [
                    ("database", at("users.json")),
                    ("name", "alice".into()),
                    ("token", "".into()),
                    ("state", "absent".into()),
                ],
            )
            .before([file("users.json", both, 0o640)])
            .ends([holds("users.json", bob), has_mode("users.json", 0o640)])
            .drift([], "role", [file("users.json", both, 0o640)]),
        )
        .case(
            Case::foreign(
                "python-nothing-there",
                &app_user(),
                [
                    ("database", at("none.json")),
                    ("name", "alice".into()),
                    ("token", "".into()),
                    ("state", "absent".into()),
                ],
            )
            .at_rest()
            .ends([gone("none.json")]),
        )
}
