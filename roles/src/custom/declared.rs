//! `modules/NAME.yaml`: read, checked, and made a schema like that of a built-in module.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use cm_modules::{
    Kind, Param as _, ParamError, ParamSchema, Params, Schema,
    custom::{Custom, Declaration, PROTOCOL, Pattern, Undo},
    registry,
};
use cm_syntax::{
    Diagnostic, Diagnostics, Entry, FileId, MapReader, Node, Sources, Spanned, nearest, parse_collecting,
};
use cm_wire::{ContentRef, Digest, Value as Wire};
use minijinja::Value;

use super::Names;
use crate::{
    param::{ParamType, RoleParam, holds_template},
    read::{COMMON, good_param_name},
    value::node_to_wire,
};

/// A declaration that was read and is whole.
pub(super) struct Declared {
    doc: String,
    /// The program is not known yet.
    declaration: Declaration,
    /// In the order written, the subject among them.
    params: Vec<RoleParam>,
}

/// Reads the declaration of a module.
pub(super) fn read(
    name: &str,
    file: FileId,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Declared> {
    let node = parse_collecting(sources, file, diagnostics)?;
    let mut reader = MapReader::new(&node, format!("module `{name}`"), diagnostics);
    let protocol = reader.required_node("protocol");
    let description = reader.text("description").map(|text| text.value.to_owned());
    let subject = reader.required_text("subject");
    let identity = reader.texts("identity").unwrap_or_default();
    let params = reader.map("params").unwrap_or_default();
    let lists = ["makes", "edits", "needs"].map(|key| reader.texts(key).unwrap_or_default());
    let absent = reader.map("absent");
    let undo = reader.text("undo");
    let parallel = reader.bool("parallel").is_some_and(|flag| flag.value);
    let timeout = reader.node("timeout");
    let programs = reader.map("programs").unwrap_or_default();
    reader.finish();
    let mut checker = Checker { name, diagnostics };
    checker.name(&node);
    checker.protocol(protocol);
    let params: Vec<RoleParam> = params.iter().map(|entry| checker.param(entry)).collect();
    let names: Names = params.iter().map(|param| (param.name.value.clone(), param.clone())).collect();
    for subject in subject.iter().chain(&identity) {
        checker.names_a_thing(subject, &names);
    }
    let [makes, edits, needs] = lists;
    let patterns = |checker: &mut Checker<'_>, list: &[Spanned<&str>], kinds| -> Vec<String> {
        list.iter().map(|text| checker.pattern(text, kinds, &names)).collect()
    };
    let declaration = Declaration {
        name: name.to_owned(),
        program: ContentRef { digest: Digest::of(b""), size: 0 },
        subject: subject?.value.to_owned(),
        identity: identity.iter().map(|name| name.value.to_owned()).collect(),
        makes: patterns(&mut checker, &makes, Pattern::MADE),
        edits: patterns(&mut checker, &edits, Pattern::MADE),
        needs: patterns(&mut checker, &needs, Pattern::NEEDED),
        absent: checker.absent(absent, &names),
        undo: checker.undo(undo.as_ref()),
        parallel,
        timeout: timeout.map_or(0, |node| checker.seconds(node)),
        programs: checker.programs(programs),
        defaults: params
            .iter()
            .filter_map(|param| Some((param.name.value.clone(), node_to_wire(param.default.as_ref()?))))
            .collect(),
        secrets: params
            .iter()
            .filter(|param| param.sensitive)
            .map(|param| param.name.value.clone())
            .collect(),
    };
    if declaration.undo == Undo::Makes && declaration.makes.is_empty() && declaration.edits.is_empty() {
        let message = format!("`undo: makes` of module `{name}`, which makes nothing");
        let place = undo.as_ref().map_or(node.span, |undo| undo.span);
        diagnostics.push(
            Diagnostic::error(message)
                .at(place, "what would be restored?")
                .hint("`makes` and `edits` name what the module makes: `path:{{ file }}`"),
        );
    }
    Some(Declared { doc: description.unwrap_or_default(), declaration, params })
}

struct Checker<'a> {
    name: &'a str,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn name(&mut self, node: &Node) {
        let name = self.name;
        let place = cm_syntax::Span { end: node.span.start, ..node.span };
        if registry::find(name).is_some() {
            self.diagnostics.push(
                Diagnostic::error(format!("`{name}` is a module of `cm` itself"))
                    .at(place, "a repository's module has another name")
                    .hint(format!("rename `modules/{name}` and `modules/{name}.yaml`")),
            );
        } else if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            || COMMON.contains(&name)
        {
            self.diagnostics.push(
                Diagnostic::error(format!("`{name}` cannot be the name of a module"))
                    .at(place, "lower-case letters, digits and `_`, and no key that every task takes"),
            );
        }
    }

    fn protocol(&mut self, node: Option<&Node>) {
        if let Some(node) = node
            && node.as_int() != Some(PROTOCOL)
        {
            let message = format!("module `{}` speaks an unknown protocol, {}", self.name, node.described());
            self.diagnostics
                .push(Diagnostic::error(message).at(node.span, format!("this program speaks {PROTOCOL}")));
        }
    }

    fn param(&mut self, entry: &Entry) -> RoleParam {
        let param = RoleParam::parse_of(&format!("module `{}`", self.name), entry, self.diagnostics);
        let (name, span) = (&param.name.value, param.name.span);
        let mut wrong = |message: String, label: &str| {
            self.diagnostics.push(Diagnostic::error(message).at(span, label));
        };
        if !good_param_name(name) {
            wrong(format!("`{name}` cannot be the name of a parameter"), "letters, digits and `_` only");
        } else if COMMON.contains(&name.as_str()) || name == self.name {
            wrong(format!("`{name}` cannot be the name of a parameter"), "means something else in a task");
        }
        if param.kind == ParamType::Duration || param.items == Some(ParamType::Duration) {
            wrong(
                format!("`{name}` of module `{}` is a duration, which its program could not read", self.name),
                "take an int of seconds",
            );
        }
        if let Some(default) = param.default.as_ref().filter(|default| holds_template(default)) {
            let message = format!("the default of `{name}` of module `{}` has a template", self.name);
            self.diagnostics.push(Diagnostic::error(message).at(default.span, "a plain value was expected"));
        }
        param
    }

    fn known<'n>(&mut self, name: &str, span: cm_syntax::Span, names: &'n Names) -> Option<&'n RoleParam> {
        if let Some(param) = names.get(name) {
            return Some(param);
        }
        let near = nearest(name, names.keys().map(String::as_str));
        self.diagnostics.push(
            Diagnostic::error(format!("module `{}` has no parameter `{name}`", self.name))
                .at(span, "not one of `params`")
                .did_you_mean(near),
        );
        None
    }

    /// What a thing is called is shown everywhere.
    fn names_a_thing(&mut self, name: &Spanned<&str>, names: &Names) {
        let Some(param) = self.known(name.value, name.span, names) else { return };
        let label = if param.sensitive {
            "a sensitive value cannot say which thing it is"
        } else if matches!(param.kind, ParamType::List | ParamType::Map | ParamType::Any) {
            "a thing is named by a string, a number or a path"
        } else {
            return;
        };
        let message = format!("`{}` of module `{}` cannot name what it manages", name.value, self.name);
        self.diagnostics.push(Diagnostic::error(message).at(name.span, label));
    }

    fn pattern(&mut self, text: &Spanned<&str>, kinds: &'static [&'static str], names: &Names) -> String {
        match Pattern::parse(text.value, kinds) {
            Err(error) => {
                let message = format!("{:?} of module `{}` {error}", text.value, self.name);
                self.diagnostics.push(Diagnostic::error(message).at(text.span, "`KIND:{{ param }}`"));
            }
            Ok(pattern) => {
                for param in pattern.params() {
                    if self.known(param, text.span, names).is_some_and(|param| param.sensitive) {
                        let message = format!("`{param}` of module `{}` is sensitive", self.name);
                        self.diagnostics
                            .push(Diagnostic::error(message).at(text.span, "what a module makes is shown"));
                    }
                }
            }
        }
        text.value.to_owned()
    }

    fn absent(&mut self, entries: Option<&[Entry]>, names: &Names) -> Option<(String, Wire)> {
        match entries? {
            [entry] => {
                let param = self.known(&entry.key.value, entry.key.span, names)?;
                if let Err(wrong) = param.check_node(&entry.value) {
                    self.diagnostics.push(param.mismatch(&wrong, entry.value.span));
                }
                Some((entry.key.value.clone(), node_to_wire(&entry.value)))
            }
            entries => {
                let message = format!("`absent` of module `{}` wants one parameter and its value", self.name);
                let diagnostic = Diagnostic::error(message).hint("write `absent: { state: absent }`");
                self.diagnostics.push(match entries.first() {
                    Some(first) => diagnostic.at(first.key.span, ""),
                    None => diagnostic,
                });
                None
            }
        }
    }

    fn undo(&mut self, word: Option<&Spanned<&str>>) -> Undo {
        let Some(word) = word else { return Undo::default() };
        let found = Undo::WORDS.into_iter().find(|(known, _)| *known == word.value);
        if found.is_none() {
            let names = Undo::WORDS.map(|(known, _)| known);
            self.diagnostics.push(
                Diagnostic::error(format!(
                    "`undo` of module `{}` wants one of {}",
                    self.name,
                    names.join(", ")
                ))
                .at(word.span, "")
                .did_you_mean(nearest(word.value, names)),
            );
        }
        found.map(|(_, undo)| undo).unwrap_or_default()
    }

    fn seconds(&mut self, node: &Node) -> u32 {
        match Duration::read(&node_to_wire(node)) {
            Ok(duration) if !node.is_null() && !duration.is_zero() => duration.as_secs_f64().ceil() as u32,
            _ => {
                let message =
                    format!("`timeout` of module `{}` wants a duration such as 10s or 5m", self.name);
                self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
                0
            }
        }
    }

    fn programs(&mut self, entries: &[Entry]) -> BTreeMap<String, String> {
        let mut programs = BTreeMap::new();
        for entry in entries {
            let package = match (entry.value.is_null(), entry.value.as_text()) {
                (true, _) => "",
                (_, Some(text)) => text,
                _ => {
                    let message = format!(
                        "`{}` in `programs` of module `{}` wants the name of a package",
                        entry.key.value, self.name
                    );
                    self.diagnostics.push(Diagnostic::error(message).at(entry.value.span, "or nothing"));
                    continue;
                }
            };
            programs.insert(entry.key.value.clone(), package.to_owned());
        }
        programs
    }
}

impl Declared {
    /// The schema, with what it borrows kept for as long as the program runs.
    pub(super) fn schema(self, program: ContentRef, source: PathBuf) -> Schema {
        let Self { doc, mut declaration, params } = self;
        declaration.program = program;
        let mut subject = None;
        let mut schemas = Vec::with_capacity(params.len());
        for param in &params {
            let is_subject = param.name.value == declaration.subject;
            let schema = ParamSchema {
                name: keep(param.name.value.clone()),
                kind: kind(param),
                required: is_subject || param.required,
                doc: keep(param_doc(param)),
            };
            if is_subject {
                subject = Some(schema);
            } else {
                schemas.push(schema);
            }
        }
        // A declaration without its subject among the parameters has an error and does not come here.
        let subject =
            subject.unwrap_or(ParamSchema { name: "subject", kind: Kind::Text, required: true, doc: "" });
        let doc = module_doc(&doc, &declaration);
        let constants = declaration.constants();
        let check = Box::new(move |given: &Params| check(&params, given));
        let custom = Box::leak(Box::new(Custom { declaration, constants, source, check }));
        Schema::of_custom(keep(doc), subject, Box::leak(schemas.into_boxed_slice()), custom)
    }
}

/// What [`super::KNOWN`] holds once for each version of a module is never freed.
fn keep(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn kind(param: &RoleParam) -> Kind {
    let of = |kind: ParamType| -> &'static Kind { Box::leak(Box::new(plain_kind(kind))) };
    match (param.kind, &param.choices) {
        (ParamType::Text, Some(choices)) => {
            let words: Vec<&'static str> =
                choices.iter().filter_map(Node::as_text).map(|word| keep(word.to_owned())).collect();
            Kind::Choice(Box::leak(words.into_boxed_slice()))
        }
        (ParamType::Int, _) => Kind::Int {
            min: param.min.map_or(i64::MIN, |least| least.ceil() as i64),
            max: param.max.map_or(i64::MAX, |most| most.floor() as i64),
        },
        (ParamType::List, _) => Kind::List(param.items.map_or(&Kind::Any, of)),
        (ParamType::Map, _) => Kind::Map(param.items.map_or(&Kind::Any, of)),
        (kind, _) => plain_kind(kind),
    }
}

fn plain_kind(kind: ParamType) -> Kind {
    match kind {
        ParamType::Text => Kind::Text,
        ParamType::Int => Kind::Int { min: i64::MIN, max: i64::MAX },
        ParamType::Bool => Kind::Bool,
        ParamType::List => Kind::List(&Kind::Any),
        ParamType::Map => Kind::Map(&Kind::Any),
        ParamType::Path => Kind::Path,
        ParamType::Float | ParamType::Duration | ParamType::Any => Kind::Any,
    }
}

fn param_doc(param: &RoleParam) -> String {
    let mut doc = param.description.clone().unwrap_or_default();
    let mut add = |text: String| {
        if !doc.is_empty() {
            doc.push(' ');
        }
        doc.push_str(&text);
    };
    if let Some(default) = &param.default {
        add(format!(
            "Otherwise {}.",
            match default.raw() {
                Some("") => "empty".to_owned(),
                Some(raw) => format!("`{raw}`"),
                None => default.described(),
            }
        ));
    }
    if param.sensitive {
        add("Never shown.".into());
    }
    doc
}

fn module_doc(doc: &str, declaration: &Declaration) -> String {
    let undo = match declaration.undo {
        Undo::Verb => "its program takes a change back",
        Undo::Makes => "what it makes is restored",
        Undo::None => "nothing takes a change back",
    };
    let mut doc =
        format!("{}\n\nA module of this repository (modules/{}); {undo}.", doc.trim(), declaration.name);
    if !declaration.programs.is_empty() {
        let names: Vec<&str> = declaration.programs.keys().map(String::as_str).collect();
        doc.push_str(&format!(" It wants on the node: {}.", names.join(", ")));
    }
    doc.trim().to_owned()
}

/// Checks rendered parameters beyond their kinds: bounds, patterns, choices, and that all are there.
fn check(params: &[RoleParam], given: &Params) -> Result<(), ParamError> {
    for param in params {
        let name = &param.name.value;
        match given.get(name) {
            Some(value) => {
                param.check(&from_wire(value)).map_err(|wrong| ParamError::new(name, wrong.message))?;
            }
            None if param.required => {
                return Err(ParamError::new(name, format!("is required ({})", param.kind.wanted())));
            }
            None => {}
        }
    }
    Ok(())
}

fn from_wire(value: &Wire) -> Value {
    match value {
        Wire::Bool(flag) => Value::from(*flag),
        Wire::Int(number) => Value::from(*number),
        Wire::Float(number) => Value::from(*number),
        Wire::Text(text) => Value::from(text.as_str()),
        Wire::List(items) => Value::from(items.iter().map(from_wire).collect::<Vec<_>>()),
        Wire::Map(entries) => Value::from_pairs(
            entries.iter().map(|(key, value)| (Value::from(key.as_str()), from_wire(value))),
        ),
        Wire::Null | Wire::Content(_) | Wire::Tree(_) => Value::from(()),
    }
}
