//! The files read in one command. Their text is kept so that an error can show the line it speaks of.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::Diagnostic;

/// Files larger than this are refused: nobody writes them by hand, and offsets are 32 bits wide.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;

/// All files read in one command; cheap to clone (clones share the files) and usable from many threads.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Arc<RwLock<Vec<Arc<SourceFile>>>>,
}

/// Names a file of one [`Sources`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(u32);

/// A range of bytes in a file: `start` inclusive, `end` exclusive.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The file the range lies in.
    pub file: FileId,
    /// Byte offset of the first byte.
    pub start: u32,
    /// Byte offset after the last byte.
    pub end: u32,
}

/// A value and the place it was written at.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

#[derive(Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl Sources {
    /// Makes an empty set of files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file. `path` is what the user is shown: relative to the repository, or a name such as `--set port`
    /// for text that is not from a file.
    ///
    /// Text beyond 4 GiB cannot be addressed and is cut off; [`Sources::read`] refuses such files long before.
    pub fn add(&self, path: impl Into<PathBuf>, mut text: String) -> FileId {
        if u32::try_from(text.len()).is_err() {
            text.clear();
        }
        let mut line_starts = vec![0];
        // Lossless: the length was just checked to fit.
        line_starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        let file = Arc::new(SourceFile { path: path.into(), text: text.into(), line_starts });
        // A poisoned lock cannot hold a broken vector: the only write under it is this push.
        let mut files = self.files.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        files.push(file);
        FileId(files.len() as u32 - 1)
    }

    /// Reads `root/relative` and adds it under the name `relative`.
    ///
    /// # Errors
    /// A diagnostic without a place when the file cannot be read, is larger than 64 MiB or is not UTF-8.
    // A diagnostic is large, but this is called once a file.
    #[expect(clippy::result_large_err)]
    pub fn read(&self, root: &Path, relative: &Path) -> Result<FileId, Diagnostic> {
        let shown = relative.display();
        let full = root.join(relative);
        let failed = |error: io::Error| {
            let diagnostic = Diagnostic::error(format!("cannot read `{shown}`")).caused_by(describe(&error));
            match error.kind() {
                io::ErrorKind::NotFound => diagnostic.hint(format!("looked for it in `{}`", root.display())),
                _ => diagnostic,
            }
        };
        let length = std::fs::metadata(&full).map_err(failed)?.len();
        if length > LARGEST_FILE {
            return Err(Diagnostic::error(format!("`{shown}` is too large to be a configuration file"))
                .caused_by(format!("it has {length} bytes; at most {LARGEST_FILE} are read")));
        }
        let bytes = std::fs::read(&full).map_err(failed)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(self.add(relative, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = &error.as_bytes()[..good];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(Diagnostic::error(format!("`{shown}` is not UTF-8 text"))
                    .caused_by(format!("line {line} holds the byte 0x{:02x}", error.as_bytes()[good]))
                    .hint("save the file as UTF-8; binary data belongs into a role's `files/` folder"))
            }
        }
    }

    /// Gives the path a file is shown under.
    pub fn path(&self, file: FileId) -> PathBuf {
        self.file(file).map(|file| file.path.clone()).unwrap_or_default()
    }

    /// Gives the text of a file.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.file(file).map(|file| file.text.clone()).unwrap_or_else(|| Arc::from(""))
    }

    /// Gives the text a span covers; what lies outside of the file is left out.
    pub fn slice(&self, span: Span) -> String {
        self.file(span.file).map(|file| file.text[file.range(span)].to_owned()).unwrap_or_default()
    }

    /// Gives line and column of the span's first character, both from 1; columns count characters.
    pub fn line_column(&self, span: Span) -> (u32, u32) {
        let Some(file) = self.file(span.file) else { return (1, 1) };
        let start = file.range(span).start;
        let line = file.line_of(start);
        let column = file.text[file.line_starts[line] as usize..start].chars().count();
        (line as u32 + 1, column as u32 + 1)
    }

    /// Names a place as a person or an editor reads it: `roles/web/role.yaml:14:5`.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_column(span);
        format!("{}:{line}:{column}", self.path(span.file).display())
    }

    /// Names a line without its column: `inventory.yaml:22`.
    pub fn place_line(&self, span: Span) -> String {
        format!("{}:{}", self.path(span.file).display(), self.line_column(span).0)
    }

    pub(crate) fn file(&self, file: FileId) -> Option<Arc<SourceFile>> {
        self.lock().get(file.0 as usize).cloned()
    }

    fn lock(&self) -> RwLockReadGuard<'_, Vec<Arc<SourceFile>>> {
        self.files.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl SourceFile {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Line (from 0) that holds a byte offset.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start as usize <= offset).saturating_sub(1)
    }

    /// Bytes of a line (from 0) without its line break.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.line_starts.get(line).map_or(self.text.len(), |start| *start as usize);
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| *next as usize);
        let text = &self.text[start..end];
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }

    /// The span as a range that can slice the text: inside of it and on character borders.
    pub(crate) fn range(&self, span: Span) -> Range<usize> {
        let start = self.text.floor_char_boundary((span.start as usize).min(self.text.len()));
        let end = self.text.floor_char_boundary((span.end as usize).min(self.text.len()));
        start..end.max(start)
    }
}

impl Span {
    /// Makes a span from byte offsets.
    pub fn new(file: FileId, start: u32, end: u32) -> Self {
        Self { file, start, end }
    }

    /// The span from the start of this one to the end of `other`, which lies in the same file.
    pub fn to(self, other: Span) -> Self {
        Self { file: self.file, start: self.start, end: other.end.max(self.start) }
    }
}

impl<T> Spanned<T> {
    /// Puts a value and its place together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Turns the value into another, at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// The system's words without Rust's "(os error 2)".
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let sources = Sources::new();
        let file = sources.add("a.yaml", "é: x\r\nüü: y\n".into());
        assert_eq!(sources.line_column(Span::new(file, 0, 2)), (1, 1));
        assert_eq!(sources.line_column(Span::new(file, 4, 5)), (1, 4));
        let y = sources.text(file).find('y').unwrap() as u32;
        assert_eq!(sources.place(Span::new(file, y, y + 1)), "a.yaml:2:5");
        assert_eq!(sources.line_column(Span::new(file, 9999, 9999)), (3, 1));
    }

    #[test]
    fn unreadable_and_binary_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bad.yaml"), b"a: b\nc: \xff\n").unwrap();
        let sources = Sources::new();
        let missing = sources.read(folder.path(), Path::new("none.yaml")).unwrap_err();
        assert_eq!(missing.message, "cannot read `none.yaml`");
        assert_eq!(missing.causes, ["no such file or directory"]);
        let binary = sources.read(folder.path(), Path::new("bad.yaml")).unwrap_err();
        assert_eq!(binary.causes, ["line 2 holds the byte 0xff"]);
    }
}
