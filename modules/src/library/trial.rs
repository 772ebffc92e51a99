//! Tries a resource as a run does: plan on an image, apply, look again.

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use cm_wire::{Change, ContentRef, Digest, Mode, TreeEntry, TreeKind, Value};

use crate::{
    Contents, Context, Node, Overlay, Params, Problem, Resource, Seen, bench,
    node::{Attributes, Content, FileKind},
    registry,
};

/// Contents in memory, with what was asked for.
#[derive(Default)]
pub struct Store {
    contents: Mutex<BTreeMap<Digest, Vec<u8>>>,
    /// Everything that was announced, one entry a call.
    pub announced: Mutex<Vec<Vec<(Digest, u64)>>>,
    /// How often a content was fetched.
    pub fetched: Mutex<Vec<Digest>>,
}

impl Store {
    pub fn add(&self, bytes: &[u8]) -> ContentRef {
        let digest = Digest::of(bytes);
        self.contents.lock().unwrap().insert(digest, bytes.to_vec());
        ContentRef { digest, size: bytes.len() as u64 }
    }

    pub fn text(&self, text: &str) -> Value {
        Value::Content(self.add(text.as_bytes()))
    }

    /// Entries by path: `dir/` a folder, `name*` executable, `name -> target` a link.
    pub fn tree(&self, entries: &[(&str, &str)]) -> Value {
        let entry = |(name, content): &(&str, &str)| {
            let file = |executable| TreeKind::File { content: self.add(content.as_bytes()), executable };
            let (path, kind) = if let Some(path) = name.strip_suffix('/') {
                (path, TreeKind::Directory)
            } else if let Some(path) = name.strip_suffix('*') {
                (path, file(true))
            } else if let Some((path, target)) = name.split_once(" -> ") {
                (path, TreeKind::Link(target.into()))
            } else {
                (*name, file(false))
            };
            TreeEntry { path: path.into(), kind }
        };
        Value::Tree(entries.iter().map(entry).collect())
    }
}

impl Contents for Store {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        self.fetched.lock().unwrap().push(*digest);
        let contents = self.contents.lock().unwrap();
        contents.get(digest).cloned().map(Content::Bytes).ok_or_else(|| Problem::new("no such content"))
    }

    fn announce(&self, contents: &[(Digest, u64)]) {
        self.announced.lock().unwrap().push(contents.to_vec());
    }
}

/// The resource of a task.
pub fn task(module: &str, params: &[(&str, Value)]) -> Box<dyn Resource> {
    let params: Params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    registry::compile(module, &params).unwrap()
}

/// A path as a parameter.
pub fn at(path: &Path) -> Value {
    path.to_str().unwrap().into()
}

pub fn context<'a>(node: &'a dyn Node, store: &'a Store, mode: Mode) -> Context<'a> {
    Context { contents: store, ..bench::context(node, mode) }
}

/// What a look finds.
pub fn look(node: &dyn Node, store: &Store, resource: &dyn Resource) -> Vec<Change> {
    match resource.look(&context(node, store, Mode::Verify)).unwrap() {
        Seen::AsWanted => Vec::new(),
        Seen::Differs(changes) => {
            assert!(!changes.is_empty(), "a difference without a change");
            changes
        }
        other => panic!("{other:?}"),
    }
}

/// Plans and applies; gives what the plan found. Checks that the plan changed nothing, that the change
/// converges in the plan and on the node, and that there is nothing left to do.
pub fn converge(node: &dyn Node, store: &Store, resource: &dyn Resource) -> Result<Vec<Change>, Problem> {
    let first = look(node, store, resource);
    let image = Overlay::new(node);
    let planned = resource.change(&context(&image, store, Mode::Plan));
    assert_eq!(look(node, store, resource), first, "the plan changed something");
    if planned.is_ok() {
        assert_eq!(look(&image, store, resource), [], "the plan does not converge");
    }
    let applied = resource.change(&context(node, store, Mode::Apply));
    assert_eq!(
        planned.as_ref().map_err(|problem| &problem.message),
        applied.as_ref().map_err(|problem| &problem.message),
        "plan and apply disagree"
    );
    applied?;
    assert_eq!(look(node, store, resource), [], "does not converge");
    Ok(first)
}

/// As `attribute: before -> after`.
pub fn lines(changes: &[Change]) -> Vec<String> {
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    changes
        .iter()
        .map(|change| format!("{}: {} -> {}", change.attribute, show(&change.before), show(&change.after)))
        .collect()
}

/// Puts a file on a node.
pub fn put(node: &dyn Node, path: &Path, content: &[u8], mode: u32) {
    let attributes = node.attributes_of_new(path, mode, FileKind::File).unwrap();
    node.write(path, &Content::Bytes(content.to_vec()), attributes, None).unwrap().unwrap();
}

/// Puts a directory on a node.
pub fn put_directory(node: &dyn Node, path: &Path) {
    let (uid, gid) = node.own_ids();
    node.make_directory(path, Attributes { mode: 0o755, uid, gid }).unwrap();
}

/// Runs a test over an image of nothing, and over a real directory; both get a base that is there.
pub fn everywhere(test: impl Fn(&dyn Node, &Path)) {
    let image = Overlay::new(&crate::Empty);
    put_directory(&image, Path::new("/base"));
    test(&image, Path::new("/base"));
    let directory = tempfile::tempdir().unwrap();
    test(&crate::Real::new(), directory.path());
}
