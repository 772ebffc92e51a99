//! Cases of `kernel_module`.

use cm_modules::node::SettingKind;
use cm_wire::Value;

use crate::case::{Act, Case, Cases, Fact, Where, file, gone, holds, remove};

fn loaded(name: &str, value: Option<&str>) -> Act {
    Act::Setting(SettingKind::KernelModule, name.into(), value.map(str::to_owned))
}

fn is_loaded(name: &str, value: Option<&str>) -> Fact {
    Fact::Value { kind: SettingKind::KernelModule, key: name.into(), value: value.map(str::to_owned) }
}

fn params() -> Value {
    Value::Map([("hold".into(), Value::Int(1)), ("name".into(), "a b".into())].into_iter().collect())
}

/// Loading is on the fake node alone: the kernel of a container is its host's.
pub fn cases() -> Cases {
    let (boot, modprobe) = ("/etc/modules-load.d/cm-h_one.conf", "/etc/modprobe.d/cm-h_one.conf");
    let options = "options h_one hold=1 name=\"a b\"\n";
    let (old, black) = ("/etc/modules-load.d/cm-h_old.conf", "/etc/modprobe.d/cm-h_black.conf");
    Cases::of("kernel_module")
        .case(
            Case::new(
                "loaded",
                [
                    ("name", "h-one".into()),
                    ("state", "loaded".into()),
                    ("boot", true.into()),
                    ("params", params()),
                ],
            )
            .fake()
            .ends([holds(boot, "h_one\n"), holds(modprobe, options), is_loaded("h_one", Some("loaded"))])
            .drift(["state"], "module", [loaded("h_one", None)])
            .drift(["boot"], "at boot", [file(boot, "other\n", 0o644)])
            .drift(["boot"], "at boot", [remove(boot)])
            .drift(["params"], "modprobe", [file(modprobe, "options h_one hold=0\n", 0o644)]),
        )
        .case(
            Case::new("blacklisted", [("name", "h_black".into()), ("state", "blacklisted".into())])
                .only([Where::Fake, Where::Host])
                .ends([holds(black, "blacklist h_black\n")])
                .drift(["state"], "modprobe", [remove(black)]),
        )
        .case(
            Case::new("unloaded", [("name", "h_old".into()), ("state", "absent".into())])
                .fake()
                .before([file(old, "h_old\n", 0o644), loaded("h_old", Some("loaded"))])
                .ends([gone(old), is_loaded("h_old", None)])
                .drift(["state"], "module", [loaded("h_old", Some("loaded"))]),
        )
        .case(
            Case::new("built-in", [("name", "h_kernel".into()), ("boot", false.into())])
                .fake()
                .before([loaded("h_kernel", Some("built in"))])
                .at_rest(),
        )
}
