//! What a declaration says a module makes and needs: `path:{{ file }}`, filled from a task's parameters.

use cm_wire::Value;

use crate::{AbsolutePath, Params, Thing, unit_name::UnitName};

/// `KIND:TEXT`, with the names of parameters in double braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: &'static str,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Param(String),
}

impl Pattern {
    /// Kinds of things that a module can make, or make a part of.
    pub const MADE: &[&str] = &["path", "package", "user", "group", "unit", "other"];
    /// Kinds of things that a module can need.
    pub const NEEDED: &[&str] = &["path", "package", "user", "group", "unit", "service", "mount", "other"];

    /// Reads a pattern of one of these kinds.
    ///
    /// # Errors
    /// A fragment that says what is wrong with it.
    pub fn parse(text: &str, kinds: &'static [&'static str]) -> Result<Self, String> {
        let word = text.split(':').next().unwrap_or_default();
        let Some(kind) = kinds.iter().find(|kind| **kind == word && text.len() > word.len()) else {
            return Err(format!("begins with one of {}, and a colon", kinds.join(", ")));
        };
        let mut rest = &text[kind.len() + 1..];
        let mut parts = Vec::new();
        while let Some(start) = rest.find("{{") {
            let Some(length) = rest[start..].find("}}") else {
                return Err("has `{{` that is not closed".into());
            };
            let name = rest[start + 2..start + length].trim();
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err("takes names of parameters between `{{` and `}}`, and nothing else".into());
            }
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            parts.push(Part::Param(name.to_owned()));
            rest = &rest[start + length + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err(format!("names no {kind}"));
        }
        Ok(Self { kind, parts })
    }

    /// The parameters it names.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Param(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The things: none where a parameter is not given, several where one is a list.
    ///
    /// # Errors
    /// The parameter that gives no such thing, and why.
    pub fn things(&self, params: &Params) -> Result<Vec<Thing>, (String, String)> {
        let mut texts = vec![String::new()];
        for part in &self.parts {
            let pieces = match part {
                Part::Text(text) => vec![text.clone()],
                Part::Param(name) => match params.get(name) {
                    Some(Value::List(items)) => items.iter().filter_map(spelled).collect(),
                    Some(value) => spelled(value).into_iter().collect(),
                    None => Vec::new(),
                },
            };
            texts = texts
                .iter()
                .flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}")))
                .collect();
        }
        texts.into_iter().map(|text| self.thing(text)).collect()
    }

    fn thing(&self, text: String) -> Result<Thing, (String, String)> {
        let wrong = |error: String| (self.params().next().unwrap_or_default().to_owned(), error);
        let path = |text: &str| AbsolutePath::parse(text).map(|path| path.0).map_err(wrong);
        let unit = |text: &str| UnitName::parse(text).map(|name| name.as_str().to_owned()).map_err(wrong);
        Ok(match self.kind {
            "path" => Thing::Path(path(&text)?),
            "mount" => Thing::Mount(path(&text)?),
            "package" => Thing::Package(text),
            "user" => Thing::User(text),
            "group" => Thing::Group(text),
            "unit" => Thing::Unit(unit(&text)?),
            "service" => Thing::Service(unit(&text)?),
            _ => Thing::Other(text),
        })
    }
}

fn spelled(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(pattern: &str, params: &Params) -> Vec<Thing> {
        Pattern::parse(pattern, Pattern::NEEDED).unwrap().things(params).unwrap()
    }

    #[test]
    fn parameters_are_filled_in() {
        let params: Params = [
            ("file".to_owned(), "/etc//x/".into()),
            ("names".to_owned(), Value::List(vec!["a".into(), Value::Int(2)])),
            ("port".to_owned(), Value::Int(80)),
        ]
        .into();
        assert_eq!(things("path:{{ file }}", &params), [Thing::Path("/etc/x".into())]);
        assert_eq!(things("path:/srv/{{port}}/{{ names }}", &params).len(), 2);
        assert_eq!(things("user:{{ missing }}", &params), []);
        assert_eq!(things("service:app@{{ port }}", &params), [Thing::Service("app@80.service".into())]);
        assert_eq!(things("unit:a.timer", &params), [Thing::Unit("a.timer".into())]);
        assert_eq!(things("other:db:{{names}}", &params)[1], Thing::Other("db:2".into()));
        let relative = Pattern::parse("path:{{ names }}", Pattern::MADE).unwrap();
        assert_eq!(relative.things(&params).unwrap_err().0, "names");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, error) in [
            ("file:/etc/x", "begins with one of path"),
            ("path", "begins with one of path"),
            ("service:x", "begins with one of path"),
            ("path:", "names no path"),
            ("path:{{ file", "not closed"),
            ("path:{{ file | upper }}", "and nothing else"),
            ("path:{{ }}", "and nothing else"),
        ] {
            let found = Pattern::parse(text, Pattern::MADE).expect_err(text);
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
