//! Cases of `swap`.

use cm_modules::node::SettingKind;
use cm_wire::Value;

use crate::case::{Act, BASE, Case, Cases, Fact, at, file, holds};

const FSTAB: &str = "/etc/fstab";
const OTHERS: &str = "UUID=1-2 / ext4 defaults 0 1\n";

fn area(path: &str, value: Option<&str>) -> Act {
    Act::Setting(SettingKind::Swap, path.into(), value.map(str::to_owned))
}

fn is_area(path: &str, value: Option<&str>) -> Fact {
    Fact::Value { kind: SettingKind::Swap, key: path.into(), value: value.map(str::to_owned) }
}

/// On the fake node alone: containers may not swap.
pub fn cases() -> Cases {
    let path = format!("{BASE}/swap file");
    let line = "/var/h-swap none swap sw,pri=5 0 0\n";
    let var = "/var/h-swap";
    Cases::of("swap")
        .case(
            Case::new(
                "file",
                [
                    ("path", var.into()),
                    ("size", "1M".into()),
                    ("priority", Value::Int(5)),
                    ("state", "present".into()),
                ],
            )
            .fake()
            .before([file(FSTAB, OTHERS, 0o644)])
            .ends([holds(FSTAB, format!("{OTHERS}{line}")), is_area(var, Some("on size=1048576 priority=5"))])
            .drift(["state"], "swap", [area(var, None)])
            .drift(["state"], "swap", [area(var, Some("off size=1048576"))])
            .drift(["size"], "size", [area(var, Some("on size=2097152 priority=5"))])
            .drift(["priority"], "priority", [area(var, Some("on size=1048576"))])
            .drift(["state"], "fstab", [file(FSTAB, OTHERS, 0o644)])
            .drift(
                ["priority"],
                "fstab",
                [file(FSTAB, format!("{OTHERS}/var/h-swap none swap sw 0 0\n"), 0o644)],
            ),
        )
        .case(
            Case::new("odd-name", [("path", at("swap file")), ("size", Value::Int(1 << 20))])
                .fake()
                .ends([is_area(&path, Some("on size=1048576"))]),
        )
        .case(
            Case::new("device", [("path", "/dev/h-sdb2".into())])
                .fake()
                .before([file(FSTAB, OTHERS, 0o644)])
                .ends([holds(FSTAB, format!("{OTHERS}/dev/h-sdb2 none swap sw 0 0\n"))]),
        )
        .case(
            Case::new("absent", [("path", "/var/h-gone".into()), ("state", "absent".into())])
                .fake()
                .before([
                    file(FSTAB, format!("{OTHERS}/var/h-gone none swap sw 0 0\n"), 0o644),
                    area("/var/h-gone", Some("on size=1048576")),
                ])
                .ends([holds(FSTAB, OTHERS), is_area("/var/h-gone", None)])
                .drift(["state"], "swap", [area("/var/h-gone", Some("on"))]),
        )
}
