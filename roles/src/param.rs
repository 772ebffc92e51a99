//! Parameters of a role: what `params:` declares, and the check of a value against it.

use cm_modules::{AbsolutePath, parse_duration};
use cm_syntax::{Diagnostic, Diagnostics, Entry, MapReader, Node, Spanned, nearest};
use minijinja::{Value, value::ValueKind};
use regex::Regex;

use crate::value::{described, from_node};

/// What a parameter may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Any text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A list.
    List,
    /// A map with text keys.
    Map,
    /// An absolute path.
    Path,
    /// Seconds as a number, or `10s`, `5m`, `2h`, `1d`.
    Duration,
    /// Anything.
    Any,
}

const TYPES: &[(&str, ParamType)] = &[
    ("string", ParamType::Text),
    ("text", ParamType::Text),
    ("int", ParamType::Int),
    ("float", ParamType::Float),
    ("bool", ParamType::Bool),
    ("list", ParamType::List),
    ("map", ParamType::Map),
    ("path", ParamType::Path),
    ("duration", ParamType::Duration),
    ("any", ParamType::Any),
];

/// One parameter of a role.
#[derive(Clone, Debug)]
pub struct RoleParam {
    /// Its name and where it is declared.
    pub name: Spanned<String>,
    /// What it holds.
    pub kind: ParamType,
    /// What each item of a list or value of a map holds.
    pub items: Option<ParamType>,
    /// Its value where nobody gives one; may hold templates.
    pub default: Option<Node>,
    /// Whether somebody must give one.
    pub required: bool,
    /// The least number, or the least length of a text, list or map.
    pub min: Option<f64>,
    /// The greatest, likewise.
    pub max: Option<f64>,
    /// What a text must match as a whole.
    pub pattern: Option<Regex>,
    /// The only values it may have; none: any.
    pub choices: Option<Vec<Node>>,
    /// What it means.
    pub description: Option<String>,
    /// Its value is never shown.
    pub sensitive: bool,
}

impl ParamType {
    /// What is wanted, for messages.
    #[must_use]
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Path => "an absolute path",
            Self::Duration => "a duration such as 10s, 5m or 2h",
            Self::Any => "a value",
        }
    }

    fn holds(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some(),
            Self::Int => value.is_integer(),
            Self::Float => value.kind() == ValueKind::Number,
            Self::Bool => value.kind() == ValueKind::Bool,
            Self::List => matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable),
            Self::Map => value.kind() == ValueKind::Map,
            Self::Path => text.is_some_and(|text| AbsolutePath::parse(text).is_ok()),
            Self::Duration => match text {
                Some(text) => parse_duration(text).is_some(),
                None => {
                    value.kind() == ValueKind::Number && f64::try_from(value.clone()).is_ok_and(|n| n >= 0.0)
                }
            },
            Self::Any => true,
        }
    }
}

/// Why a value cannot be a parameter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// A fragment: `wants a whole number, not the string "x"`.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl RoleParam {
    /// Reads the entry of `params:`; `port: { type: int, default: 80 }`.
    pub(crate) fn parse(role: &str, entry: &Entry, diagnostics: &mut Diagnostics) -> Self {
        Self::parse_of(&format!("role `{role}`"), entry, diagnostics)
    }

    /// Reads an entry of the `params:` of this owner.
    pub(crate) fn parse_of(owner: &str, entry: &Entry, diagnostics: &mut Diagnostics) -> Self {
        let name = entry.key.clone();
        let what = format!("parameter `{}` of {owner}", name.value);
        let mut reader = MapReader::new(&entry.value, what.clone(), diagnostics).named_at(name.span);
        let choices = reader.list("choices").map(<[Node]>::to_vec);
        let kind = read_type(&mut reader, "type").unwrap_or(match &choices {
            Some(choices) if choices.iter().all(|choice| choice.as_text().is_some()) => ParamType::Text,
            _ => ParamType::Any,
        });
        let items = read_type(&mut reader, "items");
        let default = reader.node("default").filter(|node| !node.is_null()).cloned();
        let required = reader.bool("required");
        let min = number(&mut reader, "min");
        let max = number(&mut reader, "max");
        let pattern =
            reader.text("pattern").and_then(|text| match Regex::new(&format!("^(?:{})$", text.value)) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let message = format!("`pattern` of {what} is not a regular expression");
                    reader
                        .diagnostics()
                        .push(Diagnostic::error(message).at(text.span, "").caused_by(last_line(&error)));
                    None
                }
            });
        let description = reader.text("description").map(|text| text.value.to_owned());
        let sensitive = reader.bool("sensitive").is_some_and(|flag| flag.value);
        reader.finish();
        if let (Some(required), Some(default)) = (&required, &default)
            && required.value
        {
            diagnostics.push(
                Diagnostic::error(format!("{what} is required and has a default"))
                    .at(required.span, "so nobody would ever have to give it")
                    .also(default.span, "the default"),
            );
        }
        let param = Self {
            name,
            kind,
            items,
            default,
            required: required.is_some_and(|flag| flag.value),
            min,
            max,
            pattern,
            choices,
            description,
            sensitive,
        };
        if let Some(default) = &param.default
            && !holds_template(default)
            && let Err(wrong) = param.check_node(default)
        {
            diagnostics.push(param.mismatch(&wrong, default.span));
        }
        param
    }

    /// The diagnostic for a value that does not fit, at the value's own place.
    #[must_use]
    pub fn mismatch(&self, wrong: &Mismatch, value: cm_syntax::Span) -> Diagnostic {
        let mut diagnostic =
            Diagnostic::error(format!("parameter `{}` {}", self.name.value, wrong.message)).at(value, "");
        if value != self.name.span {
            diagnostic = diagnostic.also(self.name.span, "declared here");
        }
        match &wrong.hint {
            Some(hint) => diagnostic.hint(hint.clone()),
            None => diagnostic,
        }
    }

    /// Checks a value as written, without templates in it.
    ///
    /// # Errors
    /// How it does not fit.
    pub fn check_node(&self, node: &Node) -> Result<(), Mismatch> {
        let result = self.check(&from_node(node));
        result.map_err(|mut wrong| {
            if let (ParamType::Text | ParamType::Path, Some(raw)) = (self.kind, node.raw())
                && node.as_text().is_none()
                && !node.is_null()
            {
                wrong.hint = Some(format!("put it in quotes: \"{raw}\""));
            }
            wrong
        })
    }

    /// Checks a rendered value.
    ///
    /// # Errors
    /// How it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), Mismatch> {
        let wanted = |wanted: &str, hint| Mismatch {
            message: format!("wants {wanted}, not {}", described(value)),
            hint,
        };
        if !self.kind.holds(value) {
            return Err(wanted(self.kind.wanted(), hint_for(self.kind, value)));
        }
        if let Some(items) = self.items {
            self.check_items(items, value)?;
        }
        if let Some(choices) = &self.choices {
            let known: Vec<Value> = choices.iter().map(from_node).collect();
            if !known.contains(value) {
                let words: Vec<String> = known.iter().map(ToString::to_string).collect();
                let near = value.as_str().and_then(|word| nearest(word, words.iter().map(String::as_str)));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                return Err(wanted(&format!("one of {}", words.join(", ")), hint));
            }
        }
        if let (Some(pattern), Some(text)) = (&self.pattern, value.as_str())
            && !pattern.is_match(text)
        {
            let shown = pattern.as_str().trim_start_matches("^(?:").trim_end_matches(")$");
            return Err(wanted(&format!("text that matches {shown:?}"), None));
        }
        self.check_bounds(value)
    }

    fn check_items(&self, items: ParamType, value: &Value) -> Result<(), Mismatch> {
        let Ok(keys) = value.try_iter() else { return Ok(()) };
        let is_map = self.kind == ParamType::Map;
        for (index, key) in keys.enumerate() {
            let item = if is_map { value.get_item(&key).unwrap_or_default() } else { key.clone() };
            if !items.holds(&item) {
                let which = if is_map { format!("`{key}`") } else { format!("item {}", index + 1) };
                let message = format!("wants {} in it, but {which} is {}", items.wanted(), described(&item));
                return Err(Mismatch { message, hint: hint_for(items, &item) });
            }
        }
        Ok(())
    }

    fn check_bounds(&self, value: &Value) -> Result<(), Mismatch> {
        let (size, what) = match value.kind() {
            ValueKind::Number => (f64::try_from(value.clone()).unwrap_or(f64::NAN), ""),
            ValueKind::String if self.kind != ParamType::Duration => {
                (value.as_str().map_or(0, |text| text.chars().count()) as f64, " characters")
            }
            ValueKind::Seq | ValueKind::Map => (value.len().unwrap_or(0) as f64, " entries"),
            _ => return Ok(()),
        };
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => return Ok(()),
        };
        if self.min.is_some_and(|min| size < min) || self.max.is_some_and(|max| size > max) {
            let given = if what.is_empty() { format!("{value}") } else { format!("{size}") };
            return Err(Mismatch { message: format!("wants {range}{what}, not {given}"), hint: None });
        }
        Ok(())
    }
}

fn hint_for(kind: ParamType, value: &Value) -> Option<String> {
    match (kind, value.as_str()) {
        (ParamType::Bool, Some(text)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" | "y" => Some("write `true`".into()),
            "no" | "off" | "false" | "n" => Some("write `false`".into()),
            _ => None,
        },
        (ParamType::Int | ParamType::Float, Some(text)) if text.parse::<f64>().is_ok() => {
            Some(format!("write {text} without quotes"))
        }
        (ParamType::List, Some(text)) => Some(format!("write [{text}]")),
        _ => None,
    }
}

fn read_type<'a>(reader: &mut MapReader<'a, '_>, key: &'a str) -> Option<ParamType> {
    let word = reader.text(key)?;
    let found = TYPES.iter().find(|(name, _)| *name == word.value);
    if found.is_none() {
        let message = format!("`{key}` of {} is not a type: `{}`", reader.what(), word.value);
        let names = || TYPES.iter().map(|(name, _)| *name);
        let mut diagnostic = Diagnostic::error(message).at(word.span, "not a type");
        diagnostic = match nearest(word.value, names()) {
            Some(near) => diagnostic.did_you_mean(Some(near)),
            None => diagnostic.hint(format!("types are {}", names().collect::<Vec<_>>().join(", "))),
        };
        reader.diagnostics().push(diagnostic);
    }
    found.map(|(_, kind)| *kind)
}

fn number<'a>(reader: &mut MapReader<'a, '_>, key: &'a str) -> Option<f64> {
    let node = reader.node(key)?;
    node.as_float().or_else(|| reader.wrong(key, "a number", node))
}

/// Whether any text in a value holds a template.
#[must_use]
pub fn holds_template(node: &Node) -> bool {
    use cm_syntax::Yaml;
    match &node.value {
        Yaml::Text(text) => text.contains("{{") || text.contains("{%") || text.contains("{#"),
        Yaml::List(items) => items.iter().any(holds_template),
        Yaml::Map(entries) => entries.iter().any(|entry| holds_template(&entry.value)),
        _ => false,
    }
}

/// The last line of a regular expression's error, which says what is wrong.
fn last_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
