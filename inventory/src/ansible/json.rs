//! The JSON that executable inventories print for `--list` and `--host`, by the rules of ansible-core's
//! `plugins/inventory/script.py`.

use cm_syntax::{Diagnostic, Diagnostics, Entry, Node, Span, Spanned, Yaml};
use serde_json::Value;

use super::world::{Set, World};

/// Where hosts have their variables.
const META: &str = "_meta";

/// What `--list` leaves open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The hosts that were named, in order.
    pub hosts: Vec<String>,
    /// Whether the variables of hosts were among it; else `--host` is to be asked for each.
    pub with_variables: bool,
}

/// JSON as the tree that everything else is made of; all of it has one place.
pub(crate) fn to_node(value: &Value, span: Span) -> Node {
    let yaml = match value {
        Value::Null => Yaml::Null,
        Value::Bool(value) => Yaml::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Yaml::Int(whole),
            (None, Some(value)) if number.is_f64() => Yaml::Float(value),
            _ => Yaml::Text(number.to_string()),
        },
        Value::String(text) => Yaml::Text(text.clone()),
        Value::Array(items) => Yaml::List(items.iter().map(|item| to_node(item, span)).collect()),
        Value::Object(entries) => Yaml::Map(
            entries
                .iter()
                .map(|(key, value)| Entry {
                    key: Spanned::new(key.clone(), span),
                    value: to_node(value, span),
                })
                .collect(),
        ),
    };
    Node::new(span, yaml)
}

/// Reads what `--list` printed into the world. `span` is the place all of it is said to come from.
pub(crate) fn read_list(
    value: &Value,
    span: Span,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> Listed {
    let mut listed = Listed::default();
    let Value::Object(groups) = value else {
        diagnostics
            .push(Diagnostic::error("a list of hosts is a JSON object").at(span, "it is something else"));
        return listed;
    };
    for (name, body) in groups.iter().filter(|(name, _)| *name != META) {
        group(name, body, span, world, &mut listed, diagnostics);
    }
    let variables = groups.get(META).and_then(|meta| meta.get("hostvars"));
    let Some(variables) = variables else { return listed };
    listed.with_variables = true;
    for name in &listed.hosts {
        if let Some(own) = variables.get(name) {
            read_host(name, own, span, world, diagnostics);
        }
    }
    listed
}

/// Reads the variables of one host: what `--host` printed, or its part of `_meta`.
pub(crate) fn read_host(
    name: &str,
    value: &Value,
    span: Span,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) {
    let Some(&host) = world.host_names.get(name) else { return };
    let Value::Object(variables) = value else {
        if !value.is_null() {
            diagnostics.push(
                Diagnostic::error(format!("the variables of host `{name}` are no JSON object")).at(span, ""),
            );
        }
        return;
    };
    for (key, value) in variables {
        world.set_for_host(host, key, Set { span, node: to_node(value, span) }, diagnostics);
    }
}

fn group(
    name: &str,
    body: &Value,
    span: Span,
    world: &mut World,
    listed: &mut Listed,
    diagnostics: &mut Diagnostics,
) {
    if name.is_empty() {
        diagnostics.push(Diagnostic::error("a group has no name").at(span, ""));
        return;
    }
    let group = world.group(name, span);
    let wrong = |what: &str| {
        Diagnostic::error(format!(
            "`{what}` of group `{name}` is neither a list nor an object as it should be"
        ))
        .at(span, "")
    };
    let nothing = Value::Null;
    // The short forms: a list of hosts, or the variables of one host that is called as its group.
    let (hosts, variables, children) = match body {
        Value::Object(keys) if ["hosts", "vars", "children"].iter().any(|key| keys.contains_key(*key)) => {
            let part = |key: &str| keys.get(key).unwrap_or(&nothing);
            (part("hosts").clone(), part("vars"), part("children"))
        }
        Value::Object(_) => (Value::Array(vec![Value::String(name.to_owned())]), body, &nothing),
        _ => (body.clone(), &nothing, &nothing),
    };
    match &hosts {
        Value::Null => {}
        Value::Array(names) => {
            for host in names {
                match host.as_str() {
                    Some(host) if !host.is_empty() => {
                        if world.host(host, span, Some(group), diagnostics).is_none() {
                            return;
                        }
                        listed.hosts.push(host.to_owned());
                    }
                    _ => diagnostics.push(
                        Diagnostic::error(format!("a host of group `{name}` is no name: {host}"))
                            .at(span, ""),
                    ),
                }
            }
        }
        _ => diagnostics.push(wrong("hosts")),
    }
    match variables {
        Value::Null => {}
        Value::Object(variables) => {
            for (key, value) in variables {
                let set = Set { span, node: to_node(value, span) };
                world.set_for_group(group, key, set, diagnostics);
            }
        }
        _ => diagnostics.push(wrong("vars")),
    }
    match children {
        Value::Null => {}
        Value::Array(names) => {
            for child in names.iter().filter_map(Value::as_str).filter(|child| !child.is_empty()) {
                let inner = world.group(child, span);
                world.child(group, inner, span, diagnostics);
            }
        }
        _ => diagnostics.push(wrong("children")),
    }
}
