//! Cases of `block`.

use crate::case::{
    Case, Cases, at, content, file, gone, has_mode, has_owner, holds, lines, mode, owner, remove,
};

pub fn cases() -> Cases {
    let whole = lines(["first", "# BEGIN cm web 1", "one", "two", "# END cm web 1", "last"]);
    Cases::of("block")
        .without_drift("after", "only says where a missing block goes")
        .without_drift("before", "only says where a missing block goes")
        .case(
            Case::new(
                "set",
                [
                    ("path", at("conf")),
                    ("name", "web 1".into()),
                    ("text", "one\ntwo\n".into()),
                    ("after", "^first".into()),
                    ("mode", "0600".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .before([file("conf", lines(["first", "last"]), 0o644)])
            .ends([holds("conf", &whole), has_mode("conf", 0o600), has_owner("conf", 1, 2)])
            .drift(
                ["text", "name"],
                "content",
                [file("conf", whole.replace("two\n", "2\nthree\n"), 0o600), owner("conf", 1, 2)],
            )
            .drift(["mode"], "mode", [mode("conf", 0o666)])
            .drift(["owner"], "owner", [owner("conf", 0, 2)])
            .drift(["group"], "group", [owner("conf", 1, 0)]),
        )
        .case(
            Case::new(
                "made",
                [
                    ("path", at("it's \"new\"")),
                    ("template", content("say 'x'\n")),
                    ("comment", "//".into()),
                    ("create", true.into()),
                    ("state", "present".into()),
                ],
            )
            .ends([holds("it's \"new\"", "// BEGIN cm\nsay 'x'\n// END cm\n")])
            .drift(["create", "state"], "state", [remove("it's \"new\"")])
            .drift(
                ["template", "comment"],
                "content",
                [file("it's \"new\"", "// BEGIN cm\n// END cm\n", 0o644)],
            ),
        )
        .case(
            Case::new(
                "markers",
                [
                    ("path", at("page")),
                    ("text", "<p/>".into()),
                    ("begin", "<!-- ours -->".into()),
                    ("end", "<!-- theirs -->".into()),
                    ("before", "^</body>".into()),
                ],
            )
            .before([file("page", b"<body>\r\n\xff\xfe\r\n</body>", 0o640)])
            .ends([holds(
                "page",
                b"<body>\r\n\xff\xfe\r\n<!-- ours -->\r\n<p/>\r\n<!-- theirs -->\r\n</body>",
            )])
            .drift(
                ["begin", "end"],
                "content",
                [file("page", b"<body>\r\n\xff\xfe\r\n</body>", 0o640)],
            ),
        )
        .case(
            Case::new("absent", [("path", at("conf")), ("state", "absent".into()), ("name", "x".into())])
                .before([file("conf", "a\n# BEGIN cm x\nb\n# END cm x\nc", 0o644)])
                .ends([holds("conf", "a\nc")])
                .drift(["state"], "content", [file("conf", "a\n# BEGIN cm x\n# END cm x\nc", 0o644)]),
        )
        .case(
            Case::new("absent-file", [("path", at("none")), ("state", "absent".into())])
                .at_rest()
                .ends([gone("none")])
                .loose_drift(["state"], "content", [file("none", "# BEGIN cm\n# END cm\n", 0o644)]),
        )
}
