//! Reads one task: the module's key with its subject, its parameters, and the keys every task takes.

use std::time::Duration;

use cm_modules::{Kind, Module, Param, registry};
use cm_syntax::{Diagnostic, Entry, MapReader, Node, Span, Spanned, Yaml, nearest};
use cm_wire::{ContentRef, Digest, Value as Wire};

use super::RoleReader;
use crate::{
    argument::{Argument, Form},
    param::holds_template,
    task::{Reference, ReferenceText, RunAs, Task, TaskParam, When},
    template::Expression,
    value::node_to_wire,
};

/// Keys that every task takes, in the order of the documentation.
pub(crate) const COMMON: &[&str] = &[
    "id",
    "when",
    "each",
    "needs",
    "restarts",
    "reloads",
    "tags",
    "become",
    "retry",
    "timeout",
    "guard",
    "sensitive",
];

/// Keys of Ansible's tasks and what stands for them here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("name", "a task has no name: it is called `module:subject`, or what `id:` says"),
    ("notify", "did you mean `reloads` (or `restarts`)?"),
    ("loop", "write `each: LIST`; its values are `item`"),
    ("with_items", "write `each: LIST`; its values are `item`"),
    ("become_user", "write `become: USER`"),
    ("register", "tasks do not pass results on; `creates`, `unless` and `only_if` guard a command"),
    ("ignore_errors", "a task that may fail is not a wanted state; `only_if` guards a command"),
    ("handler", "write `restarts` or `reloads` where the change is made"),
    ("depends_on", "write `needs`"),
    ("retries", "write `retry: { times: N, delay: 5s }`"),
];

/// Seconds in which the controller must come back where `guard` does not say.
const GUARD: u32 = 60;
/// What `guard` may say: less than a connection takes would take back everything, and a host must not be lost for long.
const GUARD_BOUNDS: std::ops::RangeInclusive<u32> = 5..=3600;

/// Seconds between attempts where `retry` does not say.
const RETRY_DELAY: u32 = 5;

/// Which list a task stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// `tasks` or `cleanup`.
    Task,
    /// `verify`.
    Check,
}

impl Written {
    fn noun(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Check => "check",
        }
    }
}

/// The keys of a task that are not its module's.
#[derive(Default)]
struct CommonKeys<'n> {
    entries: Vec<&'n Entry>,
}

impl<'n> CommonKeys<'n> {
    fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().copied().find(|entry| entry.key.value == key)
    }
}

impl RoleReader<'_> {
    /// The modules that a list may name: those of `cm`, and for tasks those of the repository.
    fn modules(&self, written: Written) -> Vec<&'static Module> {
        match written {
            Written::Task => registry::MODULES.iter().chain(self.custom.iter()).collect(),
            Written::Check => registry::CHECKS.iter().collect(),
        }
    }

    /// The module of this name.
    fn module(&self, name: &str, written: Written) -> Option<&'static Module> {
        match written {
            Written::Task => {
                let built_in = registry::MODULES.iter().find(|module| module.schema.name == name);
                built_in.or_else(|| self.custom.get(name))
            }
            Written::Check => registry::CHECKS.iter().find(|module| module.schema.name == name),
        }
    }

    pub(super) fn tasks(&mut self, nodes: &[Node], written: Written) -> Vec<Task> {
        nodes.iter().filter_map(|node| self.task(node, written)).collect()
    }

    fn task(&mut self, node: &Node, written: Written) -> Option<Task> {
        let noun = written.noun();
        let Some(entries) = node.as_map() else {
            let mut diagnostic =
                Diagnostic::error(format!("a {noun} must be a map, not {}", node.described()))
                    .at(node.span, "`- MODULE: SUBJECT` was expected");
            if let Some(text) = node.as_text()
                && self.module(text, written).is_some()
            {
                diagnostic = diagnostic.hint(format!("write `- {text}: SUBJECT`"));
            }
            self.diagnostics.push(diagnostic);
            return None;
        };
        let Some(first) = entries.iter().find(|entry| !COMMON.contains(&entry.key.value.as_str())) else {
            self.diagnostics.push(
                Diagnostic::error(format!("this {noun} names no module"))
                    .at(node.span, "`- MODULE: SUBJECT` was expected"),
            );
            return None;
        };
        let Some(module) = self.module(&first.key.value, written) else {
            self.unknown_module(first, entries, written);
            return None;
        };
        let schema = module.schema;
        let label = label(schema.name, &first.value);
        let mut common = CommonKeys::default();
        let mut given = Vec::new();
        for entry in entries {
            if std::ptr::eq(entry, first) {
                continue;
            }
            let key = entry.key.value.as_str();
            // A module's own parameter is meant where it has one of that name.
            match schema.param(key) {
                Some(param) => given.push((param, entry)),
                None if COMMON.contains(&key) => common.entries.push(entry),
                None => self.unknown_key(entry, module, &label),
            }
        }
        let each = common.get("each").and_then(|entry| self.each(&entry.value, &label));
        self.item = each.is_some();
        self.any_item |= self.item;
        let span = Span { end: first.value.span.end.max(first.key.span.end), ..first.key.span };
        let subjects = self.subjects(first, schema, &label);
        let params = given
            .iter()
            .map(|(param, entry)| TaskParam {
                schema: param,
                key: entry.key.span,
                value: self
                    .argument(&entry.value, Some((&param.kind, &format!("`{}` of `{label}`", param.name)))),
            })
            .collect();
        let mut task = Task {
            module,
            module_name: match written {
                Written::Task => schema.name.into(),
                Written::Check => format!("{}{}", registry::CHECK_PREFIX, schema.name).into(),
            },
            span,
            place: self.sources.place(first.key.span).into(),
            id: None,
            subjects,
            params,
            when: Vec::new(),
            each,
            needs: Vec::new(),
            restarts: Vec::new(),
            reloads: Vec::new(),
            tags: Vec::new(),
            run_as: None,
            retries: 0,
            retry_delay: 0,
            timeout: 0,
            guard: 0,
            sensitive: false,
            label,
        };
        self.common(&mut task, &common);
        self.item = false;
        self.check_required(&task);
        self.compile_literal(&task);
        Some(task)
    }

    fn unknown_module(&mut self, first: &Entry, entries: &[Entry], written: Written) {
        let name = &first.key.value;
        let modules = self.modules(written);
        let what = if written == Written::Task { "module" } else { "check" };
        let mut diagnostic =
            Diagnostic::error(format!("unknown {what} `{name}`")).at(first.key.span, format!("not a {what}"));
        let later =
            entries.iter().find(|entry| modules.iter().any(|module| module.schema.name == entry.key.value));
        let near = nearest(name, modules.iter().map(|module| module.schema.name));
        diagnostic = match (ELSEWHERE.iter().find(|(key, _)| key == name), near, later) {
            (Some((_, hint)), ..) => diagnostic.hint(*hint),
            (None, Some(near), _) => diagnostic.did_you_mean(Some(near)),
            (None, None, Some(later)) => {
                diagnostic.hint(format!("the key that names the {what}, `{}`, comes first", later.key.value))
            }
            (None, None, None) => {
                let names: Vec<&str> = modules.iter().map(|module| module.schema.name).collect();
                diagnostic.hint(format!("there are {}", names.join(", ")))
            }
        };
        self.diagnostics.push(diagnostic);
    }

    fn unknown_key(&mut self, entry: &Entry, module: &Module, label: &str) {
        let key = &entry.key.value;
        let name = module.schema.name;
        let own: Vec<&str> = module.schema.params.iter().map(|param| param.name).collect();
        let elsewhere = ELSEWHERE.iter().map(|(elsewhere, _)| *elsewhere);
        let known = own.iter().copied().chain(COMMON.iter().copied());
        let near = nearest(key, known.chain(elsewhere)).unwrap_or(key);
        let mut diagnostic = Diagnostic::error(format!("unknown key `{key}` in task `{label}`"))
            .at(entry.key.span, format!("not a key of `{name}` tasks"));
        diagnostic = match ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == near) {
            Some((_, hint)) => diagnostic.hint(*hint),
            None if near != key => diagnostic.did_you_mean(Some(near)),
            None => {
                let own = if own.is_empty() { "none of its own".to_owned() } else { own.join(", ") };
                diagnostic.hint(format!("`{name}` takes {own}; every task takes {}", COMMON.join(", ")))
            }
        };
        self.diagnostics.push(diagnostic);
    }

    /// The subjects: one, or a list of them.
    fn subjects(&mut self, first: &Entry, schema: &'static cm_modules::Schema, label: &str) -> Vec<Argument> {
        let kind = &schema.subject.kind;
        let what = format!("`{}`", schema.name);
        // A module the subject of which is itself a list has one subject.
        if matches!(kind, Kind::List(_)) {
            return vec![self.argument(&first.value, Some((kind, &what)))];
        }
        match &first.value.value {
            Yaml::List(items) if items.is_empty() => {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{}` has no subject", schema.name))
                        .at(first.value.span, "an empty list makes no task"),
                );
                Vec::new()
            }
            Yaml::List(items) => {
                let what = format!("an item of `{label}`");
                items.iter().map(|item| self.argument(item, Some((kind, &what)))).collect()
            }
            _ => vec![self.argument(&first.value, Some((kind, &what)))],
        }
    }

    fn each(&mut self, node: &Node, label: &str) -> Option<Argument> {
        match &node.value {
            Yaml::List(_) | Yaml::Map(_) => Some(self.argument(node, None)),
            Yaml::Text(_) => {
                let (expression, uses) =
                    Expression::parse(node, self.scope(), self.sources, self.diagnostics);
                self.uses.extend(&uses);
                let expression = expression?;
                // Never printed, so the name of a template that prints it is not needed.
                let name = crate::template::Templates::file_name(self.name, "#each");
                Some(Argument { span: node.span, form: Form::Expression(expression, name) })
            }
            _ => {
                let message = format!("`each` of `{label}` wants a list or a map, not {}", node.described());
                self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
                None
            }
        }
    }

    fn when(&mut self, node: &Node, label: &str) -> Vec<When> {
        match &node.value {
            Yaml::Bool(flag) => vec![When::Always(*flag)],
            Yaml::List(items) => items.iter().flat_map(|item| self.when(item, label)).collect(),
            Yaml::Text(text) if matches!(text.as_str(), "yes" | "no" | "on" | "off") => {
                let flag = matches!(text.as_str(), "yes" | "on");
                let message = format!("`when` of `{label}` wants an expression, not the string {text:?}");
                self.diagnostics
                    .push(Diagnostic::error(message).at(node.span, "").hint(format!("write `{flag}`")));
                Vec::new()
            }
            Yaml::Text(_) => {
                let (expression, uses) =
                    Expression::parse(node, self.scope(), self.sources, self.diagnostics);
                self.uses.extend(&uses);
                expression.map(When::Expression).into_iter().collect()
            }
            _ => {
                let message = format!(
                    "`when` of `{label}` wants an expression that is true or false, not {}",
                    node.described()
                );
                self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
                Vec::new()
            }
        }
    }

    fn common(&mut self, task: &mut Task, common: &CommonKeys<'_>) {
        let label = task.label.clone();
        let what = |key: &str| format!("`{key}` of `{label}`");
        if let Some(entry) = common.get("id") {
            task.id = Some(self.argument(&entry.value, Some((&Kind::Text, &what("id")))));
        }
        if let Some(entry) = common.get("when") {
            // Without `item` where `each` is not there; with it otherwise: decided for each item.
            task.when = self.when(&entry.value, &label);
        }
        for (key, list) in
            [("needs", &mut task.needs), ("restarts", &mut task.restarts), ("reloads", &mut task.reloads)]
        {
            if let Some(entry) = common.get(key) {
                *list = self.references(&entry.value, &what(key));
            }
        }
        if let Some(entry) = common.get("tags") {
            task.tags = self.tags(&entry.value, &what("tags"));
        }
        if let Some(entry) = common.get("become") {
            task.run_as = self.run_as(&entry.value, &what("become"));
        }
        if let Some(entry) = common.get("retry") {
            self.retry(&entry.value, task);
        }
        if let Some(entry) = common.get("timeout") {
            task.timeout = self.seconds(&entry.value, &what("timeout")).unwrap_or(0);
        }
        if let Some(entry) = common.get("guard") {
            task.guard = self.guard(&entry.value, &label);
        }
        if let Some(entry) = common.get("sensitive") {
            self.diagnostics.extend(crate::literal::check(&entry.value, &Kind::Bool, &what("sensitive")));
            task.sensitive = entry.value.as_bool().unwrap_or(true);
        }
    }

    fn references(&mut self, node: &Node, what: &str) -> Vec<Reference> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            Yaml::Null => &[],
            _ => std::slice::from_ref(node),
        };
        let mut references = Vec::new();
        for item in items {
            let argument = self.argument(item, Some((&Kind::Text, what)));
            let text = match argument.form {
                Form::Literal { wire: Wire::Text(text), .. } => ReferenceText::Literal(text),
                Form::Template(name) | Form::Expression(_, name) => ReferenceText::Template(name),
                _ => continue,
            };
            references.push(Reference { span: item.span, text, targets: Vec::new() });
        }
        references
    }

    fn tags(&mut self, node: &Node, what: &str) -> Vec<String> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut tags = Vec::new();
        for item in items {
            self.diagnostics.extend(crate::literal::check(item, &Kind::Text, what));
            let Some(tag) = item.as_text() else { continue };
            if holds_template(item) || tag.is_empty() || tag.contains([',', ' ']) {
                self.diagnostics
                    .push(Diagnostic::error(format!("{what} are plain words")).at(item.span, "not a tag"));
            }
            tags.push(tag.to_owned());
        }
        tags
    }

    fn run_as(&mut self, node: &Node, what: &str) -> Option<Spanned<RunAs>> {
        let run_as = match &node.value {
            Yaml::Bool(true) => RunAs::Agent,
            Yaml::Bool(false) => RunAs::Login,
            Yaml::Text(text) if matches!(text.as_str(), "yes" | "no" | "on" | "off") => {
                self.diagnostics.extend(crate::literal::check(node, &Kind::Bool, what));
                return None;
            }
            Yaml::Text(name) if !holds_template(node) && !name.is_empty() => RunAs::User(name.clone()),
            _ => {
                let message = format!("{what} wants true, false or a user's name, not {}", node.described());
                self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
                return None;
            }
        };
        Some(Spanned::new(run_as, node.span))
    }

    fn retry(&mut self, node: &Node, task: &mut Task) {
        task.retry_delay = RETRY_DELAY;
        if let Some(times) = node.as_int() {
            match u16::try_from(times) {
                Ok(times) => task.retries = times,
                Err(_) => self.diagnostics.push(
                    Diagnostic::error(format!(
                        "`retry` of `{}` wants a whole number from 0 to 65535",
                        task.label
                    ))
                    .at(node.span, ""),
                ),
            }
            return;
        }
        let mut reader = MapReader::new(node, format!("`retry` of `{}`", task.label), self.diagnostics);
        // Within u16: bounded by the reader.
        task.retries =
            reader.int_between("times", 0, i64::from(u16::MAX)).map_or(0, |times| times.value as u16);
        let delay = reader.node("delay");
        reader.finish();
        if let Some(delay) = delay {
            let what = format!("`delay` of `{}`", task.label);
            task.retry_delay = self.seconds(delay, &what).unwrap_or(RETRY_DELAY);
        }
    }

    /// `connection`, or `{ connection: 90s }`.
    fn guard(&mut self, node: &Node, label: &str) -> u32 {
        if node.as_text() == Some("connection") {
            return GUARD;
        }
        if node.as_map().is_none() {
            let message = format!("`guard` of `{label}` wants connection, not {}", node.described());
            self.diagnostics.push(Diagnostic::error(message).at(node.span, "").hint(
                "write `guard: connection`, or `guard: { connection: 90s }` for another limit than 60s",
            ));
            return 0;
        }
        let mut reader = MapReader::new(node, format!("`guard` of `{label}`"), self.diagnostics);
        let limit = reader.node("connection");
        reader.finish();
        let what = format!("`connection` in `guard` of `{label}`");
        let Some(limit) = limit else { return GUARD };
        match self.seconds(limit, &what) {
            Some(seconds) if GUARD_BOUNDS.contains(&seconds) => seconds,
            Some(_) => {
                self.diagnostics.push(
                    Diagnostic::error(format!("{what} wants a time from 5s to 1h"))
                        .at(limit.span, "in this time the controller must come back over a new connection"),
                );
                GUARD
            }
            None => GUARD,
        }
    }

    /// A duration in whole seconds, rounded up.
    fn seconds(&mut self, node: &Node, what: &str) -> Option<u32> {
        match Duration::read(&node_to_wire(node)) {
            Ok(duration) if !node.is_null() => Some(duration.as_secs_f64().ceil() as u32),
            _ => {
                self.diagnostics.extend(crate::literal::check(node, &Kind::Duration, what));
                None
            }
        }
    }

    fn check_required(&mut self, task: &Task) {
        for param in task.module.schema.params.iter().filter(|param| param.required) {
            if !task.params.iter().any(|given| given.schema.name == param.name) {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{}` has no `{}`", task.label, param.name))
                        .at(task.span, format!("`{}` is missing: {}", param.name, param.kind.wanted())),
                );
            }
        }
    }

    /// Lets the module itself check a task that has no templates in it; contents are stood in for.
    fn compile_literal(&mut self, task: &Task) {
        if self.diagnostics.iter().any(|diagnostic| within(diagnostic, task)) {
            return;
        }
        let mut params = task.module.schema.constants();
        for param in &task.params {
            let Some(value) = stand_in(&param.value, &param.schema.kind) else { return };
            params.insert(param.schema.name.to_owned(), value);
        }
        for subject in &task.subjects {
            let Some(value) = stand_in(subject, &task.module.schema.subject.kind) else { return };
            params.insert(task.module.schema.subject.name.to_owned(), value);
            if let Err(error) = task.module.resource(&params) {
                let place = task
                    .params
                    .iter()
                    .find(|param| param.schema.name == error.param)
                    .map_or(subject.span, |param| param.value.span);
                let schema = task.module.schema;
                let message = if error.param == schema.subject.name {
                    format!("`{}` {}", schema.name, error.message)
                } else {
                    format!("`{}` of `{}` {}", error.param, task.label, error.message)
                };
                self.diagnostics.push(Diagnostic::error(message).at(place, ""));
                return;
            }
        }
    }
}

/// Whether a diagnostic already speaks of this task, as far as can be told from its place.
fn within(diagnostic: &Diagnostic, task: &Task) -> bool {
    let Some(label) = &diagnostic.primary else { return false };
    let spans = task.params.iter().map(|param| param.value.span).chain(task.subjects.iter().map(|s| s.span));
    spans.chain([task.span]).any(|span| {
        span.file == label.span.file && span.start <= label.span.start && label.span.end <= span.end
    })
}

/// The value of a literal, with empty contents for files; none where it is not literal.
fn stand_in(argument: &Argument, kind: &Kind) -> Option<Wire> {
    let literal = argument.literal();
    Some(match kind {
        // What a template gives does not matter to the module, only that there is a content.
        Kind::Content | Kind::Template | Kind::Source => {
            Wire::Content(ContentRef { digest: Digest::of(b""), size: 0 })
        }
        Kind::SourceTree => Wire::Tree(Vec::new()),
        _ => literal?.clone(),
    })
}

/// What a task is called before it is rendered.
fn label(module: &str, subject: &Node) -> String {
    let shown = match &subject.value {
        Yaml::List(items) => items.iter().filter_map(Node::raw).collect::<Vec<_>>().join(","),
        _ => subject.raw().unwrap_or_default().to_owned(),
    };
    let shown = shown.lines().next().unwrap_or_default();
    let cut: String = shown.chars().take(60).collect();
    let dots = if cut.len() < shown.len() { "…" } else { "" };
    if cut.is_empty() { module.to_owned() } else { format!("{module}:{cut}{dots}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_every_module_can_be_written() {
        for module in registry::MODULES.iter().chain(registry::CHECKS) {
            let schema = module.schema;
            assert!(schema.param(schema.name).is_none(), "`{}` would be the same key twice", schema.name);
            assert!(!COMMON.contains(&schema.name), "`{}` is a key of every task", schema.name);
        }
    }
}
