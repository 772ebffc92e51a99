//! Types of parameters: what a user may write for them and how a rendered value becomes Rust.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use cm_wire::{ContentRef, TreeEntry, Value};

/// What may be written for a parameter. The role compiler reads this: literals are checked before any
/// host is touched, templates are rendered to it, files are looked up and hashed for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both inclusive.
    Int {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// Any text.
    Text,
    /// An absolute path.
    Path,
    /// A file mode: a quoted string of three or four octal digits.
    Mode,
    /// Seconds as a number, or text such as `500ms`, `10s`, `5m`, `2h`, `1d`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list; a single value stands for a list of one.
    List(&'static Kind),
    /// A map from text to this.
    Map(&'static Kind),
    /// Text that becomes a content, sent by digest.
    Content,
    /// The name of a file in the role's `templates/`, rendered to a content.
    Template,
    /// The name of a file in the role's `files/`, copied as it is.
    Source,
    /// The name of a folder in the role's `files/`.
    SourceTree,
    /// Any value at all (checked by the module).
    Any,
}

impl Kind {
    /// What is wanted, for messages: `true or false`, `a list of strings`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int { min: i64::MIN, max: i64::MAX } => "a whole number".into(),
            Self::Int { min, max: i64::MAX } => format!("a whole number from {min}"),
            Self::Int { min, max } => format!("a whole number from {min} to {max}"),
            Self::Text | Self::Content => "a string".into(),
            Self::Path => "an absolute path".into(),
            Self::Mode => "a quoted octal mode such as \"0644\"".into(),
            Self::Duration => "a duration such as 10s, 5m or 2h".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List(inner) => format!("a list, each {}", inner.wanted()),
            Self::Map(inner) => format!("a map, each value {}", inner.wanted()),
            Self::Template => "the name of a file in the role's templates/".into(),
            Self::Source => "the name of a file in the role's files/".into(),
            Self::SourceTree => "the name of a folder in the role's files/".into(),
            Self::Any => "a value".into(),
        }
    }
}

/// A Rust type that a parameter can have.
pub trait Param: Sized {
    /// What a user may write for it.
    const KIND: Kind;

    /// Reads a rendered value.
    ///
    /// # Errors
    /// A fragment that says what is wanted and what was given.
    fn read(value: &Value) -> Result<Self, String>;
}

fn mismatch<T: Param>(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("wants {}, not the string {text:?}", T::KIND.wanted()),
        Value::Int(number) => format!("wants {}, not the number {number}", T::KIND.wanted()),
        Value::Float(number) => format!("wants {}, not the number {number}", T::KIND.wanted()),
        Value::Bool(flag) => format!("wants {}, not {flag}", T::KIND.wanted()),
        other => format!("wants {}, not {}", T::KIND.wanted(), other.kind()),
    }
}

impl Param for bool {
    const KIND: Kind = Kind::Bool;
    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Bool(flag) = value { Ok(*flag) } else { Err(mismatch::<Self>(value)) }
    }
}

impl Param for String {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Text(text) = value { Ok(text.clone()) } else { Err(mismatch::<Self>(value)) }
    }
}

/// A whole number from `MIN` to `MAX`, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<const MIN: i64 = { i64::MIN }, const MAX: i64 = { i64::MAX }>(pub i64);

impl<const MIN: i64, const MAX: i64> Param for Int<MIN, MAX> {
    const KIND: Kind = Kind::Int { min: MIN, max: MAX };
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) if (MIN..=MAX).contains(number) => Ok(Self(*number)),
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

/// An absolute path without `.` and `..` parts and without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(pub PathBuf);

impl AbsolutePath {
    /// Normalizes a path as written: `//` and a trailing `/` go, `..` is refused.
    ///
    /// # Errors
    /// A fragment that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("wants an absolute path, not {text:?}"));
        }
        if text.contains('\0') {
            return Err("a path cannot hold a NUL byte".into());
        }
        // Nearly all are written as they are kept.
        let odd = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
        if text.len() > 1 && !text.ends_with('/') && !text.as_bytes().windows(2).any(odd) {
            return Ok(Self(PathBuf::from(text)));
        }
        let mut clean = String::with_capacity(text.len());
        clean.push('/');
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                return Err(format!("{text:?} has a `..` part; write the path out"));
            }
            if clean.len() > 1 {
                clean.push('/');
            }
            clean.push_str(part);
        }
        Ok(Self(PathBuf::from(clean)))
    }
}

impl Param for AbsolutePath {
    const KIND: Kind = Kind::Path;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Self::parse(text),
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

/// Permission bits, setuid, setgid and sticky bits included (chmod(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FileMode {
    /// As it is written: `0644`.
    #[must_use]
    pub fn show(self) -> String {
        format!("{:04o}", self.0)
    }
}

impl Param for FileMode {
    const KIND: Kind = Kind::Mode;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text)
                if (3..=4).contains(&text.len())
                    && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) =>
            {
                // Four octal digits fit a u32.
                Ok(Self(u32::from_str_radix(text, 8).expect("checked to be octal digits")))
            }
            Value::Int(number) => Err(format!(
                "wants a quoted string such as \"0644\"; a bare {number} means different modes to different readers"
            )),
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

impl Param for Duration {
    const KIND: Kind = Kind::Duration;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(seconds) if *seconds >= 0 => Ok(Self::from_secs(seconds.unsigned_abs())),
            Value::Float(seconds) if seconds.is_finite() && *seconds >= 0.0 => {
                Ok(Self::from_secs_f64(*seconds))
            }
            Value::Text(text) => parse_duration(text).ok_or_else(|| mismatch::<Self>(value)),
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

/// Reads `500ms`, `10s`, `5m`, `2h`, `1d` or a bare number of seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

impl<T: Param> Param for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(value: &Value) -> Result<Self, String> {
        if *value == Value::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

impl<T: Param + 'static> Param for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| T::read(item).map_err(|error| format!("item {}: {error}", index + 1)))
                .collect(),
            Value::Null => Err(mismatch::<Self>(value)),
            single => Ok(vec![T::read(single)?]),
        }
    }
}

impl<T: Param + 'static> Param for BTreeMap<String, T> {
    const KIND: Kind = Kind::Map(&T::KIND);
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Map(entries) => {
                let mut read = Self::new();
                for (key, item) in entries {
                    read.insert(key.clone(), T::read(item).map_err(|error| format!("`{key}`: {error}"))?);
                }
                Ok(read)
            }
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

macro_rules! content_kind {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub ContentRef);

        impl Param for $name {
            const KIND: Kind = Kind::$kind;
            fn read(value: &Value) -> Result<Self, String> {
                if let Value::Content(content) = value { Ok(Self(*content)) } else { Err(mismatch::<Self>(value)) }
            }
        }
    };
}

content_kind!(
    /// Text written in the role, sent by digest.
    InlineContent,
    Content
);
content_kind!(
    /// A rendered file of the role's `templates/`.
    TemplateContent,
    Template
);
content_kind!(
    /// A file of the role's `files/`.
    SourceContent,
    Source
);

/// A folder of the role's `files/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFolder(pub Vec<TreeEntry>);

impl Param for SourceFolder {
    const KIND: Kind = Kind::SourceTree;
    fn read(value: &Value) -> Result<Self, String> {
        if let Value::Tree(entries) = value {
            Ok(Self(entries.clone()))
        } else {
            Err(mismatch::<Self>(value))
        }
    }
}

impl Param for Value {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

/// Declares an enum that a user writes as one of its words.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// The word as a user writes it.
            #[must_use]
            #[allow(dead_code, reason = "not every module shows its choices")]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::Param for $name {
            const KIND: $crate::Kind = $crate::Kind::Choice(&[$($word),+]);
            fn read(value: &cm_wire::Value) -> Result<Self, String> {
                match value.as_text() {
                    $(Some($word) => Ok(Self::$variant),)+
                    Some(other) => Err(format!("wants {}, not {other:?}", <Self as $crate::Param>::KIND.wanted())),
                    None => Err(format!("wants {}, not {}", <Self as $crate::Param>::KIND.wanted(), value.kind())),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_must_be_quoted_octal() {
        assert_eq!(FileMode::read(&"0644".into()), Ok(FileMode(0o644)));
        assert!(FileMode::read(&Value::Int(644)).unwrap_err().contains("quoted"));
        assert!(FileMode::read(&"0888".into()).is_err());
        assert!(FileMode::read(&"u+x".into()).is_err());
    }

    #[test]
    fn paths_are_normalized_and_must_be_absolute() {
        assert_eq!(AbsolutePath::parse("//srv//www/./").unwrap().0, PathBuf::from("/srv/www"));
        assert_eq!(AbsolutePath::parse("/").unwrap().0, PathBuf::from("/"));
        assert!(AbsolutePath::parse("srv").is_err());
        assert_eq!(AbsolutePath::parse("/root/.ssh/").unwrap().0, PathBuf::from("/root/.ssh"));
        for same in ["/srv", "/srv/www/a.b", "/root/.ssh/..keys", "/srv/ "] {
            assert_eq!(AbsolutePath::parse(same).unwrap().0.as_os_str(), same);
        }
        for bad in ["/srv/../etc", "/..", "/srv/.."] {
            assert!(AbsolutePath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("ten"), None);
        assert!(Duration::read(&Value::Int(-1)).is_err());
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        assert_eq!(Vec::<String>::read(&"a".into()), Ok(vec!["a".to_owned()]));
        let error = Vec::<String>::read(&Value::List(vec!["a".into(), Value::Int(1)])).unwrap_err();
        assert_eq!(error, "item 2: wants a string, not the number 1");
    }
}
