//! Cases of `unit`.

use cm_modules::node::UnitAction;

use crate::case::{
    Case, Cases, Where, content, file, gone, has_mode, holds, manage, mode, path, remove, unit_is,
};

const TEXT: &str = "[Unit]\nDescription=of the harness\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                    ExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n";

fn at(name: &str) -> Vec<u8> {
    path("/etc/systemd/system").join(name).into_os_string().into_encoded_bytes()
}

pub fn cases() -> Cases {
    let (made, part, old) =
        (at("cm-h-made.service"), at("cm-h-part.service.d/limits.conf"), at("cm-h-old.service"));
    Cases::of("unit")
        .without_drift("template", "the content, given otherwise")
        .without_drift("source", "the content, given otherwise")
        .without_drift("verify", "says how it is written, not what it is")
        .case(
            Case::new(
                "made",
                [
                    ("name", "cm-h-made.service".into()),
                    ("content", content(TEXT)),
                    ("mode", "0640".into()),
                    ("state", "present".into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .ends([holds(&made, TEXT), has_mode(&made, 0o640)])
            .drift(["state"], "state", [remove(&made)])
            .drift(["content"], "content", [file(&made, TEXT.replace("true", "false"), 0o640)])
            .drift(["mode"], "mode", [mode(&made, 0o600)]),
        )
        .case(
            Case::new(
                "drop-in",
                [
                    ("name", "cm-h-part.service.d/limits.conf".into()),
                    ("template", content("[Service]\nNice=5\n")),
                ],
            )
            .only([Where::Fake, Where::Host])
            .ends([holds(&part, "[Service]\nNice=5\n")])
            .drift(["state"], "state", [remove(&part)])
            .drift(["content"], "content", [file(&part, "[Service]\nNice=6\n", 0o644)]),
        )
        .case(
            Case::new(
                "verified",
                [
                    ("name", "cm-h-verified.service".into()),
                    ("source", content(TEXT)),
                    ("verify", true.into()),
                ],
            )
            .only([Where::Host])
            .drift(["state"], "state", [remove(at("cm-h-verified.service"))]),
        )
        .case(
            Case::new("absent", [("name", "cm-h-old.service".into()), ("state", "absent".into())])
                .only([Where::Fake, Where::Host])
                .before([
                    file(&old, TEXT, 0o600),
                    manage("cm-h-old.service", UnitAction::Enable),
                    manage("cm-h-old.service", UnitAction::Start),
                ])
                .ends([gone(&old)])
                .ends(unit_is("cm-h-old.service", "inactive", ""))
                .loose_drift(["state"], "state", [file(&old, TEXT, 0o644)]),
        )
}
