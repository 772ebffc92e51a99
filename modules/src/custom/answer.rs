//! What a module's program answers. It is foreign: everything is checked, and what is not understood is an error,
//! since a misspelled key would otherwise say "nothing differs".

use std::collections::BTreeMap;

use cm_wire::{Change, Value};

use crate::{json, text_diff::text_diff};

/// Bytes of an answer.
pub(super) const ANSWER_LIMIT: usize = 256 * 1024;
/// Differences that one look tells.
const MOST_CHANGES: usize = 1000;
/// Bytes of an attribute's name.
const ATTRIBUTE_LIMIT: usize = 200;
/// Bytes of a state.
const STATE_LIMIT: usize = 128 * 1024;

/// What a program is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// What differs, and what the state is. Nothing may be changed.
    Look,
    /// Make it so.
    Change,
    /// Make it what it was.
    Undo,
}

impl Verb {
    /// The word of the protocol.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Change => "change",
            Self::Undo => "undo",
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What differs; of a look alone.
    pub changes: Vec<Change>,
    /// What `undo` would bring back, as JSON on one line with its keys in order; of a look alone.
    pub state: Option<String>,
    /// What a person should know.
    pub message: Option<String>,
}

/// The program says that it could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// A fragment that says how it breaks the protocol: `has a key "difers" that means nothing`.
pub fn read_answer(verb: Verb, text: &str) -> Result<Result<Answer, Refused>, String> {
    if text.len() > ANSWER_LIMIT {
        return Err(format!("has more than {} KiB", ANSWER_LIMIT / 1024));
    }
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    // What a process prints is decoded before it comes here; bytes that were no UTF-8 have become this.
    if text.contains('\u{fffd}') {
        return Err("is not UTF-8; send bytes in base64".into());
    }
    let value = json::read(text).map_err(|error| format!("is not JSON: {error}"))?;
    let Value::Map(mut fields) = value else { return Err("is not a JSON object".into()) };
    if fields.contains_key("error") {
        let refused = Refused {
            error: told(&mut fields, "error")?.unwrap_or_else(|| "it does not say why".into()),
            hint: told(&mut fields, "hint")?,
        };
        nothing_else(&fields)?;
        return Ok(Err(refused));
    }
    let mut answer = Answer { message: told(&mut fields, "message")?, ..Answer::default() };
    if verb == Verb::Look {
        let Some(differs) = fields.remove("differs") else {
            return Err("has no `differs`; an empty list says that all is as wanted".into());
        };
        answer.changes = changes(differs)?;
        answer.state =
            fields.remove("state").filter(|state| *state != Value::Null).map(|state| json::write(&state));
        if answer.state.as_ref().is_some_and(|state| state.len() > STATE_LIMIT) {
            return Err(format!("has a `state` of more than {} KiB", STATE_LIMIT / 1024));
        }
    }
    nothing_else(&fields)?;
    Ok(Ok(answer))
}

fn nothing_else(fields: &BTreeMap<String, Value>) -> Result<(), String> {
    match fields.keys().next() {
        None => Ok(()),
        Some(key) => Err(format!("has a key {key:?} that means nothing here")),
    }
}

/// A sentence.
fn told(fields: &mut BTreeMap<String, Value>, key: &str) -> Result<Option<String>, String> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.trim().to_owned())),
        Some(other) => Err(format!("has {} as its `{key}`, which is a string", other.kind())),
    }
}

fn changes(differs: Value) -> Result<Vec<Change>, String> {
    let Value::List(items) = differs else {
        return Err(format!("has {} as `differs`, which is a list", differs.kind()));
    };
    if items.len() > MOST_CHANGES {
        return Err(format!("tells more than {MOST_CHANGES} differences"));
    }
    items.into_iter().map(change).collect()
}

fn change(item: Value) -> Result<Change, String> {
    let Value::Map(mut fields) = item else {
        return Err(format!("has {} in `differs`, which holds objects", item.kind()));
    };
    let attribute = match fields.remove("attribute") {
        Some(Value::Text(text)) if !text.is_empty() => text,
        _ => return Err("has a difference without an `attribute`".into()),
    };
    if attribute.len() > ATTRIBUTE_LIMIT || attribute.chars().any(char::is_control) {
        return Err(format!(
            "has an `attribute` that is no name of at most {ATTRIBUTE_LIMIT} bytes on one line"
        ));
    }
    let (before, after) = (fields.remove("before").and_then(shown), fields.remove("after").and_then(shown));
    let given = match fields.remove("diff") {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) => Some(text),
        Some(other) => return Err(format!("has {} as a `diff`, which is a string", other.kind())),
    };
    nothing_else(&fields)?;
    if before == after && given.is_none() {
        return Err(format!("says that `{attribute}` differs and shows the same before and after"));
    }
    let several = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\n'));
    let diff = given.or_else(|| {
        let bytes = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        (several(&before) || several(&after)).then(|| text_diff(&bytes(&before), &bytes(&after))).flatten()
    });
    Ok(Change { attribute, before, after, diff })
}

/// A value as a person reads it.
fn shown(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text),
        other => Some(json::write(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Answer {
        read_answer(Verb::Look, text).unwrap().unwrap()
    }

    #[test]
    fn a_look_tells_differences_and_the_state() {
        let answer = look(
            r#"{"differs": [{"attribute": "value", "before": null, "after": 7},
                {"attribute": "text", "before": "a\nb\n", "after": "a\nc\n"}],
               "state": {"b": 1, "a": [true]}, "message": " hello "}"#,
        );
        assert_eq!(answer.changes[0], Change::new("value", None, Some("7".into())));
        assert!(answer.changes[1].diff.as_ref().unwrap().contains("-b\n+c\n"));
        assert_eq!(answer.state.as_deref(), Some(r#"{"a":[true],"b":1}"#));
        assert_eq!(answer.message.as_deref(), Some("hello"));
        assert_eq!(look(r#"{"differs":[]}"#), Answer::default());
        let done = read_answer(Verb::Change, "{}").unwrap().unwrap();
        assert_eq!(done, Answer::default());
        let refused = read_answer(Verb::Undo, r#"{"error": "no", "hint": "yes"}"#).unwrap().unwrap_err();
        assert_eq!(refused, Refused { error: "no".into(), hint: Some("yes".into()) });
    }

    #[test]
    fn what_breaks_the_protocol_is_told() {
        let long = format!(r#"{{"differs":[],"message":"{}"}}"#, "x".repeat(ANSWER_LIMIT));
        let state = format!(r#"{{"differs":[],"state":"{}"}}"#, "x".repeat(STATE_LIMIT));
        let many = format!(
            r#"{{"differs":[{}]}}"#,
            vec![r#"{"attribute":"a","after":1}"#; MOST_CHANGES + 1].join(",")
        );
        for (text, error) in [
            ("", "is empty"),
            ("ok", "is not JSON"),
            ("\u{fffd}", "not UTF-8"),
            ("[]", "not a JSON object"),
            ("{}", "no `differs`"),
            (r#"{"differs":[],"differ":1}"#, r#"a key "differ""#),
            (r#"{"differs":true}"#, "a bool as `differs`"),
            (r#"{"differs":["x"]}"#, "a string in `differs`"),
            (r#"{"differs":[{"after":1}]}"#, "without an `attribute`"),
            (r#"{"differs":[{"attribute":"a\nb","after":1}]}"#, "on one line"),
            (r#"{"differs":[{"attribute":"a"}]}"#, "the same before and after"),
            (r#"{"differs":[{"attribute":"a","after":1,"then":2}]}"#, r#"a key "then""#),
            (r#"{"differs":[{"attribute":"a","diff":2}]}"#, "as a `diff`"),
            (r#"{"error":1}"#, "as its `error`"),
            (r#"{"error":"no","differs":[]}"#, r#"a key "differs""#),
            (&long, "more than 256 KiB"),
            (&state, "`state` of more than 128 KiB"),
            (&many, "more than 1000 differences"),
        ] {
            let found = read_answer(Verb::Look, text).expect_err(text);
            assert!(found.contains(error), "{error}: {found}");
        }
        assert!(read_answer(Verb::Change, r#"{"state":1}"#).unwrap_err().contains("means nothing here"));
    }
}
