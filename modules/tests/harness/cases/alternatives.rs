//! Cases of `alternatives`.

use cm_modules::node::SettingKind;
use cm_wire::Value;

use crate::case::{Act, Case, Cases, Fact, Where, directory, file, gone, holds, link};

const GROUPS: &str = "/var/lib/dpkg/alternatives";
const EDITOR: &str = "auto\n/usr/bin/h-editor\nh-editor.1.gz\n/usr/share/man/man1/h-editor.1.gz\n\n\
    /usr/bin/h-ed\n-100\n/usr/share/man/man1/h-ed.1.gz\n/usr/bin/h-vim\n30\n\n\n";

fn stands_for(name: &str, value: Option<&str>) -> Act {
    Act::Setting(SettingKind::Alternative, name.into(), value.map(str::to_owned))
}

fn is(name: &str, value: Option<&str>) -> Fact {
    Fact::Value { kind: SettingKind::Alternative, key: name.into(), value: value.map(str::to_owned) }
}

fn group(text: &str) -> Act {
    file(format!("{GROUPS}/h-editor"), text, 0o644)
}

fn prepared() -> [Act; 4] {
    [
        file("/usr/bin/h-ed", "", 0o755),
        file("/usr/bin/h-vim", "", 0o755),
        group(EDITOR),
        stands_for("h-editor", Some("auto /usr/bin/h-vim")),
    ]
}

pub fn cases() -> Cases {
    let with_mine = EDITOR.replace("/usr/bin/h-vim\n", "/usr/bin/h-mine\n50\n\n/usr/bin/h-vim\n");
    let lower = with_mine.replace("\n50\n", "\n40\n");
    let made = format!("{GROUPS}/h-made");
    Cases::of("alternatives")
        .without_drift("link", "the group of a package has another one: that is refused")
        .case(
            Case::new(
                "selected",
                [("name", "h-editor".into()), ("path", "/usr/bin/h-ed".into()), ("state", "selected".into())],
            )
            .fake()
            .before(prepared())
            .ends([is("h-editor", Some("manual /usr/bin/h-ed"))])
            .drift(["path"], "selected", [stands_for("h-editor", Some("manual /usr/bin/h-vim"))])
            .drift(["state"], "selected", [stands_for("h-editor", Some("auto /usr/bin/h-ed"))]),
        )
        .case(
            Case::new(
                "registered",
                [
                    ("name", "h-editor".into()),
                    ("path", "/usr/bin/h-mine".into()),
                    ("link", "/usr/bin/h-editor".into()),
                    ("priority", Value::Int(50)),
                    ("state", "auto".into()),
                ],
            )
            .fake()
            .before(prepared())
            .before([file("/usr/bin/h-mine", "", 0o755)])
            .ends([
                holds(format!("{GROUPS}/h-editor"), &with_mine),
                is("h-editor", Some("auto /usr/bin/h-mine")),
            ])
            .drift(["priority"], "choice", [group(&lower)])
            .drift(["path"], "choice", [group(EDITOR)]),
        )
        .case(
            Case::new(
                "made",
                [
                    ("name", "h-made".into()),
                    ("path", "/usr/bin/h-env".into()),
                    ("link", "/usr/local/bin/h-made".into()),
                    ("priority", Value::Int(5)),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([directory(GROUPS, 0o755), link("/usr/bin/h-env", "env")])
            .ends([is("h-made", Some("manual /usr/bin/h-env"))]),
        )
        .case(
            Case::new(
                "absent",
                [("name", "h-made".into()), ("path", "/usr/bin/env".into()), ("state", "absent".into())],
            )
            .fake()
            .before([
                file(&made, "manual\n/usr/bin/h-made\n\n/usr/bin/env\n5\n\n", 0o644),
                stands_for("h-made", Some("manual /usr/bin/env")),
            ])
            .ends([gone(&made), is("h-made", None)]),
        )
}
