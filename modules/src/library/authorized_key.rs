//! `authorized_key`: the SSH keys a user may log in with.

mod key_line;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use cm_wire::Change;

use self::key_line::KeyLine;
use super::presence::State;
use super::{account_name::AccountName, ownership};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Module, ParamError, Params, Problem, Resource,
    Seen, Sign, Thing, Touches,
    node::{Attributes, Content, FileKind, Stat},
    params,
    text_diff::text_diff,
};

/// Largest file of keys that is edited, in bytes.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

params! {
    /// SSH keys in a user's authorized_keys file. A key is known by itself, whatever its comment. The file
    /// and its directory get the owner and modes that sshd(8) wants.
    ///
    /// Several tasks for one user each see to their own keys.
    pub struct AuthorizedKey = "authorized_key" {
        /// The user.
        subject user: AccountName,
        /// The public key as one line (`ssh-ed25519 AAAA… anna@desk`), or a list of them.
        key: Vec<String>,
        /// `present` or `absent`.
        state: State = State::Present,
        /// Options for the keys, such as `no-pty,command="/usr/bin/backup"` (see sshd(8)).
        options: Option<String>,
        /// No other keys are in the file. Comments stay.
        exclusive: bool = false,
        /// The file, where it is not `.ssh/authorized_keys` in the user's home directory.
        path: Option<AbsolutePath>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &AuthorizedKey::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = AuthorizedKey::from_params(params)?;
    let mut keys: Vec<KeyLine> = Vec::new();
    for text in &task.key {
        let mut key = KeyLine::parse(text).map_err(|error| ParamError::new("key", error))?;
        if let Some(options) = &task.options {
            if !key.options.is_empty() {
                return Err(ParamError::new("options", "are given in the key's own line already"));
            }
            key.options.clone_from(options);
        }
        // What it becomes must read back as the same key: options with a blank outside quotes would not.
        let line = key.show();
        if line.contains(char::is_control) || KeyLine::read(&line).as_ref() != Some(&key) {
            return Err(ParamError::new("options", format!("{:?} cannot stand before a key", key.options)));
        }
        if !keys.iter().any(|known| known.blob == key.blob) {
            keys.push(key);
        }
    }
    if task.state == State::Absent && task.exclusive {
        return Err(ParamError::new("exclusive", "belongs to keys that are to be present"));
    }
    if keys.is_empty() && !task.exclusive {
        return Err(ParamError::new("key", "is an empty list"));
    }
    Ok(Box::new(Wanted { task, keys }))
}

struct Wanted {
    task: AuthorizedKey,
    keys: Vec<KeyLine>,
}

/// Where the keys are and whose they are.
struct Place {
    file: PathBuf,
    /// The directory that is looked after, too; none for a file that is elsewhere.
    directory: Option<PathBuf>,
    uid: u32,
    gid: u32,
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let user = &self.task.user.0;
        let file = match &self.task.path {
            Some(path) => Thing::Path(path.0.clone()),
            // Where the home directory is, only the node knows.
            None => Thing::Other(format!("authorized_keys:{user}")),
        };
        Touches::new(Class::File).makes(file).needs(Thing::User(user.clone())).part()
    }

    fn signs(&self, context: &Context<'_>) -> Vec<Sign> {
        let mut signs = Sign::of_touches(&self.touches());
        if let Ok(Some(place)) = self.place(context) {
            signs.retain(|sign| !matches!(sign, Sign::Nothing(_)));
            signs.extend(place.directory.into_iter().chain([place.file]).map(Sign::Path));
        }
        signs
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let Some(place) = self.place(context)? else {
            return Ok(match self.task.state {
                State::Absent => Seen::AsWanted,
                State::Present => {
                    Seen::Differs(vec![Change::new("keys", None, Some(count(self.keys.len())))])
                }
            });
        };
        let stat = stat(context, &place.file)?;
        let mut changes = Vec::new();
        if let Some(stat) = stat.as_ref().filter(|stat| stat.kind != FileKind::File) {
            let seen = stat.kind.word().to_owned();
            return Ok(Seen::Differs(vec![Change::new("state", Some(seen), Some("file".into()))]));
        }
        let before = match &stat {
            Some(_) => read(context, &place.file)?,
            None => Vec::new(),
        };
        let after = self.edit(&before);
        if before != after || (stat.is_none() && self.task.state == State::Present) {
            changes.push(self.content_change(context, stat.as_ref().map(|_| &*before), &after));
        }
        // Whoever takes keys away need not see to the rest.
        if self.task.state == State::Present {
            let directory = match &place.directory {
                Some(directory) => {
                    self::stat(context, directory)?.map(|stat| (stat, DIRECTORY_MODE, "directory "))
                }
                None => None,
            };
            let things = directory.into_iter().chain(stat.map(|stat| (stat, FILE_MODE, "")));
            for (stat, mode, which) in things {
                changes.extend(differences(context, &place, &stat, mode, which));
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let present = self.task.state == State::Present;
        let place = match self.place(context)? {
            Some(place) => place,
            None if !present => return Ok(Effect::default()),
            None => {
                // Says what is missing; in a plan the user may yet come with a package.
                ownership::uid(context, &self.task.user.0)?;
                return Ok(Effect::default());
            }
        };
        if let Some(directory) = place.directory.as_ref().filter(|_| present) {
            make_directory(context, directory, &place)?;
        }
        let stat = stat(context, &place.file)?;
        if let Some(stat) = stat.as_ref().filter(|stat| stat.kind != FileKind::File) {
            return Err(Problem::new(format!(
                "{} is a {}, not a file",
                place.file.display(),
                stat.kind.word()
            ))
            .hint("a link there could lead anywhere and is not followed; take it away"));
        }
        let before = match &stat {
            Some(_) => read(context, &place.file)?,
            None => Vec::new(),
        };
        let after = self.edit(&before);
        let attributes = match &stat {
            Some(stat) if !present => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            _ => Attributes { mode: FILE_MODE, uid: place.uid, gid: place.gid },
        };
        let wrong =
            stat.as_ref().is_none_or(|stat| (stat.mode, stat.uid) != (attributes.mode, attributes.uid));
        if (before != after || wrong) && (present || stat.is_some()) {
            context
                .node
                .write(&place.file, &Content::Bytes(after), attributes, None)
                .doing(format_args!("writing {}", place.file.display()))??;
        }
        Ok(Effect::default())
    }

    fn keeps(&self, context: &Context<'_>) -> Vec<Thing> {
        // Without a user there is nothing that the change could touch.
        let Ok(Some(place)) = self.place(context) else { return Vec::new() };
        let directory = place.directory.filter(|_| self.task.state == State::Present);
        directory.into_iter().chain([place.file]).map(Thing::Path).collect()
    }
}

impl Wanted {
    /// Where the keys of the user are; none where there is no such user yet.
    fn place(&self, context: &Context<'_>) -> Result<Option<Place>, Problem> {
        let name = &self.task.user.0;
        let user = match context.node.user(name).doing("reading the users")? {
            Some(user) => user,
            None => return Ok(self.place_to_come(context)),
        };
        let (file, directory) = match &self.task.path {
            Some(path) => (path.0.clone(), None),
            None => {
                let directory = Path::new(&user.home).join(".ssh");
                if !directory.is_absolute() {
                    return Err(Problem::new(format!("the user `{name}` has no home directory")).hint(
                        "`home` of the user's task gives it one, or `path` here says where its keys are",
                    ));
                }
                (directory.join("authorized_keys"), Some(directory))
            }
        };
        Ok(Some(Place { file, directory, uid: user.uid, gid: user.gid }))
    }

    /// In a plan, where the user may come with an earlier task: where its keys would be.
    fn place_to_come(&self, context: &Context<'_>) -> Option<Place> {
        if context.at_start || !context.node.may_appear() {
            return None;
        }
        let name = &self.task.user.0;
        let uid = ownership::uid(context, name).ok()?;
        let (file, directory) = match &self.task.path {
            Some(path) => (path.0.clone(), None),
            None => {
                let directory = Path::new("/home").join(name).join(".ssh");
                (directory.join("authorized_keys"), Some(directory))
            }
        };
        Some(Place { file, directory, uid, gid: uid })
    }

    /// The file's new text. Editing it twice is editing it once.
    fn edit(&self, text: &[u8]) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut placed = vec![false; self.keys.len()];
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let Some(key) = KeyLine::read(&String::from_utf8_lossy(line)) else {
                lines.push(line.to_owned());
                continue;
            };
            let Some(index) = self.keys.iter().position(|wanted| wanted.blob == key.blob) else {
                if !self.task.exclusive {
                    lines.push(line.to_owned());
                }
                continue;
            };
            // The first of them stays; a second would count, too, with its own options.
            if self.task.state == State::Absent || placed[index] {
                continue;
            }
            placed[index] = true;
            let mut wanted = self.keys[index].clone();
            if wanted.comment.is_empty() {
                wanted.comment.clone_from(&key.comment);
            }
            let line = if key == wanted { line.to_owned() } else { (wanted.show() + "\n").into_bytes() };
            lines.push(line);
        }
        if self.task.state == State::Present {
            for (key, placed) in self.keys.iter().zip(placed) {
                if placed {
                    continue;
                }
                if let Some(last) = lines.last_mut().filter(|last| !last.ends_with(b"\n")) {
                    last.push(b'\n');
                }
                lines.push((key.show() + "\n").into_bytes());
            }
        }
        lines.concat()
    }

    fn content_change(&self, context: &Context<'_>, before: Option<&[u8]>, after: &[u8]) -> Change {
        if context.sensitive {
            return Change::new("keys", before.map(|_| "[secret]".into()), Some("[secret]".into()));
        }
        let keys = |text: &[u8]| {
            let lines = text.split(|&byte| byte == b'\n');
            count(lines.filter(|line| KeyLine::read(&String::from_utf8_lossy(line)).is_some()).count())
        };
        let diff = if context.diff { text_diff(before.unwrap_or_default(), after) } else { None };
        Change::new("keys", before.map(keys), Some(keys(after))).with_diff(diff)
    }
}

fn count(keys: usize) -> String {
    if keys == 1 { "1 key".into() } else { format!("{keys} keys") }
}

fn stat(context: &Context<'_>, path: &Path) -> Result<Option<Stat>, Problem> {
    context.node.stat(path).doing(format_args!("looking at {}", path.display()))
}

fn read(context: &Context<'_>, path: &Path) -> Result<Vec<u8>, Problem> {
    context.node.read(path, FILE_LIMIT).doing(format_args!("reading {}", path.display()))
}

/// Mode and owner where they are not what sshd(8) wants.
fn differences(context: &Context<'_>, place: &Place, stat: &Stat, mode: u32, which: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    if stat.mode != mode {
        let show = |mode| Some(FileMode(mode).show());
        changes.push(Change::new(&format!("{which}mode"), show(stat.mode), show(mode)));
    }
    if stat.uid != place.uid {
        let name = |uid| Some(context.node.user_name(uid));
        changes.push(Change::new(&format!("{which}owner"), name(stat.uid), name(place.uid)));
    }
    changes
}

fn make_directory(context: &Context<'_>, directory: &Path, place: &Place) -> Result<(), Problem> {
    let attributes = Attributes { mode: DIRECTORY_MODE, uid: place.uid, gid: place.gid };
    let Some(stat) = stat(context, directory)? else {
        let made = context.node.make_directory(directory, attributes);
        if let (Err(error), Some(home)) = (&made, directory.parent())
            && error.kind() == std::io::ErrorKind::NotFound
        {
            return Err(Problem::new(format!("the home directory {} is not there", home.display()))
                .hint("`create_home: true` on the user's task makes it"));
        }
        return made.doing(format_args!("making {}", directory.display()));
    };
    if stat.kind != FileKind::Directory {
        return Err(Problem::new(format!(
            "{} is a {}, not a directory",
            directory.display(),
            stat.kind.word()
        ))
        .hint(
            "a link there could lead anywhere and is not followed; take it away, or name the file by `path`",
        ));
    }
    if stat.uid != attributes.uid {
        context
            .node
            .set_owner(directory, attributes.uid, attributes.gid)
            .doing(format_args!("changing the owner of {}", directory.display()))?;
    }
    if stat.mode != attributes.mode {
        context
            .node
            .set_mode(directory, attributes.mode)
            .doing(format_args!("changing the mode of {}", directory.display()))?;
    }
    Ok(())
}
