//! Checks values written without templates against what a module wants, before any host is known.

use cm_modules::{AbsolutePath, FileMode, Kind, Param};
use cm_syntax::{Diagnostic, Node, Yaml, nearest};

use crate::value::node_to_wire;

/// Complains where a written scalar, list or map cannot be what `kind` wants. What depends on the role's
/// files is not looked at here. `what` names the parameter: `` `mode` of `file:/etc/x` ``.
pub(crate) fn check(node: &Node, kind: &Kind, what: &str) -> Option<Diagnostic> {
    let text = node.as_text();
    let wrong = || {
        Diagnostic::error(format!("{what} wants {}, not {}", kind.wanted(), node.described()))
            .at(node.span, "")
    };
    if node.is_null() && *kind != Kind::Any {
        return Some(
            Diagnostic::error(format!("{what} has no value"))
                .at(node.span, format!("{} was expected", kind.wanted()))
                .hint("write \"\" for an empty text, or leave the key out"),
        );
    }
    match kind {
        Kind::Bool => match node.as_bool() {
            Some(_) => None,
            None => Some(match text.map(str::to_lowercase).as_deref() {
                Some("yes" | "on" | "true" | "y") => wrong().hint("write `true`"),
                Some("no" | "off" | "false" | "n") => wrong().hint("write `false`"),
                _ => wrong(),
            }),
        },
        Kind::Int { min, max } => match node.as_int() {
            Some(number) if (*min..=*max).contains(&number) => None,
            _ => Some(match text {
                Some(text) if text.parse::<i64>().is_ok() => {
                    wrong().hint(format!("write {text} without quotes"))
                }
                _ => wrong(),
            }),
        },
        Kind::Text | Kind::Content => quoted(node, wrong),
        Kind::Template | Kind::Source | Kind::SourceTree => quoted(node, wrong),
        Kind::Path => match text {
            Some(text) => AbsolutePath::parse(text)
                .err()
                .map(|error| Diagnostic::error(format!("{what} {error}")).at(node.span, "")),
            None => quoted(node, wrong),
        },
        Kind::Mode => mode(node, wrong),
        Kind::Duration => std::time::Duration::read(&node_to_wire(node)).is_err().then(wrong),
        Kind::Choice(words) => match text {
            Some(text) if words.contains(&text) => None,
            Some(text) => Some(wrong().did_you_mean(nearest(text, words.iter().copied()))),
            None => quoted(node, wrong),
        },
        Kind::List(inner) => match &node.value {
            Yaml::List(_) => None,
            Yaml::Map(_) if !matches!(inner, Kind::Map(_) | Kind::Any) => Some(wrong()),
            _ => check(node, inner, what),
        },
        Kind::Map(_) => (!matches!(node.value, Yaml::Map(_))).then(wrong),
        Kind::Any => None,
    }
}

/// Text is wanted: a bare number or boolean is shown in quotes.
fn quoted(node: &Node, wrong: impl Fn() -> Diagnostic) -> Option<Diagnostic> {
    match (&node.value, node.raw()) {
        (Yaml::Text(_), _) => None,
        (Yaml::Int(_) | Yaml::Float(_) | Yaml::Bool(_), Some(raw)) => {
            Some(wrong().hint(format!("put it in quotes: \"{raw}\"")))
        }
        _ => Some(wrong()),
    }
}

fn mode(node: &Node, wrong: impl Fn() -> Diagnostic) -> Option<Diagnostic> {
    if FileMode::read(&node_to_wire(node)).is_ok() {
        return None;
    }
    let digits = node.raw().map(|raw| raw.strip_prefix("0o").unwrap_or(raw)).unwrap_or_default();
    let octal = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mut diagnostic = wrong();
    if node.as_int().is_some() {
        diagnostic = diagnostic.caused_by("0644 and 644 are different numbers to different readers of YAML");
    }
    if octal {
        diagnostic = diagnostic.hint(format!("put it in quotes: \"{digits:0>4}\""))
    }
    Some(diagnostic)
}
