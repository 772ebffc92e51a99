//! Cases of `replace`.

use crate::case::{Case, Cases, at, file, has_mode, has_owner, holds, lines, mode, owner};

pub fn cases() -> Cases {
    Cases::of("replace")
        .case(
            Case::new(
                "groups",
                [
                    ("path", at("con f")),
                    ("match", "^(\\w+) += +(\\w+)$".into()),
                    ("text", "$1=$2".into()),
                    ("mode", "0600".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .before([file("con f", lines(["a = b", "# c = d", "e  =  f"]), 0o644)])
            .ends([
                holds("con f", lines(["a=b", "# c = d", "e=f"])),
                has_mode("con f", 0o600),
                has_owner("con f", 1, 2),
            ])
            .drift(
                ["match", "text"],
                "content",
                [file("con f", lines(["a=b", "# c = d", "e = f"]), 0o600), owner("con f", 1, 2)],
            )
            .drift(["mode"], "mode", [mode("con f", 0o666)])
            .drift(["owner"], "owner", [owner("con f", 0, 2)])
            .drift(["group"], "group", [owner("con f", 1, 0)]),
        )
        .case(
            Case::new(
                "limits",
                [
                    ("path", at("conf")),
                    ("match", "a=.*".into()),
                    ("text", "a=1".into()),
                    ("after", "^\\[x\\]".into()),
                    ("before", "^\\[".into()),
                ],
            )
            .before([file("conf", b"a=0\r\n[x]\r\n\xff\r\na=\xe9\r\n[y]\r\na=0", 0o640)])
            .ends([holds("conf", b"a=0\r\n[x]\r\n\xff\r\na=1\r\n[y]\r\na=0")])
            .drift(
                ["after", "before"],
                "content",
                [file("conf", b"a=0\r\n[x]\r\n\xff\r\na=2\r\n[y]\r\na=0", 0o640)],
            ),
        )
        .case(
            Case::new("nothing-matches", [("path", at("conf")), ("match", "x".into()), ("text", "y".into())])
                .before([file("conf", "", 0o640)])
                .at_rest()
                .loose_drift(["match"], "content", [file("conf", "axb", 0o640)]),
        )
}
