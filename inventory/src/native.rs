//! Reads our own format: `hosts`, `groups` and `defaults` of one YAML file into a [`Draft`].
//!
//! It checks each piece for itself (types, spelling, templates of ranges); what takes the whole inventory, such as whether
//! a host exists, is for [`crate::build`].

use cm_syntax::{Diagnostic, Diagnostics, Entry, MapReader, Node, Sources, Span, Spanned, Yaml};
use minijinja::Environment;

use crate::draft::{Draft, DraftGroup, DraftHost, Key, Value, Written};
use crate::fill::{self, Names, Prepared, Scope};
use crate::range::{Expanded, Pattern};
use crate::remote;
use crate::settings::{self, Setting, is_word};

/// The group every host belongs to.
pub(crate) const ALL: &str = "all";
/// Names templates use for other things; a variable of that name would hide them.
pub(crate) const RESERVED: [&str; 8] = ["node", "host", "hosts", "groups", "secrets", "item", "loop", "self"];

/// Adds what one file says to `draft`.
pub(crate) fn read(sources: &Sources, root: &Node, draft: &mut Draft, diagnostics: &mut Diagnostics) {
    let file = sources.path(root.span.file);
    let mut reader = MapReader::new(root, format!("`{}`", file.display()), diagnostics);
    let hosts = reader.map("hosts").unwrap_or_default();
    let groups = reader.map("groups").unwrap_or_default();
    let defaults = reader.node("defaults");
    remote::read_specs(&mut reader, &mut draft.sources);
    reader.finish();

    let environment = fill::environment();
    for entry in hosts {
        Host { sources, environment: &environment, entry }.read(draft, diagnostics);
    }
    for entry in groups {
        group(entry, draft, diagnostics);
    }
    if let Some(node) = defaults {
        let mut reader = MapReader::new(node, "`defaults`", diagnostics);
        let mut values = Vec::new();
        settings::read(&mut reader, &mut values);
        if let Some(vars) = reader.entry("vars") {
            reader.diagnostics().push(
                Diagnostic::error("`defaults` takes no `vars`").at(vars.key.span, "not a key here").hint(
                    "variables of all hosts belong to a group named `all`: groups: { all: { vars: … } }",
                ),
            );
        }
        reader.finish();
        refuse_templates(&values, diagnostics);
        draft.defaults.extend(values.into_iter().map(Written::own));
    }
}

/// One entry of `hosts`: a host or a range of them.
struct Host<'r, 'a> {
    sources: &'r Sources,
    environment: &'r Environment<'a>,
    entry: &'a Entry,
}

impl<'a> Host<'_, 'a> {
    fn read(&self, draft: &mut Draft, diagnostics: &mut Diagnostics) {
        let key = &self.entry.key;
        let expanded = match expand(key) {
            Ok(expanded) => expanded,
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                Vec::new()
            }
        };
        // The body is checked even where the name is wrong: all errors at once.
        let what = format!("host `{}`", key.value);
        let body = &self.entry.value;
        if let Yaml::Text(address) = &body.value {
            diagnostics.push(
                Diagnostic::error(format!("{what} must be a map, not {}", body.described()))
                    .at(body.span, "")
                    .hint(format!("if this is its address, write {{ address: {address} }}")),
            );
            return;
        }
        let mut values = Vec::new();
        let mut reader = MapReader::new(body, what.as_str(), diagnostics);
        let address = reader.text("address").and(reader.node("address"));
        variables(&mut reader, &mut values);
        settings::read(&mut reader, &mut values);
        reader.finish();

        let mut prepared = self.prepare(address, values, diagnostics);
        for host in expanded {
            let filled = prepared.fill(&host, self.sources, &what, self.entry.key.span, diagnostics);
            draft.hosts.push(filled);
        }
    }

    fn prepare<'e>(
        &'e self,
        address: Option<&'a Node>,
        values: Vec<Written<'a>>,
        diagnostics: &mut Diagnostics,
    ) -> PreparedHost<'e, 'a> {
        let mut compile =
            |node: &'a Node, scope| match fill::prepare(self.environment, self.sources, node, scope) {
                Ok(prepared) => Some(prepared),
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    None
                }
            };
        let address = address.and_then(|node| compile(node, Scope::Everything));
        let values = values.into_iter().filter_map(|Written { key, span, node }| {
            let scope = match &key {
                // The password comes from the secrets, which only the plan can read.
                Key::Setting(Setting::BecomePassword) | Key::Variable(_) | Key::With { .. } => Scope::Ranges,
                Key::Setting(_) => Scope::Everything,
            };
            let value = compile(node, scope)?;
            Some(PreparedValue { key, span, value, failed: false })
        });
        PreparedHost { address, values: values.collect() }
    }
}

/// The body of an entry, to be filled in for each of its hosts. What fails for one of them is told once and left out
/// from then on: it fails for all.
struct PreparedHost<'e, 'a> {
    address: Option<Prepared<'e, 'a>>,
    values: Vec<PreparedValue<'e, 'a>>,
}

struct PreparedValue<'e, 'a> {
    key: Key,
    span: Span,
    value: Prepared<'e, 'a>,
    failed: bool,
}

impl PreparedHost<'_, '_> {
    fn fill(
        &mut self,
        host: &Expanded,
        sources: &Sources,
        what: &str,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> DraftHost {
        let names = Names::new(host);
        let mut filled = DraftHost {
            name: host.name.clone(),
            span,
            address: None,
            values: Vec::with_capacity(self.values.len()),
            foreign: false,
        };
        if let Some(prepared) = &self.address {
            let before = diagnostics.len();
            match prepared.fill(&names, sources) {
                Ok(node) => filled.address = address(what, &node, diagnostics),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
            if diagnostics.len() > before {
                self.address = None;
            }
        }
        for prepared in self.values.iter_mut().filter(|value| !value.failed) {
            let node = prepared.value.fill(&names, sources).map_err(|problem| (*problem).into());
            let checked = node.and_then(|node| {
                if let Key::Setting(setting) = prepared.key {
                    let named = format!("`{}` of host `{}`", setting.name(), host.name);
                    settings::check(setting, &named, &node).map_err(|problems| *problems)?;
                }
                Ok(node)
            });
            match checked {
                Ok(node) => {
                    let (key, span) = (prepared.key.clone(), prepared.span);
                    filled.values.push(Value { key, span, node, rank: None });
                }
                Err(problems) => {
                    prepared.failed = true;
                    diagnostics.extend(Diagnostics::into_iter(problems));
                }
            }
        }
        filled
    }
}

/// Takes a filled-in address; a template may give a number.
fn address(what: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    let text = match &node.value {
        Yaml::Text(text) => text.clone(),
        Yaml::Int(number) => number.to_string(),
        _ => {
            let message = format!("the address of {what} is {}, not a string", node.kind());
            diagnostics.push(Diagnostic::error(message).at(node.span, ""));
            return None;
        }
    };
    let address = Spanned::new(text, node.span);
    check_address(what, &address, diagnostics);
    Some(address)
}

/// The names an entry of `hosts` stands for.
fn expand(key: &Spanned<String>) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let name = &key.value;
    let wrong = |reason: String| {
        Box::new(
            Diagnostic::error(format!("`{name}` cannot be the name of a host"))
                .at(key.span, reason)
                .hint("letters, digits, `.`, `_` and `-`; ranges such as \"web[01:16]\""),
        )
    };
    match Pattern::parse(name) {
        Err(error) => Err(wrong(error.to_string())),
        Ok(None) if is_name(name) => Ok(vec![Expanded { name: name.clone(), parts: Vec::new() }]),
        Ok(None) => Err(wrong(String::new())),
        Ok(Some(pattern)) => {
            let expanded = pattern.expand();
            match expanded.first() {
                Some(first) if is_name(&first.name) => Ok(expanded),
                _ => Err(wrong(String::new())),
            }
        }
    }
}

/// Names of hosts and groups: free of what targets use as signs, and never mistaken for an option.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars().all(allowed) && name.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

pub(crate) fn check_address(what: &str, address: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let text = &address.value;
    if !is_word(text) || text.contains(['@', '/', ',']) {
        let wrong = Diagnostic::error(format!("`{text}` cannot be the address of {what}"))
            .at(address.span, "neither a host name nor an IP address");
        diagnostics.push(match text.split_once('@') {
            Some((user, rest)) => wrong.hint(format!("write {{ address: {rest}, ssh: {{ user: {user} }} }}")),
            None => wrong,
        });
        return;
    }
    // One colon parts a port off; two or more are an IPv6 address.
    if let Some((host, port)) = text.split_once(':')
        && !port.contains(':')
    {
        diagnostics.push(
            Diagnostic::error(format!("the address of {what} holds a port"))
                .at(address.span, "")
                .hint(format!("write {{ address: {host}, ssh: {{ port: {port} }} }}")),
        );
    }
}

/// Reads `vars`.
fn variables<'a>(reader: &mut MapReader<'a, '_>, values: &mut Vec<Written<'a>>) {
    for entry in reader.map("vars").unwrap_or_default() {
        if check_variable(&entry.key, reader.diagnostics()) {
            let key = Key::Variable(entry.key.value.clone());
            values.push(Written { key, span: entry.key.span, node: &entry.value });
        }
    }
}

/// A variable is used by its name in templates, so it has to be one that templates can say.
fn check_variable(key: &Spanned<String>, diagnostics: &mut Diagnostics) -> bool {
    let name = key.value.as_str();
    let wrong = Diagnostic::error(format!("`{name}` cannot be the name of a variable"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let problem = if RESERVED.contains(&name) {
        wrong.at(key.span, "templates use this name for something else")
    } else if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word) {
        let wrong = wrong.at(key.span, "templates could not use it");
        let better = name.replace(|c| !word(c), "_");
        if better.starts_with(|c: char| c.is_ascii_alphabetic()) {
            wrong.hint(format!("write `{better}`"))
        } else {
            wrong.hint("letters, digits and `_`, not beginning with a digit")
        }
    } else {
        return true;
    };
    diagnostics.push(problem);
    false
}

fn group(entry: &Entry, draft: &mut Draft, diagnostics: &mut Diagnostics) {
    let name = &entry.key;
    if !is_name(&name.value) {
        diagnostics.push(
            Diagnostic::error(format!("`{}` cannot be the name of a group", name.value))
                .at(name.span, "")
                .hint("letters, digits, `.`, `_` and `-`"),
        );
    }
    let what = format!("group `{}`", name.value);
    let mut reader = MapReader::new(&entry.value, what.as_str(), diagnostics);
    let mut values = Vec::new();
    let own = |texts: Option<Vec<Spanned<&str>>>| -> Vec<Spanned<String>> {
        texts.unwrap_or_default().into_iter().map(|text| text.map(str::to_owned)).collect()
    };
    let hosts = own(reader.texts("hosts"));
    let groups = own(reader.texts("groups"));
    let order = own(reader.texts("order"));
    if name.value == ALL {
        for (key, filled) in [("hosts", !hosts.is_empty()), ("groups", !groups.is_empty())] {
            if filled && let Some(entry) = reader.entry(key) {
                let problem = Diagnostic::error(format!("group `{ALL}` takes no `{key}`"))
                    .at(entry.key.span, "every host belongs to it already");
                reader.diagnostics().push(problem);
            }
        }
    }
    let rule = reader.text("where").and(reader.node("where")).cloned();
    if name.value == ALL
        && let Some(rule) = &rule
    {
        let problem = Diagnostic::error(format!("group `{ALL}` takes no `where`"))
            .at(rule.span, "every host belongs to it already");
        reader.diagnostics().push(problem);
    }
    let roles = roles(&mut reader, &mut values);
    variables(&mut reader, &mut values);
    let from = values.len();
    settings::read(&mut reader, &mut values);
    reader.finish();
    refuse_templates(&values[from..], diagnostics);
    draft.groups.push(DraftGroup {
        hosts,
        groups,
        order: if order.is_empty() { Vec::new() } else { vec![order] },
        roles,
        values: values.into_iter().map(Written::own).collect(),
        rule,
        ..DraftGroup::new(name.clone())
    });
}

/// Reads `roles`: names, or maps of `role` and `with`.
fn roles<'a>(reader: &mut MapReader<'a, '_>, values: &mut Vec<Written<'a>>) -> Vec<Spanned<String>> {
    let mut roles: Vec<Spanned<String>> = Vec::new();
    let what = format!("an item of `roles` of {}", reader.what());
    let node = reader.node("roles");
    let items = match node.map(|node| &node.value) {
        Some(Yaml::Text(_)) => node.map(std::slice::from_ref).unwrap_or_default(),
        _ => reader.list("roles").unwrap_or_default(),
    };
    for item in items {
        let role = match &item.value {
            Yaml::Text(name) => Some(Spanned::new(name.clone(), item.span)),
            Yaml::Map(_) => {
                let mut role = MapReader::new(item, what.as_str(), reader.diagnostics());
                let name = role.required_text("role").map(|name| name.map(str::to_owned));
                let with = role.map("with").unwrap_or_default();
                role.finish();
                if let Some(name) = &name {
                    values.extend(with.iter().map(|argument| Written {
                        key: Key::With { role: name.value.clone(), name: argument.key.value.clone() },
                        span: argument.key.span,
                        node: &argument.value,
                    }));
                }
                name
            }
            _ => {
                let problem = Diagnostic::error(format!(
                    "{what} is the name of a role or {{ role, with }}, not {}",
                    item.described()
                ))
                .at(item.span, "");
                reader.diagnostics().push(problem);
                None
            }
        };
        let Some(role) = role else { continue };
        match roles.iter().find(|known| known.value == role.value) {
            Some(first) => {
                let problem =
                    Diagnostic::error(format!("role `{}` stands twice in {}", role.value, reader.what()))
                        .at(role.span, "again here")
                        .also(first.span, "first here");
                reader.diagnostics().push(problem);
            }
            None => roles.push(role),
        }
    }
    roles
}

/// Settings of groups and `defaults` hold for many hosts and are not filled in for each.
fn refuse_templates(values: &[Written<'_>], diagnostics: &mut Diagnostics) {
    for value in values {
        let Key::Setting(setting) = value.key else { continue };
        let text = value.node.as_text().unwrap_or_default();
        if setting != Setting::BecomePassword && settings::is_template(text) {
            diagnostics.push(
                Diagnostic::error(format!("`{}` takes no template here", setting.name()))
                    .at(value.node.span, "only the entries of hosts are filled in")
                    .hint("set it in the entry under `hosts:`, where `n` and `name` are known"),
            );
        }
    }
}
