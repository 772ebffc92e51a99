//! `alternatives`: which program a link group of update-alternatives(1) stands for.

mod group;

use std::path::{Path, PathBuf};

use cm_wire::{Change, Value};

use self::group::{Choice, Group};
use super::making::making;
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Int, Kind, Module, Param, ParamError, Params, Problem,
    Resource, Seen, Thing, Touches, choice,
    node::{Attributes, Content, FileKind, SettingKind},
    params,
};

/// Where the groups are described, one file each.
const GROUPS: &str = "/var/lib/dpkg/alternatives";
/// Where the links of the groups lead through.
const LINKS: &str = "/etc/alternatives";

choice! {
    /// What is wanted of a group.
    pub enum AlternativeState {
        /// It stands for `path`, whatever else is installed.
        Selected = "selected",
        /// It stands for the choice with the highest priority, as packages come and go.
        Auto = "auto",
        /// `path` is not among its choices.
        Absent = "absent",
    }
}

params! {
    /// The choice of a link group of update-alternatives(1), such as `editor`. With `link` and `priority` the
    /// path is registered as a choice first, and the group made where it is missing.
    pub struct Alternatives = "alternatives" {
        /// The name of the group.
        subject name: GroupName,
        /// `selected` (needs `path`), `auto`, or `absent`: `path` is no choice of the group.
        state: AlternativeState = AlternativeState::Selected,
        /// The program that the group is to stand for.
        path: Option<AbsolutePath>,
        /// The link that users know, such as /usr/bin/editor; with `priority`, to register the path.
        link: Option<AbsolutePath>,
        /// The priority of the path among the choices; with `link`, to register it.
        priority: Option<Int<{ i32::MIN as i64 }, { i32::MAX as i64 }>>,
    }
}

/// The name of a group, which is the name of a file, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName(pub String);

impl Param for GroupName {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        let wrong = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.starts_with(['.', '-']) || name.contains(wrong) || name.len() > 200 {
            return Err(format!("{name:?} is not the name of a link group, such as `editor`"));
        }
        Ok(Self(name))
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Alternatives::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = Alternatives::from_params(params)?;
    let text = |name: &str, path: Option<AbsolutePath>| {
        let Some(path) = path else { return Ok(None) };
        // Read from text, so it is UTF-8.
        let path = path.0.to_string_lossy().into_owned();
        if path.contains(['\n', '\r']) {
            return Err(ParamError::new(name, "cannot hold a line break"));
        }
        Ok(Some(path))
    };
    let (path, link) = (text("path", task.path)?, text("link", task.link)?);
    let registered = match (link, task.priority) {
        (None, None) => None,
        (Some(_), None) => return Err(ParamError::new("priority", "is required together with `link`")),
        (None, Some(_)) => return Err(ParamError::new("link", "is required together with `priority`")),
        (Some(link), Some(priority)) => Some((link, priority.0)),
    };
    if path.is_none() && (task.state != AlternativeState::Auto || registered.is_some()) {
        return Err(ParamError::new("path", "is required (an absolute path)"));
    }
    if task.state == AlternativeState::Absent && registered.is_some() {
        return Err(ParamError::new("link", "cannot be given for a choice that is to be absent"));
    }
    Ok(Box::new(Wanted { name: task.name.0, state: task.state, path, registered }))
}

struct Wanted {
    name: String,
    state: AlternativeState,
    path: Option<String>,
    /// The link and the priority to register the path with.
    registered: Option<(String, i64)>,
}

impl Wanted {
    fn setting(&self) -> Thing {
        Thing::Setting(SettingKind::Alternative, self.name.clone())
    }

    fn file(&self) -> PathBuf {
        Path::new(GROUPS).join(&self.name)
    }

    /// The group as its file describes it; none where there is none.
    fn group(&self, context: &Context<'_>) -> Result<Option<Group>, Problem> {
        let file = self.file();
        let stat = context.node.stat(&file).doing(format_args!("looking at {}", file.display()))?;
        if stat.is_none_or(|stat| stat.kind != FileKind::File) {
            return Ok(None);
        }
        let text = context.node.read(&file, 1 << 20).doing(format_args!("reading {}", file.display()))?;
        let group = Group::parse(&String::from_utf8_lossy(&text));
        group.map(Some).ok_or_else(|| {
            Problem::new(format!("{} is not a file of update-alternatives", file.display()))
                .hint(format!("`update-alternatives --query {}` on the node may say more", self.name))
        })
    }

    /// The group with the path registered, or taken out.
    fn wanted_group(&self, found: Option<&Group>) -> Option<Group> {
        let mut group = found.cloned();
        if let (Some((link, priority)), Some(path)) = (&self.registered, &self.path) {
            group.get_or_insert_with(|| Group::new(link)).register(link, path, *priority);
        }
        if self.state == AlternativeState::Absent
            && let (Some(group), Some(path)) = (&mut group, &self.path)
        {
            group.remove(path);
        }
        group
    }

    /// What the group is to stand for: `auto PATH` or `manual PATH`; none where it needs to stand for nothing.
    fn wanted_value(&self, group: Option<&Group>, found: Option<&str>) -> Option<String> {
        match (self.state, &self.path) {
            (AlternativeState::Selected, Some(path)) => Some(format!("manual {path}")),
            (AlternativeState::Auto, _) => Some(match group.and_then(Group::best) {
                Some(best) => format!("auto {best}"),
                // Not known before the group is there.
                None => "auto".into(),
            }),
            // Whoever stood for the path that goes stands for the best that is left.
            (_, path) => {
                let stood = found.and_then(|found| found.split_once(' ')).map(|(_, stood)| stood);
                if stood.is_some() && stood == path.as_deref() {
                    return group.and_then(Group::best).map(|best| format!("auto {best}"));
                }
                found.map(str::to_owned)
            }
        }
    }

    fn refuse(
        &self,
        context: &Context<'_>,
        found: Option<&Group>,
        group: Option<&Group>,
    ) -> Result<(), Problem> {
        let tool = context.node.stat(Path::new(GROUPS)).doing(format_args!("looking at {GROUPS}"))?;
        if tool.is_none() && !context.node.may_appear() {
            return Err(Problem::new(format!("this node has no update-alternatives: {GROUPS} is not there"))
                .hint("the module is for Debian and its kin, where dpkg brings it"));
        }
        let Some(group) = group else {
            if context.node.may_appear() || self.state == AlternativeState::Absent {
                return Ok(());
            }
            return Err(Problem::new(format!("there is no link group `{}` on the node", self.name))
                .hint("the package that brings it must come before; or `link` and `priority` make it"));
        };
        if let (Some((link, _)), Some(found)) = (&self.registered, found)
            && found.link() != link
        {
            return Err(Problem::new(format!(
                "the link of the group `{}` is {}, not {link}",
                self.name,
                found.link()
            ))
            .hint(format!("`link: {}` is what its package uses", found.link())));
        }
        let Some(path) = self.path.as_ref().filter(|_| self.state == AlternativeState::Selected) else {
            return Ok(());
        };
        if !group.has(path) && !context.node.may_appear() {
            let choices: Vec<_> = group.choices().iter().map(|choice| choice.path.as_str()).collect();
            let choices = if choices.is_empty() { "it has none".into() } else { choices.join(", ") };
            return Err(Problem::new(format!("{path} is no choice of the link group `{}`", self.name))
                .hint(format!("its choices: {choices}; `link` and `priority` register another")));
        }
        let there = context.node.stat(Path::new(path)).doing(format_args!("looking at {path}"))?;
        if there.is_none() && !context.node.may_appear() {
            return Err(Problem::new(format!("there is no {path} for the link group `{}`", self.name))
                .hint("what brings it must come before this task"));
        }
        Ok(())
    }

    fn write(&self, context: &Context<'_>, group: &Group) -> Result<(), Problem> {
        let file = self.file();
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let content = Content::Bytes(group.to_string().into_bytes());
        making(context, &file, "writing", context.node.write(&file, &content, attributes, None))?
    }
}

fn show_choice(choice: Option<&Choice>) -> Option<String> {
    choice.map(|choice| format!("priority {}", choice.priority))
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches =
            Touches::new(Class::File).makes(self.setting()).removes(self.state == AlternativeState::Absent);
        match &self.path {
            Some(path) => touches.needs(Thing::Path(path.into())),
            None => touches,
        }
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = Vec::new();
        // A group that is made anew goes with its files and links.
        if let Some((link, _)) = &self.registered {
            things.push(Thing::Path(link.into()));
            things.push(Thing::Path(Path::new(LINKS).join(&self.name)));
        }
        if self.registered.is_some() || self.state == AlternativeState::Absent {
            things.push(Thing::Path(self.file()));
        }
        things.push(self.setting());
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let found = self.group(context)?;
        let value = context.node.setting(SettingKind::Alternative, &self.name)?;
        let wanted = self.wanted_group(found.as_ref());
        let mut changes = Vec::new();
        if let Some(path) = &self.path {
            let choice = |group: Option<&Group>| show_choice(group.and_then(|group| group.choice(path)));
            let (before, after) = (choice(found.as_ref()), choice(wanted.as_ref()));
            if before != after {
                changes.push(Change::new("choice", before, after));
            }
        }
        let link = |group: Option<&Group>| group.map(|group| group.link().to_owned());
        if self.registered.is_some() && link(found.as_ref()) != link(wanted.as_ref()) {
            changes.push(Change::new("link", link(found.as_ref()), link(wanted.as_ref())));
        }
        let wanted = self.wanted_value(wanted.as_ref(), value.as_deref());
        if value != wanted {
            changes.push(Change::new("selected", value, wanted));
        }
        if context.sensitive {
            for change in &mut changes {
                change.before = change.before.take().map(|_| "[secret]".into());
                change.after = change.after.take().map(|_| "[secret]".into());
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let found = self.group(context)?;
        let value = context.node.setting(SettingKind::Alternative, &self.name)?;
        let wanted = self.wanted_group(found.as_ref());
        self.refuse(context, found.as_ref(), wanted.as_ref())?;
        let selected = self.wanted_value(wanted.as_ref(), value.as_deref());
        if self.state == AlternativeState::Absent
            && wanted.as_ref().is_some_and(|group| group.choices().is_empty())
        {
            // The last choice takes the group with it; its tool removes the links.
            context.node.set(SettingKind::Alternative, &self.name, None, context.deadline)?;
            if context.node.stat(&self.file()).is_ok_and(|stat| stat.is_some()) {
                context
                    .node
                    .remove(&self.file())
                    .doing(format_args!("removing {}", self.file().display()))?;
            }
            return Ok(Effect::default());
        }
        if let Some(group) = wanted.as_ref().filter(|group| Some(*group) != found.as_ref()) {
            self.write(context, group)?;
        }
        if let Some(selected) = selected.filter(|selected| Some(selected) != value.as_ref()) {
            context.node.set(SettingKind::Alternative, &self.name, Some(&selected), context.deadline)?;
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
