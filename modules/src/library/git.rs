//! `git`: a work tree of a repository at a revision.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use cm_wire::{Change, Value};

use super::making::{make_parents, making, missing_parents};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Int, Kind, Module, Param, ParamError, Params, Problem,
    Resource, Seen, Sign, Thing, Touches,
    git_program::{Address, Git, printed},
    node::{Attributes, FileKind, SettingKind},
    params,
};

/// The key in a work tree's configuration that says which checkout has begun and not ended.
const PENDING: &str = "cm.pending";
/// What the setting says of a tree that has no commit yet.
const UNBORN: &str = "unborn";
/// So many changed files are named.
const NAMED: usize = 5;

params! {
    /// A work tree of a git repository. It is at the very commit that a branch, a tag or a commit's name says,
    /// without a branch of its own (a detached HEAD). What is not git's (files it does not track) is not touched.
    ///
    /// The node's git does it, as the user that owns the work tree or that `become` names, and never asks anybody
    /// for a password. A branch, a tag and HEAD are looked up in the repository at each look; a commit's whole
    /// name needs no network once it is there.
    pub struct GitTask = "git" {
        /// Where the work tree is. It is made where it is missing, with the directories above it.
        subject path: AbsolutePath,
        /// The repository: `https://…`, `ssh://…`, `git@host:…`, `file:///…` or a path of the node. A password
        /// in it is never shown and not kept on the node.
        repository: Repository,
        /// A branch, a tag, or a commit's name in hexadecimal digits. Without it what the repository's own HEAD
        /// is.
        revision: Option<String>,
        /// So many commits of the history; all of them otherwise. For a new work tree and for what is fetched
        /// later.
        depth: Option<Int<1, 1_000_000>>,
        /// Bring a work tree that is there to the revision; `false`: it stays where it is.
        update: bool = true,
        /// Undo changes of tracked files. Without it they stay, and bringing the tree to another revision is an
        /// error that names them.
        force: bool = false,
        /// A private key for ssh, on the node. The server's key must be known to the user git runs as.
        key: Option<AbsolutePath>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &GitTask::SCHEMA, compile };

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository(Address);

impl Param for Repository {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
            return Err("wants the address of a repository".into());
        }
        // Such an address is a command.
        if text.starts_with("ext::") || text.starts_with("fd::") {
            return Err("wants an address; git's `ext::` and `fd::` are commands".into());
        }
        Ok(Self(Address::new(&text)))
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = GitTask::from_params(params)?;
    if let Some(revision) = &task.revision {
        // git-check-ref-format(1).
        let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        if revision.is_empty()
            || revision.starts_with('-')
            || revision.contains("..")
            || revision.contains(bad)
        {
            return Err(ParamError::new(
                "revision",
                format!("wants a branch, a tag or a commit's name, not {revision:?}"),
            ));
        }
    }
    if task.path.0.parent().is_none() {
        return Err(ParamError::new("path", "cannot be `/`"));
    }
    Ok(Box::new(Wanted { task, found: Mutex::new(None) }))
}

struct Wanted {
    task: GitTask,
    /// What the repository said a revision is.
    found: Mutex<Option<Found>>,
}

/// A revision that was looked up.
#[derive(Clone)]
struct Found {
    target: Target,
    /// This run has brought the tree there: the repository need not be asked again.
    settled: bool,
}

/// What the tree is to be at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// This commit, whatever refers to it; with what to fetch to have it.
    Commit { name: String, reference: Option<String> },
    /// A commit by the first digits of its name.
    Prefix(String),
    /// In a plan whose repository (or git itself) is yet to come: nobody knows yet.
    ToCome(String),
}

impl Target {
    fn is(&self, revision: &str) -> bool {
        match self {
            Self::Commit { name, .. } | Self::ToCome(name) => revision == name,
            Self::Prefix(prefix) => revision.starts_with(prefix),
        }
    }

    /// The commit's name as far as it is known.
    fn name(&self) -> &str {
        match self {
            Self::Commit { name, .. } | Self::ToCome(name) | Self::Prefix(name) => name,
        }
    }
}

/// A work tree as it is.
struct Tree {
    revision: String,
    url: String,
}

impl Wanted {
    fn path(&self) -> &Path {
        &self.task.path.0
    }

    fn key(&self) -> String {
        self.path().to_string_lossy().into_owned()
    }

    fn address(&self) -> &Address {
        &self.task.repository.0
    }

    /// The repository, where it is a path of the node.
    fn local_repository(&self) -> Option<AbsolutePath> {
        let url = &self.address().clean;
        AbsolutePath::parse(url.strip_prefix("file://").unwrap_or(url)).ok()
    }

    fn tree(&self, context: &Context<'_>) -> Result<Option<Tree>, Problem> {
        let value = context.node.setting(SettingKind::GitCheckout, &self.key())?;
        Ok(value.map(|value| {
            let (revision, url) = value.split_once(' ').unwrap_or((&value, ""));
            Tree { revision: revision.to_owned(), url: url.to_owned() }
        }))
    }

    /// How git is run: as the task says, else as the owner of the work tree.
    fn git<'a>(&'a self, context: &Context<'_>, in_tree: bool) -> Result<Git<'a>, Problem> {
        let path = self.path();
        let run_as = match context.run_as {
            Some(user) => Some(user.to_owned()),
            None => {
                let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
                let own = context.node.own_ids().0;
                // Rights of root are no use to what somebody else has configured in his own tree.
                stat.filter(|stat| own == 0 && stat.uid != 0).map(|stat| context.node.user_name(stat.uid))
            }
        };
        Ok(Git {
            tree: in_tree.then_some(path),
            run_as,
            key: self.task.key.as_ref().map(|key| &*key.0),
            address: Some(self.address()),
            deadline: context.deadline,
        })
    }

    fn found(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, target: &Target, settled: bool) {
        let found = Some(Found { target: target.clone(), settled });
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// What the revision is now.
    fn target(&self, context: &Context<'_>) -> Result<Target, Problem> {
        let revision = self.task.revision.as_deref();
        if let Some(name) = revision.filter(|name| name.len() >= 40 && is_hex(name)) {
            return Ok(Target::Commit { name: name.to_ascii_lowercase(), reference: None });
        }
        // What a task before this one changed may be the repository.
        if let Some(found) = self.found().filter(|found| found.settled || !context.disturbed) {
            return Ok(found.target);
        }
        let target = self.ask(context, revision)?;
        self.remember(&target, false);
        Ok(target)
    }

    /// Asks the repository.
    fn ask(&self, context: &Context<'_>, revision: Option<&str>) -> Result<Target, Problem> {
        let url = &self.address().clean;
        let names: Vec<String> = match revision {
            None => vec!["HEAD".to_owned()],
            Some(name) if name.starts_with("refs/") => vec![format!("{name}^{{}}"), name.to_owned()],
            // A tag that has its own object says the commit with `^{}`.
            Some(name) => vec![
                format!("refs/tags/{name}^{{}}"),
                format!("refs/tags/{name}"),
                format!("refs/heads/{name}"),
            ],
        };
        let mut arguments = vec!["ls-remote", "--", url];
        arguments.extend(names.iter().map(String::as_str));
        let doing = format!("asking {url} for {}", revision.unwrap_or("HEAD"));
        let said = printed(context.node.run(&self.git(context, false)?.query(&arguments)), &doing);
        let said = match said {
            Err(_) if context.planning() && !context.at_start && context.node.may_appear() => {
                return Ok(Target::ToCome(revision.unwrap_or("HEAD").to_owned()));
            }
            said => said?,
        };
        let known: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once('\t')).collect();
        for name in &names {
            if let Some((commit, _)) = known.iter().find(|(_, known)| known == name) {
                let reference = name.trim_end_matches("^{}").to_owned();
                return Ok(Target::Commit { name: (*commit).to_owned(), reference: Some(reference) });
            }
        }
        match revision {
            Some(name) if name.len() >= 7 && is_hex(name) => Ok(Target::Prefix(name.to_ascii_lowercase())),
            Some(name) => {
                Err(Problem::new(format!("the repository {url} has no branch and no tag {name:?}"))
                    .hint("a commit is named by seven or more of its hexadecimal digits"))
            }
            None => Err(Problem::new(format!("the repository {url} is empty: it has no HEAD"))),
        }
    }

    /// The target for a person: `1a2b3c4d5e6f (main)`.
    fn shown(&self, target: Option<&Target>) -> String {
        let name = self.task.revision.as_deref().unwrap_or("HEAD");
        match target {
            Some(Target::Commit { name: commit, reference: Some(_) }) => {
                format!("{} ({name})", short(commit))
            }
            Some(Target::Commit { reference: None, .. }) => short(name).to_owned(),
            Some(Target::Prefix(_) | Target::ToCome(_)) | None => name.to_owned(),
        }
    }

    /// Tracked files that are not as the commit has them.
    fn changed_files(&self, context: &Context<'_>) -> Result<Vec<String>, Problem> {
        let path = self.path();
        let doing = format!("looking at the files of {}", path.display());
        let arguments = ["status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=dirty"];
        let said = printed(context.node.run(&self.git(context, true)?.query(&arguments)), &doing)?;
        let mut names = Vec::new();
        let mut entries = said.split('\0').filter(|entry| entry.len() > 3);
        while let Some(entry) = entries.next() {
            names.push(entry[3..].escape_debug().to_string());
            // A renamed file is followed by its former name.
            if entry.starts_with('R') {
                entries.next();
            }
        }
        Ok(names)
    }

    /// Refuses to leave behind what is in no commit.
    fn refuse_changes(&self, context: &Context<'_>, tree: &Tree) -> Result<(), Problem> {
        let files = self.changed_files(context)?;
        if files.is_empty() {
            return Ok(());
        }
        Err(Problem::new(format!(
            "{} has changes that are in no commit, so it stays at {}: {}",
            self.path().display(),
            short(&tree.revision),
            listed(&files)
        ))
        .hint("`force: true` undoes them; or commit and push what is worth it"))
    }

    /// A setting that only the image of a plan has: git has brought all files of the tree there, and must not
    /// be asked for those of the machine.
    fn mark(&self) -> String {
        format!("{}/.git/files", self.key())
    }

    /// Whether a checkout of this module was cut off: what is in the tree is its own then.
    fn was_cut(&self, context: &Context<'_>, tree: &Tree) -> Result<bool, Problem> {
        let ran = context.node.run(&self.git(context, true)?.query(&["config", "--get", PENDING]));
        // Status 1: there is no such key.
        let pending = ran.map(|finished| finished.output.stdout.trim().to_owned()).unwrap_or_default();
        Ok(!pending.is_empty() && pending != tree.revision)
    }

    /// The directory, where git can begin.
    fn make_directory(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = self.path();
        let looking = format_args!("looking at {}", path.display());
        match context.node.stat(path).doing(looking)? {
            None => {
                make_parents(context, path)?;
                let making_it = format_args!("making the directory {}", path.display());
                let default =
                    context.node.attributes_of_new(path, 0o755, FileKind::Directory).doing(making_it)?;
                let attributes = match context.run_as {
                    Some(user) => {
                        let user = context.node.user(user).doing("reading the users")?;
                        user.map_or(default, |user| Attributes { uid: user.uid, gid: user.gid, ..default })
                    }
                    None => default,
                };
                making(context, path, "making the directory", context.node.make_directory(path, attributes))
            }
            Some(stat) if stat.kind == FileKind::Directory => {
                let names = context.node.list(path).doing(looking)?;
                if names.iter().all(|name| name == ".git") {
                    return Ok(());
                }
                let shown: Vec<_> = names.iter().take(NAMED).map(|name| name.to_string_lossy()).collect();
                Err(Problem::new(format!(
                    "{} is no work tree and not empty: {}",
                    path.display(),
                    shown.join(", ")
                ))
                .hint("move away what is there, or name another directory"))
            }
            Some(stat) => {
                Err(Problem::new(format!("{} is a {}, not a directory", path.display(), stat.kind.word()))
                    .hint("move it away, or name another directory"))
            }
        }
    }

    /// Gets what the target needs; the commit's whole name.
    fn fetch(&self, context: &Context<'_>, target: &Target) -> Result<String, Problem> {
        let git = self.git(context, true)?;
        let doing = format!("fetching {} from {}", self.shown(Some(target)), self.address().clean);
        let has = |name: &str| {
            let commit = format!("{name}^{{commit}}");
            let arguments = ["rev-parse", "--quiet", "--verify", &commit];
            printed(context.node.run(&git.query(&arguments)), &doing).map(|name| name.trim().to_owned())
        };
        let depth = self.task.depth.map(|depth| format!("--depth={}", depth.0));
        let fetch = |what: &[&str]| {
            let mut arguments = vec!["fetch", "--quiet"];
            arguments.extend(depth.as_deref());
            arguments.extend(["--", "origin"]);
            arguments.extend(what);
            printed(context.node.run(&git.change(&arguments)), &doing).map(|_| ())
        };
        match target {
            Target::Commit { name, reference: Some(reference) } => {
                let place = match reference.strip_prefix("refs/heads/") {
                    Some(branch) => format!("+{reference}:refs/remotes/origin/{branch}"),
                    None if reference == "HEAD" => "HEAD".to_owned(),
                    None => format!("+{reference}:{reference}"),
                };
                fetch(&[&place])?;
                if context.planning() {
                    return Ok(name.clone());
                }
                // A branch may have moved since it was asked for.
                has("FETCH_HEAD")
            }
            Target::Commit { name, reference: None } | Target::Prefix(name) => {
                if context.planning() {
                    return Ok(has(name).unwrap_or_else(|_| name.clone()));
                }
                if let Ok(there) = has(name) {
                    return Ok(there);
                }
                let whole = matches!(target, Target::Commit { .. });
                // Not every server gives a commit by its name alone.
                if whole && fetch(&[name]).is_ok() {
                    return has(name);
                }
                fetch(&["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"])?;
                has(name).map_err(|_| {
                    let problem =
                        Problem::new(format!("the repository {} has no commit {name}", self.address().clean));
                    match &depth {
                        Some(_) => problem.hint("`depth` may leave it out"),
                        None => problem.hint("it is on no branch and no tag there, or was never pushed"),
                    }
                })
            }
            Target::ToCome(name) => Ok(name.clone()),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn short(commit: &str) -> &str {
    commit.get(..12).filter(|_| is_hex(commit)).unwrap_or(commit)
}

fn listed(files: &[String]) -> String {
    let more = if files.len() > NAMED { ", …" } else { "" };
    let shown: Vec<&str> = files.iter().take(NAMED).map(String::as_str).collect();
    format!("{} changed: {}{more}", files.len(), shown.join(", "))
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let mut touches =
            Touches::new(Class::File).makes(Thing::Path(self.task.path.0.clone())).parents(true);
        if let Some(repository) = self.local_repository() {
            touches = touches.needs(Thing::Path(repository.0));
        }
        match &self.task.key {
            Some(key) => touches.needs(Thing::Path(key.0.clone())),
            None => touches,
        }
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        Sign::with_all_below(&self.touches(), &self.task.path.0)
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let tree = self.tree(context)?;
        let follows = self.task.update || tree.as_ref().is_none_or(|tree| tree.revision == UNBORN);
        let target = if follows { Some(self.target(context)) } else { None };
        let Some(tree) = tree else {
            // The repository, its server or git itself may come with an earlier task.
            let target = target.and_then(Result::ok);
            return Ok(Seen::Differs(vec![
                Change::new("state", None, Some("work tree".into())),
                Change::new("repository", None, Some(self.address().clean.clone())),
                Change::new("revision", None, Some(self.shown(target.as_ref()))),
            ]));
        };
        let mut changes = Vec::new();
        if tree.url != self.address().clean {
            let before = Some(tree.url.clone()).filter(|url| !url.is_empty());
            changes.push(Change::new("repository", before, Some(self.address().clean.clone())));
        }
        match target {
            Some(Err(_)) if context.at_start => return Ok(Seen::Later),
            Some(Err(problem)) => return Err(problem),
            Some(Ok(target)) if !target.is(&tree.revision) => {
                let before = short(&tree.revision).to_owned();
                changes.push(Change::new("revision", Some(before), Some(self.shown(Some(&target)))));
            }
            _ => {}
        }
        let marked = || {
            let mark = context.node.setting(SettingKind::GitCheckout, &self.mark());
            mark.is_ok_and(|mark| mark.is_some())
        };
        if self.task.force && !marked() {
            let files = self.changed_files(context)?;
            if !files.is_empty() {
                let wanted = format!("as in {}", short(&tree.revision));
                changes.push(Change::new("files", Some(listed(&files)), Some(wanted)));
            }
        }
        // In a plan a repository of the node itself is the old one, whatever an earlier task would do to it.
        if changes.is_empty()
            && context.planning()
            && context.disturbed
            && follows
            && self.local_repository().is_some()
            && !self.found().is_some_and(|found| found.settled)
        {
            return Ok(Seen::Unknown);
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = self.path();
        let url = &self.address().clean;
        let tree = self.tree(context)?;
        let target = match &tree {
            Some(tree) if !self.task.update && tree.revision != UNBORN => {
                Target::Commit { name: tree.revision.clone(), reference: None }
            }
            _ => self.target(context)?,
        };
        let stays = tree.as_ref().is_some_and(|tree| target.is(&tree.revision));
        let force = match &tree {
            // Nothing but git's own folder is there.
            None => true,
            Some(_) if stays => self.task.force,
            Some(tree) => {
                let force = self.task.force || self.was_cut(context, tree)?;
                if !force {
                    self.refuse_changes(context, tree)?;
                }
                force
            }
        };
        if tree.is_none() {
            self.make_directory(context)?;
        }
        let git = self.git(context, true)?;
        let doing = format!("preparing the work tree {}", path.display());
        let run = |arguments: &[&str]| printed(context.node.run(&git.change(arguments)), &doing);
        if tree.is_none() {
            run(&["init", "--quiet"])?;
        }
        if tree.as_ref().is_none_or(|tree| tree.url != *url) {
            run(&["config", "remote.origin.url", url])?;
            run(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])?;
        }
        let mut name = target.name().to_owned();
        if !stays {
            name = self.fetch(context, &target)?;
        } else if let Some(tree) = &tree {
            name.clone_from(&tree.revision);
        }
        if !stays || force {
            let doing = format!("checking out {} in {}", short(&name), path.display());
            let run = |arguments: &[&str]| printed(context.node.run(&git.change(arguments)), &doing);
            run(&["config", PENDING, &name])?;
            let mut arguments = vec!["checkout", "--quiet", "--detach"];
            if force {
                arguments.push("--force");
            }
            arguments.push(&name);
            run(&arguments)?;
            run(&["config", "--unset-all", PENDING])?;
        }
        if context.planning() {
            let mark = Some("planned");
            context.node.set(SettingKind::GitCheckout, &self.mark(), mark, context.deadline)?;
        }
        // The image of a plan learns it here; the machine knows already.
        context.node.set(
            SettingKind::GitCheckout,
            &self.key(),
            Some(&format!("{name} {url}")),
            context.deadline,
        )?;
        let target = match target {
            Target::Commit { reference, .. } => Target::Commit { name, reference },
            Target::Prefix(_) => Target::Commit { name, reference: None },
            to_come @ Target::ToCome(_) => to_come,
        };
        self.remember(&target, true);
        Ok(Effect::default())
    }

    fn keeps(&self, context: &Context<'_>) -> Vec<Thing> {
        let path = self.path();
        let setting = Thing::Setting(SettingKind::GitCheckout, self.key());
        if context.node.stat(path).unwrap_or(None).is_some() {
            return vec![setting];
        }
        let mut made = missing_parents(context, path).unwrap_or_default();
        made.push(path.to_owned());
        made.into_iter().map(Thing::Path).chain([setting]).collect()
    }
}

#[cfg(test)]
mod tests;
