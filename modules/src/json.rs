//! JSON (RFC 8259) to and from values: the little that programs of the repository's own modules speak.
//!
//! What is read comes from foreign programs: depth and size are bounded, a key may stand in an object once,
//! and numbers that would not come back as they were are refused.

use std::collections::BTreeMap;

use cm_wire::Value;

/// Lists and maps within each other.
const DEEPEST: u32 = 64;

/// Reads one JSON text and nothing after it but white space.
///
/// # Errors
/// A fragment that says what is wrong at which byte.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < reader.bytes.len() {
        return Err(reader.wrong("there is something after its end"));
    }
    Ok(value)
}

/// Writes a value on one line, keys of maps in order; what is no JSON (a content) becomes null.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    push(value, &mut text);
    text
}

fn push(value: &Value, text: &mut String) {
    match value {
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Float(number) if number.is_finite() => text.push_str(&format!("{number:?}")),
        Value::Text(content) => push_text(content, text),
        Value::List(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                push(item, text);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            text.push('{');
            for (place, (key, item)) in entries.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                push_text(key, text);
                text.push(':');
                push(item, text);
            }
            text.push('}');
        }
        Value::Null | Value::Float(_) | Value::Content(_) | Value::Tree(_) => text.push_str("null"),
    }
}

fn push_text(content: &str, text: &mut String) {
    text.push('"');
    for c in content.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                text.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("{what} (byte {})", self.at + 1)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, String> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("no value begins like this"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: u32) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(self.wrong("it is nested too deep"));
        }
        match self.peek() {
            None => Err(self.wrong("it ends where a value is missing")),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.map(depth),
            Some(_) => Err(self.wrong("no value begins like this")),
        }
    }

    fn list(&mut self, depth: u32) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("a list wants `,` or `]` here"));
            }
        }
    }

    fn map(&mut self, depth: u32) -> Result<Value, String> {
        self.at += 1;
        let mut entries = BTreeMap::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("an object wants a key in quotes here"));
            }
            let key = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("an object wants `:` here"));
            }
            self.space();
            let value = self.value(depth + 1)?;
            if entries.contains_key(&key) {
                return Err(self.wrong(&format!("the key {key:?} is there twice")));
            }
            entries.insert(key, value);
            self.space();
            if self.take(b'}') {
                return Ok(Value::Map(entries));
            }
            if !self.take(b',') {
                return Err(self.wrong("an object wants `,` or `}` here"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.take(b'-');
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && zero) {
            return Err(self.wrong("a number is not written like this"));
        }
        let mut fraction = false;
        if self.take(b'.') {
            fraction = true;
            if self.digits() == 0 {
                return Err(self.wrong("a number wants digits after its point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            fraction = true;
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(self.wrong("a number wants digits in its exponent"));
            }
        }
        // Digits, signs and points are bytes of their own.
        let text = &self.text[start..self.at];
        if !fraction {
            return text
                .parse()
                .map(Value::Int)
                .map_err(|_| self.wrong("a whole number is beyond 64 bits; write it as a string"));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(self.wrong("a number is too large; write it as a string")),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut content = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            // Both ends are before or after an ASCII byte.
            content.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(content);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    content.push(c);
                }
                Some(_) => {
                    return Err(self.wrong("a string holds a control character that wants a `\\` form"));
                }
                None => return Err(self.wrong("a string is not closed")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let code = match first {
                    0xd800..=0xdbff => {
                        let second = if self.take(b'\\') && self.take(b'u') { self.unit()? } else { 0 };
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return Err(self.wrong("half of a surrogate pair stands alone"));
                        }
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    code => code,
                };
                char::from_u32(code).ok_or_else(|| self.wrong("half of a surrogate pair stands alone"))?
            }
            _ => return Err(self.wrong("no character is written like this")),
        })
    }

    fn unit(&mut self) -> Result<u32, String> {
        let digits =
            self.bytes.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.wrong("`\\u` wants four hexadecimal digits")) };
        self.at += 4;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0);
        Ok(digits.iter().fold(0, |code, byte| code * 16 + digit(byte)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "null",
            "true",
            "-7",
            "0.5",
            "1e+20",
            r#""a \"b\" \\ \u0000 \n \t / ü 😀""#,
            "[]",
            "{}",
            r#"{"a":[1,[2,{"b":null}]],"c":""}"#,
        ] {
            let value = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read(&write(&value)), Ok(value), "{text}");
        }
        assert_eq!(read(" \"\\ud83d\\ude00\\/\" \n"), Ok("😀/".into()));
        assert_eq!(write(&Value::Float(2.0)), "2.0");
        assert_eq!(write(&read("{\"b\": 1, \"a\" :\t-0.5}").unwrap()), r#"{"a":-0.5,"b":1}"#);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (text, error) in [
            ("", "a value is missing (byte 1)"),
            ("{", "a key in quotes"),
            ("{\"a\" 1}", "wants `:`"),
            ("{\"a\":1,}", "a key in quotes"),
            ("{\"a\":1,\"a\":2}", "\"a\" is there twice"),
            ("[1 2]", "wants `,` or `]` here (byte 4)"),
            ("[1,]", "no value begins"),
            ("nul", "no value begins"),
            ("True", "no value begins"),
            ("01", "not written like this"),
            ("-", "not written like this"),
            ("1.", "after its point"),
            ("1e", "in its exponent"),
            ("9223372036854775808", "beyond 64 bits"),
            ("1e999", "too large"),
            ("\"a", "is not closed"),
            ("\"a\nb\"", "control character"),
            ("\"\\x\"", "no character"),
            ("\"\\ud800\"", "surrogate"),
            ("\"\\ud800\\u0041\"", "surrogate"),
            ("\"\\udc00\"", "surrogate"),
            ("\"\\u12g4\"", "hexadecimal"),
            ("\"\\u12", "hexadecimal"),
            ("1 2", "after its end"),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.contains(error), "{text}: {found}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(&deep).unwrap_err().contains("too deep"));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300f64).prop_map(Value::Float),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn every_value_survives(value in values()) {
            prop_assert_eq!(read(&write(&value)), Ok(value));
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
