//! `repository`: a source of packages for the node's package manager, with the key that signs it.

mod definition;

use std::path::{Path, PathBuf};

use cm_wire::{Change, ContentRef, Digest};

use super::{
    content::{self, After, Before},
    making::{make_parents, making, missing_parents},
    ownership::Ownership,
    presence::State,
};
use crate::{
    Class, Context, Doing, Effect, FileMode, Module, ParamError, Params, Problem, Resource, Seen,
    SourceContent, Thing, Touches,
    node::{Attributes, Content, FileKind, PackageManager, Stat},
    params,
};
use definition::{Definition, Places};

params! {
    /// A source of packages. For apt it is /etc/apt/sources.list.d/NAME.sources, with its key in
    /// /etc/apt/keyrings; for dnf /etc/yum.repos.d/NAME.repo and for zypper /etc/zypp/repos.d/NAME.repo, with the
    /// key in /etc/pki/rpm-gpg. All packages of a run come after all repositories of it; the index of packages is
    /// refreshed when the first of them is installed. pacman's and apk's sources are lines of a file: `line`,
    /// `block` and `ini` manage them. zypper's files have not been run on a real host.
    pub struct Repository = "repository" {
        /// Its name: letters, digits, `.`, `_` and `-`.
        subject name: String,
        /// `present` or `absent`; absent takes its key away, too.
        state: State = State::Present,
        /// Where it is; several are mirrors of each other. For a password use apt's auth.conf(5), not the URL.
        url: Option<Vec<String>>,
        /// apt: the suites, such as `bookworm`; or one exact path that ends in `/`, for a flat repository.
        suites: Option<Vec<String>>,
        /// apt: the components, such as `main`.
        components: Option<Vec<String>>,
        /// apt: `deb` (as without it), `deb-src` or both.
        types: Option<Vec<String>>,
        /// apt: only these architectures, such as `amd64`.
        architectures: Option<Vec<String>>,
        /// The key that signs it: an ASCII-armored OpenPGP public key.
        key: Option<String>,
        /// The key as a file of the role's files/, armored or binary (binary only for apt).
        key_source: Option<SourceContent>,
        /// It is believed without a signature. For what only this node can write.
        trusted: bool = false,
        /// `false` keeps it there, but unused.
        enabled: bool = true,
        /// dnf and zypper: the name that a person reads.
        description: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Repository::SCHEMA, compile };

/// What an armored key begins with.
const ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// Larger keys are refused, in bytes.
const KEY_LIMIT: u64 = 1024 * 1024;

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Repository::from_params(params)?;
    check_name(&given.name)?;
    let absent = given.state == State::Absent;
    let lists = [
        ("url", &given.url),
        ("suites", &given.suites),
        ("components", &given.components),
        ("types", &given.types),
        ("architectures", &given.architectures),
    ];
    for (name, list) in lists {
        let Some(list) = list else { continue };
        if absent {
            return Err(ParamError::new(name, "cannot be given for a repository that is to be absent"));
        }
        if list.is_empty() {
            return Err(ParamError::new(name, "is an empty list"));
        }
        if let Some(wrong) = list
            .iter()
            .find(|word| word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control()))
        {
            return Err(ParamError::new(
                name,
                format!("cannot hold {wrong:?}: it is one word without blanks"),
            ));
        }
    }
    if let Some(wrong) =
        given.types.iter().flatten().find(|word| !["deb", "deb-src"].contains(&word.as_str()))
    {
        return Err(ParamError::new("types", format!("wants deb or deb-src, not {wrong:?}")));
    }
    let keys = [("key", given.key.is_some()), ("key_source", given.key_source.is_some())];
    for (name, _) in keys.iter().filter(|(_, there)| *there) {
        if absent {
            return Err(ParamError::new(name, "cannot be given for a repository that is to be absent"));
        }
        if given.trusted {
            return Err(ParamError::new(name, "cannot be given together with `trusted: true`"));
        }
    }
    if given.key.is_some() && given.key_source.is_some() {
        return Err(ParamError::new("key_source", "cannot be given together with `key`"));
    }
    if given.key.as_ref().is_some_and(|key| !key.trim_start().as_bytes().starts_with(ARMOR)) {
        return Err(ParamError::new(
            "key",
            "wants an ASCII-armored public key (`-----BEGIN PGP PUBLIC KEY BLOCK-----`, as `gpg --armor --export` \
             prints it); a file with a binary one is `key_source`",
        ));
    }
    if given.description.as_ref().is_some_and(|text| text.chars().any(char::is_control)) {
        return Err(ParamError::new("description", "is one line"));
    }
    let url = match given.url {
        None if !absent => return Err(ParamError::new("url", "is required (where its packages are)")),
        url => url.unwrap_or_default(),
    };
    let key = match (given.key, given.key_source) {
        (Some(text), _) => Some(Key::Inline(format!("{}\n", text.trim()).into_bytes())),
        (None, Some(source)) => Some(Key::Source(source.0)),
        (None, None) => None,
    };
    let definition = Definition {
        name: given.name,
        urls: url,
        suites: given.suites,
        components: given.components,
        types: given.types,
        architectures: given.architectures,
        trusted: given.trusted,
        enabled: given.enabled,
        description: given.description,
    };
    Ok(Box::new(Wanted { definition, state: given.state, key }))
}

fn check_name(name: &str) -> Result<(), ParamError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed) && name.len() <= 100
    {
        return Ok(());
    }
    Err(ParamError::new(
        "name",
        format!(
            "{name:?} is not letters, digits, `.`, `_` and `-`: package managers pass over files with other names"
        ),
    ))
}

/// The key that signs a repository.
enum Key {
    /// Written in the role.
    Inline(Vec<u8>),
    /// A file of the role.
    Source(ContentRef),
}

impl Key {
    fn name(&self) -> ContentRef {
        match self {
            Self::Inline(bytes) => ContentRef { digest: Digest::of(bytes), size: bytes.len() as u64 },
            Self::Source(content) => *content,
        }
    }

    fn bytes(&self, context: &Context<'_>) -> Result<Vec<u8>, Problem> {
        let source = match self {
            Self::Inline(bytes) => return Ok(bytes.clone()),
            Self::Source(source) => source,
        };
        let too_large = || Problem::new(format!("a key of {} bytes is none", source.size));
        if source.size > KEY_LIMIT {
            return Err(too_large());
        }
        match context.contents.fetch(&source.digest, source.size)? {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(too_large()),
        }
    }
}

struct Wanted {
    definition: Definition,
    state: State,
    key: Option<Key>,
}

/// One file of a repository as it is to be.
struct Part {
    path: PathBuf,
    /// What it is called in what is reported.
    attribute: &'static str,
    content: PartContent,
}

enum PartContent {
    /// It is not to be there.
    Absent,
    /// It is there already, with the content it should have; only its mode may differ.
    There,
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Wanted {
    fn places(&self, context: &Context<'_>) -> Result<Places, Problem> {
        let Some(manager) = context.node.package_manager() else {
            return Err(Problem::new("this node has no package manager that cm knows")
                .hint("a repository is for apt, dnf or zypper"));
        };
        Places::of(manager, &self.definition.name).ok_or_else(|| {
            Problem::new(format!("the sources of {} are not managed by `repository`", manager.word())).hint(
                match manager {
                    PackageManager::Pacman => "`ini` or `block` on /etc/pacman.conf manages them",
                    _ => "`line` on /etc/apk/repositories manages them",
                },
            )
        })
    }

    /// All its files as they are to be: what goes last, first.
    fn parts(&self, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
        let places = self.places(context)?;
        let definition_path = places.definition();
        let (key, other) = match &self.key {
            Some(key) => self.key_part(context, key, &places)?,
            None => (None, places.keys()),
        };
        let mut parts = Vec::new();
        let gone = |path| Part { path, attribute: "key", content: PartContent::Absent };
        if self.state == State::Absent {
            parts.push(Part { path: definition_path, attribute: "state", content: PartContent::Absent });
        } else {
            let text = self.definition.text(places.manager, key.as_ref().map(|part| part.path.as_path()))?;
            // The key before what names it.
            parts.extend(key);
            parts.push(Part {
                path: definition_path,
                attribute: "content",
                content: PartContent::Bytes(text.into_bytes()),
            });
        }
        parts.extend(other.into_iter().map(gone));
        Ok(parts)
    }

    /// The key's file, and the files of its other forms. A key that is there already need not be sent to know
    /// which of its forms it has.
    fn key_part(
        &self,
        context: &Context<'_>,
        key: &Key,
        places: &Places,
    ) -> Result<(Option<Part>, Vec<PathBuf>), Problem> {
        let wanted = key.name();
        let mut others = places.keys();
        for (index, path) in others.iter().enumerate() {
            let stat = look_at(context, path)?;
            let Some(stat) = stat.filter(|stat| stat.kind == FileKind::File && stat.size == wanted.size)
            else {
                continue;
            };
            if Before::unless_same(context, path, &stat, wanted)?.is_none() {
                let path = others.remove(index);
                return Ok((Some(Part { path, attribute: "key", content: PartContent::There }), others));
            }
        }
        let bytes = key.bytes(context)?;
        let armored = bytes.trim_ascii_start().starts_with(ARMOR);
        let path = places.key(armored)?;
        others.retain(|other| *other != path);
        let content = PartContent::Bytes(bytes);
        Ok((Some(Part { path, attribute: "key", content }), others))
    }
}

fn look_at(context: &Context<'_>, path: &Path) -> Result<Option<Stat>, Problem> {
    context.node.stat(path).doing(format_args!("looking at {}", path.display()))
}

/// Root's, and every reader of packages must be able to read them, apt's own user too.
fn ownership() -> Ownership {
    let root = || Some("0".to_owned());
    Ownership { mode: Some(FileMode(0o644)), owner: root(), group: root() }
}

impl Part {
    fn differences(&self, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let stat = look_at(context, &self.path)?;
        let mode = |stat: &Stat| {
            let changes = ownership().differences(context, stat)?;
            let name = |change: Change| match self.attribute {
                "key" => Change { attribute: format!("key {}", change.attribute), ..change },
                _ => change,
            };
            Ok(changes.into_iter().map(name).collect())
        };
        match (&self.content, stat) {
            (PartContent::Absent, None) => Ok(Vec::new()),
            (PartContent::Absent, Some(stat)) => {
                let before = if self.attribute == "state" { "repository" } else { stat.kind.word() };
                Ok(vec![Change::new(self.attribute, Some(before.into()), None)])
            }
            (PartContent::There, Some(stat)) => mode(&stat),
            (PartContent::There, None) => Ok(Vec::new()),
            (PartContent::Bytes(bytes), Some(stat)) if stat.kind == FileKind::File => {
                let wanted = ContentRef { digest: Digest::of(bytes), size: bytes.len() as u64 };
                let mut changes = Vec::new();
                if let Some(before) = Before::unless_same(context, &self.path, &stat, wanted)? {
                    let after = After::Bytes(bytes);
                    changes.push(content::difference(context, self.attribute, Some(&before), after)?);
                }
                changes.extend(mode(&stat)?);
                Ok(changes)
            }
            (PartContent::Bytes(bytes), stat) => {
                let mut changes = Vec::new();
                if self.attribute == "content" {
                    let before = stat.map(|stat| stat.kind.word().to_owned());
                    changes.push(Change::new("state", before, Some("repository".into())));
                }
                changes.push(content::difference(context, self.attribute, None, After::Bytes(bytes))?);
                Ok(changes)
            }
        }
    }

    fn make(&self, context: &Context<'_>) -> Result<(), Problem> {
        let path = &self.path;
        let stat = look_at(context, path)?;
        if let Some(stat) = stat.as_ref().filter(|stat| stat.kind == FileKind::Directory) {
            return Err(Problem::new(format!("{} is a {}, not a file", path.display(), stat.kind.word()))
                .hint("move it away"));
        }
        let file = stat.as_ref().filter(|stat| stat.kind == FileKind::File);
        match &self.content {
            PartContent::Absent if stat.is_none() => Ok(()),
            PartContent::Absent => {
                context.node.remove(path).doing(format_args!("removing {}", path.display()))
            }
            PartContent::There => match file {
                Some(stat) => ownership().apply(context, path, stat),
                None => Ok(()),
            },
            PartContent::Bytes(bytes) => {
                let default = match file {
                    Some(stat) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
                    None => context
                        .node
                        .attributes_of_new(path, 0o644, FileKind::File)
                        .doing(format_args!("writing {}", path.display()))?,
                };
                make_parents(context, path)?;
                let attributes = ownership().attributes(context, default)?;
                let content = Content::Bytes(bytes.clone());
                making(context, path, "writing", context.node.write(path, &content, attributes, None))??;
                Ok(())
            }
        }
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let name = &self.definition.name;
        let places = PackageManager::ALL.into_iter().filter_map(|manager| Places::of(manager, name));
        let mut touches = Touches::new(Class::Package)
            .makes(Thing::Repository(name.clone()))
            .removes(self.state == State::Absent);
        // Which of them it is, only the node knows.
        for places in places {
            touches.makes.push(Thing::Path(places.definition()));
            touches.makes.extend(places.keys().into_iter().map(Thing::Path));
        }
        let mut seen = std::collections::BTreeSet::new();
        touches.makes.retain(|thing| seen.insert(thing.clone()));
        touches
    }

    fn keeps(&self, context: &Context<'_>) -> Vec<Thing> {
        // What cannot be read fails in the change.
        let Ok(places) = self.places(context) else { return Vec::new() };
        let files = places.keys().into_iter().chain([places.definition()]);
        let mut things = Vec::new();
        for path in files {
            for parent in missing_parents(context, &path).unwrap_or_default() {
                if !things.contains(&Thing::Path(parent.clone())) {
                    things.push(Thing::Path(parent));
                }
            }
            things.push(Thing::Path(path));
        }
        things
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        if let (Some(Key::Source(source)), State::Present) = (&self.key, self.state) {
            let there = self.places(context)?.keys().into_iter().any(|path| {
                look_at(context, &path).ok().flatten().is_some_and(|stat| stat.size == source.size)
            });
            if !there {
                content::announce(context, &[*source]);
            }
        }
        let mut changes = Vec::new();
        for part in self.parts(context)? {
            changes.extend(part.differences(context)?);
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        for part in self.parts(context)? {
            part.make(context)?;
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
