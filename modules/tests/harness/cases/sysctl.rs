//! Cases of `sysctl`.

use cm_modules::node::SettingKind;
use cm_wire::Value;

use crate::case::{Act, Case, Cases, Fact, Where, directory, file, gone, holds, remove};

/// Parameters of the network are those of each host alone, in a container too.
const TTL: &str = "net.ipv4.ip_default_ttl";
const RANGE: &str = "net.ipv4.ip_local_port_range";

fn set(key: &str, value: &str) -> Act {
    Act::Setting(SettingKind::Sysctl, key.to_owned(), Some(value.to_owned()))
}

fn is(key: &str, value: &str) -> Fact {
    Fact::Value { kind: SettingKind::Sysctl, key: key.to_owned(), value: Some(value.to_owned()) }
}

pub fn cases() -> Cases {
    let ttl = "/etc/sysctl.d/60-cm-net.ipv4.ip_default_ttl.conf";
    let range = "/etc/sysctl.d/60-cm-net.ipv4.ip_local_port_range.conf";
    let old = "/etc/sysctl.d/60-cm-net.ipv4.conf.eth0%100.forwarding.conf";
    let prepared = directory("/etc/sysctl.d", 0o755);
    Cases::of("sysctl")
        .case(
            Case::new("set", [("key", TTL.into()), ("value", Value::Int(63)), ("state", "present".into())])
                .before([prepared.clone(), set(TTL, "64")])
                .only([Where::Fake, Where::Host])
                .ends([holds(ttl, "# Managed by cm.\nnet.ipv4.ip_default_ttl = 63\n"), is(TTL, "63")])
                .drift(["value", "apply"], "value", [set(TTL, "62")])
                .drift(["value"], "content", [file(ttl, "net.ipv4.ip_default_ttl = 62\n", 0o644)])
                .drift(["state", "persist"], "state", [remove(ttl)]),
        )
        .case(
            Case::new(
                "now",
                [("key", RANGE.into()), ("value", "20000\t 60000".into()), ("persist", false.into())],
            )
            .before([prepared.clone(), set(RANGE, "32768 60999")])
            .only([Where::Fake, Where::Host])
            .ends([gone(range), is(RANGE, "20000 60000")])
            .drift(["value"], "value", [set(RANGE, "32768 60999")]),
        )
        .case(
            Case::new(
                "boot",
                [("key", "vm.swappiness".into()), ("value", Value::Int(10)), ("apply", false.into())],
            )
            .before([prepared.clone()])
            .only([Where::Fake, Where::Host])
            .ends([holds(
                "/etc/sysctl.d/60-cm-vm.swappiness.conf",
                "# Managed by cm.\nvm.swappiness = 10\n",
            )]),
        )
        .case(
            Case::new(
                "absent",
                [("key", "net/ipv4/conf/eth0.100/forwarding".into()), ("state", "absent".into())],
            )
            .before([prepared, file(old, "x\n", 0o644)])
            .only([Where::Fake, Where::Host])
            .ends([gone(old)])
            .drift(["state"], "state", [file(old, "", 0o644)]),
        )
}
