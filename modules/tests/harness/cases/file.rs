//! Cases of `file`.

use crate::case::{
    Case, Cases, Where, at, content, directory, extended, file, gone, has_mode, has_owner, holds, link, mode,
    owner, remove,
};

pub fn cases() -> Cases {
    Cases::of("file")
        .without_drift("validate", "says how a file is written, not what it is")
        .without_drift("template", "the content, given otherwise")
        .without_drift("source", "the content, given otherwise")
        .case(
            Case::new(
                "new",
                [
                    ("path", at("motd")),
                    ("content", content("hello\nworld\n")),
                    ("mode", "0640".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .ends([holds("motd", "hello\nworld\n"), has_mode("motd", 0o640), has_owner("motd", 1, 2)])
            .drift(["state"], "state", [remove("motd")])
            .drift(["state"], "state", [remove("motd"), link("motd", "elsewhere")])
            .drift(["content"], "content", [file("motd", "hello\n", 0o640), owner("motd", 1, 2)])
            .drift(["content"], "content", [file("motd", "", 0o640), owner("motd", 1, 2)])
            .drift(["content"], "content", [file("motd", b"\xff\0\xfe", 0o640), owner("motd", 1, 2)])
            .drift(["mode"], "mode", [mode("motd", 0o4755)])
            .drift(["owner"], "owner", [owner("motd", 0, 2)])
            .drift(["group"], "group", [owner("motd", 1, 0), mode("motd", 0o640)])
            .drift(["content", "mode", "owner"], "mode", [file("motd", "x", 0o600)]),
        )
        .case(
            Case::new("replaced", [("path", at("conf")), ("template", content("new = 1\n"))])
                .before([file("conf", "old = 1\nolder = 2", 0o600), owner("conf", 3, 4)])
                .ends([holds("conf", "new = 1\n"), has_mode("conf", 0o600), has_owner("conf", 3, 4)])
                .drift(["content"], "content", [file("conf", "new = 1", 0o600), owner("conf", 3, 4)])
                .loose_drift(["content"], "content", [file("conf", "new = 2\n", 0o755)]),
        )
        .case(
            Case::new("with-attributes", [("path", at("labelled")), ("content", content("new\n"))])
                .before([file("labelled", "old\n", 0o644), extended("labelled", "origin", "by hand")])
                .only([Where::Fake, Where::Tree])
                .ends([holds("labelled", "new\n")]),
        )
        .case(
            Case::new("in-place-of-link", [("path", at("conf")), ("source", content(b"\x7fELF\0\xff"))])
                .before([file("target", "of the link\n", 0o644), link("conf", "target")])
                .ends([holds("conf", b"\x7fELF\0\xff"), holds("target", "of the link\n")])
                .loose_drift(["state"], "state", [link("conf", "target")]),
        )
        .case(Case::new("empty", [("path", at("touched"))]).ends([holds("touched", "")]).drift(
            ["state"],
            "state",
            [remove("touched")],
        ))
        .case(
            Case::new(
                "validated",
                [
                    ("path", at("checked")),
                    ("content", content("good\n")),
                    ("validate", "/bin/grep -q good %s".into()),
                ],
            )
            .before([file("checked", "old\n", 0o644)])
            .ends([holds("checked", "good\n")])
            .drift(["content"], "content", [file("checked", "bad\n", 0o644)]),
        )
        .case(
            Case::new("in-setgid-directory", [("path", at("shared/file")), ("content", content("x"))])
                .before([directory("shared", 0o755), owner("shared", 0, 7), mode("shared", 0o2775)])
                .ends([has_owner("shared/file", 0, 7), has_mode("shared/file", 0o644)]),
        )
        .case(
            Case::new("absent", [("path", at("old")), ("state", "absent".into())])
                .before([file("old", "content\n", 0o4711), owner("old", 8, 9), mode("old", 0o4711)])
                .ends([gone("old")])
                .drift(["state"], "state", [file("old", "again\n", 0o644)])
                .drift(["state"], "state", [link("old", "nowhere")]),
        )
}
