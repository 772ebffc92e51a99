//! From text to [`Node`]s: one document, core schema, unique text keys, aliases and merges within a budget.

use std::collections::HashMap;

use granit_parser::{Event, Parser, Span as ParserSpan, StructureStyle, Tag};

use crate::scalar::{TooLarge, number, resolve};
use crate::scalar_of_ansible;
use crate::{Diagnostic, Diagnostics, Entry, FileId, Node, ScalarStyle, Sources, Span, Spanned, Yaml};

mod syntax_error;

/// Collections may be nested this deep: far more than anyone writes, far less than would strain a stack.
const DEEPEST: usize = 100;
/// All aliases of a file together may stand for this many values ("billion laughs").
const ALIASED_NODES: usize = 100_000;
/// Maps up to this size look for duplicate keys by going through them; larger ones keep an index.
const SMALL_MAP: usize = 8;

/// Parses a file that holds one YAML document. An empty file is null.
///
/// # Errors
/// All that is wrong with it: a syntax error ends the file, but duplicate keys, keys that are not text, unknown tags and
/// numbers that cannot be held are all told at once.
pub fn parse(sources: &Sources, file: FileId) -> Result<Node, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    match parse_collecting(sources, file, &mut diagnostics) {
        Some(node) if !diagnostics.has_errors() => Ok(node),
        _ => Err(diagnostics),
    }
}

/// Parses like [`parse`], but gives what could be understood although there are errors (of two values of one key, the
/// first), so that the rest of the file can be checked in the same go. None after a syntax error.
pub fn parse_collecting(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = sources.text(file);
    Builder::new(&text, file, 0, diagnostics).run()
}

/// Parses as Ansible reads YAML: plain scalars by YAML 1.1 (`yes` is true, `0644` is 420), of two values of one key the last
/// (with a warning), `!unsafe` is text without templates. `!vault` is an error: nobody here has the key.
pub fn parse_of_ansible(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = sources.text(file);
    Builder { ansible: true, ..Builder::new(&text, file, 0, diagnostics) }.run()
}

/// Parses the part of a file that a span covers, such as the value in `--set key=value`; spans are those of the whole file.
///
/// # Errors
/// As [`parse`].
pub fn parse_part(sources: &Sources, part: Span) -> Result<Node, Diagnostics> {
    let text = sources.slice(part);
    let mut diagnostics = Diagnostics::new();
    let node = Builder::new(&text, part.file, part.start, &mut diagnostics).run();
    match node {
        Some(node) if !diagnostics.has_errors() => Ok(node),
        _ => Err(diagnostics),
    }
}

struct Builder<'t, 'd> {
    text: &'t str,
    file: FileId,
    base: u32,
    diagnostics: &'d mut Diagnostics,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
    /// The last value that begins with `{{` and has no quotes.
    unquoted: Option<Span>,
    /// Read as Ansible does; see [`parse_of_ansible`].
    ansible: bool,
}

/// A finished anchored value and how many values it holds; None while it is still open.
struct Anchored(Option<(Node, usize)>);

struct Open {
    start: u32,
    end: u32,
    flow: bool,
    anchor: usize,
    /// Values inside, itself included.
    count: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(MapBuilder),
}

struct MapBuilder {
    entries: Vec<Entry>,
    index: Option<HashMap<String, usize>>,
    merges: Vec<(Span, Node)>,
    key: Key,
}

enum Key {
    /// The next node is a key.
    Wanted,
    /// The next node is the value of this key.
    Is(Spanned<String>),
    /// The next node is what `<<` merges.
    Merge(Span),
    /// The next node replaces the value of this entry, the key of which stands here.
    Again(usize, Span),
    /// The next node is the value of a key that was refused.
    Refused,
}

impl<'t, 'd> Builder<'t, 'd> {
    fn new(text: &'t str, file: FileId, base: u32, diagnostics: &'d mut Diagnostics) -> Self {
        Self {
            text,
            file,
            base,
            diagnostics,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            root: None,
            unquoted: None,
            ansible: false,
        }
    }

    fn run(mut self) -> Option<Node> {
        let mut options = granit_parser::options! { emit_unresolved_aliases: true };
        options.set_emit_comments(false);
        let text = self.text;
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, place) = match event {
                Ok(event) => event,
                Err(error) => {
                    let diagnostic = syntax_error::explain(&error, self.text, self.file, self.base);
                    // An unquoted template is told already, and is what made the rest of its line unreadable.
                    let line =
                        |span: Span| self.text[..(span.start - self.base) as usize].matches('\n').count();
                    let place = diagnostic.primary.as_ref().map(|label| line(label.span));
                    if self.unquoted.is_none_or(|span| Some(line(span)) != place) {
                        self.diagnostics.push(diagnostic);
                    }
                    return None;
                }
            };
            let span = self.span(&place);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        self.diagnostics.push(
                            Diagnostic::error("more than one YAML document in a file")
                                .at(span, "the second document begins here")
                                .hint("put it into a file of its own, or remove the `---`"),
                        );
                        return self.root;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(&text, style, tag.as_deref(), &place, span);
                    self.anchor(anchor, &node, 1);
                    self.take(node, 1);
                }
                Event::SequenceStart(style, anchor, tag) => {
                    self.check_collection_tag(tag.as_deref(), "seq", &place, span);
                    self.begin(style, anchor, span, Content::List(Vec::new()))?;
                }
                Event::MappingStart(style, anchor, tag) => {
                    self.check_collection_tag(tag.as_deref(), "map", &place, span);
                    let map =
                        MapBuilder { entries: Vec::new(), index: None, merges: Vec::new(), key: Key::Wanted };
                    self.begin(style, anchor, span, Content::Map(map))?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.finish(span),
                Event::Alias(id) => self.alias(id, span)?,
                Event::UnresolvedAlias(name) => {
                    self.diagnostics.push(
                        Diagnostic::error(format!("nothing is called `&{name}` before this place"))
                            .at(span, "this alias stands for nothing")
                            .hint(format!("a text that begins with `*` needs quotes: \"*{name}\"")),
                    );
                    self.take(Node::new(span, Yaml::Null), 1);
                }
                _ => {}
            }
        }
        Some(self.root.unwrap_or_else(|| Node::new(Span::new(self.file, self.base, self.base), Yaml::Null)))
    }

    fn span(&self, place: &ParserSpan) -> Span {
        let range = place.byte_range().unwrap_or(0..0);
        // Lossless: files are below 4 GiB.
        Span::new(self.file, self.base + range.start as u32, self.base + range.end as u32)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: granit_parser::ScalarStyle,
        tag: Option<&Tag>,
        place: &ParserSpan,
        mut span: Span,
    ) -> Node {
        use granit_parser::ScalarStyle as Theirs;
        let style = match style {
            Theirs::SingleQuoted => ScalarStyle::SingleQuoted,
            Theirs::DoubleQuoted => ScalarStyle::DoubleQuoted,
            Theirs::Literal => ScalarStyle::Literal,
            Theirs::Folded => ScalarStyle::Folded,
            _ => ScalarStyle::Plain,
        };
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            // The parser's span runs up to the next key; what is underlined ends with the text.
            let start = (span.start - self.base) as usize;
            let written = &self.text[start..(span.end - self.base) as usize];
            span.end = span.start + written.trim_end().len() as u32;
        }
        let plain = style == ScalarStyle::Plain;
        let resolved = match tag {
            None if plain && self.ansible => Ok(scalar_of_ansible::resolve(text)),
            None if plain => resolve(text),
            None => Ok(Yaml::Text(text.to_string())),
            Some(tag) => self.tagged(text, tag, place, span),
        };
        let value = resolved.unwrap_or_else(|TooLarge| {
            self.diagnostics.push(
                Diagnostic::error(format!("the number {text} is too large"))
                    .at(span, "does not fit into 64 bits")
                    .hint(format!("if it is not meant as a number, put it in quotes: \"{text}\"")),
            );
            Yaml::Text(text.to_string())
        });
        Node::scalar(span, value, style, text)
    }

    fn tagged(&mut self, text: &str, tag: &Tag, place: &ParserSpan, span: Span) -> Result<Yaml, TooLarge> {
        let wrong = |kind: &str| {
            Diagnostic::error(format!("`{text}` is not {kind}, although its tag says so")).at(span, "")
        };
        if tag.handle().is_empty() && tag.suffix() == "!" {
            return Ok(Yaml::Text(text.to_owned()));
        }
        if self.ansible && tag.original() == "!unsafe" {
            return Ok(Yaml::Text(scalar_of_ansible::without_templates(text)));
        }
        let problem = match tag.core_suffix() {
            _ if self.ansible && matches!(&*tag.original(), "!vault" | "!vault-encrypted") => {
                Diagnostic::error("this value is encrypted by Ansible Vault")
                    .at(span, "cannot be decrypted here")
                    .hint("decrypt it with `ansible-vault`, and keep it as a secret: `cm secrets set NAME`")
            }
            Some("str") => return Ok(Yaml::Text(text.to_owned())),
            Some("null") if matches!(resolve(text)?, Yaml::Null) => return Ok(Yaml::Null),
            Some("bool") => match resolve(text)? {
                value @ Yaml::Bool(_) => return Ok(value),
                _ => wrong("a boolean"),
            },
            Some("int") => match number(text)? {
                Some(value @ Yaml::Int(_)) => return Ok(value),
                _ => wrong("a whole number"),
            },
            Some("float") => match number(text)? {
                Some(Yaml::Int(value)) => return Ok(Yaml::Float(value as f64)),
                Some(value) => return Ok(value),
                None => wrong("a number"),
            },
            _ => self.unknown_tag(tag, place, span),
        };
        self.diagnostics.push(problem);
        Ok(Yaml::Text(text.to_owned()))
    }

    fn check_collection_tag(&mut self, tag: Option<&Tag>, wanted: &str, place: &ParserSpan, span: Span) {
        let Some(tag) = tag else { return };
        let non_specific = tag.handle().is_empty() && tag.suffix() == "!";
        let unsafe_tag = self.ansible && tag.original() == "!unsafe";
        if !non_specific && !unsafe_tag && tag.core_suffix() != Some(wanted) {
            let problem = self.unknown_tag(tag, place, span);
            self.diagnostics.push(problem);
        }
    }

    fn unknown_tag(&self, tag: &Tag, place: &ParserSpan, span: Span) -> Diagnostic {
        let at = place.tag_span().map_or(span, |place| self.span(&place));
        Diagnostic::error(format!("the tag `{}` is not known here", tag.original())).at(at, "")
    }

    fn begin(&mut self, style: StructureStyle, anchor: usize, span: Span, content: Content) -> Option<()> {
        if self.open.len() >= DEEPEST {
            self.diagnostics.push(
                Diagnostic::error(format!("nested more than {DEEPEST} levels deep"))
                    .at(span, "this goes too far"),
            );
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored(None));
        }
        let flow = matches!(style, StructureStyle::Flow);
        self.open.push(Open { start: span.start, end: span.end, flow, anchor, count: 1, content });
        Some(())
    }

    fn finish(&mut self, span: Span) {
        // The parser's events are balanced.
        let Some(open) = self.open.pop() else { return };
        // A block collection ends with its last child, not where the parser notices it (after blank lines and comments).
        let end = if open.flow { span.end } else { open.end };
        let span = Span::new(self.file, open.start, end);
        let mut count = open.count;
        let value = match open.content {
            Content::List(items) => Yaml::List(items),
            Content::Map(map) => {
                let (entries, merged) = self.merge(map);
                count += merged;
                Yaml::Map(entries)
            }
        };
        let node = Node::new(span, value);
        self.anchor(open.anchor, &node, count);
        self.take(node, count);
    }

    fn anchor(&mut self, anchor: usize, node: &Node, count: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored(Some((node.clone(), count))));
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<()> {
        let Some(Anchored(Some((node, count)))) = self.anchors.get(&id) else {
            self.diagnostics
                .push(Diagnostic::error("an alias inside of what it stands for").at(span, "never ends"));
            self.take(Node::new(span, Yaml::Null), 1);
            return Some(());
        };
        let (node, count) = (node.clone(), *count);
        self.aliased += count;
        if self.aliased > ALIASED_NODES {
            self.diagnostics.push(
                Diagnostic::error("the aliases of this file stand for too many values")
                    .at(span, format!("more than {ALIASED_NODES} values up to here")),
            );
            return None;
        }
        // The value keeps its own place, but what holds the alias ends with the alias.
        let depth = self.open.len();
        self.take(node, count);
        if let Some(open) = depth.checked_sub(1).and_then(|top| self.open.get_mut(top)) {
            open.end = span.end;
        }
        Some(())
    }

    /// Puts a finished value where it belongs.
    fn take(&mut self, node: Node, count: usize) {
        let (file, base) = (self.file, self.base);
        let enclosed = self.open.iter().rev().nth(1).is_some_and(|open| open.flow);
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.count += count;
        open.end = open.end.max(node.span.end);
        let map = match &mut open.content {
            Content::List(items) => return items.push(node),
            Content::Map(map) => map,
        };
        match std::mem::replace(&mut map.key, Key::Wanted) {
            Key::Wanted => match key_of(&node) {
                Some(text) if text == "<<" && !node.is_quoted() => map.key = Key::Merge(node.span),
                Some(text) => {
                    let key = Spanned::new(text.to_owned(), node.span);
                    if let Some(first) = map.position(&key.value) {
                        let at = first;
                        let first = map.entries[at].key.span;
                        if self.ansible {
                            self.diagnostics.push(
                                Diagnostic::warning(format!("duplicate key `{}`", key.value))
                                    .at(key.span, "this one counts")
                                    .also(first, "not this one"),
                            );
                            map.key = Key::Again(at, key.span);
                            return;
                        }
                        self.diagnostics.push(
                            Diagnostic::error(format!("duplicate key `{}`", key.value))
                                .at(key.span, "again here")
                                .also(first, "first here")
                                .hint("a key stands once in a map; put both into one, or remove one"),
                        );
                        map.key = Key::Refused;
                    } else {
                        map.key = Key::Is(key);
                    }
                }
                None => {
                    map.key = Key::Refused;
                    let start = (open.start - base) as usize;
                    let template = open.flow && self.text[start..].starts_with("{{");
                    let diagnostic = if template {
                        let line = self.text[start..].lines().next().unwrap_or_default();
                        // The whole value is quoted where it ends with the line, which it does not inside of `[]` or `{}`.
                        let expression = if enclosed {
                            line.find("}}").map_or(line, |end| &line[..end + 2])
                        } else {
                            line.split(" #").next().unwrap_or(line).trim_end()
                        };
                        let end = open.start + expression.len() as u32;
                        self.unquoted = Some(Span::new(file, open.start, end));
                        Diagnostic::error("a value that begins with `{{` needs quotes")
                            .at(Span::new(file, open.start, end), "YAML reads this as a map in a map")
                            .hint(format!("write \"{expression}\""))
                    } else {
                        Diagnostic::error(format!("a key must be a string, not {}", node.kind()))
                            .at(node.span, "this stands where a key belongs")
                    };
                    self.diagnostics.push(diagnostic);
                }
            },
            Key::Is(key) => map.insert(key, node),
            Key::Merge(span) => map.merges.push((span, node)),
            Key::Again(at, span) => {
                map.entries[at].key.span = span;
                map.entries[at].value = node;
            }
            Key::Refused => {}
        }
    }

    /// Puts the merged maps in: the map's own keys win, then earlier merges over later ones.
    fn merge(&mut self, mut map: MapBuilder) -> (Vec<Entry>, usize) {
        let mut merged = 0;
        for (span, node) in std::mem::take(&mut map.merges) {
            let parts = match node.value {
                Yaml::List(items) => items,
                _ => vec![node],
            };
            for part in parts {
                let Yaml::Map(entries) = part.value else {
                    self.diagnostics.push(
                        Diagnostic::error(format!("`<<` merges maps, not {}", part.kind()))
                            .at(span, "")
                            .also(part.span, "this is not a map"),
                    );
                    continue;
                };
                for entry in entries {
                    if map.position(&entry.key.value).is_none() {
                        merged += 1;
                        map.insert(entry.key, entry.value);
                    }
                }
            }
        }
        (map.entries, merged)
    }
}

impl MapBuilder {
    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|entry| entry.key.value == key),
        }
    }

    fn insert(&mut self, key: Spanned<String>, value: Node) {
        if let Some(index) = &mut self.index {
            index.insert(key.value.clone(), self.entries.len());
        }
        self.entries.push(Entry { key, value });
        if self.index.is_none() && self.entries.len() > SMALL_MAP {
            let keys = self.entries.iter().enumerate();
            self.index = Some(keys.map(|(at, entry)| (entry.key.value.clone(), at)).collect());
        }
    }
}

/// The text of a key; numbers and booleans are taken as they are spelled.
fn key_of(node: &Node) -> Option<&str> {
    match node.value {
        Yaml::Text(_) | Yaml::Int(_) | Yaml::Float(_) | Yaml::Bool(_) => node.raw(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
