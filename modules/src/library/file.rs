//! `file`: a regular file with a given content, or its absence.

use std::path::Path;

use cm_wire::{Change, ContentRef};

use super::ownership::Ownership;
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, InlineContent, Module, ParamError, Params,
    Problem, Resource, Seen, SourceContent, TemplateContent, Thing, Touches, choice,
    node::{Attributes, Command, Content, FileKind},
    params,
    text_diff::{DIFF_LIMIT, text_diff},
};

choice! {
    /// Whether the file is wanted.
    pub enum State {
        /// It is there.
        Present = "present",
        /// It is not.
        Absent = "absent",
    }
}

params! {
    /// A regular file: its content, mode and owner. Written whole and atomically.
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
        /// The user that owns it, by name or number. A new file belongs to root.
        owner: Option<String>,
        /// The group that owns it, by name or number.
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

    /// The content with the edits that follow, where it can be known without the old file.
    fn wanted_content(&self, context: &Context<'_>) -> Result<Option<Content>, Problem> {
        let Some(content) = &self.content else { return Ok(None) };
        let content = context.contents.fetch(&content.digest, content.size)?;
        if context.edits.is_empty() {
            return Ok(Some(content));
        }
        let Content::Bytes(mut text) = content else {
            return Err(Problem::new(format!(
                "{} is too large to be edited by other tasks",
                self.path().display()
            )));
        };
        for edit in context.edits {
            if let Some(edited) = edit.edit(&text) {
                text = edited?;
            }
        }
        Ok(Some(Content::Bytes(text)))
    }

    /// The change of content, none where it is as wanted.
    fn content_change(&self, context: &Context<'_>, size: u64) -> Result<Option<Change>, Problem> {
        let Some(wanted) = &self.content else { return Ok(None) };
        let path = self.path();
        if context.edits.is_empty() {
            let same = size == wanted.size
                && context.node.digest(path).doing(format_args!("reading {}", path.display()))?
                    == wanted.digest;
            if same {
                return Ok(None);
            }
        }
        let content = self.wanted_content(context)?;
        let Some(content) = content else { return Ok(None) };
        let before = if size <= DIFF_LIMIT as u64 {
            Some(
                context
                    .node
                    .read(path, DIFF_LIMIT as u64)
                    .doing(format_args!("reading {}", path.display()))?,
            )
        } else {
            None
        };
        match (&before, &content) {
            (Some(before), Content::Bytes(after)) if before == after => return Ok(None),
            _ => {}
        }
        let before_digest = match &before {
            Some(bytes) => cm_wire::Digest::of(bytes),
            None => context.node.digest(path).doing(format_args!("reading {}", path.display()))?,
        };
        if before_digest == content.digest() {
            return Ok(None);
        }
        Ok(Some(content_difference(context, before.as_deref(), Some((before_digest, size)), &content)))
    }
}

/// Tells a difference of contents: as a diff of texts, else by digest and size, or not at all.
fn content_difference(
    context: &Context<'_>,
    before: Option<&[u8]>,
    before_known: Option<(cm_wire::Digest, u64)>,
    after: &Content,
) -> Change {
    if context.sensitive {
        let hidden = || Some("[secret]".to_owned());
        return Change::new("content", before_known.and_then(|_| hidden()), hidden());
    }
    let show = |digest: cm_wire::Digest, size: u64| format!("{} ({size} bytes)", digest.short());
    let diff = match (before, after) {
        (Some(before), Content::Bytes(after)) if context.diff => text_diff(before, after),
        _ => None,
    };
    Change::new(
        "content",
        before_known.map(|(digest, size)| show(digest, size)),
        Some(show(after.digest(), after.size())),
    )
    .with_diff(diff)
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
            if self.content.is_some() && context.diff {
                let content = self.wanted_content(context)?;
                changes.extend(content.map(|content| content_difference(context, Some(b""), None, &content)));
            }
            changes.extend(self.ownership.mode.map(|mode| Change::new("mode", None, Some(mode.show()))));
            changes.extend(self.ownership.owner.clone().map(|name| Change::new("owner", None, Some(name))));
            changes.extend(self.ownership.group.clone().map(|name| Change::new("group", None, Some(name))));
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
        let mut changes: Vec<Change> = self.content_change(context, stat.size)?.into_iter().collect();
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
        let must_write = match &file {
            Some(stat) => self.content_change(context, stat.size)?.is_some(),
            None => true,
        };
        if !must_write {
            if let Some(stat) = &file {
                self.ownership.apply(context, path, stat)?;
            }
            return Ok(Effect::default());
        }
        let default = file.as_ref().map_or(Attributes { mode: 0o644, uid: 0, gid: 0 }, |stat| Attributes {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
        });
        let attributes = self.ownership.attributes(context, default)?;
        let content = self.wanted_content(context)?.unwrap_or(Content::Bytes(Vec::new()));
        let validate = |written: &Path| self.run_validate(context, written);
        let validate: Option<&dyn Fn(&Path) -> Result<(), Problem>> =
            if self.validate.is_some() { Some(&validate) } else { None };
        context
            .node
            .write(path, &content, attributes, validate)
            .doing(format_args!("writing {}", path.display()))??;
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
