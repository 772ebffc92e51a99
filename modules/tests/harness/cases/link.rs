//! Cases of `link`.

use crate::case::{
    Case, Cases, at, directory, file, gone, has_owner, holds, leads_to, link, owner, path, remove,
};

pub fn cases() -> Cases {
    Cases::of("link")
        .without_drift("force", "says what may be replaced")
        .case(
            Case::new(
                "new",
                [
                    ("path", at("current")),
                    ("target", "releases/2 of \"them\"".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                    ("state", "present".into()),
                ],
            )
            .ends([leads_to("current", "releases/2 of \"them\""), has_owner("current", 1, 2)])
            .drift(["state"], "state", [remove("current")])
            .drift(["target"], "target", [link("current", "releases/1"), owner("current", 1, 2)])
            .drift(["owner"], "owner", [owner("current", 0, 2)])
            .drift(["group"], "group", [owner("current", 1, 0)]),
        )
        .case(
            Case::new("moved", [("path", at("link")), ("target", at("there"))])
                .before([directory("there", 0o755), link("link", b"not \xff text"), owner("link", 3, 4)])
                .ends([leads_to("link", path("there").into_os_string().into_encoded_bytes())])
                .drift(["target"], "target", [link("link", "/nowhere"), owner("link", 3, 4)]),
        )
        .case(
            Case::new(
                "in-place-of-file",
                [("path", at("x")), ("target", "y".into()), ("force", true.into())],
            )
            .before([file("x", "content\n", 0o4640), file("y", "of y\n", 0o600)])
            .ends([leads_to("x", "y"), holds("y", "of y\n")]),
        )
        .case(
            Case::new("absent", [("path", at("old")), ("state", "absent".into())])
                .before([file("target", "stays\n", 0o644), link("old", "target"), owner("old", 5, 6)])
                .ends([gone("old"), holds("target", "stays\n")])
                .drift(["state"], "state", [link("old", "other")]),
        )
}
