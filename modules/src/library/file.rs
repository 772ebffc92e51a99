//! `file`: a regular file with a given content, or its absence.

use std::path::Path;

use cm_wire::{Change, ContentRef};

use super::presence::State;
use super::{
    content::{self, After, Before},
    making::making,
    ownership::Ownership,
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, InlineContent, Module, ParamError, Params,
    Problem, Resource, Seen, SourceContent, TemplateContent, Thing, Touches,
    node::{Attributes, Command, Content, FileKind, Stat, Validate},
    params,
};

params! {
    /// A regular file: its content, mode and owner. Written whole and atomically: a reader sees the old
    /// or the new one. A file that is replaced keeps what is not given (mode, owner), its access list and
    /// extended attributes; other hard links to it keep the old content. A link is replaced, never
    /// followed. Without a content it is only made where it is missing, empty.
    pub struct File = "file" {
        /// Where it is.
        subject path: AbsolutePath,
        /// `present` or `absent`.
        state: State = State::Present,
        /// The content as text; may be a template itself.
        content: Option<InlineContent>,
        /// A file of the role's templates/, rendered.
        template: Option<TemplateContent>,
        /// A file of the role's files/, copied as it is.
        source: Option<SourceContent>,
        /// Its mode, such as "0644". A new file gets 0644.
        mode: Option<FileMode>,
        /// The user that owns it, by name or number. A new file belongs to the user the agent runs as:
        /// root, unless `become` is false.
        owner: Option<String>,
        /// The group that owns it, by name or number. A new file in a directory with the setgid bit
        /// gets the directory's.
        group: Option<String>,
        /// A command run on the new file before it takes the old one's place; `%s` stands for its
        /// path. The old file stays where the command fails.
        validate: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &File::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let file = File::from_params(params)?;
    let given = [
        ("content", file.content.map(|content| content.0)),
        ("template", file.template.map(|content| content.0)),
        ("source", file.source.map(|content| content.0)),
    ];
    let mut contents = given.iter().filter_map(|(name, content)| content.map(|content| (*name, content)));
    let content = contents.next();
    if let (Some((first, _)), Some((second, _))) = (content, contents.next()) {
        return Err(ParamError::new(second, format!("cannot be given together with `{first}`")));
    }
    if let (State::Absent, Some((name, _))) = (file.state, content) {
        return Err(ParamError::new(name, "cannot be given for a file that is to be absent"));
    }
    let ownership = Ownership { mode: file.mode, owner: file.owner, group: file.group };
    Ok(Box::new(Wanted {
        path: file.path,
        state: file.state,
        content: content.map(|(_, content)| content),
        ownership,
        validate: file.validate,
    }))
}

struct Wanted {
    path: AbsolutePath,
    state: State,
    /// None: whatever is there, an empty file where there is none.
    content: Option<ContentRef>,
    ownership: Ownership,
    validate: Option<String>,
}

impl Wanted {
    fn path(&self) -> &Path {
        &self.path.0
    }

    /// The content with the edits that follow; none where there is no edit.
    fn edited(&self, context: &Context<'_>) -> Result<Option<Vec<u8>>, Problem> {
        let Some(content) = self.content.filter(|_| !context.edits.is_empty()) else { return Ok(None) };
        let Content::Bytes(mut text) = context.contents.fetch(&content.digest, content.size)? else {
            return Err(Problem::new(format!(
                "{} is too large to be edited by other tasks",
                self.path().display()
            )));
        };
        for edit in context.edits {
            if let Some(edited) = edit.edit(&text, context) {
                text = edited?;
            }
        }
        Ok(Some(text))
    }

    /// What the file holds where that is not what is wanted, and what is wanted.
    fn differing<'a>(
        &self,
        context: &Context<'_>,
        stat: &Stat,
        edited: Option<&'a [u8]>,
    ) -> Result<Option<(Before, After<'a>)>, Problem> {
        let Some(content) = self.content else { return Ok(None) };
        let (name, after) = match edited {
            Some(bytes) => {
                let digest = cm_wire::Digest::of(bytes);
                (ContentRef { digest, size: bytes.len() as u64 }, After::Bytes(bytes))
            }
            None => (content, After::Named(content)),
        };
        let before = Before::unless_same(context, self.path(), stat, name)?;
        Ok(before.map(|before| (before, after)))
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(self.path.0.clone()))
            .owned(self.ownership.owner.as_deref(), self.ownership.group.as_deref())
            .removes(self.state == State::Absent)
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let path = self.path();
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        let Some(stat) = stat else {
            if self.state == State::Absent {
                return Ok(Seen::AsWanted);
            }
            let mut changes = vec![Change::new("state", None, Some("file".into()))];
            if let Some(content) = self.content {
                content::announce(context, &[content]);
                let edited = self.edited(context)?;
                let after = edited.as_deref().map_or(After::Named(content), After::Bytes);
                changes.push(content::difference(context, "content", None, after)?);
            }
            changes.extend(self.ownership.all());
            return Ok(Seen::Differs(changes));
        };
        if self.state == State::Absent {
            return Ok(Seen::Differs(vec![Change::new("state", Some(stat.kind.word().into()), None)]));
        }
        if stat.kind != FileKind::File {
            return Ok(Seen::Differs(vec![Change::new(
                "state",
                Some(stat.kind.word().into()),
                Some("file".into()),
            )]));
        }
        let edited = self.edited(context)?;
        let mut changes = Vec::new();
        if let Some((before, after)) = self.differing(context, &stat, edited.as_deref())? {
            content::announce(context, self.content.as_slice());
            changes.push(content::difference(context, "content", Some(&before), after)?);
        }
        changes.extend(self.ownership.differences(context, &stat)?);
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = self.path();
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        if self.state == State::Absent {
            if let Some(stat) = stat {
                if stat.kind == FileKind::Directory {
                    return Err(Problem::new(format!("{} is a directory", path.display()))
                        .hint(format!("`- directory: {}` with `state: absent` removes it", path.display())));
                }
                context.node.remove(path).doing(format_args!("removing {}", path.display()))?;
            }
            return Ok(Effect::default());
        }
        let file = match stat {
            Some(stat) if stat.kind == FileKind::File => Some(stat),
            Some(stat) if stat.kind == FileKind::Link => None,
            Some(stat) => {
                return Err(Problem::new(format!(
                    "{} is a {}, not a file",
                    path.display(),
                    stat.kind.word()
                ))
                .hint("move it away, or manage it as what it is"));
            }
            None => None,
        };
        let edited = self.edited(context)?;
        if let Some(stat) = &file
            && self.differing(context, stat, edited.as_deref())?.is_none()
        {
            self.ownership.apply(context, path, stat)?;
            return Ok(Effect::default());
        }
        let default = match &file {
            Some(stat) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            None => context
                .node
                .attributes_of_new(path, 0o644, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?,
        };
        let attributes = self.ownership.attributes(context, default)?;
        let content = match (edited, self.content) {
            (Some(bytes), _) => Content::Bytes(bytes),
            (None, Some(content)) => content::fetch(context, content)?,
            (None, None) => Content::Bytes(Vec::new()),
        };
        let validate = |written: &Path| self.run_validate(context, written);
        let validate: Option<Validate<'_>> = if self.validate.is_some() { Some(&validate) } else { None };
        making(context, path, "writing", context.node.write(path, &content, attributes, validate))??;
        Ok(Effect::default())
    }
}

impl Wanted {
    fn run_validate(&self, context: &Context<'_>, written: &Path) -> Result<(), Problem> {
        let Some(command) = &self.validate else { return Ok(()) };
        let quoted = format!("'{}'", written.to_string_lossy().replace('\'', r"'\''"));
        let line = if command.contains("%s") {
            command.replace("%s", &quoted)
        } else {
            format!("{command} {quoted}")
        };
        let finished = context
            .node
            .run(&Command { run_as: None, ..Command::change(&["/bin/sh", "-c", &line], context.deadline) })
            .doing(format_args!("running `{command}`"))?;
        if finished.success() {
            return Ok(());
        }
        Err(Problem::new(format!(
            "`{command}` refused the new {} with status {}; the old file is still there",
            self.path().display(),
            finished.output.status
        ))
        .output(finished.output))
    }
}

#[cfg(test)]
mod tests;
