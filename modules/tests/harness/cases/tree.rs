//! Cases of `tree`.

use crate::case::{
    Case, Cases, at, directory, file, folder, gone, has_mode, has_owner, holds, leads_to, link, list, mode,
    owner, remove,
};

pub fn cases() -> Cases {
    Cases::of("tree")
        .without_drift("exclude", "says what is left alone")
        .case(
            Case::new(
                "new",
                [
                    ("path", at("deep/site")),
                    (
                        "source",
                        folder([
                            (b"a \"b\" 'c'", b"quoted\n"),
                            (b"bin/", b""),
                            (b"bin/run*", b"#!/bin/sh\n"),
                            (b"index.html", b"<h1>\xff</h1>\n"),
                            (b"link -> bin/run", b""),
                            (b"new\nline", b"y"),
                        ]),
                    ),
                    ("file_mode", "0640".into()),
                    ("dir_mode", "0750".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .ends([
                holds("deep/site/index.html", b"<h1>\xff</h1>\n"),
                holds("deep/site/a \"b\" 'c'", "quoted\n"),
                leads_to("deep/site/link", "bin/run"),
                has_mode("deep/site/bin/run", 0o750),
                has_mode("deep/site/bin", 0o750),
                has_owner("deep/site/new\nline", 1, 2),
            ])
            .drift(["source"], "state", [remove("deep/site")])
            .drift(["source"], "index.html", [file("deep/site/index.html", "x", 0o640)])
            .drift(["source"], "link", [link("deep/site/link", "bin")])
            .drift(["source"], "a \"b\" 'c'", [remove("deep/site/a \"b\" 'c'")])
            .drift(["file_mode"], "new\\nline mode", [mode("deep/site/new\nline", 0o600)])
            .drift(["dir_mode"], "bin mode", [mode("deep/site/bin", 0o700)])
            .drift(["owner"], "bin/run owner", [owner("deep/site/bin/run", 0, 2)])
            .drift(["group"], "bin group", [owner("deep/site/bin", 1, 0)]),
        )
        .case(
            Case::new(
                "exactly",
                [
                    ("path", at("site")),
                    ("source", folder([(b"css/", b""), (b"css/a.css", b"a{}\n"), (b"x", b"file\n")])),
                    ("delete", true.into()),
                    ("exclude", list(["*.bak", "keep"])),
                ],
            )
            .before([
                directory("site", 0o755),
                file("site/css", "a file in the way\n", 0o600),
                file("site/x/deep/in the way", "of a file\n", 0o4711),
                file(b"site/not \xff\xfe text", "goes", 0o644),
                file("site/keep/mine", "stays\n", 0o644),
                file("site/old.bak", "stays, too\n", 0o644),
                link("site/dangling", "nowhere"),
                file("outside", "stays\n", 0o644),
                link("site/out", "../outside"),
            ])
            .ends([
                holds("site/x", "file\n"),
                holds("site/css/a.css", "a{}\n"),
                gone(b"site/not \xff\xfe text"),
                gone("site/out"),
                holds("site/keep/mine", "stays\n"),
                holds("site/old.bak", "stays, too\n"),
                holds("outside", "stays\n"),
            ])
            .drift(["delete"], "more", [file("site/more", "x", 0o644)])
            .drift(["delete"], "folder", [file("site/folder/file", "x", 0o600)])
            .drift(["source"], "css", [remove("site/css"), link("site/css", "/etc")]),
        )
}
