//! `hosts_entry`: an address with its names in /etc/hosts.

mod host_line;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use cm_wire::Value;

use self::host_line::{Address, HostLine};
use super::presence::State;
use super::{
    ownership::Ownership,
    text_edit::{Lines, TextEdit},
};
use crate::{
    AbsolutePath, Class, Context, Effect, Kind, Module, Param, ParamError, Params, Problem, Resource, Seen,
    Thing, Touches, params,
};

params! {
    /// An address with its names in /etc/hosts. The names are in one line of the address, in the order
    /// given (the first is the one that reverse look-ups answer), and in no other line of the same kind of
    /// address: a name that leads to another IPv4 address today leads to this one afterwards. IPv4 and IPv6 are
    /// entries of their own. Other names, other lines and comments stay as they are.
    ///
    /// Several tasks may give one address different names.
    pub struct HostsEntry = "hosts_entry" {
        /// The address, IPv4 or IPv6.
        subject address: Address,
        /// `present` or `absent`. Absent takes `names` away from the address, or without them all its lines.
        state: State = State::Present,
        /// The names: host names, the full one first.
        names: Option<Vec<Name>>,
        /// The address has no other names.
        exclusive: bool = false,
        /// The file, where it is not /etc/hosts: a template of cloud-init, a root of another system.
        path: AbsolutePath = AbsolutePath(PathBuf::from("/etc/hosts")),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &HostsEntry::SCHEMA, compile };

/// A host's name (RFC 1123; underscores, which many networks have, are taken).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Param for Name {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(format!("{name:?} is an address, not a name"));
        }
        if name.ends_with('.') {
            return Err(format!("{name:?} ends with a dot, which nobody looks up in such a file"));
        }
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!(
                "{name:?} is no host name: letters, digits, `-` and `_`, parts with dots between"
            ));
        }
        Ok(Self(name))
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = HostsEntry::from_params(params)?;
    let mut names: Vec<String> = Vec::new();
    for Name(name) in given.names.iter().flatten() {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.clone());
        }
    }
    if given.names.as_ref().is_some_and(Vec::is_empty) {
        return Err(ParamError::new("names", "is an empty list"));
    }
    let edit = match given.state {
        State::Present if names.is_empty() => {
            return Err(ParamError::new("names", "is required (a list of host names)"));
        }
        State::Present => Edit::Present { names, exclusive: given.exclusive },
        State::Absent if given.exclusive => {
            return Err(ParamError::new("exclusive", "belongs to names that are to be present"));
        }
        State::Absent => Edit::Absent { names },
    };
    Ok(Box::new(Wanted { path: given.path.0, address: given.address, edit }))
}

#[derive(Debug)]
enum Edit {
    Present {
        names: Vec<String>,
        exclusive: bool,
    },
    /// All names where the list is empty.
    Absent {
        names: Vec<String>,
    },
}

#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    address: Address,
    edit: Edit,
}

/// The owner and mode of the file are nobody's wish here.
static AS_IT_IS: Ownership = Ownership { mode: None, owner: None, group: None };

fn is_among(name: &str, names: &[String]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl Wanted {
    fn file(&self) -> TextEdit<'_> {
        let absent = matches!(self.edit, Edit::Absent { .. });
        TextEdit { path: &self.path, create: !absent, takes_away: absent, ownership: &AS_IT_IS }
    }

    /// The whole new text. Editing it again changes nothing.
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut lines = Lines::of(text);
        let mut entries: Vec<(usize, HostLine)> = Vec::new();
        for (index, line) in lines.as_slice().iter().enumerate() {
            entries.extend(HostLine::read(&line.text).map(|entry| (index, entry)));
        }
        match &self.edit {
            Edit::Absent { names } => {
                let own = entries.iter().filter(|(_, entry)| entry.address.same(&self.address));
                let keep = |name: &str| !names.is_empty() && !is_among(name, names);
                for (index, entry) in own.collect::<Vec<_>>().into_iter().rev() {
                    reduce(&mut lines, *index, entry, keep);
                }
            }
            Edit::Present { names, exclusive } => {
                let own = |entry: &HostLine| entry.address.same(&self.address);
                let holds = |entry: &HostLine| entry.names.iter().any(|name| is_among(name, names));
                let target =
                    entries.iter().find(|(_, entry)| own(entry) && holds(entry)).map(|(index, _)| *index);
                let last =
                    entries.iter().filter(|(_, entry)| own(entry)).map(|(index, _)| index + 1).next_back();
                if target.is_none() {
                    let line = format!("{}\t{}", self.address.text, names.join(" "));
                    lines.insert(last.unwrap_or(lines.as_slice().len()), line.into_bytes());
                }
                // Lines behind a new one are one further down; so from the end, and the number follows.
                for (index, entry) in entries.iter().rev() {
                    let index = if target.is_none() && last.is_some_and(|last| *index >= last) {
                        index + 1
                    } else {
                        *index
                    };
                    if Some(index) == target {
                        let wanted = entry.with(names, *exclusive);
                        if wanted != entry.names {
                            lines.replace(index, entry.show(&wanted));
                        }
                    } else if own(entry) && *exclusive {
                        lines.remove(index..index + 1);
                    } else if entry.address.same_family(&self.address) {
                        reduce(&mut lines, index, entry, |name| !is_among(name, names));
                    }
                }
            }
        }
        lines.join()
    }
}

/// Takes names away from a line; a line without names goes.
fn reduce(lines: &mut Lines<'_>, index: usize, entry: &HostLine, keep: impl Fn(&str) -> bool) {
    let left: Vec<String> = entry.names.iter().filter(|name| keep(name)).cloned().collect();
    if left.is_empty() {
        lines.remove(index..index + 1);
    } else if left.len() < entry.names.len() {
        lines.replace(index, entry.show(&left));
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File).makes(Thing::Path(self.path.clone())).part()
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.file().look(context, |text| Ok(self.apply(text)))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.file().change(context, |text| Ok(self.apply(text)))
    }

    fn edit(&self, text: &[u8], _context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        Some(Ok(self.apply(text)))
    }
}
