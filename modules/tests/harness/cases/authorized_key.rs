//! Cases of `authorized_key`.

use cm_modules::node::UserChange;

use crate::case::{
    Act, Case, Cases, Where, at, file, has_mode, has_owner, holds, lines, list, mode, owner, remove, user,
};

const ANNA: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3p3mJtX0GIVcaSVC1f2yqm0gGXxU2HkUXZkHgqTg5r anna@desk";
const BEN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzLHLVmJSPBBNZkTxPQtKZNTZrNdGAwBtZ/AVVhMgzi ben@lap top";

fn account(name: &str, uid: u32) -> Act {
    let home = format!("/home/{name}");
    user(name, UserChange { uid: Some(uid), home: Some(home), create_home: true, ..UserChange::default() })
}

pub fn cases() -> Cases {
    let keys = "/home/cm-h-keys/.ssh/authorized_keys";
    let directory = "/home/cm-h-keys/.ssh";
    let owned = |path: &str| owner(path, 4841, 4841);
    Cases::of("authorized_key")
        .case(
            Case::new(
                "home",
                [("user", "cm-h-keys".into()), ("key", list([ANNA, BEN])), ("state", "present".into())],
            )
            .only([Where::Fake, Where::Host])
            .before([account("cm-h-keys", 4841)])
            .ends([
                holds(keys, lines([ANNA, BEN])),
                has_mode(keys, 0o600),
                has_mode(directory, 0o700),
                has_owner(directory, 4841, 4841),
            ])
            .drift(["state"], "keys", [remove(directory)])
            .drift(["key"], "keys", [file(keys, lines([ANNA]), 0o600), owned(keys)])
            .drift(["key"], "mode", [mode(keys, 0o644)])
            .drift(["key"], "owner", [owner(keys, 0, 4841)])
            .drift(["key"], "directory mode", [mode(directory, 0o777)]),
        )
        .case(
            Case::new(
                "elsewhere",
                [
                    ("user", "cm-h-keys2".into()),
                    ("key", list([ANNA])),
                    ("options", "no-pty,command=\"/bin/echo 'x y'\"".into()),
                    ("path", at("keys")),
                    ("exclusive", true.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([account("cm-h-keys2", 4842), file("keys", lines(["# a comment", BEN]), 0o644)])
            .ends([holds(
                "keys",
                lines(["# a comment", &format!("no-pty,command=\"/bin/echo 'x y'\" {ANNA}")]),
            )])
            .loose_drift(["path"], "keys", [remove("keys")])
            .loose_drift(["options"], "keys", [file("keys", lines(["# a comment", ANNA]), 0o600)])
            .loose_drift(
                ["exclusive"],
                "keys",
                [file("keys", lines([BEN, &format!("no-pty,command=\"/bin/echo 'x y'\" {ANNA}")]), 0o600)],
            ),
        )
        .case(
            Case::new(
                "absent",
                [
                    ("user", "cm-h-keys3".into()),
                    ("key", list([BEN])),
                    ("path", at("keys")),
                    ("state", "absent".into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([
                account("cm-h-keys3", 4843),
                file(
                    "keys",
                    b"\xff\xfe\n".iter().copied().chain(lines([BEN, ANNA]).into_bytes()).collect::<Vec<u8>>(),
                    0o640,
                ),
            ])
            .ends([holds(
                "keys",
                b"\xff\xfe\n".iter().copied().chain(lines([ANNA]).into_bytes()).collect::<Vec<u8>>(),
            )])
            .loose_drift(["state"], "keys", [file("keys", lines([ANNA, BEN]), 0o640)]),
        )
}
