//! Cases of `hosts_entry`.

use crate::case::{Case, Cases, at, file, holds, lines, list};

pub fn cases() -> Cases {
    Cases::of("hosts_entry")
        .without_drift("path", "says which file, not what")
        .case(
            Case::new(
                "set",
                [
                    ("address", "10.9.8.7".into()),
                    ("names", list(["db1.example.org", "db1"])),
                    ("path", at("ho sts")),
                ],
            )
            .before([file(
                "ho sts",
                b"127.0.0.1 localhost db1 # \xff\n\n10.9.8.7  db1\tdb # the base\n",
                0o644,
            )])
            .ends([holds(
                "ho sts",
                b"127.0.0.1 localhost # \xff\n\n10.9.8.7  db1.example.org db1 db # the base\n",
            )])
            .loose_drift(
                ["names"],
                "content",
                [file("ho sts", "10.9.8.6 db1 x\n10.9.8.7 db1.example.org db1\n", 0o644)],
            ),
        )
        .case(
            Case::new(
                "exclusive",
                [
                    ("address", "fd00::7".into()),
                    ("names", "v6".into()),
                    ("exclusive", true.into()),
                    ("path", at("hosts")),
                    ("state", "present".into()),
                ],
            )
            .ends([holds("hosts", "fd00::7\tv6\n")])
            .drift(["exclusive"], "content", [file("hosts", "fd00::7\tv6 more\n", 0o644)])
            .drift(["state"], "content", [file("hosts", "", 0o644)]),
        )
        .case(
            Case::new(
                "absent",
                [
                    ("address", "10.9.8.7".into()),
                    ("state", "absent".into()),
                    ("names", "a".into()),
                    ("path", at("hosts")),
                ],
            )
            .before([file("hosts", lines(["10.9.8.7 a b", "10.9.8.7 a", "10.9.8.6 a"]), 0o600)])
            .ends([holds("hosts", lines(["10.9.8.7 b", "10.9.8.6 a"]))])
            .drift(
                ["state", "names"],
                "content",
                [file("hosts", "10.9.8.7 b A\n10.9.8.6 a\n", 0o600)],
            ),
        )
}
