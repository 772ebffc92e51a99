//! git work trees: read without git where that is possible, changed by git.
//!
//! git runs as the owner of the work tree: what is configured there (hooks, filters) runs with no other rights.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    Doing, Problem,
    git_program::{Address, Git, printed},
    node::{Accounts, Commands, FileKind, Files},
    real::Real,
};

/// Largest file of git that is read, in bytes: packed-refs of a repository with very many branches.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;
/// What stands for the revision of a work tree that has none yet.
const UNBORN: &str = "unborn";
/// A question about a work tree that is answered without the network.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// `REVISION URL` of a work tree; the URL without a password, empty where there is no `origin`.
pub(super) fn read(real: &Real, key: &str) -> Result<Option<String>, Problem> {
    let tree = Path::new(key);
    let reading = || format!("reading the work tree {key}");
    let Some(folder) = git_folder(real, tree).doing(reading())? else { return Ok(None) };
    let common = common_folder(real, &folder);
    let config = text(real, &common.join("config")).doing(reading())?.unwrap_or_default();
    let url = origin(&config).map(|url| Address::new(&url).clean).unwrap_or_default();
    let revision = match revision(real, &folder, &common).doing(reading())? {
        Revision::Is(revision) => revision,
        Revision::Unborn => UNBORN.to_owned(),
        // Another way to store references: git itself knows.
        Revision::Elsewhere => ask(real, tree)?,
    };
    Ok(Some(format!("{revision} {url}")))
}

/// Takes a work tree away, or brings it to a revision.
pub(super) fn set(real: &Real, key: &str, value: Option<&str>, deadline: Instant) -> Result<(), Problem> {
    let tree = Path::new(key);
    let now = read(real, key)?;
    if now.as_deref() == value {
        return Ok(());
    }
    let Some(value) = value else {
        return real.remove_tree(tree).doing(format_args!("removing the work tree {key}"));
    };
    let (revision, url) = value.split_once(' ').unwrap_or((value, ""));
    let doing = format!("bringing the work tree {key} back to {}", revision.get(..12).unwrap_or(revision));
    let git = Git { tree: Some(tree), run_as: owner(real, tree)?, key: None, address: None, deadline };
    let run = |arguments: &[&str]| printed(real.run(&git.change(arguments)), &doing);
    let (revision_now, url_now) = match &now {
        Some(now) => now.split_once(' ').unwrap_or((now, "")),
        None => {
            if real.stat(tree).doing(&doing)?.is_none() {
                let new = real.attributes_of_new(tree, 0o755, FileKind::Directory).doing(&doing)?;
                real.make_directory(tree, new).doing(&doing)?;
            }
            run(&["init", "--quiet"])?;
            (UNBORN, "")
        }
    };
    if url != url_now {
        if url.is_empty() {
            run(&["config", "--remove-section", "remote.origin"])?;
        } else {
            run(&["config", "remote.origin.url", url])?;
            run(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])?;
        }
    }
    if revision == revision_now || revision == UNBORN {
        return Ok(());
    }
    let there = format!("{revision}^{{commit}}");
    if printed(real.run(&git.query(&["cat-file", "-e", &there])), &doing).is_err() {
        run(&["fetch", "--quiet", "--tags", "origin"])?;
    }
    run(&["checkout", "--quiet", "--detach", revision])?;
    Ok(())
}

/// The user git runs as for a work tree: its owner, where that is another than the agent's own.
fn owner(real: &Real, tree: &Path) -> Result<Option<String>, Problem> {
    let stat = real.stat(tree).doing(format_args!("looking at {}", tree.display()))?;
    let own = real.own_ids().0;
    Ok(stat.filter(|stat| own == 0 && stat.uid != own).map(|stat| real.user_name(stat.uid)))
}

/// Where git keeps its own things for a work tree; none where it is none.
fn git_folder(real: &Real, tree: &Path) -> io::Result<Option<PathBuf>> {
    let place = tree.join(".git");
    let Some(stat) = real.stat(&place)? else { return Ok(None) };
    match stat.kind {
        FileKind::Directory => Ok(real.stat(&place.join("HEAD"))?.map(|_| place)),
        // A work tree beside others of one repository, or a submodule (gitrepository-layout(5)).
        FileKind::File => {
            let text = real.read(&place, 64 * 1024)?;
            let text = String::from_utf8_lossy(&text);
            Ok(text.trim_end().strip_prefix("gitdir: ").map(|folder| tree.join(folder)))
        }
        _ => Ok(None),
    }
}

/// Where references and configuration are.
fn common_folder(real: &Real, folder: &Path) -> PathBuf {
    match text(real, &folder.join("commondir")) {
        Ok(Some(common)) => folder.join(common.trim_end()),
        _ => folder.to_owned(),
    }
}

/// A file's text; none where it is not there.
fn text(real: &Real, path: &Path) -> io::Result<Option<String>> {
    match real.read(path, FILE_LIMIT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

enum Revision {
    Is(String),
    Unborn,
    Elsewhere,
}

impl Revision {
    /// A name of a commit; anything else is git's own to understand.
    fn of(text: &str) -> Self {
        let is_name = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_name { Self::Is(text.to_owned()) } else { Self::Elsewhere }
    }
}

/// What `HEAD` is.
fn revision(real: &Real, folder: &Path, common: &Path) -> io::Result<Revision> {
    let mut name = "HEAD".to_owned();
    // One symbolic reference may lead to another.
    for _ in 0..5 {
        let own = if name == "HEAD" { folder } else { common };
        let Some(found) = text(real, &own.join(&name))? else {
            if real.stat(&common.join("reftable"))?.is_some() {
                return Ok(Revision::Elsewhere);
            }
            let packed = text(real, &common.join("packed-refs"))?.unwrap_or_default();
            let found = packed
                .lines()
                .find_map(|line| line.strip_suffix(&name)?.strip_suffix(' ').map(str::to_owned));
            return Ok(found.map_or(Revision::Unborn, |found| Revision::of(&found)));
        };
        match found.trim_end().strip_prefix("ref: ") {
            Some(next) if next.split('/').any(|part| part == "..") => return Ok(Revision::Elsewhere),
            Some(next) => next.trim().clone_into(&mut name),
            None => return Ok(Revision::of(found.trim_end())),
        }
    }
    Ok(Revision::Elsewhere)
}

fn ask(real: &Real, tree: &Path) -> Result<String, Problem> {
    let deadline = Instant::now() + QUERY_LIMIT;
    let git = Git { tree: Some(tree), run_as: owner(real, tree)?, key: None, address: None, deadline };
    let finished = real.run(&git.query(&["rev-parse", "--quiet", "--verify", "HEAD"]));
    match &finished {
        Ok(finished) if finished.output.status == 1 => Ok(UNBORN.to_owned()),
        _ => {
            let doing = format!("reading the work tree {}", tree.display());
            printed(finished, &doing).map(|text| text.trim_end().to_owned())
        }
    }
}

/// The URL of `origin` in git-config(1)'s format.
fn origin(config: &str) -> Option<String> {
    let mut within = false;
    let mut url = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            within = line.eq_ignore_ascii_case("[remote \"origin\"]");
        } else if within
            && let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("url")
        {
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            url = Some(quoted.unwrap_or(value).replace("\\\"", "\"").replace("\\\\", "\\"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(tree: &Path, line: &str) -> String {
        let line = format!("git -c init.defaultBranch=main -c user.name=t -c user.email=t@example {line}");
        let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(tree).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn work_trees_of_every_kind_are_read_without_git() {
        let directory = tempfile::tempdir().unwrap();
        let (real, tree) = (Real::new(), directory.path().join("tree"));
        let key = |tree: &Path| tree.to_str().unwrap().to_owned();
        assert_eq!(read(&real, &key(&tree)).unwrap(), None);
        std::fs::create_dir(&tree).unwrap();
        assert_eq!(read(&real, &key(&tree)).unwrap(), None);
        git(&tree, "init -q .");
        assert_eq!(read(&real, &key(&tree)).unwrap().as_deref(), Some("unborn "));
        git(&tree, "commit -q --allow-empty -m one");
        git(&tree, "remote add origin 'https://anna:secret@h/x.git'");
        let head = git(&tree, "rev-parse HEAD");
        let is = |tree: &Path, head: &str| {
            assert_eq!(read(&real, &key(tree)).unwrap(), Some(format!("{head} https://h/x.git")));
        };
        is(&tree, &head);
        git(&tree, "pack-refs --all");
        is(&tree, &head);
        git(&tree, "checkout -q --detach");
        is(&tree, &head);
        git(&tree, "worktree add -q ../beside -b side");
        let beside = directory.path().join("beside");
        git(&beside, "commit -q --allow-empty -m two");
        is(&beside, &git(&beside, "rev-parse HEAD"));
        is(&tree, &head);
    }

    #[test]
    fn a_work_tree_is_brought_back_and_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let real = Real::new();
        let (from, tree) = (directory.path().join("from"), directory.path().join("tree"));
        std::fs::create_dir(&from).unwrap();
        git(&from, "init -q .");
        std::fs::write(from.join("file"), "one").unwrap();
        git(&from, "add file");
        git(&from, "commit -q -m one");
        let one = git(&from, "rev-parse HEAD");
        let deadline = Instant::now() + QUERY_LIMIT;
        let key = tree.to_str().unwrap();
        let value = format!("{one} {}", from.display());
        set(&real, key, Some(&value), deadline).unwrap();
        assert_eq!(read(&real, key).unwrap().as_deref(), Some(value.as_str()));
        assert_eq!(std::fs::read_to_string(tree.join("file")).unwrap(), "one");
        std::fs::write(from.join("file"), "two").unwrap();
        git(&from, "commit -q -a -m two");
        let two = format!("{} {}", git(&from, "rev-parse HEAD"), from.display());
        set(&real, key, Some(&two), deadline).unwrap();
        assert_eq!(std::fs::read_to_string(tree.join("file")).unwrap(), "two");
        std::fs::write(tree.join("file"), "by hand").unwrap();
        let problem = set(&real, key, Some(&value), deadline).unwrap_err();
        assert!(problem.output.unwrap().stderr.contains("file"), "what was changed by hand is not lost");
        set(&real, key, None, deadline).unwrap();
        assert!(!tree.exists());
    }
}
