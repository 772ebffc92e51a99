//! `download`: a file from a server, known by its checksum.

use std::path::Path;

use cm_wire::{Change, Digest};

use super::{
    checksum::Checksum,
    fetch::{self, FileUrl, Headers},
    making::making,
    ownership::Ownership,
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Module, ParamError, Params, Problem, Resource,
    Seen, Thing, Touches,
    node::{Attributes, Content, FileKind, Stat},
    params,
};

params! {
    /// A file fetched from a server. It is gathered beside its place, compared with its checksum and only then
    /// put there, whole and atomically; a file that is right is never fetched again. Plain `http://` needs
    /// nothing on the node, `https://` its curl (or wget, without headers); `file:///` is a path of the node.
    ///
    /// A plan fetches nothing from servers.
    pub struct Download = "download" {
        /// Where it is put.
        subject path: AbsolutePath,
        /// Where it comes from: `https://…`, `http://…` or `file:///…`.
        url: FileUrl,
        /// The checksum of the file, such as "sha256:9f86d0…". sha512, sha1 and md5 are taken, too.
        checksum: Option<Checksum>,
        /// There is no checksum: the file is fetched where none is, and then never again.
        unchecked: bool = false,
        /// Headers to send to the server of `url`, such as `Authorization`. They are never shown, and are
        /// not sent on to other servers.
        headers: Headers = Headers::new(),
        /// Its mode, such as "0644". A new file gets 0644.
        mode: Option<FileMode>,
        /// The user that owns it, by name or number.
        owner: Option<String>,
        /// The group that owns it, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Download::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = Download::from_params(params)?;
    match (&task.checksum, task.unchecked) {
        (None, false) => {
            return Err(ParamError::new(
                "checksum",
                "is required; where the server has none to give, `unchecked: true` says so",
            ));
        }
        (Some(_), true) => return Err(ParamError::new("unchecked", "cannot be given with `checksum`")),
        _ => {}
    }
    fetch::check_headers(&task.headers).map_err(|error| ParamError::new("headers", error))?;
    let ownership = Ownership { mode: task.mode, owner: task.owner.clone(), group: task.group.clone() };
    Ok(Box::new(Wanted { task, ownership }))
}

struct Wanted {
    task: Download,
    ownership: Ownership,
}

/// What the file is, beside what is wanted.
enum Found {
    Absent,
    /// Something else is in its place.
    Other(FileKind),
    /// With its checksum, where that is wrong.
    File(Stat, Option<Checksum>),
}

impl Wanted {
    fn path(&self) -> &Path {
        &self.task.path.0
    }

    fn find(&self, context: &Context<'_>) -> Result<Found, Problem> {
        let path = self.path();
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        let Some(stat) = stat else { return Ok(Found::Absent) };
        if stat.kind != FileKind::File {
            return Ok(Found::Other(stat.kind));
        }
        let Some(wanted) = &self.task.checksum else { return Ok(Found::File(stat, None)) };
        let reading = format_args!("reading {}", path.display());
        let found = match context.node.open(path) {
            Ok(source) => wanted.of_same_kind(source).doing(reading)?,
            // In a plan: something that would be fetched, known by its name alone.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                let mine = context.node.digest(path).doing(reading)? == self.promised().digest();
                return Ok(if mine { Found::File(stat, None) } else { Found::Other(FileKind::File) });
            }
            Err(error) => return Err(error).doing(reading),
        };
        Ok(Found::File(stat, (found != *wanted).then_some(found)))
    }

    /// Stands for the file in a plan.
    fn promised(&self) -> Content {
        let name = self.task.checksum.as_ref().map_or_else(|| self.task.url.show(), Checksum::show);
        Content::Spooled { path: Default::default(), digest: Digest::of(name.as_bytes()), size: 0 }
    }

    fn content_change(&self, context: &Context<'_>, before: Option<&Checksum>) -> Change {
        if context.sensitive {
            let hidden = || "[secret]".to_owned();
            return Change::new("content", before.map(|_| hidden()), Some(hidden()));
        }
        let after = match &self.task.checksum {
            Some(checksum) => checksum.short(),
            None => format!("from {}", self.task.url.show()),
        };
        Change::new("content", before.map(Checksum::short), Some(after))
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(self.task.path.0.clone()))
            .owned(self.ownership.owner.as_deref(), self.ownership.group.as_deref())
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let mut changes = Vec::new();
        match self.find(context)? {
            Found::Absent => {
                changes.push(Change::new("state", None, Some("file".into())));
                changes.push(self.content_change(context, None));
                changes.extend(self.ownership.all());
            }
            Found::Other(kind) => {
                changes.push(Change::new("state", Some(kind.word().into()), Some("file".into())));
            }
            Found::File(stat, wrong) => {
                if let Some(wrong) = wrong {
                    changes.push(self.content_change(context, Some(&wrong)));
                }
                changes.extend(self.ownership.differences(context, &stat)?);
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = self.path();
        let default = match self.find(context)? {
            Found::File(stat, None) => {
                self.ownership.apply(context, path, &stat)?;
                return Ok(Effect::default());
            }
            Found::File(stat, Some(_)) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            Found::Absent | Found::Other(FileKind::Link | FileKind::File) => context
                .node
                .attributes_of_new(path, 0o644, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?,
            Found::Other(kind) => {
                return Err(Problem::new(format!("{} is a {}, not a file", path.display(), kind.word()))
                    .hint("move it away, or manage it as what it is"));
            }
        };
        let attributes = self.ownership.attributes(context, default)?;
        let url = &self.task.url;
        let content = if context.planning() && !url.is_local() {
            self.promised()
        } else {
            // A folder that is not there is told before anything is fetched.
            if let Some(parent) = path.parent()
                && !context.node.may_appear()
                && context.node.stat(parent).doing(format_args!("looking at {}", parent.display()))?.is_none()
            {
                return making(context, path, "writing", Err(std::io::ErrorKind::NotFound.into()));
            }
            match fetch::fetch(context, url, &self.task.headers, self.task.checksum.as_ref(), path) {
                // What is not there may come with what nobody can list.
                Err(_) if context.planning() && context.node.may_appear() => self.promised(),
                // The image of a plan keeps only the name of what is large.
                Ok(Content::Spooled { .. }) if context.planning() => self.promised(),
                fetched => fetched?,
            }
        };
        making(context, path, "writing", context.node.write(path, &content, attributes, None))??;
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
