//! Cases of `ini`.

use cm_wire::Value;

use crate::case::{Case, Cases, at, file, has_mode, has_owner, holds, lines, list, mode, owner, remove};

pub fn cases() -> Cases {
    Cases::of("ini")
        .case(
            Case::new(
                "set",
                [
                    ("path", at("app.ini")),
                    ("section", "b".into()),
                    ("option", "x".into()),
                    ("value", Value::Int(2)),
                    ("mode", "0600".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .before([file(
                "app.ini",
                lines(["# top", "x=0", "[a]", "x=1", "[b]", "; x", "x =1", "x=3"]),
                0o644,
            )])
            .ends([
                holds("app.ini", lines(["# top", "x=0", "[a]", "x=1", "[b]", "; x", "x =2"])),
                has_mode("app.ini", 0o600),
                has_owner("app.ini", 1, 2),
            ])
            .drift(
                ["section", "option", "value", "exclusive"],
                "content",
                [
                    file(
                        "app.ini",
                        lines(["# top", "x=0", "[a]", "x=1", "[b]", "; x", "x =2", "x=2"]),
                        0o600,
                    ),
                    owner("app.ini", 1, 2),
                ],
            )
            .drift(["mode"], "mode", [mode("app.ini", 0o666)])
            .drift(["owner"], "owner", [owner("app.ini", 0, 2)])
            .drift(["group"], "group", [owner("app.ini", 1, 0)]),
        )
        .case(
            Case::new(
                "several",
                [
                    ("path", at("a b.service")),
                    ("section", "Service".into()),
                    ("option", "Environment".into()),
                    ("value", list(["A=1", "B='x y'"])),
                    ("exclusive", false.into()),
                    ("separator", "=".into()),
                ],
            )
            .before([file("a b.service", b"[Service]\r\nEnvironment=C=\xff\r\n[Install]\r\n", 0o644)])
            .ends([holds(
                "a b.service",
                b"[Service]\r\nEnvironment=C=\xff\r\nEnvironment=A=1\r\nEnvironment=B='x y'\r\n[Install]\r\n",
            )])
            .loose_drift(
                ["value", "separator"],
                "content",
                [file("a b.service", "[Service]\nEnvironment=A=1\n", 0o644)],
            ),
        )
        .case(
            Case::new(
                "made",
                [
                    ("path", at("my.cnf")),
                    ("section", "mysqld".into()),
                    ("option", "skip-networking".into()),
                    ("bare", true.into()),
                    ("create", true.into()),
                    ("state", "present".into()),
                ],
            )
            .ends([holds("my.cnf", "[mysqld]\nskip-networking\n")])
            .drift(["create", "state"], "state", [remove("my.cnf")])
            .drift(
                ["bare"],
                "content",
                [file("my.cnf", "[mysqld]\nskip-networking = 1\n", 0o644)],
            ),
        )
        .case(
            Case::new(
                "absent",
                [
                    ("path", at("app.ini")),
                    ("section", "s".into()),
                    ("option", "x".into()),
                    ("state", "absent".into()),
                ],
            )
            .before([file("app.ini", "[s]\ny=1\nx=1 \\\n  2\n[t]\nx=1", 0o644)])
            .ends([holds("app.ini", "[s]\ny=1\n[t]\nx=1")])
            .drift(
                ["state", "option"],
                "content",
                [file("app.ini", "[s]\ny=1\nx\n[t]\nx=1", 0o644)],
            ),
        )
        .case(
            Case::new(
                "no-section",
                [("path", at("app.ini")), ("section", "s".into()), ("state", "absent".into())],
            )
            .before([file("app.ini", "[a]\n\n[s]\nx=1\n\n# of t\n[t]\n", 0o644)])
            .ends([holds("app.ini", "[a]\n\n# of t\n[t]\n")])
            .drift(
                ["section"],
                "content",
                [file("app.ini", "[a]\n\n[s]\n\n# of t\n[t]\n", 0o644)],
            ),
        )
}
