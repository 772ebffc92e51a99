//! `archive`: an archive unpacked to a directory.
//!
//! What was unpacked is remembered on the node (`manifest`), so that a later look compares the directory with
//! that and neither fetches nor reads the archive. `format` knows the kinds of archives, `entries` makes
//! paths of their members, `compare` finds and tells what differs, `mend` mends it.

mod compare;
mod crc32;
mod entries;
mod format;
mod gzip;
mod manifest;
mod members;
mod mend;
mod tar;
mod zip;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_wire::{Change, ContentRef, Digest};

use self::{
    compare::Difference,
    entries::{Entries, Gathering, Rules},
    format::Format,
    manifest::Manifest,
};
use super::{
    checksum::Checksum,
    content,
    fetch::{self, FileUrl, Headers},
    making::{make_parents, making, missing_parents},
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Int, Module, ParamError, Params, Problem,
    Resource, Seen, Sign, SourceContent, Thing, Touches,
    node::{Attributes, Content, Source},
    params,
};

/// Where the agent remembers what was unpacked; below the home directory for users other than root.
const RECORDS: &str = "var/lib/cm/archives";
const RECORDS_OF_USER: &str = ".local/state/cm/archives";
/// Largest manifest that is read, in bytes.
const MANIFEST_LIMIT: u64 = 256 * 1024 * 1024;
/// A plan does not read larger archives.
const PLAN_LIMIT: u64 = 1024 * 1024;

params! {
    /// An archive unpacked to a directory: tar (plain, or packed by gzip, xz, zstd or bzip2) or zip, known by
    /// its content and not by its name. Each file is written whole and atomically, with the archive's mode but
    /// never setuid or setgid; names of one file (hard links) become files of their own. An archive with
    /// a member that would lead out of the directory, or with a device, is refused as a whole.
    ///
    /// The node remembers what was unpacked: what was changed by hand since is found and mended, and the archive is
    /// only fetched and read where that is needed. What is in the directory beside it is not touched. xz,
    /// zstd and bzip2 need the program of that name on the node.
    pub struct Archive = "archive" {
        /// The directory it is unpacked to. It is made where it is missing, with its parents.
        subject destination: AbsolutePath,
        /// The archive in the role's files/.
        source: Option<SourceContent>,
        /// The archive on a server: `https://…`, `http://…` or `file:///…`; see `download`.
        url: Option<FileUrl>,
        /// The archive as a file of the node.
        path: Option<AbsolutePath>,
        /// The checksum of the archive, such as "sha256:9f86d0…"; required with `url`. With it, the archive
        /// need not be there any more once it is unpacked.
        checksum: Option<Checksum>,
        /// With `url`: there is no checksum; it is unpacked once.
        unchecked: bool = false,
        /// With `url`: headers to send; never shown.
        headers: Headers = Headers::new(),
        /// Leading components of names to take away; members with no more than these are left out.
        strip: Int<0, 100> = Int(0),
        /// The mode of every file, such as "0644"; executable ones may be executed by whoever may read them.
        file_mode: Option<FileMode>,
        /// The mode of every directory, such as "0755".
        dir_mode: Option<FileMode>,
        /// The user that owns all of it, by name or number; not the archive's own.
        owner: Option<String>,
        /// The group that owns all of it, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Archive::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    Ok(Box::new(Wanted::from_params(params)?))
}

/// Where the archive comes from.
enum Origin {
    Role(ContentRef),
    Server(FileUrl),
    Node(PathBuf),
}

struct Wanted {
    task: Archive,
    from: Origin,
    rules: Rules,
    /// Where manifests are, from the root or from the home directory.
    records: Option<PathBuf>,
    /// What was found to be done before the change, for the change itself.
    work: Mutex<Option<Result<Work, Problem>>>,
    /// What the look at the start told of an archive it did not know. A task before this one may bring one that
    /// is known after all; what is told stays the same, as in a plan, which has not got that archive.
    unknown: Mutex<Option<Vec<Change>>>,
}

/// An archive that can be read.
struct Opened {
    source: Source,
    format: Format,
}

/// What a change has to do.
struct Work {
    /// The archive, where it had to be had.
    archive: Option<Content>,
    entries: Entries,
    found: Vec<Difference>,
    /// Where the manifest is to be, and whether it has to be written.
    record: PathBuf,
    unrecorded: bool,
}

impl Wanted {
    fn from_params(params: &Params) -> Result<Self, ParamError> {
        let task = Archive::from_params(params)?;
        let given = [
            task.source.map(|source| Origin::Role(source.0)),
            task.url.clone().map(Origin::Server),
            task.path.clone().map(|path| Origin::Node(path.0)),
        ];
        let mut given = given.into_iter().flatten();
        let from = match (given.next(), given.next()) {
            (Some(from), None) => from,
            (None, _) => {
                return Err(ParamError::new("source", "or `url` or `path` must say where the archive is"));
            }
            (Some(_), Some(_)) => {
                return Err(ParamError::new(
                    "source",
                    "`url` and `path` exclude each other: the archive is one",
                ));
            }
        };
        let remote = matches!(from, Origin::Server(_));
        match (&task.checksum, task.unchecked) {
            (None, false) if remote => {
                return Err(ParamError::new(
                    "checksum",
                    "is required with `url`; where the server has none to give, `unchecked: true` says so",
                ));
            }
            (_, true) if !remote => return Err(ParamError::new("unchecked", "belongs to `url`")),
            (Some(_), true) => return Err(ParamError::new("unchecked", "cannot be given with `checksum`")),
            _ => {}
        }
        if !remote && !task.headers.is_empty() {
            return Err(ParamError::new("headers", "belong to `url`"));
        }
        fetch::check_headers(&task.headers).map_err(|error| ParamError::new("headers", error))?;
        let rules = Rules {
            strip: usize::try_from(task.strip.0).unwrap_or(0),
            file_mode: task.file_mode.map(|mode| mode.0),
            dir_mode: task.dir_mode.map(|mode| mode.0),
        };
        Ok(Self { task, from, rules, records: None, work: Mutex::new(None), unknown: Mutex::new(None) })
    }

    /// What tells this archive from others; none where it is not there to be told.
    fn identity(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        Ok(match (&self.task.checksum, &self.from) {
            (Some(checksum), _) => Some(checksum.show()),
            (None, Origin::Role(content)) => Some(content.digest.to_string()),
            (None, Origin::Server(url)) => Some(url.show()),
            (None, Origin::Node(path)) => match context.node.digest(path) {
                Ok(digest) => Some(digest.to_string()),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    None
                }
                Err(error) => return Err(error).doing(format_args!("reading {}", path.display())),
            },
        })
    }

    /// The archive for a person.
    fn shown(&self, context: &Context<'_>, identity: Option<&str>) -> String {
        if context.sensitive {
            return "[secret]".into();
        }
        match (&self.task.checksum, &self.from) {
            (Some(checksum), _) => checksum.short(),
            (None, Origin::Role(content)) => format!("{} ({} bytes)", content.digest.short(), content.size),
            (None, Origin::Server(url)) => format!("from {}", url.show()),
            (None, Origin::Node(path)) => match identity {
                Some(digest) if context.at_start => digest.chars().take(12).collect(),
                // What a task before this one puts there, a plan does not know.
                _ => format!("from {}", path.display()),
            },
        }
    }

    /// Where the manifest of this archive is.
    fn record(&self, context: &Context<'_>, identity: &str) -> Result<PathBuf, Problem> {
        let records = match &self.records {
            Some(records) => records.clone(),
            None if context.node.own_ids().0 == 0 => Path::new("/").join(RECORDS),
            None => {
                let name = context.node.user_name(context.node.own_ids().0);
                let user = context.node.user(&name).doing("reading the users")?;
                Path::new(&user.map_or_else(|| "/tmp".to_owned(), |user| user.home)).join(RECORDS_OF_USER)
            }
        };
        // All that decides what is made of the archive, and where.
        let key = format!("{identity}\n{:?}\n{:?}", self.rules, self.task.destination.0);
        Ok(records.join(Digest::of(key.as_bytes()).to_string()))
    }

    /// What the node remembers of it.
    fn remembered(&self, context: &Context<'_>, record: &Path) -> Option<Manifest> {
        // One that cannot be read is as good as none: it is made again.
        Manifest::read(&context.node.read(record, MANIFEST_LIMIT).ok()?)
    }

    /// Gets the archive; `None` in a plan that could only get it by doing something.
    fn get(&self, context: &Context<'_>) -> Result<Option<Content>, Problem> {
        let content = match &self.from {
            Origin::Role(source) if context.planning() && source.size > PLAN_LIMIT => return Ok(None),
            Origin::Role(source) => content::fetch(context, *source)?,
            Origin::Server(url) if context.planning() && !url.is_local() => return Ok(None),
            Origin::Server(url) => {
                let checksum = self.task.checksum.as_ref();
                let destination = &self.task.destination.0;
                return match fetch::fetch(context, url, &self.task.headers, checksum, destination) {
                    // What is not there may come with what nobody can list.
                    Err(_) if context.planning() && context.node.may_appear() => Ok(None),
                    // The image of a plan keeps only the name of what is large.
                    Ok(Content::Spooled { .. }) if context.planning() => Ok(None),
                    fetched => fetched.map(Some),
                };
            }
            Origin::Node(path) => {
                let reading = format_args!("reading {}", path.display());
                let Some(stat) = context.node.stat(path).doing(reading)? else {
                    if context.node.may_appear() {
                        return Ok(None);
                    }
                    return Err(Problem::new(format!("the archive {} is not there", path.display()))
                        .hint("a `download` or `file` task before this one can bring it"));
                };
                if context.planning() && stat.size > PLAN_LIMIT {
                    return Ok(None);
                }
                let mut source = match context.node.open(path) {
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                    other => other.doing(reading)?,
                };
                // A copy: it must be the same whenever it is read.
                let mut spool = context.node.spool(&self.task.destination.0);
                io::copy(&mut source, &mut spool).doing(reading)?;
                spool.finish().doing(reading)?
            }
        };
        if let Some(wanted) = &self.task.checksum {
            let reading = "reading the archive";
            let given =
                wanted.of_same_kind(context.node.open_content(&content).doing(reading)?).doing(reading)?;
            if given != *wanted {
                return Err(Problem::new(format!(
                    "the archive has the checksum {} and not {}; nothing was unpacked",
                    given.show(),
                    wanted.show()
                )));
            }
        }
        Ok(Some(content))
    }

    fn open(context: &Context<'_>, content: &Content) -> Result<Opened, Problem> {
        let mut source = context.node.open_content(content).doing("opening the archive")?;
        let format = Format::of(&mut source)?;
        Ok(Opened { source, format })
    }

    /// Finds out what is to be done; none in a plan that cannot read the archive.
    fn find_work(&self, context: &Context<'_>) -> Result<Option<Work>, Problem> {
        if let Some(identity) = self.identity(context)? {
            let record = self.record(context, &identity)?;
            if let Some(Manifest::Known(entries)) = self.remembered(context, &record) {
                let found = self.compare(context, &entries)?;
                return Ok(Some(Work { archive: None, entries, found, record, unrecorded: false }));
            }
        }
        let Some(content) = self.get(context)? else { return Ok(None) };
        let opened = Self::open(context, &content)?;
        if context.planning() && matches!(opened.format, Format::Program(_)) {
            return Ok(None);
        }
        let mut gathering = Gathering::new(&self.rules);
        opened.format.read(context, opened.source, &mut |member, content| {
            if (context.stopping)() {
                return Err(Problem::new("the run was stopped; nothing was unpacked"));
            }
            gathering.take(member, content)
        })?;
        let entries = gathering.finish()?;
        let found = self.compare(context, &entries)?;
        // Known now, whatever it was before.
        let identity = match (&self.task.checksum, &self.from) {
            (None, Origin::Node(_)) => content.digest().to_string(),
            _ => self.identity(context)?.unwrap_or_default(),
        };
        let record = self.record(context, &identity)?;
        Ok(Some(Work { archive: Some(content), entries, found, record, unrecorded: true }))
    }

    /// In a plan: what nobody has read is taken as unpacked.
    fn assume(&self, context: &Context<'_>) -> Result<(), Problem> {
        let destination = &self.task.destination.0;
        let looking = format_args!("looking at {}", destination.display());
        if context.node.stat(destination).doing(looking)?.is_none() {
            make_parents(context, destination)?;
            let making = format_args!("making the directory {}", destination.display());
            let kind = crate::node::FileKind::Directory;
            let default = context.node.attributes_of_new(destination, 0o755, kind).doing(making)?;
            let attributes = self.ownership(self.rules.dir_mode).attributes(context, default)?;
            context.node.make_directory(destination, attributes).doing(making)?;
        }
        context.node.things_may_appear();
        let identity = self.identity(context)?.unwrap_or_default();
        self.write_manifest(context, &self.record(context, &identity)?, &Manifest::Unread)
    }

    fn write_manifest(
        &self,
        context: &Context<'_>,
        record: &Path,
        manifest: &Manifest,
    ) -> Result<(), Problem> {
        let (uid, gid) = context.node.own_ids();
        if let Some(folder) = record.parent() {
            make_parents(context, folder)?;
            match context.node.make_directory(folder, Attributes { mode: 0o700, uid, gid }) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => making(context, folder, "making the directory", other)?,
            }
        }
        let content = Content::Bytes(manifest.write());
        let written = context.node.write(record, &content, Attributes { mode: 0o600, uid, gid }, None);
        making(context, record, "writing", written)??;
        Ok(())
    }

    fn keep_work(&self, work: Option<Result<Work, Problem>>) -> Option<Result<Work, Problem>> {
        std::mem::replace(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner), work)
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches = Touches::new(Class::File)
            .makes(Thing::Path(self.task.destination.0.clone()))
            // What is in a folder, beside a task that makes the folder itself.
            .part()
            .parents(true)
            .owned(self.task.owner.as_deref(), self.task.group.as_deref());
        match &self.from {
            Origin::Node(path) => touches.needs(Thing::Path(path.clone())),
            _ => touches,
        }
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        Sign::with_all_below(&self.touches(), &self.task.destination.0)
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.keep_work(None);
        let identity = self.identity(context)?;
        let record = self.record(context, identity.as_deref().unwrap_or_default())?;
        match self.remembered(context, &record) {
            Some(Manifest::Unread) => return Ok(Seen::AsWanted),
            Some(Manifest::Known(entries)) => {
                let found = self.compare(context, &entries)?;
                if found.iter().any(|difference| matches!(difference.what, compare::What::File { .. })) {
                    self.announce(context);
                }
                let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(told) = unknown.as_ref().filter(|_| !found.is_empty() && !context.at_start) {
                    return Ok(Seen::Differs(told.clone()));
                }
                return Ok(Seen::from_changes(self.tell(context, &found)));
            }
            None => {}
        }
        self.announce(context);
        let destination = &self.task.destination.0;
        let stat =
            context.node.stat(destination).doing(format_args!("looking at {}", destination.display()))?;
        let mut changes = Vec::new();
        if stat.is_none() {
            changes.push(Change::new("state", None, Some("directory".into())));
        }
        changes.push(Change::new("content", None, Some(self.shown(context, identity.as_deref()))));
        if context.at_start {
            *self.unknown.lock().unwrap_or_else(PoisonError::into_inner) = Some(changes.clone());
        }
        Ok(Seen::Differs(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let work = match self.keep_work(None) {
            Some(work) => Some(work?),
            None => self.find_work(context)?,
        };
        let Some(work) = work else {
            self.assume(context)?;
            return Ok(Effect::default());
        };
        // The archive itself only where a content is needed; in a plan perhaps not even then.
        let open = || match &work.archive {
            Some(content) => Self::open(context, content).map(Some),
            None => self.get(context)?.map(|content| Self::open(context, &content)).transpose(),
        };
        self.mend(context, &work.entries, &work.found, &open)?;
        if work.unrecorded {
            self.write_manifest(context, &work.record, &Manifest::Known(work.entries))?;
        }
        Ok(Effect::default())
    }

    /// Every path that differs: what is as wanted is not touched.
    fn keeps(&self, context: &Context<'_>) -> Vec<Thing> {
        let work = self.find_work(context);
        let mut paths = vec![self.task.destination.0.clone()];
        if let Ok(Some(work)) = &work {
            let folders = |path: &Path| missing_parents(context, path).unwrap_or_default();
            paths.extend(folders(&self.task.destination.0));
            if work.unrecorded {
                paths.extend(folders(&work.record));
                paths.push(work.record.clone());
            }
            let found = work.found.iter().filter(|difference| !difference.relative.is_empty());
            paths.extend(found.map(|difference| self.place(&difference.relative)));
        }
        // The change does this very work, or fails with this very problem: nothing else was kept.
        self.keep_work(work.transpose());
        paths.into_iter().map(Thing::Path).collect()
    }
}

impl Wanted {
    fn announce(&self, context: &Context<'_>) {
        if let Origin::Role(source) = &self.from {
            content::announce(context, &[*source]);
        }
    }
}

#[cfg(test)]
mod tests;
