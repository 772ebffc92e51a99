//! Cases of `directory`.

use crate::case::{
    Case, Cases, at, directory, file, gone, has_mode, has_owner, holds, is_directory, link, mode, owner,
    remove,
};

/// Names that no text can hold.
const ODD: &[u8] = b"tree/not \xff\xfe text";

pub fn cases() -> Cases {
    Cases::of("directory")
        .without_drift("parents", "only says whether directories above it may be made with it")
        .case(
            Case::new(
                "new",
                [("path", at("srv")), ("mode", "2750".into()), ("owner", "1".into()), ("group", "2".into())],
            )
            .ends([is_directory("srv"), has_mode("srv", 0o2750), has_owner("srv", 1, 2)])
            .drift(["state"], "state", [remove("srv")])
            .drift(["mode"], "mode", [mode("srv", 0o777)])
            .drift(["owner"], "owner", [owner("srv", 0, 2)])
            .drift(["group"], "group", [owner("srv", 1, 0)]),
        )
        .case(
            Case::new("with-parents", [("path", at("a/b/c")), ("parents", true.into())])
                .ends([is_directory("a/b/c"), has_mode("a", 0o755)])
                .drift(["state"], "state", [remove("a")]),
        )
        .case(
            Case::new(
                "owned-inside",
                [
                    ("path", at("tree")),
                    ("owner", "5".into()),
                    ("group", "6".into()),
                    ("recurse", true.into()),
                ],
            )
            .before([
                directory("tree", 0o755),
                directory("tree/deep er", 0o700),
                file("tree/deep er/it's \"quoted\"", "x", 0o640),
                file("tree/new\nline", "y", 0o600),
                file(ODD, "z", 0o644),
                link("tree/link", "/etc/passwd"),
            ])
            .ends([has_owner("tree/deep er/it's \"quoted\"", 5, 6), has_owner(ODD, 5, 6)])
            .drift(["recurse"], "owner inside", [owner(ODD, 0, 0)])
            .drift(["recurse"], "owner inside", [owner("tree/new\nline", 5, 0)])
            .drift(["owner"], "owner", [owner("tree", 0, 6)]),
        )
        .case(
            Case::new("absent", [("path", at("old")), ("state", "absent".into())])
                .before([directory("old", 0o711), owner("old", 3, 4)])
                .ends([gone("old")])
                .drift(["state"], "state", [directory("old", 0o755)]),
        )
        .case(
            Case::new(
                "absent-with-content",
                [("path", at("tree")), ("state", "absent".into()), ("recurse", true.into())],
            )
            .before([
                file("outside", "stays\n", 0o644),
                directory("tree", 0o750),
                file("tree/deep/file", "content", 0o4755),
                link("tree/link", "../outside"),
                file(ODD, "z", 0o640),
                owner(ODD, 7, 8),
            ])
            .ends([gone("tree"), holds("outside", "stays\n")])
            .drift(["state", "recurse"], "content", [file("tree/x", "again", 0o644)]),
        )
}
