//! A look at a whole host: the file tree with owners, modes and contents, packages, accounts, units, mounts; and
//! what of it may differ after all was taken back. `docs/node.md` names that for users.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::LabError;
use crate::lab::Lab;

/// What may differ after all was taken back: paths below these, and these themselves.
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
    "/var/lib/ucf",
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

/// Units that come and go by themselves, and connections of who looks.
const RESTLESS: &[&str] = &[
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

/// A Debian host has far more things than this; fewer mean that the look itself went wrong.
const FEWEST: usize = 5000;

/// All that was seen of a host at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeHost {
    /// The state of each thing, by kind and name: `path /etc/motd`, `package nginx`, `user www-data`.
    things: BTreeMap<String, String>,
}

impl Lab {
    /// Looks at all of a host, past SSH and past `cm`.
    ///
    /// # Errors
    /// There is no such host, it is not running, or it does not answer as a Debian host does.
    pub fn look(&self, host: &str) -> Result<WholeHost, LabError> {
        let output = self.exec(host, &["bash", "-c", LOOK])?;
        let mut things = BTreeMap::new();
        for record in output.stdout.split(|&byte| byte == 0).filter(|record| !record.is_empty()) {
            let record = record.escape_ascii().to_string();
            let mut words = record.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            things.insert(format!("{kind} {name}"), words.next().unwrap_or_default().to_owned());
        }
        if things.len() < FEWEST {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(LabError::Look { host: host.to_owned(), found: things.len(), said });
        }
        Ok(WholeHost { things })
    }
}

impl WholeHost {
    /// What is not as it was, and may not be left behind: one line each, `KIND NAME: BEFORE -> AFTER`. `but` names further
    /// paths that may differ, with all below them.
    #[must_use]
    pub fn differences(&self, after: &Self, but: &[String]) -> Vec<String> {
        let names: BTreeSet<&String> = self.things.keys().chain(after.things.keys()).collect();
        let show = |state: Option<&String>| state.map_or("nothing", String::as_str).to_owned();
        names
            .into_iter()
            .filter(|name| {
                self.things.get(*name) != after.things.get(*name) && !is_left(name, but) && !is_restless(name)
            })
            .map(|name| {
                format!("{name}: {} -> {}", show(self.things.get(name)), show(after.things.get(name)))
            })
            .collect()
    }

    /// The paths that may differ after all was taken back, with all below them.
    #[must_use]
    pub fn left() -> &'static [&'static str] {
        LEFT
    }
}

fn is_left(name: &str, but: &[String]) -> bool {
    let Some(path) = name.strip_prefix("path ").or_else(|| name.strip_prefix("content ")) else {
        return false;
    };
    let within =
        |left: &str| path.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    LEFT.iter().any(|left| within(left)) || but.iter().any(|left| within(left.trim_end_matches('/')))
}

/// Whether a unit comes and goes by itself.
fn is_restless(name: &str) -> bool {
    let Some(unit) = name.strip_prefix("active ") else { return false };
    RESTLESS.iter().any(|start| unit.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(things: &[(&str, &str)]) -> WholeHost {
        WholeHost {
            things: things.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect(),
        }
    }

    #[test]
    fn what_may_be_left_is_in_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/node.md");
        let text = std::fs::read_to_string(path).expect("the documentation");
        let unsaid: Vec<&&str> = LEFT.iter().filter(|left| !text.contains(&format!("`{left}`"))).collect();
        assert!(unsaid.is_empty(), "docs/node.md does not name {unsaid:?}");
    }

    #[test]
    fn only_what_nobody_may_leave_is_told() {
        let before = whole(&[
            ("path /etc/motd", "file 644 0:0 5"),
            ("path /var/log/x", "file 644 0:0 5"),
            ("active web.service", "active"),
            ("active apt-daily.service", "active"),
            ("path /srv/data", "dir"),
        ]);
        let after = whole(&[
            ("path /etc/motd", "file 600 0:0 5"),
            ("path /var/logs", "file 644 0:0 5"),
            ("path /srv/data", "dir"),
            ("path /srv/data/x", "file"),
            ("path /srv/data2", "file"),
        ]);
        assert_eq!(
            before.differences(&after, &["/srv/data/".to_owned()]),
            [
                "active web.service: active -> nothing",
                "path /etc/motd: file 644 0:0 5 -> file 600 0:0 5",
                "path /srv/data2: nothing -> file",
                "path /var/logs: nothing -> file 644 0:0 5",
            ]
        );
    }
}
