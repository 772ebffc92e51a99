//! Reads a map strictly: every value of the wanted type, no unknown key, all complaints at once.

use crate::{Diagnostic, Diagnostics, Entry, Node, Span, Spanned, Yaml, nearest};

/// A strict reader for one map.
///
/// Each getter names a key that may stand in the map; [`MapReader::finish`] complains about all the others. A wrong type is
/// told once, and the getter then gives `None`, as it does where the key is absent. A map that is nothing (`web:` and no
/// more) reads as empty; anything else that is not a map is told when the reader is made.
///
/// ```
/// # use cm_syntax::*;
/// # let sources = Sources::new();
/// # let file = sources.add("inventory.yaml", "address: 10.0.0.1\nbecome: yes\nprot: 1\n".into());
/// # let node = parse(&sources, file).unwrap();
/// let mut diagnostics = Diagnostics::new();
/// let mut reader = MapReader::new(&node, "host `db1`", &mut diagnostics);
/// let address = reader.text("address");
/// let become_root = reader.bool("become");
/// let port = reader.int("port");
/// reader.finish();
/// assert_eq!(address.unwrap().value, "10.0.0.1");
/// assert!(become_root.is_none() && port.is_none());
/// assert_eq!(diagnostics.len(), 2); // `yes` is not a boolean; `prot` is not a key
/// ```
#[must_use = "unknown keys are told by `finish`"]
pub struct MapReader<'a, 'd> {
    entries: &'a [Entry],
    used: Vec<bool>,
    known: Vec<&'a str>,
    span: Span,
    what: String,
    diagnostics: &'d mut Diagnostics,
}

impl<'a, 'd> MapReader<'a, 'd> {
    /// Starts to read `node`. `what` names it in messages: "group `web`".
    pub fn new(node: &'a Node, what: impl Into<String>, diagnostics: &'d mut Diagnostics) -> Self {
        let what = what.into();
        let entries: &'a [Entry] = match &node.value {
            Yaml::Map(entries) => entries,
            Yaml::Null => &[],
            _ => {
                diagnostics.push(
                    Diagnostic::error(format!("{what} must be a map, not {}", node.described()))
                        .at(node.span, "`key: value` pairs were expected"),
                );
                &[]
            }
        };
        Self {
            entries,
            used: vec![false; entries.len()],
            known: Vec::new(),
            span: node.span,
            what,
            diagnostics,
        }
    }

    /// Sets the place that is shown where a required key is missing; by default it is the map's.
    pub fn named_at(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// What is read, as given to [`MapReader::new`].
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The collection complaints go to.
    pub fn diagnostics(&mut self) -> &mut Diagnostics {
        self.diagnostics
    }

    /// The entry of a key, whatever its type.
    pub fn entry(&mut self, key: &'a str) -> Option<&'a Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key.value == key)?;
        self.used[at] = true;
        Some(&self.entries[at])
    }

    /// The value of a key, whatever its type.
    pub fn node(&mut self, key: &'a str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A string. A bare number or boolean is refused, with the quoted form as a hint.
    pub fn text(&mut self, key: &'a str) -> Option<Spanned<&'a str>> {
        let node = self.node(key)?;
        match node.as_text() {
            Some(text) => Some(Spanned::new(text, node.span)),
            None => self.wrong(key, "a string", node),
        }
    }

    /// True or false; `yes` and the like are refused, with the right word as a hint.
    pub fn bool(&mut self, key: &'a str) -> Option<Spanned<bool>> {
        let node = self.node(key)?;
        match node.as_bool() {
            Some(value) => Some(Spanned::new(value, node.span)),
            None => self.wrong(key, "true or false", node),
        }
    }

    /// A whole number.
    pub fn int(&mut self, key: &'a str) -> Option<Spanned<i64>> {
        let node = self.node(key)?;
        match node.as_int() {
            Some(value) => Some(Spanned::new(value, node.span)),
            None => self.wrong(key, "a whole number", node),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn int_between(&mut self, key: &'a str, least: i64, most: i64) -> Option<Spanned<i64>> {
        let value = self.int(key)?;
        if (least..=most).contains(&value.value) {
            return Some(value);
        }
        let range = if most == i64::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
        let message = format!("`{key}` of {} must be {range}, not {}", self.what, value.value);
        self.diagnostics.push(Diagnostic::error(message).at(value.span, ""));
        None
    }

    /// A list; nothing after the colon is an empty one.
    pub fn list(&mut self, key: &'a str) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        match &node.value {
            Yaml::List(items) => Some(items),
            Yaml::Null => Some(&[]),
            _ => self.wrong(key, "a list", node),
        }
    }

    /// A map; nothing after the colon is an empty one.
    pub fn map(&mut self, key: &'a str) -> Option<&'a [Entry]> {
        let node = self.node(key)?;
        match &node.value {
            Yaml::Map(entries) => Some(entries),
            Yaml::Null => Some(&[]),
            _ => self.wrong(key, "a map", node),
        }
    }

    /// A list of strings, or one string alone.
    pub fn texts(&mut self, key: &'a str) -> Option<Vec<Spanned<&'a str>>> {
        let node = self.node(key)?;
        let items = match &node.value {
            Yaml::Text(text) => return Some(vec![Spanned::new(text.as_str(), node.span)]),
            Yaml::List(items) => items.as_slice(),
            Yaml::Null => &[],
            _ => return self.wrong(key, "a list of strings", node),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.as_text() {
                Some(text) => texts.push(Spanned::new(text, item.span)),
                None => {
                    let message = format!("an item of `{key}` of {}", self.what);
                    self.diagnostics.push(wrong_type(&message, "a string", item));
                }
            }
        }
        Some(texts)
    }

    /// A string that must be there.
    pub fn required_text(&mut self, key: &'a str) -> Option<Spanned<&'a str>> {
        self.require(key).then(|| self.text(key)).flatten()
    }

    /// A value of any type that must be there.
    pub fn required_node(&mut self, key: &'a str) -> Option<&'a Node> {
        self.require(key).then(|| self.node(key)).flatten()
    }

    /// Complains where a key is absent; says whether it is there.
    pub fn require(&mut self, key: &'a str) -> bool {
        if self.entry(key).is_some() {
            return true;
        }
        let message = format!("{} has no `{key}`", self.what);
        self.diagnostics.push(Diagnostic::error(message).at(self.span, format!("`{key}` is missing here")));
        false
    }

    /// Takes all entries not read so far, so that [`MapReader::finish`] does not complain about them.
    pub fn rest(&mut self) -> Vec<&'a Entry> {
        let entries = self.entries.iter().zip(&mut self.used);
        entries.filter_map(|(entry, used)| (!std::mem::replace(used, true)).then_some(entry)).collect()
    }

    /// Says that a key may stand here although nobody reads its value, so that it is offered as a near name.
    pub fn allow(&mut self, key: &'a str) {
        self.entry(key);
    }

    /// Complains about a value that has the wrong type or content, as the getters do; gives `None`.
    pub fn wrong<T>(&mut self, key: &str, wanted: &str, found: &Node) -> Option<T> {
        let what = format!("`{key}` of {}", self.what);
        self.diagnostics.push(wrong_type(&what, wanted, found));
        None
    }

    /// Complains about all keys that no getter asked for, each with the nearest one that was.
    pub fn finish(self) {
        for (entry, _) in self.entries.iter().zip(&self.used).filter(|(_, used)| !**used) {
            let key = &entry.key;
            let near = nearest(&key.value, self.known.iter().copied());
            let mut diagnostic = Diagnostic::error(format!("unknown key `{}` in {}", key.value, self.what))
                .at(key.span, "not a key here")
                .did_you_mean(near);
            if near.is_none() && !self.known.is_empty() {
                let mut known = self.known.clone();
                known.sort_unstable();
                known.dedup();
                let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
                diagnostic = diagnostic.hint(format!("it takes {}", known.join(", ")));
            }
            self.diagnostics.push(diagnostic);
        }
    }
}

/// "`become` of host `db1` wants true or false, not the string "yes"", with a hint where the right spelling is known.
fn wrong_type(what: &str, wanted: &str, found: &Node) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(format!("{what} wants {wanted}, not {}", found.described())).at(found.span, "");
    let text = found.as_text().map(str::to_lowercase);
    match (wanted, &found.value) {
        ("true or false", Yaml::Text(_)) => match text.as_deref() {
            Some("yes" | "on" | "true" | "y") => diagnostic.hint("write `true`"),
            Some("no" | "off" | "false" | "n") => diagnostic.hint("write `false`"),
            _ => diagnostic,
        },
        ("a string", Yaml::Int(_) | Yaml::Float(_) | Yaml::Bool(_)) => match found.raw() {
            Some(raw) => diagnostic.hint(format!("put it in quotes: \"{raw}\"")),
            None => diagnostic,
        },
        ("a whole number", Yaml::Text(text)) if text.parse::<i64>().is_ok() => {
            diagnostic.hint(format!("write {text} without quotes"))
        }
        ("a list" | "a list of strings", Yaml::Text(text)) if found.style() == crate::ScalarStyle::Plain => {
            diagnostic.hint(format!("write [{text}]"))
        }
        _ => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn everything_wrong_is_told_at_once() {
        let sources = Sources::new();
        let text = "address: 10\nbecome: yes\nport: '22'\nhost: a\nhosts: web1\nvars: [a]\nlevel: 9\ncolour: x\ntags: [a, 1]\nnone:\n";
        let file = sources.add("inventory.yaml", text.into());
        let node = parse(&sources, file).unwrap();
        let mut diagnostics = Diagnostics::new();
        let mut reader = MapReader::new(&node, "group `web`", &mut diagnostics);
        assert!(reader.text("address").is_none());
        assert!(reader.bool("become").is_none());
        assert!(reader.int("port").is_none());
        assert!(reader.list("hosts").is_none());
        assert!(reader.map("vars").is_none());
        assert!(reader.int_between("level", 1, 5).is_none());
        assert_eq!(reader.texts("tags").unwrap().len(), 1);
        assert_eq!(reader.list("none").unwrap().len(), 0);
        assert!(reader.required_text("name").is_none());
        reader.finish();
        let scalar = Node::new(node.span, Yaml::Text("x".into()));
        MapReader::new(&scalar, "group `db`", &mut diagnostics).finish();
        insta::assert_snapshot!(diagnostics.render(&sources, Style::plain()));
    }

    #[test]
    fn the_rest_is_not_unknown() {
        let sources = Sources::new();
        let file = sources.add("a.yaml", "a: 1\nb: 2\nc: 3\n".into());
        let node = parse(&sources, file).unwrap();
        let mut diagnostics = Diagnostics::new();
        let mut reader = MapReader::new(&node, "task", &mut diagnostics);
        reader.int("b");
        let rest: Vec<&str> = reader.rest().iter().map(|entry| entry.key.value.as_str()).collect();
        assert_eq!(rest, ["a", "c"]);
        reader.finish();
        assert!(diagnostics.is_empty());
    }
}
