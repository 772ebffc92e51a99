//! A look at a whole host: the file tree with owners, modes and contents, packages, accounts, units, mounts; and
//! what of it may differ after all was taken back.

use std::collections::{BTreeMap, BTreeSet};

use cm_tests::Hosts;

/// What `docs/node.md` says may differ after all was taken back: paths below these, and these themselves.
const LEFT: &[&str] = &[
    // What programs write by themselves.
    "/var/log",
    "/var/cache",
    "/var/tmp",
    "/var/lib/systemd",
    "/root/.cache",
    // The package manager's book-keeping and its index.
    "/var/lib/apt",
    "/var/lib/dpkg",
    // Former versions that useradd(8) and its like keep.
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/etc/.pwd.lock",
    // Made anew from what is there.
    "/etc/ld.so.cache",
    // The agent and its journal, which history needs.
    "/var/lib/cm",
];

/// Prints all that is compared: `KIND NAME STATE` in records that end with NUL. Accounts are compared line by
/// line: who was taken away and brought back is the last in the file, and has
/// other subordinate ids.
const LOOK: &str = r##"
find / -xdev \( -type f -printf 'path %p file %m %U:%G %s\0' -o -type l -printf 'path %p link %U:%G %l\0' -o -printf 'path %p %y %m %U:%G\0' \)
for file in subuid subgid; do cut -d: -f1 /etc/$file | while read -r name; do printf 'line /etc/%s:%s there\0' $file "$name"; done; done
for file in passwd group shadow gshadow; do sort /etc/$file | while IFS= read -r line; do printf 'line /etc/%s:%s there\0' $file "$(echo "$line" | tr ' ' _)"; done; done
find / -xdev -type f -size -2000k ! -path /etc/passwd ! -path /etc/group ! -path /etc/shadow ! -path /etc/gshadow ! -path /etc/subuid ! -path /etc/subgid -print0 | xargs -0 -r sha256sum -z | while IFS= read -r -d '' line; do printf 'content %s %s\0' "${line#*  }" "${line%% *}"; done
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' | while read -r name state; do printf 'package %s %s\0' "$name" "$state"; done
apt-mark showmanual | while read -r name; do printf 'manual %s yes\0' "$name"; done
getent passwd | while IFS=: read -r name rest; do printf 'user %s %s\0' "$name" "$rest"; done
getent group | while IFS=: read -r name rest; do printf 'group %s %s\0' "$name" "$rest"; done
systemctl list-unit-files --no-legend --plain | while read -r name state rest; do printf 'enabled %s %s\0' "$name" "$state"; done
systemctl list-units --all --no-legend --plain --type service,socket,timer,mount,swap,path | while read -r name load active rest; do printf 'active %s %s\0' "$name" "$active"; done
findmnt -rno TARGET,SOURCE,FSTYPE,OPTIONS | while read -r target rest; do printf 'mount %s %s\0' "$target" "$rest"; done
cat /proc/swaps | while read -r name rest; do printf 'swap %s -\0' "$name"; done
printf 'value hostname %s\0value forward %s\0value timezone %s\0' "$(hostname)" "$(cat /proc/sys/net/ipv4/ip_forward)" "$(date +%Z)"
"##;

/// Everything that is compared: its kind and name, and its state.
pub type Look = BTreeMap<String, String>;

/// Looks at all of a host.
///
/// # Panics
/// When it cannot.
pub fn look(hosts: &Hosts, host: &str) -> Look {
    let output = hosts.lab.exec(host, &["bash", "-c", LOOK]).expect("a running host");
    let records = output.stdout.split(|&byte| byte == 0).filter(|record| !record.is_empty());
    let mut found = Look::new();
    for record in records {
        let record = record.escape_ascii().to_string();
        let mut words = record.splitn(3, ' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        found.insert(format!("{kind} {name}"), words.next().unwrap_or_default().to_owned());
    }
    assert!(found.len() > 5000, "a host has more than {} things", found.len());
    found
}

/// What differs and is not stated, as lines for a person.
pub fn differences(before: &Look, after: &Look) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let show = |state: Option<&String>| state.map_or("nothing", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name) && !is_left(name) && !is_restless(name))
        .map(|name| format!("{name}: {} -> {}", show(before.get(name)), show(after.get(name))))
        .collect()
}

fn is_left(name: &str) -> bool {
    let Some(path) = name.strip_prefix("path ").or_else(|| name.strip_prefix("content ")) else {
        return false;
    };
    LEFT.iter()
        .any(|left| path.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Units that come and go by themselves, and connections of the test itself.
fn is_restless(name: &str) -> bool {
    let Some(unit) = name.strip_prefix("active ") else { return false };
    [
        "user@",
        "user-runtime-dir@",
        "ssh@",
        "run-user-",
        "session-",
        "systemd-",
        "cm-guard",
        "run-",
        "apt-daily",
        "dpkg-db",
        "fstrim",
        "e2scrub",
        "logrotate",
        "man-db",
        "container-getty@",
        "console-getty",
    ]
    .iter()
    .any(|start| unit.starts_with(start))
}

#[test]
fn what_may_be_left_is_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/node.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let unsaid: Vec<&&str> = LEFT.iter().filter(|left| !text.contains(&format!("`{left}`"))).collect();
    assert!(unsaid.is_empty(), "docs/node.md does not name {unsaid:?}");
}
