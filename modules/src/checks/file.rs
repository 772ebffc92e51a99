//! `file`: whether a path is there, with the content, mode and owner it should have.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Check, Miss, Probe, Seeing};
use crate::{
    AbsolutePath, Context, Doing, FileMode, Module, ParamError, Params, Problem, Resource, choice,
    node::FileKind, params,
};

/// Largest file whose content is looked at, in bytes.
const CONTENT_LIMIT: u64 = 16 * 1024 * 1024;
/// Symbolic links that are followed one after the other, as path_resolution(7) has it.
const LINKS: usize = 40;

choice! {
    /// What is wanted of a path.
    pub enum FileState {
        /// Something is there.
        Present = "present",
        /// A file is there.
        File = "file",
        /// A directory is there.
        Directory = "directory",
        /// Nothing is there.
        Absent = "absent",
    }
}

params! {
    /// A path is there, and its content, mode and owner are as they should be. Links are followed.
    pub struct FileCheck = "file" {
        /// The path.
        subject path: AbsolutePath,
        /// `present` (of any kind), `file`, `directory` or `absent`.
        state: FileState = FileState::Present,
        /// Text the file must hold; of several, all.
        contains: Option<Vec<String>>,
        /// Its mode, such as "0644".
        mode: Option<FileMode>,
        /// The user that owns it, by name or number.
        owner: Option<String>,
        /// The group that owns it, by name or number.
        group: Option<String>,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &FileCheck::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let check = FileCheck::from_params(params)?;
    let given = [
        ("contains", check.contains.is_some()),
        ("mode", check.mode.is_some()),
        ("owner", check.owner.is_some()),
        ("group", check.group.is_some()),
    ];
    if let (FileState::Absent, Some((name, _))) = (check.state, given.iter().find(|(_, given)| *given)) {
        return Err(ParamError::new(name, "cannot be checked of what is to be absent"));
    }
    let within = check.within;
    Ok(Box::new(Check { probe: FileProbe(check), within }))
}

/// Looks at a path.
#[derive(Clone, Debug)]
pub struct FileProbe(FileCheck);

impl FileProbe {
    /// Only whether it is there.
    pub fn state(path: AbsolutePath, state: FileState) -> Self {
        Self(FileCheck { path, state, contains: None, mode: None, owner: None, group: None, within: None })
    }
}

impl Probe for FileProbe {
    fn subject(&self) -> String {
        self.0.path.0.display().to_string()
    }

    fn look(&self, context: &Context<'_>, _limit: Duration) -> Result<Seeing, Problem> {
        let check = &self.0;
        let miss = |attribute, wanted: &str, seen: &str| Ok(Err(Miss::new(attribute, wanted, seen)));
        let node = context.node;
        let mut path = check.path.0.clone();
        let mut stat = node.stat(&path).doing(format_args!("looking at {}", path.display()))?;
        for _ in 0..LINKS {
            if check.state == FileState::Absent
                || !stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Link)
            {
                break;
            }
            path = target(context, &path)?;
            stat = node.stat(&path).doing(format_args!("looking at {}", path.display()))?;
        }
        let stat = match (check.state, stat) {
            (FileState::Absent, None) => return Ok(Ok(())),
            (FileState::Absent, Some(stat)) => return miss("state", "absent", stat.kind.word()),
            (state, None) => return miss("state", state.word(), "absent"),
            (FileState::File, Some(stat)) if stat.kind != FileKind::File => {
                return miss("state", "file", stat.kind.word());
            }
            (FileState::Directory, Some(stat)) if stat.kind != FileKind::Directory => {
                return miss("state", "directory", stat.kind.word());
            }
            (_, Some(stat)) => stat,
        };
        if let Some(mode) = check.mode.filter(|mode| mode.0 != stat.mode) {
            return miss("mode", &mode.show(), &FileMode(stat.mode).show());
        }
        let (owner, group) = (node.user_name(stat.uid), node.group_name(stat.gid));
        if let Some(wanted) =
            check.owner.as_ref().filter(|name| **name != owner && **name != stat.uid.to_string())
        {
            return miss("owner", wanted, &owner);
        }
        if let Some(wanted) =
            check.group.as_ref().filter(|name| **name != group && **name != stat.gid.to_string())
        {
            return miss("group", wanted, &group);
        }
        let Some(texts) = &check.contains else { return Ok(Ok(())) };
        if stat.kind != FileKind::File {
            return miss("state", "file", stat.kind.word());
        }
        let content = node.read(&path, CONTENT_LIMIT).doing(format_args!("reading {}", path.display()))?;
        let holds =
            |text: &str| text.is_empty() || content.windows(text.len()).any(|part| part == text.as_bytes());
        match texts.iter().find(|text| !holds(text)) {
            None => Ok(Ok(())),
            Some(_) if context.sensitive => miss("content", "[secret]", "[secret]"),
            Some(text) => {
                let seen = format!("{} bytes without it", content.len());
                miss("content", &format!("something with {text:?}"), &seen)
            }
        }
    }
}

/// Where a link leads, as an absolute path.
fn target(context: &Context<'_>, link: &Path) -> Result<PathBuf, Problem> {
    let to = context.node.read_link(link).doing(format_args!("reading the link {}", link.display()))?;
    Ok(link.parent().unwrap_or(Path::new("/")).join(to))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use cm_wire::{Mode, Value};

    use super::*;
    use crate::{Real, Seen, bench::context};

    #[test]
    fn paths_are_checked_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b");
        std::fs::write(&file, b"x \xff hello\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a b", dir.path().join("link")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        symlink("nothing", dir.path().join("dangling")).unwrap();
        let look = |name: &str, more: &[(&str, Value)]| {
            let mut params: Params =
                more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            params.insert("path".into(), dir.path().join(name).to_str().unwrap().into());
            let real = Real::new();
            match compile(&params).unwrap().look(&context(&real, Mode::Verify)).unwrap() {
                Seen::AsWanted => None,
                Seen::Differs(changes) => {
                    Some((changes[0].attribute.clone(), changes[0].before.clone().unwrap()))
                }
                other => panic!("{other:?}"),
            }
        };
        let miss = |attribute: &str, seen: &str| Some((attribute.to_owned(), seen.to_owned()));
        let uid = rustix::process::geteuid().as_raw().to_string();
        assert_eq!(
            look("link", &[("contains", "hello".into()), ("mode", "0640".into()), ("owner", uid.into())]),
            None
        );
        assert_eq!(look("a b", &[("state", "file".into())]), None);
        assert_eq!(look("a b", &[("contains", "bye".into())]), miss("content", "10 bytes without it"));
        assert_eq!(look("a b", &[("mode", "0644".into())]), miss("mode", "0640"));
        assert_eq!(look("a b", &[("state", "directory".into())]), miss("state", "file"));
        assert_eq!(look("a b", &[("state", "absent".into())]), miss("state", "file"));
        assert_eq!(look("dangling", &[]), miss("state", "absent"));
        assert_eq!(look("dangling", &[("state", "absent".into())]), miss("state", "link"));
        assert_eq!(look("loop", &[("state", "file".into())]), miss("state", "link"));
        assert_eq!(look("none", &[("state", "absent".into())]), None);
        assert_eq!(look("", &[("state", "directory".into())]), None);
    }
}
