//! How a host is reached and who one is there: `ssh`, `connection`, `become`, `become_password`.
//!
//! Every setting stands for itself: a group that sets `ssh.user` leaves `ssh.port` to the groups around it and to `defaults`.

use std::time::Duration;

use cm_syntax::{Diagnostic, Diagnostics, MapReader, Node, Spanned, Yaml, nearest};

use crate::draft::{Key, Written};
use crate::duration;

/// One thing that can be set for a host, a group, or in `defaults`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Setting {
    Connection,
    Become,
    BecomePassword,
    User,
    Port,
    Key,
    Certificate,
    Jump,
    HostKeys,
    KnownHosts,
    ConnectTimeout,
    Attempts,
    Keepalive,
    Agent,
    Config,
}

impl Setting {
    /// Those under `ssh:`, with their keys.
    const SSH: [(Self, &'static str); 12] = [
        (Self::User, "user"),
        (Self::Port, "port"),
        (Self::Key, "key"),
        (Self::Certificate, "certificate"),
        (Self::Jump, "jump"),
        (Self::HostKeys, "host_keys"),
        (Self::KnownHosts, "known_hosts"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::Attempts, "attempts"),
        (Self::Keepalive, "keepalive"),
        (Self::Agent, "agent"),
        (Self::Config, "config"),
    ];

    /// How messages call it: `ssh.user`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Connection => "connection".into(),
            Self::Become => "become".into(),
            Self::BecomePassword => "become_password".into(),
            _ => {
                let key = Self::SSH.iter().find(|(setting, _)| *setting == self).map_or("", |(_, key)| key);
                format!("ssh.{key}")
            }
        }
    }
}

/// How one host is reached, after groups and defaults. What is `None` was said nowhere: `~/.ssh/config`, then the program's
/// own defaults, apply.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Over SSH, or on the machine `cm` runs on.
    pub connection: Connection,
    /// `become: true`: tasks run as root, through `sudo`.
    pub become_root: Option<Spanned<bool>>,
    /// The template that gives sudo's password (`{{ secrets.sudo }}`), not rendered.
    pub become_password: Option<Spanned<String>>,
    /// How SSH gets there.
    pub ssh: Ssh,
}

/// Where tasks of a host run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Connection {
    /// On the host, over SSH.
    #[default]
    Ssh,
    /// On the machine `cm` runs on; the host has no address.
    Local,
}

/// The `ssh:` settings of one host. Paths are as written: `~` is not expanded, relative ones are relative to the repository.
#[derive(Clone, Debug, Default)]
pub struct Ssh {
    /// The user to log in as.
    pub user: Option<Spanned<String>>,
    /// The TCP port.
    pub port: Option<Spanned<u16>>,
    /// Private key files, to be tried in this order.
    pub keys: Vec<Spanned<String>>,
    /// Certificate files that go with the keys.
    pub certificates: Vec<Spanned<String>>,
    /// Jump hosts from the nearest to the farthest, each `[user@]host[:port]` or a host of the inventory.
    /// An empty list (written `none`) is a direct connection whatever `~/.ssh/config` says.
    pub jump: Option<Vec<Spanned<String>>>,
    /// What to do about a host key that is not known.
    pub host_keys: Option<Spanned<HostKeys>>,
    /// Files of known host keys; empty: those of `~/.ssh/config` or OpenSSH's own.
    pub known_hosts: Vec<Spanned<String>>,
    /// How long one attempt to connect and log in may take.
    pub connect_timeout: Option<Spanned<Duration>>,
    /// How often a connection is tried before the host counts as unreachable.
    pub attempts: Option<Spanned<u32>>,
    /// How long a silent connection waits before it asks whether the other side is there; zero: never.
    pub keepalive: Option<Spanned<Duration>>,
    /// Whether keys of a running ssh-agent are offered.
    pub agent: Option<Spanned<bool>>,
    /// Which ssh_config is honoured.
    pub config: Option<Spanned<SshConfig>>,
}

/// What to do about a host key that is not known. One that has changed is always refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HostKeys {
    /// `strict`: refuse it.
    Strict,
    /// `accept-new`: take it and remember it.
    AcceptNew,
}

/// Which ssh_config is honoured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SshConfig {
    /// `config: false`: none.
    Ignored,
    /// This file instead of `~/.ssh/config` and the system's.
    File(String),
}

/// Reads the setting keys of a host, a group or `defaults`.
pub(crate) fn read<'a>(reader: &mut MapReader<'a, '_>, values: &mut Vec<Written<'a>>) {
    if let Some(node) = reader.node("ssh") {
        let owner = reader.what().to_owned();
        let mut ssh = MapReader::new(node, format!("`ssh` of {owner}"), reader.diagnostics());
        for (setting, key) in Setting::SSH {
            read_one(&mut ssh, setting, key, &owner, values);
        }
        ssh.finish();
    }
    let owner = reader.what().to_owned();
    read_one(reader, Setting::Connection, "connection", &owner, values);
    read_one(reader, Setting::Become, "become", &owner, values);
    read_one(reader, Setting::BecomePassword, "become_password", &owner, values);
}

fn read_one<'a>(
    reader: &mut MapReader<'a, '_>,
    setting: Setting,
    key: &'static str,
    owner: &str,
    values: &mut Vec<Written<'a>>,
) {
    let Some(entry) = reader.entry(key) else { return };
    let what = format!("`{}` of {owner}", setting.name());
    match check(setting, &what, &entry.value) {
        Ok(()) => {
            values.push(Written { key: Key::Setting(setting), span: entry.key.span, node: &entry.value });
        }
        Err(problems) => reader.diagnostics().extend(*problems),
    }
}

/// Says whether a string holds a template, which is filled in later and checked again then.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Checks a setting's value. A template passes; [`check`] it again when it is filled in.
pub(crate) fn check(setting: Setting, what: &str, node: &Node) -> Result<(), Box<Diagnostics>> {
    let wrong = |wanted: &str| {
        Diagnostic::error(format!("{what} wants {wanted}, not {}", node.described())).at(node.span, "")
    };
    let template = node.as_text().is_some_and(is_template);
    let problem = match setting {
        Setting::BecomePassword => match node.as_text() {
            Some(_) if template => None,
            Some(_) => Some(
                Diagnostic::error(format!("{what} stands here in clear text"))
                    .at(node.span, "anyone who reads the repository reads it")
                    .hint(
                        "put it into secrets.yaml and write \"{{ secrets.NAME }}\", or use --ask-become-pass",
                    ),
            ),
            None => Some(wrong("a template such as \"{{ secrets.sudo }}\"")),
        },
        _ if template => None,
        Setting::Become | Setting::Agent => match (&node.value, node.as_text()) {
            (Yaml::Bool(_), _) => None,
            (_, Some("yes" | "on")) => Some(wrong("true or false").hint("write `true`")),
            (_, Some("no" | "off")) => Some(wrong("true or false").hint("write `false`")),
            _ => Some(wrong("true or false")),
        },
        Setting::Port => number(node, 1, 65_535).is_none().then(|| wrong("a port from 1 to 65535")),
        Setting::Attempts => number(node, 1, 1000).is_none().then(|| wrong("a number from 1 to 1000")),
        Setting::ConnectTimeout => match time(node) {
            Some(time) if !time.is_zero() => None,
            _ => Some(wrong("seconds, or a time such as 10s").hint("units are ms, s, m, h and d")),
        },
        Setting::Keepalive => time(node)
            .is_none()
            .then(|| wrong("seconds, or a time such as 10s").hint("units are ms, s, m, h and d")),
        Setting::Connection => word(node, &wrong, &["ssh", "local"]),
        Setting::HostKeys => word(node, &wrong, &["strict", "accept-new"]),
        Setting::Config => match &node.value {
            Yaml::Bool(false) | Yaml::Text(_) => None,
            _ => Some(wrong("the path of an ssh_config, or false")),
        },
        Setting::User => match node.as_text() {
            Some(user) if is_word(user) => None,
            Some(_) => Some(wrong("the name of a user")),
            None => Some(quoted(wrong("the name of a user"), node)),
        },
        Setting::Jump => {
            let known = texts(node).map(hops);
            let known = known.filter(|hops| hops.iter().all(|hop| is_word(&hop.value)));
            known.is_none().then(|| wrong("`[user@]host[:port]`, a list of them, or none"))
        }
        Setting::Key | Setting::Certificate | Setting::KnownHosts => {
            let paths = texts(node).filter(|paths| paths.iter().all(|path| !path.value.is_empty()));
            paths.is_none().then(|| wrong("a path or a list of paths"))
        }
    };
    problem.map_or(Ok(()), |problem| Err(Box::new(problem.into())))
}

fn quoted(diagnostic: Diagnostic, node: &Node) -> Diagnostic {
    match node.raw() {
        Some(raw) => diagnostic.hint(format!("put it in quotes: \"{raw}\"")),
        None => diagnostic,
    }
}

fn word(node: &Node, wrong: &dyn Fn(&str) -> Diagnostic, words: &[&str]) -> Option<Diagnostic> {
    let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match node.as_text() {
        Some(text) if words.contains(&text) => None,
        text => {
            let near = text.and_then(|text| nearest(text, words.iter().copied()));
            Some(wrong(&list.join(" or ")).did_you_mean(near))
        }
    }
}

/// A name that can be handed to other programs: not empty, no white space, not mistakable for an option.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn number(node: &Node, least: i64, most: i64) -> Option<i64> {
    node.as_int().filter(|value| (least..=most).contains(value))
}

fn time(node: &Node) -> Option<Duration> {
    match &node.value {
        Yaml::Int(seconds) => duration::parse(&seconds.to_string()),
        Yaml::Text(text) => duration::parse(text),
        _ => None,
    }
}

/// One string or a list of them; commas part hops as in ssh's ProxyJump.
fn texts(node: &Node) -> Option<Vec<Spanned<String>>> {
    match &node.value {
        Yaml::Text(text) => Some(vec![Spanned::new(text.clone(), node.span)]),
        Yaml::List(items) => {
            items.iter().map(|item| Some(Spanned::new(item.as_text()?.to_owned(), item.span))).collect()
        }
        _ => None,
    }
}

impl Settings {
    /// Puts together what was checked before; a value of a wrong type counts as not set.
    pub(crate) fn resolve<'v>(look_up: impl Fn(Setting) -> Option<&'v Node>) -> Self {
        let text = |setting| {
            let node = look_up(setting)?;
            Some(Spanned::new(node.as_text()?.to_owned(), node.span))
        };
        let flag = |setting| {
            let node = look_up(setting)?;
            Some(Spanned::new(node.as_bool()?, node.span))
        };
        let whole = |setting, most| {
            let node = look_up(setting)?;
            Some(Spanned::new(number(node, 1, most)?, node.span))
        };
        let span_of_time = |setting| {
            let node = look_up(setting)?;
            Some(Spanned::new(time(node)?, node.span))
        };
        let list = |setting| look_up(setting).and_then(texts).unwrap_or_default();
        Self {
            connection: match text(Setting::Connection) {
                Some(kind) if kind.value == "local" => Connection::Local,
                _ => Connection::Ssh,
            },
            become_root: flag(Setting::Become),
            become_password: text(Setting::BecomePassword),
            ssh: Ssh {
                user: text(Setting::User),
                // Lossless: `whole` keeps to the range.
                port: whole(Setting::Port, 65_535).map(|port| port.map(|port| port as u16)),
                keys: list(Setting::Key),
                certificates: list(Setting::Certificate),
                jump: look_up(Setting::Jump).and_then(texts).map(hops),
                host_keys: text(Setting::HostKeys).map(|kind| {
                    kind.map(|kind| match kind.as_str() {
                        "accept-new" => HostKeys::AcceptNew,
                        _ => HostKeys::Strict,
                    })
                }),
                known_hosts: list(Setting::KnownHosts),
                connect_timeout: span_of_time(Setting::ConnectTimeout),
                attempts: whole(Setting::Attempts, 1000).map(|times| times.map(|times| times as u32)),
                keepalive: span_of_time(Setting::Keepalive),
                agent: flag(Setting::Agent),
                config: look_up(Setting::Config).map(|node| {
                    let config =
                        node.as_text().map_or(SshConfig::Ignored, |path| SshConfig::File(path.to_owned()));
                    Spanned::new(config, node.span)
                }),
            },
        }
    }
}

fn hops(written: Vec<Spanned<String>>) -> Vec<Spanned<String>> {
    let split = written.iter().flat_map(|hop| {
        hop.value.split(',').map(str::trim).map(|part| Spanned::new(part.to_owned(), hop.span))
    });
    split.filter(|hop| !hop.value.is_empty() && hop.value != "none").collect()
}
