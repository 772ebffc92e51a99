//! `limits`: a limit that pam_limits(8) gives to sessions, in a file of its own under limits.d.

use std::path::PathBuf;

use super::presence::State;
use super::{scalar::Scalar, whole_file::WholeFile};
use crate::{
    Class, Context, Effect, Module, ParamError, Params, Problem, Resource, Seen, Thing, Touches, choice,
    params,
};

/// Where pam_limits(8) looks for files that end in `.conf`.
const FOLDER: &str = "/etc/security/limits.d";

choice! {
    /// Which of the two limits.
    pub enum LimitType {
        /// What a session starts with; it may raise it up to the hard one.
        Soft = "soft",
        /// What a session cannot go beyond.
        Hard = "hard",
        /// Both, `-` in limits.conf(5).
        Both = "both",
        /// As limits.conf(5) writes it.
        Dash = "-",
    }
}

choice! {
    /// What is limited (limits.conf(5)).
    pub enum Item {
        /// Core file size in KiB.
        Core = "core",
        /// Data size in KiB.
        Data = "data",
        /// File size in KiB.
        Fsize = "fsize",
        /// Locked memory in KiB.
        Memlock = "memlock",
        /// Open files.
        Nofile = "nofile",
        /// Resident set in KiB.
        Rss = "rss",
        /// Stack size in KiB.
        Stack = "stack",
        /// CPU time in minutes.
        Cpu = "cpu",
        /// Processes.
        Nproc = "nproc",
        /// Address space in KiB.
        As = "as",
        /// Logins of the user.
        Maxlogins = "maxlogins",
        /// Logins on the system.
        Maxsyslogins = "maxsyslogins",
        /// Refuses logins of others than root.
        Nonewprivs = "nonewprivs",
        /// Priority of processes.
        Priority = "priority",
        /// File locks.
        Locks = "locks",
        /// Pending signals.
        Sigpending = "sigpending",
        /// Bytes in message queues.
        Msgqueue = "msgqueue",
        /// Least nice value.
        Nice = "nice",
        /// Real-time priority.
        Rtprio = "rtprio",
    }
}

params! {
    /// A limit of login sessions (pam_limits(8), limits.conf(5)): one line in a file of its own,
    /// /etc/security/limits.d/60-cm-ITEM-TYPE-DOMAIN.conf. New sessions get it; services do not: a unit of
    /// systemd has `LimitNOFILE=` and the like. A file that comes later by name may say otherwise, and so may a
    /// line for a user where this is one for a group or for all.
    pub struct Limits = "limits" {
        /// Whom it is for: a user, `@group`, `*` for all but root, a range of ids such as `1000:`. Several
        /// limits of one are several tasks.
        subject domain: String,
        /// `present` or `absent`.
        state: State = State::Present,
        /// `soft`, `hard`, or `both` (which may be written `"-"`).
        r#type: LimitType = LimitType::Both,
        /// What is limited, such as `nofile` (open files) or `nproc` (processes).
        item: Item,
        /// The limit: a number in the unit of limits.conf(5), or `unlimited`.
        value: Option<Scalar>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Limits::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Limits::from_params(params)?;
    check_domain(&given.domain).map_err(|error| ParamError::new("domain", error))?;
    let (kind, sign) = match given.r#type {
        LimitType::Soft => ("soft", "soft"),
        LimitType::Hard => ("hard", "hard"),
        LimitType::Both | LimitType::Dash => ("both", "-"),
    };
    let item = given.item.word();
    let path = PathBuf::from(FOLDER).join(format!("60-cm-{item}-{kind}-{}.conf", file_part(&given.domain)));
    let text = match (given.state, given.value) {
        (State::Absent, Some(_)) => {
            return Err(ParamError::new("value", "cannot be given for a limit that is to be absent"));
        }
        (State::Absent, None) => None,
        (State::Present, None) => {
            return Err(ParamError::new("value", "is required (a number or `unlimited`)"));
        }
        (State::Present, Some(value)) => {
            check_value(given.item, &value.0).map_err(|error| ParamError::new("value", error))?;
            Some(format!("# Managed by cm.\n{} {sign} {item} {}\n", given.domain, value.0))
        }
    };
    Ok(Box::new(Wanted { path, text }))
}

/// A user or group that need not be there yet, a range of ids, or all.
fn check_domain(domain: &str) -> Result<(), String> {
    let name = domain.strip_prefix(['@', '%']).unwrap_or(domain);
    let bad = |c: char| c.is_whitespace() || c.is_control() || "#\"'\\/,".contains(c);
    if (name.is_empty() && domain != "%") || name.contains(bad) || name.starts_with('-') {
        return Err(format!("{domain:?} is no user, @group, range of ids or `*`"));
    }
    if let Some((first, last)) = name.split_once(':') {
        let id = |text: &str| text.is_empty() || text.parse::<u32>().is_ok();
        if !id(first) || !id(last) || (first.is_empty() && last.is_empty()) {
            return Err(format!("{domain:?} is no range of ids such as `1000:2000`, `1000:` or `:999`"));
        }
    }
    if name.contains('*') && (name != "*" || domain != "*") {
        return Err(format!("{domain:?} is no user or @group; `*` alone stands for all"));
    }
    Ok(())
}

fn check_value(item: Item, value: &str) -> Result<(), String> {
    let number: Option<i64> = value.parse().ok().filter(|_| !value.starts_with('+'));
    let bounded = |least: i64, most: i64| match number {
        Some(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("wants a number from {least} to {most} for `{}`, not {value:?}", item.word())),
    };
    match item {
        Item::Nice | Item::Priority => bounded(-20, 19),
        Item::Nonewprivs => bounded(0, 1),
        _ if ["unlimited", "infinity", "-1"].contains(&value) => Ok(()),
        _ if number.is_some_and(|number| number >= 0) => Ok(()),
        _ => Err(format!("wants a number or `unlimited`, not {value:?}")),
    }
}

/// The domain as a part of a file's name, another one for each: what a name cannot hold well is written
/// `%` and two hexadecimal digits.
fn file_part(domain: &str) -> String {
    let mut part = String::new();
    for byte in domain.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part += &format!("%{byte:02X}");
        }
    }
    part
}

struct Wanted {
    path: PathBuf,
    text: Option<String>,
}

impl Wanted {
    fn file(&self) -> WholeFile<'_> {
        WholeFile { path: &self.path, text: self.text.as_deref() }
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File).makes(Thing::Path(self.path.clone())).removes(self.text.is_none())
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.file().look(context).map(Seen::from_changes)
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.file().change(context)?;
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
