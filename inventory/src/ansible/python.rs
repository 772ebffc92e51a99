//! Values of INI inventories: what Python's `ast.literal_eval` makes of a text; what it does not take stays text.

use cm_syntax::{Entry, Node, Span, Spanned, Yaml};

/// Collections may be nested this deep.
const DEEPEST: usize = 60;

/// Reads a value as Ansible's INI reader does.
pub(crate) fn value(text: &str, span: Span) -> Node {
    literal(text, span).unwrap_or_else(|| Node::new(span, Yaml::Text(text.to_owned())))
}

/// A Python literal; none where the text is none, or one that no YAML can hold (complex numbers, large ones).
fn literal(text: &str, span: Span) -> Option<Node> {
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']), span, depth: 0 };
    let first = reader.item()?;
    reader.space();
    // A comma makes a tuple, with or without parentheses.
    let value = if reader.take(",") { Yaml::List(reader.items(vec![first], "")?) } else { first.value };
    reader.space();
    reader.rest.is_empty().then(|| Node::new(span, value))
}

struct Reader<'t> {
    rest: &'t str,
    span: Span,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// Passes over white space and a comment, which ends the text.
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\x0c']);
        if self.rest.starts_with('#') {
            self.rest = "";
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn node(&self, value: Yaml) -> Node {
        Node::new(self.span, value)
    }

    fn item(&mut self) -> Option<Node> {
        self.space();
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = match self.rest.chars().next()? {
            '[' => {
                self.take("[");
                Yaml::List(self.items(Vec::new(), "]")?)
            }
            '(' => self.parentheses()?,
            '{' => self.braces()?,
            '\'' | '"' => Yaml::Text(self.strings()?),
            '+' | '-' => self.signed()?,
            '0'..='9' | '.' => self.number(false)?,
            _ => match self.word() {
                "None" => Yaml::Null,
                "True" => Yaml::Bool(true),
                "False" => Yaml::Bool(false),
                word if self.rest.starts_with(['\'', '"']) && is_prefix(word) => {
                    Yaml::Text(self.prefixed(word)?)
                }
                _ => return None,
            },
        };
        self.depth -= 1;
        Some(self.node(value))
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Items parted by commas up to the closing sign, or to the end of the text.
    fn items(&mut self, mut items: Vec<Node>, close: &str) -> Option<Vec<Node>> {
        loop {
            self.space();
            if if close.is_empty() { self.rest.is_empty() } else { self.take(close) } {
                return Some(items);
            }
            items.push(self.item()?);
            self.space();
            if !self.take(",") {
                let ends = if close.is_empty() { self.rest.is_empty() } else { self.take(close) };
                return ends.then_some(items);
            }
        }
    }

    /// A tuple, or one value in parentheses.
    fn parentheses(&mut self) -> Option<Yaml> {
        self.take("(");
        self.space();
        if self.take(")") {
            return Some(Yaml::List(Vec::new()));
        }
        let first = self.item()?;
        self.space();
        if self.take(")") {
            return Some(first.value);
        }
        self.take(",").then_some(())?;
        Some(Yaml::List(self.items(vec![first], ")")?))
    }

    /// A dictionary or a set.
    fn braces(&mut self) -> Option<Yaml> {
        self.take("{");
        self.space();
        if self.take("}") {
            return Some(Yaml::Map(Vec::new()));
        }
        let first = self.item()?;
        self.space();
        if !self.rest.starts_with(':') {
            let closed = self.take("}");
            if closed {
                return Some(Yaml::List(vec![first]));
            }
            self.take(",").then_some(())?;
            return Some(Yaml::List(self.items(vec![first], "}")?));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut key = first;
        loop {
            self.space();
            self.take(":").then_some(())?;
            let value = self.item()?;
            let name = Spanned::new(key_text(&key)?, self.span);
            match entries.iter_mut().find(|entry| entry.key.value == name.value) {
                Some(entry) => entry.value = value,
                None => entries.push(Entry { key: name, value }),
            }
            self.space();
            let more = self.take(",");
            self.space();
            if self.take("}") {
                return Some(Yaml::Map(entries));
            }
            more.then_some(())?;
            key = self.item()?;
        }
    }

    fn signed(&mut self) -> Option<Yaml> {
        let minus = self.rest.starts_with('-');
        self.rest = &self.rest[1..];
        self.space();
        // `--1` is a number, too: but a sign takes numbers alone.
        match self.rest.chars().next()? {
            '+' | '-' => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return None;
                }
                let value = self.signed()?;
                match value {
                    Yaml::Int(value) if minus => value.checked_neg().map(Yaml::Int),
                    Yaml::Float(value) if minus => Some(Yaml::Float(-value)),
                    value => Some(value),
                }
            }
            _ => self.number(minus),
        }
    }

    fn number(&mut self, minus: bool) -> Option<Yaml> {
        let sign = if minus { "-" } else { "" };
        for (prefix, base) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
            if self.take(prefix) {
                // One underscore may stand between the prefix and the digits.
                self.take("_");
                let digits = self.digits(|c| c.is_digit(base))?;
                return i64::from_str_radix(&format!("{sign}{digits}"), base).ok().map(Yaml::Int);
            }
        }
        let whole = self.digits(|c| c.is_ascii_digit());
        let fraction = self.take(".").then(|| self.digits(|c| c.is_ascii_digit()));
        if whole.is_none() && fraction.as_ref().is_none_or(Option::is_none) {
            return None;
        }
        let exponent = if self.rest.starts_with(['e', 'E']) {
            self.rest = &self.rest[1..];
            let sign = match self.rest.chars().next()? {
                '-' => "-",
                _ => "",
            };
            self.rest = self.rest.strip_prefix(['+', '-']).unwrap_or(self.rest);
            Some(format!("e{sign}{}", self.digits(|c| c.is_ascii_digit())?))
        } else {
            None
        };
        // A number ends where no word goes on: `1j` is complex, `1x` nothing.
        if self.rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
            return None;
        }
        if fraction.is_none() && exponent.is_none() {
            let digits = whole?;
            let padded =
                digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0');
            return if padded { None } else { format!("{sign}{digits}").parse().ok().map(Yaml::Int) };
        }
        let text = format!(
            "{sign}{}.{}{}",
            whole.as_deref().unwrap_or("0"),
            fraction.flatten().as_deref().unwrap_or("0"),
            exponent.unwrap_or_default()
        );
        text.parse().ok().map(Yaml::Float)
    }

    /// Digits with single underscores between them.
    fn digits(&mut self, fits: impl Fn(char) -> bool) -> Option<String> {
        let mut digits = String::new();
        let mut rest = self.rest;
        while let Some(letter) = rest.chars().next() {
            if fits(letter) {
                digits.push(letter);
            } else if letter != '_' || digits.is_empty() || !rest[1..].starts_with(&fits) {
                break;
            }
            rest = &rest[letter.len_utf8()..];
        }
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    /// Strings that stand side by side are one.
    fn strings(&mut self) -> Option<String> {
        self.prefixed("")
    }

    fn prefixed(&mut self, prefix: &str) -> Option<String> {
        let mut text = self.string(prefix)?;
        loop {
            self.space();
            let before = self.rest;
            let prefix = self.word();
            if !self.rest.starts_with(['\'', '"']) || !(prefix.is_empty() || is_prefix(prefix)) {
                self.rest = before;
                return Some(text);
            }
            text.push_str(&self.string(prefix)?);
        }
    }

    fn string(&mut self, prefix: &str) -> Option<String> {
        let raw = prefix.contains(['r', 'R']);
        let quote = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| self.rest.starts_with(quote))?;
        self.take(quote);
        let mut text = String::new();
        loop {
            if self.take(quote) {
                return Some(text);
            }
            let letter = self.rest.chars().next()?;
            self.rest = &self.rest[letter.len_utf8()..];
            if letter != '\\' {
                text.push(letter);
                continue;
            }
            let next = self.rest.chars().next()?;
            self.rest = &self.rest[next.len_utf8()..];
            if raw {
                text.extend(['\\', next]);
            } else {
                self.escape(next, &mut text)?;
            }
        }
    }

    fn escape(&mut self, letter: char, text: &mut String) -> Option<()> {
        let known = match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            '\\' | '\'' | '"' => letter,
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let code = format!("{letter}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                char::from_u32(u32::from_str_radix(&code, 8).ok()?)?
            }
            'N' => return None,
            other => {
                text.push('\\');
                other
            }
        };
        text.push(known);
        Some(())
    }

    fn code(&mut self, length: usize, base: u32) -> Option<char> {
        let digits = self.rest.get(..length).filter(|digits| digits.chars().all(|c| c.is_digit(base)))?;
        self.rest = &self.rest[length..];
        char::from_u32(u32::from_str_radix(digits, base).ok()?)
    }
}

fn is_prefix(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "r" | "u" | "b" | "br" | "rb")
}

/// A key as JSON writes it.
fn key_text(key: &Node) -> Option<String> {
    match &key.value {
        Yaml::Text(text) => Some(text.clone()),
        Yaml::Int(value) => Some(value.to_string()),
        Yaml::Bool(value) => Some(value.to_string()),
        Yaml::Null => Some("null".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cm_syntax::Sources;
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        let file = Sources::new().add("hosts", text.to_owned());
        serde_json::to_string(&value(text, Span::new(file, 0, 0))).unwrap()
    }

    #[test]
    fn literals_are_those_of_python() {
        for (text, meaning) in [
            ("5", "5"),
            ("-5", "-5"),
            ("- -5", "5"),
            ("0644", "\"0644\""),
            ("00", "0"),
            ("0o644", "420"),
            ("0x_1F", "31"),
            ("1_000", "1000"),
            ("1__0", "\"1__0\""),
            ("1.5", "1.5"),
            ("1.", "1.0"),
            (".5e1", "5.0"),
            ("1e3", "1000.0"),
            ("1j", "\"1j\""),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("99999999999999999999", "\"99999999999999999999\""),
            ("True", "true"),
            ("true", "\"true\""),
            ("None", "null"),
            ("yes", "\"yes\""),
            ("'a' \"b\"", "\"ab\""),
            (r"'a\n\x41\q'", r#""a\nA\\q""#),
            (r"r'\n'", r#""\\n""#),
            ("b'x'", "\"x\""),
            ("f'x'", "\"f'x'\""),
            ("'open", "\"'open\""),
            ("[1, 'a', [None]]", "[1,\"a\",[null]]"),
            ("[1, 2", "\"[1, 2\""),
            ("[a, b]", "\"[a, b]\""),
            ("(1)", "1"),
            ("(1,)", "[1]"),
            ("()", "[]"),
            ("80,443", "[80,443]"),
            ("80,", "[80]"),
            ("{'a': 1, 2: True, 'a': 3}", "{\"a\":3,\"2\":true}"),
            ("{1, 2}", "[1,2]"),
            ("{}", "{}"),
            ("5 # five", "5"),
            ("five # 5", "\"five # 5\""),
            ("1 + 1", "\"1 + 1\""),
            ("", "\"\""),
            ("+", "\"+\""),
            ("{{ x }}", "\"{{ x }}\""),
        ] {
            assert_eq!(json(text), meaning, "{text}");
        }
        assert!(json(&"[".repeat(5000)).starts_with("\"[["));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"[\[\](){}'",:#\\x0-9._ejNu+\- é]{0,30}"#) {
            json(&text);
        }
    }
}
