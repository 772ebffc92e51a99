//! What is done to a node by hand, and what must be so on it, as scripts of a shell.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use cm_modules::node::{GroupChange, SettingKind, UnitAction, UserChange};

use crate::case::{Act, Fact};

/// A script that does these things and ends with the first that fails.
pub fn script(acts: &[Act]) -> String {
    std::iter::once("set -e\n".to_owned()).chain(acts.iter().map(act)).collect()
}

/// A condition of test(1) and its like.
pub fn condition(fact: &Fact) -> String {
    let of = |path: &Path| bytes(path.as_os_str().as_bytes());
    match fact {
        Fact::Holds { path, content } => {
            let path = of(path);
            format!("{{ [ -f {path} ] && [ ! -L {path} ] && {} | cmp -s - {path}; }}", decoded(content))
        }
        Fact::HasMode { path, mode } => format!("[ \"$(stat -c %a {})\" = {mode:o} ]", of(path)),
        Fact::HasOwner { path, uid, gid } => {
            format!("[ \"$(stat -c %u:%g {})\" = {uid}:{gid} ]", of(path))
        }
        Fact::IsDirectory { path } => format!("{{ [ -d {0} ] && [ ! -L {0} ]; }}", of(path)),
        Fact::LeadsTo { path, target } => format!("[ \"$(readlink {})\" = {} ]", of(path), of(target)),
        Fact::Gone { path } => format!("{{ [ ! -e {0} ] && [ ! -L {0} ]; }}", of(path)),
        Fact::HasUser { name, there } => known("passwd", name, *there),
        Fact::HasGroup { name, there } => known("group", name, *there),
        Fact::HasPackage { name, there } => {
            let not = if *there { "" } else { "! " };
            format!(
                "{not}dpkg-query -W -f '${{db:Status-Status}}' {} 2>/dev/null | grep -qx installed",
                text(name)
            )
        }
        Fact::Active { unit, state } => property(unit, "ActiveState", state),
        Fact::Enabled { unit, state } => property(unit, "UnitFileState", state),
        // The module's own look is the judge.
        Fact::Value { .. } => "true".to_owned(),
    }
}

/// A word of a shell that stands for this text.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn bytes(word: &[u8]) -> String {
    match std::str::from_utf8(word) {
        Ok(word) => text(word),
        // No name of a case that is no text ends with a line break, which the substitution would drop.
        Err(_) => {
            let octal: String = word.iter().map(|byte| format!("\\{byte:03o}")).collect();
            format!("\"$(printf '{octal}')\"")
        }
    }
}

/// A command that prints these bytes.
fn decoded(content: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in content.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            encoded.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    format!("printf %s {encoded} | base64 -d")
}

fn known(database: &str, name: &str, there: bool) -> String {
    let not = if there { "" } else { "! " };
    format!("{not}getent {database} {} >/dev/null", text(name))
}

fn property(unit: &str, property: &str, state: &str) -> String {
    format!("[ \"$(systemctl show -P {property} {})\" = {} ]", text(unit), text(state))
}

fn act(act: &Act) -> String {
    let of = |path: &Path| bytes(path.as_os_str().as_bytes());
    let above = |path: &Path| format!("mkdir -p {}\n", of(path.parent().unwrap_or(path)));
    match act {
        Act::File { path, content, mode } => {
            let new = format!("{}.by-hand", of(path));
            format!(
                "{}{} > {new}\nchown 0:0 {new}\nchmod {mode:o} {new}\nmv -fT {new} {}\n",
                above(path),
                decoded(content),
                of(path)
            )
        }
        Act::Directory { path, mode } => format!("mkdir -p {0}\nchmod {mode:o} {0}\n", of(path)),
        Act::Link { path, target } => {
            format!("{}ln -sfT {} {}\n", above(path), of(target), of(path))
        }
        Act::Mode { path, mode } => format!("chmod {mode:o} {}\n", of(path)),
        Act::Owner { path, uid, gid } => format!(
            "mode=$(stat -c %a {0})\nchown -h {uid}:{gid} {0}\n[ -L {0} ] || chmod $mode {0}\n",
            of(path)
        ),
        Act::Extended { .. } => panic!("the hosts have no program that sets extended attributes"),
        Act::Remove { path } => format!("rm -rf {}\n", of(path)),
        Act::User(change) => user(change),
        Act::NoUser(name) => format!("userdel -r {} 2>/dev/null || true\n", text(name)),
        Act::Group(change) => group(change),
        Act::NoGroup(name) => format!("groupdel {}\n", text(name)),
        Act::Offer { .. } | Act::Unit(..) => String::new(),
        Act::Install { name, version } => {
            let version = version.as_ref().map(|version| format!("={version}")).unwrap_or_default();
            let name = text(&format!("{name}{version}"));
            format!(
                "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --allow-downgrades install {name} >/dev/null\n"
            )
        }
        Act::Purge(name) => format!("dpkg -P {} >/dev/null\n", text(name)),
        Act::Hold(name, held) => {
            format!("apt-mark {} {} >/dev/null\n", if *held { "hold" } else { "unhold" }, text(name))
        }
        Act::Manage(unit, action) => {
            let word = match action {
                UnitAction::Start => "start",
                UnitAction::Stop => "stop",
                UnitAction::Restart => "restart",
                UnitAction::Reload => "reload",
                UnitAction::Enable => "enable",
                UnitAction::Disable => "disable",
                UnitAction::Mask => "mask",
                UnitAction::Unmask => "unmask",
                UnitAction::Forget => "reset-failed",
            };
            format!("systemctl daemon-reload\nsystemctl -q {word} {}\n", text(unit))
        }
        Act::Setting(kind, key, value) => setting(*kind, key, value.as_deref()),
        Act::Shell(line) => format!("{line}\n"),
    }
}

fn user(change: &UserChange) -> String {
    let mut options = String::new();
    let mut option = |letter: &str, value: Option<String>| {
        if let Some(value) = value {
            options.push_str(&format!(" {letter} {}", text(&value)));
        }
    };
    option("-u", change.uid.map(|uid| uid.to_string()));
    option("-g", change.group.clone());
    option("-G", change.groups.as_ref().map(|groups| groups.join(",")));
    option("-c", change.comment.clone());
    option("-d", change.home.clone());
    option("-s", change.shell.clone());
    option("-p", change.password.clone());
    let name = text(&change.name);
    let there = if options.is_empty() { "true".to_owned() } else { format!("usermod{options} {name}") };
    let home = if change.create_home { "-m" } else { "-M" };
    let system = if change.system { " -r" } else { "" };
    format!(
        "if getent passwd {name} >/dev/null; then {there}\nelse useradd {home}{system}{options} {name}\nfi\n"
    )
}

fn group(change: &GroupChange) -> String {
    let name = text(&change.name);
    let gid = change.gid.map(|gid| format!(" -g {gid}")).unwrap_or_default();
    let members = match &change.members {
        Some(members) => format!("gpasswd -M {} {name} >/dev/null\n", text(&members.join(","))),
        None => String::new(),
    };
    format!(
        "if ! getent group {name} >/dev/null; then groupadd{gid} {name}\nelif [ -n '{gid}' ]; then groupmod{gid} {name}\nfi\n{members}"
    )
}

fn setting(kind: SettingKind, key: &str, value: Option<&str>) -> String {
    match (kind, value) {
        (SettingKind::Sysctl, Some(value)) => format!("sysctl -q -w {}\n", text(&format!("{key}={value}"))),
        (SettingKind::Mounted, None) => format!("umount {}\n", text(key)),
        (SettingKind::Swap, None) => format!("swapoff {}\n", text(key)),
        (SettingKind::Swap, Some(_)) => format!("swapon {}\n", text(key)),
        (SettingKind::KernelModule, None) => format!("modprobe -r {}\n", text(key)),
        (SettingKind::KernelModule, Some(_)) => format!("modprobe {}\n", text(key)),
        (SettingKind::Hostname, Some(name)) => format!("hostname {}\n", text(name)),
        (kind, _) => panic!("write `Act::Shell` for {} on a host", kind.word()),
    }
}
