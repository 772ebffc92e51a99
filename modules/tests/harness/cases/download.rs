//! Cases of `download`: from files of the node, which need no server.

use crate::case::{BASE, Case, Cases, at, file, has_mode, has_owner, holds, link, mode, owner, remove};

/// Of `hello\n`.
const HELLO: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

pub fn cases() -> Cases {
    let from = || format!("file://{BASE}/from").as_str().into();
    Cases::of("download")
        .without_drift("headers", "says how to ask")
        .case(
            Case::new(
                "checked",
                [
                    ("path", at("to")),
                    ("url", from()),
                    ("checksum", HELLO.into()),
                    ("mode", "0640".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .before([file("from", "hello\n", 0o600), link("to", "from")])
            .ends([holds("to", "hello\n"), has_mode("to", 0o640), has_owner("to", 1, 2)])
            .drift(["url"], "state", [remove("to")])
            .drift(["checksum"], "content", [file("to", "by hand\n", 0o640)])
            .drift(["mode"], "mode", [mode("to", 0o600)])
            .drift(["owner"], "owner", [owner("to", 0, 2)])
            .drift(["group"], "group", [owner("to", 1, 0)]),
        )
        .case(
            Case::new("unchecked", [("path", at("to")), ("url", from()), ("unchecked", true.into())])
                .before([file("from", b"\xff\0\n", 0o600)])
                .ends([holds("to", b"\xff\0\n"), has_mode("to", 0o644)])
                .drift(["unchecked"], "state", [remove("to")]),
        )
        .case(
            Case::new("again", [("path", at("to")), ("url", from()), ("checksum", HELLO.into())])
                .before([file("from", "hello\n", 0o600), file("to", "old\n", 0o4711)])
                .ends([holds("to", "hello\n"), has_mode("to", 0o4711)]),
        )
}
