//! The three forms a value has (as written, in templates, on the wire) and the ways between them.

use cm_syntax::{Node, Yaml};
use cm_wire::Value as Wire;
use minijinja::{Value, value::ValueKind};

use crate::template::Omit;

/// A written value as templates see it; text is not rendered. Maps keep their order.
#[must_use]
pub fn from_node(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::from(()),
        Yaml::Bool(flag) => Value::from(*flag),
        Yaml::Int(number) => Value::from(*number),
        Yaml::Float(number) => Value::from(*number),
        Yaml::Text(text) => Value::from(text.as_str()),
        Yaml::List(items) => Value::from(items.iter().map(from_node).collect::<Vec<_>>()),
        Yaml::Map(entries) => Value::from_pairs(
            entries.iter().map(|entry| (Value::from(entry.key.value.as_str()), from_node(&entry.value))),
        ),
    }
}

/// A written value for the wire; text is not rendered.
#[must_use]
pub fn node_to_wire(node: &Node) -> Wire {
    match &node.value {
        Yaml::Null => Wire::Null,
        Yaml::Bool(flag) => Wire::Bool(*flag),
        Yaml::Int(number) => Wire::Int(*number),
        Yaml::Float(number) => Wire::Float(*number),
        Yaml::Text(text) => Wire::Text(text.clone()),
        Yaml::List(items) => Wire::List(items.iter().map(node_to_wire).collect()),
        Yaml::Map(entries) => Wire::Map(
            entries.iter().map(|entry| (entry.key.value.clone(), node_to_wire(&entry.value))).collect(),
        ),
    }
}

/// A value of a template for the wire; `omit` becomes nothing.
///
/// # Errors
/// What cannot travel, as a fragment: `a function`.
pub fn to_wire(value: &Value) -> Result<Wire, String> {
    if is_omit(value) {
        return Ok(Wire::Null);
    }
    Ok(match value.kind() {
        ValueKind::Undefined => return Err("something undefined".into()),
        ValueKind::None => Wire::Null,
        ValueKind::Bool => Wire::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(number) if value.is_integer() => Wire::Int(number),
            _ => Wire::Float(f64::try_from(value.clone()).map_err(|_| "a number too large".to_owned())?),
        },
        ValueKind::String => Wire::Text(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            Wire::List(items.map(|item| to_wire(&item)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|error| error.to_string())?;
            let entry = |key: Value| {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                Ok::<_, String>((key.to_string(), to_wire(&item)?))
            };
            Wire::Map(keys.map(entry).collect::<Result<_, _>>()?)
        }
        kind => return Err(format!("a {kind}")),
    })
}

/// Whether a value is the `omit` of templates.
#[must_use]
pub fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}

/// Kind and, for a short scalar, spelling, for messages: `the string "yes"`, `the number 7`, `a list`.
#[must_use]
pub fn described(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => "something undefined".into(),
        ValueKind::None => "nothing".into(),
        ValueKind::Bool => format!("the boolean {}", value.is_true()),
        ValueKind::Number => format!("the number {value}"),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            if text.chars().count() <= 40 { format!("the string {text:?}") } else { "a string".into() }
        }
        ValueKind::Seq | ValueKind::Iterable => "a list".into(),
        ValueKind::Map => "a map".into(),
        kind => format!("a {kind}"),
    }
}
