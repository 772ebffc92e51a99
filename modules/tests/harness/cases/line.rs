//! Cases of `line`.

use crate::case::{Case, Cases, at, file, has_mode, has_owner, holds, lines, mode, owner, remove};

pub fn cases() -> Cases {
    Cases::of("line")
        .without_drift("after", "only says where a missing line goes")
        .without_drift("before", "only says where a missing line goes")
        .case(
            Case::new(
                "set",
                [
                    ("path", at("sshd_config")),
                    ("text", "Port 2222".into()),
                    ("match", "^#?Port ".into()),
                    ("mode", "0600".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .before([file("sshd_config", lines(["# by hand", "#Port 22", "UsePAM yes"]), 0o644)])
            .ends([
                holds("sshd_config", lines(["# by hand", "Port 2222", "UsePAM yes"])),
                has_mode("sshd_config", 0o600),
                has_owner("sshd_config", 1, 2),
            ])
            .drift(
                ["text", "match"],
                "content",
                [
                    file("sshd_config", lines(["# by hand", "Port 23", "UsePAM yes"]), 0o600),
                    owner("sshd_config", 1, 2),
                ],
            )
            .drift(["mode"], "mode", [mode("sshd_config", 0o666)])
            .drift(["owner"], "owner", [owner("sshd_config", 0, 2)])
            .drift(["group"], "group", [owner("sshd_config", 1, 0)]),
        )
        .case(
            Case::new(
                "made",
                [
                    ("path", at("new.conf")),
                    ("text", "only 'this' \"line\"".into()),
                    ("create", true.into()),
                    ("state", "present".into()),
                ],
            )
            .ends([holds("new.conf", "only 'this' \"line\"\n"), has_mode("new.conf", 0o644)])
            .drift(["create", "state"], "state", [remove("new.conf")])
            .loose_drift(["text"], "content", [file("new.conf", "another", 0o644)]),
        )
        .case(
            Case::new("after", [("path", at("conf")), ("text", "b = 2".into()), ("after", "^a".into())])
                .before([file("conf", b"a = 1\r\n\xff\xfe\0\r\nc = 3", 0o640)])
                .ends([holds("conf", b"a = 1\r\nb = 2\r\n\xff\xfe\0\r\nc = 3"), has_mode("conf", 0o640)])
                .drift(["text"], "content", [file("conf", b"a = 1\r\n\xff\xfe\0\r\nc = 3", 0o640)]),
        )
        .case(
            Case::new("before", [("path", at("conf")), ("text", "b = 2".into()), ("before", "^c".into())])
                .before([file("conf", "a = 1\nc = 3\n", 0o640)])
                .ends([holds("conf", "a = 1\nb = 2\nc = 3\n")]),
        )
        .case(
            Case::new(
                "absent",
                [
                    ("path", at("conf")),
                    ("state", "absent".into()),
                    ("text", "debug".into()),
                    ("match", "^trace".into()),
                ],
            )
            .before([file("conf", "a\ndebug\ntrace=1\nb\ntrace", 0o644)])
            .ends([holds("conf", "a\nb\n")])
            .drift(["state", "text"], "content", [file("conf", "a\ndebug\nb\n", 0o644)])
            .drift(["match"], "content", [file("conf", "a\ntraced\nb\n", 0o644)]),
        )
}
