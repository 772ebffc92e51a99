//! Cases of `group`.

use cm_modules::node::{GroupChange, UserChange};

use crate::case::{Act, Case, Cases, Where, group, has_group, list, user};

pub fn cases() -> Cases {
    let full = |change: GroupChange| group("cm-h-team", change);
    Cases::of("group")
        .without_drift("system", "says which ids a new group may get")
        .case(
            Case::new(
                "full",
                [
                    ("name", "cm-h-team".into()),
                    ("gid", cm_wire::Value::Int(4821)),
                    ("members", list(["cm-h-m1"])),
                    ("exclusive", true.into()),
                    ("state", "present".into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([
                user("cm-h-m1", UserChange { uid: Some(4831), ..UserChange::default() }),
                user("cm-h-m2", UserChange { uid: Some(4832), ..UserChange::default() }),
            ])
            .ends([has_group("cm-h-team", true)])
            .drift(["state"], "state", [Act::NoGroup("cm-h-team".into())])
            .drift(["gid"], "gid", [full(GroupChange { gid: Some(4822), ..GroupChange::default() })])
            .drift(
                ["members"],
                "members",
                [full(GroupChange { members: Some(Vec::new()), ..GroupChange::default() })],
            )
            .drift(
                ["exclusive"],
                "members",
                [full(GroupChange {
                    members: Some(vec!["cm-h-m1".into(), "cm-h-m2".into()]),
                    ..GroupChange::default()
                })],
            ),
        )
        .case(
            Case::new("system", [("name", "cm-h-sysg".into()), ("system", true.into())])
                .only([Where::Fake, Where::Host])
                .ends([has_group("cm-h-sysg", true)]),
        )
        .case(
            Case::new("absent", [("name", "cm-h-goneg".into()), ("state", "absent".into())])
                .only([Where::Fake, Where::Host])
                .before([
                    full(GroupChange::default()),
                    group("cm-h-goneg", GroupChange { gid: Some(4823), ..GroupChange::default() }),
                ])
                .ends([has_group("cm-h-goneg", false)])
                .loose_drift(["state"], "state", [group("cm-h-goneg", GroupChange::default())]),
        )
}
