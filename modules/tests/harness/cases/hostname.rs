//! Cases of `hostname`.

use cm_modules::node::SettingKind;

use crate::case::{Act, Case, Cases, Fact, file, holds, remove};

const FILE: &str = "/etc/hostname";

fn running(name: &str) -> Act {
    Act::Setting(SettingKind::Hostname, "kernel".into(), Some(name.into()))
}

fn is_running(name: &str) -> Fact {
    Fact::Value { kind: SettingKind::Hostname, key: "kernel".into(), value: Some(name.into()) }
}

/// On the fake node alone: other cases of a host go by its name.
pub fn cases() -> Cases {
    Cases::of("hostname")
        .case(
            Case::new("renamed", [("name", "web1.example.org".into())])
                .fake()
                .before([file(FILE, "old\n", 0o640), running("old")])
                .ends([holds(FILE, "web1.example.org\n"), is_running("web1.example.org")])
                .drift([], "file", [file(FILE, "other\n", 0o640)])
                .drift([], "kernel", [running("other")])
                .loose_drift([], "file", [remove(FILE)]),
        )
        .case(
            Case::new("first", [("name", "web1".into())])
                .fake()
                .ends([holds(FILE, "web1\n"), is_running("web1")]),
        )
        .case(
            Case::new("with-comments", [("name", "web1".into())])
                .fake()
                .before([file(FILE, "# ours\nweb1\n", 0o644), running("web1")])
                .at_rest()
                .ends([holds(FILE, "# ours\nweb1\n")]),
        )
}
