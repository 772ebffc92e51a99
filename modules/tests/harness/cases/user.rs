//! Cases of `user`.

use cm_modules::{
    Thing,
    node::{GroupChange, UserChange},
};

use crate::case::{Act, Case, Cases, Where, directory, group, has_group, has_owner, has_user, list, user};

const HASH: &str =
    "$6$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ./0123456789abcdefghij";

pub fn cases() -> Cases {
    let named = |name: &str| UserChange { name: name.to_owned(), ..UserChange::default() };
    let full = "cm-h-full";
    let change = |change: UserChange| user("cm-h-full", change);
    Cases::of("user")
        .without_drift("system", "says which ids a new account may get")
        .without_drift("remove_home", "belongs to accounts that go")
        .case(
            Case::new(
                "full",
                [
                    ("name", full.into()),
                    ("uid", cm_wire::Value::Int(4801)),
                    ("group", "cm-h-g1".into()),
                    ("groups", list(["cm-h-g2"])),
                    ("exclusive", true.into()),
                    ("home", "/srv/home of cm-h-full".into()),
                    ("create_home", true.into()),
                    ("shell", "/bin/sh".into()),
                    ("comment", "it's a \"comment\", ü".into()),
                    ("password", HASH.into()),
                    ("locked", false.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([
                group("cm-h-g1", GroupChange { gid: Some(4811), ..GroupChange::default() }),
                group("cm-h-g2", GroupChange { gid: Some(4812), ..GroupChange::default() }),
                group("cm-h-g3", GroupChange { gid: Some(4813), ..GroupChange::default() }),
            ])
            .watch([
                Thing::Group("cm-h-g1".into()),
                Thing::Group("cm-h-g2".into()),
                Thing::Group("cm-h-g3".into()),
                Thing::Group(full.into()),
            ])
            .ends([has_user(full, true), has_owner("/srv/home of cm-h-full", 4801, 4811)])
            .drift(["uid"], "uid", [change(UserChange { uid: Some(4802), ..named(full) })])
            .drift(["group"], "group", [change(UserChange { group: Some("cm-h-g3".into()), ..named(full) })])
            .drift(["groups"], "groups", [change(UserChange { groups: Some(Vec::new()), ..named(full) })])
            .drift(
                ["exclusive"],
                "groups",
                [change(UserChange {
                    groups: Some(vec!["cm-h-g2".into(), "cm-h-g3".into()]),
                    ..named(full)
                })],
            )
            .drift(["home"], "home", [change(UserChange { home: Some("/nowhere".into()), ..named(full) })])
            .drift(["create_home"], "create_home", [crate::case::remove("/srv/home of cm-h-full")])
            .drift(
                ["shell"],
                "shell",
                [change(UserChange { shell: Some("/bin/false".into()), ..named(full) })],
            )
            .drift(
                ["comment"],
                "comment",
                [change(UserChange { comment: Some(String::new()), ..named(full) })],
            )
            .drift(
                ["password"],
                "password",
                [change(UserChange { password: Some("*".into()), ..named(full) })],
            )
            .drift(
                ["locked"],
                "locked",
                [change(UserChange { password: Some(format!("!{HASH}")), ..named(full) })],
            ),
        )
        .case(
            Case::new("system", [("name", "cm-h-sys".into()), ("system", true.into())])
                .only([Where::Fake, Where::Host])
                .ends([has_user("cm-h-sys", true), has_group("cm-h-sys", true)])
                .watch([Thing::Group("cm-h-sys".into())]),
        )
        .case(
            Case::new("plain", [("name", "cm-h-plain".into()), ("state", "present".into())])
                .only([Where::Fake, Where::Host])
                .before([directory("/home", 0o755)])
                .watch([Thing::Group("cm-h-plain".into())])
                .ends([has_user("cm-h-plain", true)])
                .drift(["state"], "state", [Act::NoUser("cm-h-plain".into())]),
        )
        .case(
            Case::new(
                "absent",
                [("name", "cm-h-gone".into()), ("state", "absent".into()), ("remove_home", true.into())],
            )
            .only([Where::Fake, Where::Host])
            .before([user(
                "cm-h-gone",
                UserChange {
                    uid: Some(4803),
                    create_home: true,
                    comment: Some("goes".into()),
                    ..UserChange::default()
                },
            )])
            .watch([Thing::Group("cm-h-gone".into())])
            .ends([has_user("cm-h-gone", false)])
            .loose_drift(["state"], "state", [user("cm-h-gone", UserChange::default())]),
        )
}
