//! Cases of `mount`.

use cm_modules::node::SettingKind;
use cm_wire::Value;

use crate::case::{Act, BASE, Case, Cases, Fact, Where, at, directory, file, holds, is_directory, list};

const FSTAB: &str = "/etc/fstab";
const OTHERS: &str = "# static file systems\nUUID=1-2 / ext4\terrors=remount-ro 0 1\n";

fn live(path: &str, value: Option<&str>) -> Act {
    Act::Setting(SettingKind::Mounted, path.into(), value.map(str::to_owned))
}

fn is_mounted(path: &str, value: Option<&str>) -> Fact {
    Fact::Value { kind: SettingKind::Mounted, key: path.into(), value: value.map(str::to_owned) }
}

fn with(line: &str) -> String {
    format!("{OTHERS}{line}\n")
}

fn fstab(line: &str) -> Act {
    file(FSTAB, with(line), 0o644)
}

pub fn cases() -> Cases {
    let before = file(FSTAB, OTHERS, 0o644);
    let fast = "/mnt/h fast";
    let line = "tmpfs /mnt/h\\040fast tmpfs size=1m,noexec 0 0";
    let mounted = "tmpfs tmpfs size=1m,noexec";
    Cases::of("mount")
        .case(
            Case::new(
                "tmpfs",
                [
                    ("path", fast.into()),
                    ("device", "tmpfs".into()),
                    ("fstype", "tmpfs".into()),
                    ("options", list(["size=1m", "noexec"])),
                    ("state", "mounted".into()),
                ],
            )
            .fake()
            .before([before.clone()])
            .ends([holds(FSTAB, with(line)), is_mounted(fast, Some(mounted))])
            .drift(["state"], "mounted", [live(fast, None)])
            .drift(["fstype"], "mounted", [live(fast, Some("/dev/sdb1 ext4 rw"))])
            .drift(["options"], "options", [live(fast, Some("tmpfs tmpfs rw,size=1024k"))])
            .drift(["state", "device"], "fstab", [file(FSTAB, OTHERS, 0o644)])
            .drift(["options"], "fstab", [fstab("tmpfs /mnt/h\\040fast tmpfs size=2m,noexec 0 0")])
            .drift(["fstype"], "fstab", [fstab("tmpfs /mnt/h\\040fast ramfs size=1m,noexec 0 0")])
            .loose_drift(
                ["state"],
                "fstab",
                [fstab(&format!("{line}\n/dev/sdc1 /mnt/h\\040fast ext4"))],
            ),
        )
        .case(
            // A folder with an odd name, bound to another.
            Case::new(
                "bind",
                [("path", at("target")), ("device", at("source")), ("options", "bind,ro".into())],
            )
            .fake()
            .before([before.clone(), directory("source", 0o700), directory("target", 0o700)])
            .ends([is_directory("target")])
            .drift(["device"], "mounted", [live(&format!("{BASE}/target"), None)]),
        )
        .case(
            Case::new(
                "configured",
                [
                    ("path", "/mnt/h-later".into()),
                    ("state", "configured".into()),
                    ("device", "LABEL=h-later".into()),
                    ("fstype", "ext4".into()),
                    ("options", "noauto,nofail".into()),
                    ("dump", Value::Int(1)),
                    ("pass", Value::Int(2)),
                ],
            )
            .fake()
            .before([before.clone()])
            .ends([
                holds(FSTAB, with("LABEL=h-later /mnt/h-later ext4 noauto,nofail 1 2")),
                is_mounted("/mnt/h-later", None),
            ])
            .drift(["dump"], "fstab", [fstab("LABEL=h-later /mnt/h-later ext4 noauto,nofail 0 2")])
            .drift(["pass"], "fstab", [fstab("LABEL=h-later /mnt/h-later ext4 noauto,nofail 1")]),
        )
        .case(
            Case::new("unmounted", [("path", "/mnt/h-old".into()), ("state", "unmounted".into())])
                .fake()
                .before([
                    fstab("tmpfs /mnt/h-old tmpfs"),
                    directory("/mnt/h-old", 0o755),
                    live("/mnt/h-old", Some("tmpfs tmpfs rw")),
                ])
                .ends([holds(FSTAB, with("tmpfs /mnt/h-old tmpfs")), is_mounted("/mnt/h-old", None)])
                .no_undo("what was in memory is gone with the mount"),
        )
        .case(
            Case::new("absent", [("path", "/mnt/h-gone".into()), ("state", "absent".into())])
                .fake()
                .before([fstab("tmpfs /mnt/h-gone tmpfs"), directory("/mnt/h-gone", 0o755)])
                .ends([holds(FSTAB, OTHERS), is_mounted("/mnt/h-gone", None)])
                .drift(["state"], "fstab", [fstab("tmpfs /mnt/h-gone/ tmpfs")])
                .loose_drift(["state"], "mounted", [live("/mnt/h-gone", Some("tmpfs tmpfs rw"))]),
        )
        .case(
            Case::new(
                "host",
                [
                    ("path", "/mnt/h-host".into()),
                    ("device", "tmpfs".into()),
                    ("fstype", "tmpfs".into()),
                    ("options", "size=1m".into()),
                ],
            )
            .only([Where::Host])
            .drift(["state"], "mounted", [live("/mnt/h-host", None)]),
        )
}
