//! Cases of `debconf`.

use cm_modules::node::SettingKind;

use crate::case::{Act, Case, Cases, Fact, Where};

fn answered(key: &str, value: Option<&str>) -> Act {
    Act::Setting(SettingKind::Debconf, key.into(), value.map(str::to_owned))
}

fn is_answered(key: &str, value: Option<&str>) -> Fact {
    Fact::Value { kind: SettingKind::Debconf, key: key.into(), value: value.map(str::to_owned) }
}

fn shell(line: &str) -> Act {
    Act::Shell(line.to_owned())
}

pub fn cases() -> Cases {
    let key = "h-asks h-asks/greeting";
    Cases::of("debconf")
        .without_drift("package", "names the question with it")
        .case(
            Case::new(
                "answer",
                [
                    ("question", "h-asks/greeting".into()),
                    ("state", "present".into()),
                    ("type", "string".into()),
                    ("value", "hello \"there\" $you".into()),
                ],
            )
            .fake()
            .ends([is_answered(key, Some("string hello \"there\" $you"))])
            .drift(["state"], "answer", [answered(key, None)])
            .drift(["value"], "answer", [answered(key, Some("string bye"))])
            .drift(["type"], "type", [answered(key, Some("select hello \"there\" $you"))]),
        )
        .case(
            Case::new(
                "password",
                [
                    ("question", "shared/h-secret".into()),
                    ("package", "h-asks".into()),
                    ("type", "password".into()),
                    ("value", "hush".into()),
                ],
            )
            .fake()
            .ends([is_answered("h-asks shared/h-secret", Some("password hush"))]),
        )
        .case(
            Case::new("absent", [("question", "h-asks/old".into()), ("state", "absent".into())])
                .fake()
                .before([answered("h-asks h-asks/old", Some("boolean true"))])
                .ends([is_answered("h-asks h-asks/old", None)])
                .drift(["state"], "answer", [answered("h-asks h-asks/old", Some("boolean false"))]),
        )
        .case(
            Case::new(
                "on-a-host",
                [
                    ("question", "h-asks/real".into()),
                    ("type", "string".into()),
                    ("value", "hello \"there\" $you".into()),
                ],
            )
            .only([Where::Host])
            .drift(
                ["value"],
                "answer",
                [shell("echo h-asks h-asks/real string bye | debconf-set-selections")],
            ),
        )
}
