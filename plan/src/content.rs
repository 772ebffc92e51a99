//! Contents of files: hashed once, held once however many hosts want them, large ones left on disk.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};

use cm_roles::{RoleFile, RoleFiles};
use cm_wire::{ContentRef, Digest, TreeEntry, TreeKind};

use crate::scope::lock;

/// Where the bytes of a content are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentSource {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the repository. It may change while the run lasts; what is sent is checked against the digest.
    File(PathBuf),
}

/// A folder to copy, read and hashed.
#[derive(Debug)]
pub(crate) struct Tree {
    pub entries: Vec<TreeEntry>,
    pub contents: Vec<(Digest, ContentSource)>,
}

/// All contents of a repository's runs.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    rendered: Mutex<HashMap<Digest, Weak<[u8]>>>,
    files: Mutex<HashMap<PathBuf, ContentRef>>,
    trees: Mutex<HashMap<PathBuf, Arc<Tree>>>,
}

/// A file that could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub path: PathBuf,
    pub error: io::Error,
}

impl Contents {
    /// A content that was rendered.
    pub fn text(&self, text: &str) -> (ContentRef, ContentSource) {
        let digest = Digest::of(text.as_bytes());
        let content = ContentRef { digest, size: text.len() as u64 };
        let mut rendered = lock(&self.rendered);
        let bytes = rendered.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
            let bytes: Arc<[u8]> = text.as_bytes().into();
            rendered.insert(digest, Arc::downgrade(&bytes));
            bytes
        });
        (content, ContentSource::Bytes(bytes))
    }

    /// A file as it is, hashed in pieces.
    pub fn file(&self, file: &RoleFile) -> Result<(ContentRef, ContentSource), Unreadable> {
        match file {
            RoleFile::Bytes(bytes) => {
                let content = ContentRef { digest: Digest::of(bytes), size: bytes.len() as u64 };
                Ok((content, ContentSource::Bytes((*bytes).into())))
            }
            RoleFile::Path(path) => Ok((self.hash(path)?, ContentSource::File(path.clone()))),
        }
    }

    fn hash(&self, path: &Path) -> Result<ContentRef, Unreadable> {
        if let Some(content) = lock(&self.files).get(path) {
            return Ok(*content);
        }
        let hashed = fs::File::open(path).and_then(Digest::of_reader);
        let (digest, size) = hashed.map_err(|error| Unreadable { path: path.to_owned(), error })?;
        let content = ContentRef { digest, size };
        lock(&self.files).insert(path.to_owned(), content);
        Ok(content)
    }

    /// A folder with all that is in it.
    pub fn tree(&self, files: &RoleFiles, name: &str) -> Result<Arc<Tree>, Unreadable> {
        let RoleFiles::Folder { path, .. } = files else {
            return Ok(Arc::new(shipped_tree(files, name)));
        };
        let path = path.join("files").join(name);
        if let Some(tree) = lock(&self.trees).get(&path) {
            return Ok(tree.clone());
        }
        let mut tree = Tree { entries: Vec::new(), contents: Vec::new() };
        self.walk(&path, &path, &mut tree)?;
        tree.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let tree = Arc::new(tree);
        lock(&self.trees).insert(path, tree.clone());
        Ok(tree)
    }

    fn walk(&self, root: &Path, folder: &Path, tree: &mut Tree) -> Result<(), Unreadable> {
        let unreadable = |path: &Path, error| Unreadable { path: path.to_owned(), error };
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            let found = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, error))?;
            let below = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec();
            let kind = if found.is_symlink() {
                let target = fs::read_link(&path).map_err(|error| unreadable(&path, error))?;
                TreeKind::Link(target.as_os_str().as_bytes().to_vec())
            } else if found.is_dir() {
                self.walk(root, &path, tree)?;
                TreeKind::Directory
            } else if found.is_file() {
                let content = self.hash(&path)?;
                tree.contents.push((content.digest, ContentSource::File(path.clone())));
                TreeKind::File { content, executable: found.permissions().mode() & 0o100 != 0 }
            } else {
                // Sockets and the like are nobody's content.
                continue;
            };
            tree.entries.push(TreeEntry { path: below, kind });
        }
        Ok(())
    }
}

fn shipped_tree(files: &RoleFiles, name: &str) -> Tree {
    let mut tree = Tree { entries: Vec::new(), contents: Vec::new() };
    for (path, bytes) in files.shipped_below(name) {
        for (end, _) in path.match_indices('/') {
            let folder = TreeEntry { path: path.as_bytes()[..end].to_vec(), kind: TreeKind::Directory };
            if !tree.entries.contains(&folder) {
                tree.entries.push(folder);
            }
        }
        let content = ContentRef { digest: Digest::of(bytes), size: bytes.len() as u64 };
        tree.contents.push((content.digest, ContentSource::Bytes(bytes.into())));
        let kind = TreeKind::File { content, executable: bytes.starts_with(b"#!") };
        tree.entries.push(TreeEntry { path: path.as_bytes().to_vec(), kind });
    }
    tree.entries.sort_by(|a, b| a.path.cmp(&b.path));
    tree
}
