//! From a role's tasks to rendered ones: conditions decided, lists gone through, parameters typed, contents hashed.

use std::{collections::BTreeMap, sync::Arc};

use cm_modules::{Kind, Params, Touches};
use cm_roles::{Argument, RoleFiles, Task, TaskList, Templates, When, value};
use cm_syntax::{Diagnostic, Diagnostics, Span};
use cm_wire::{Digest, Value as Wire};
use minijinja::{Value, value::ValueKind};

use super::{Request, instances::Instance, prepared::PreparedTask};
use crate::{
    content::{ContentSource, Unreadable},
    project::Inner,
    scope::HostScope,
};

/// A task of one host before it is merged with others.
pub(super) struct Draft<'a> {
    /// The instance of its role, by place.
    pub instance: usize,
    pub list: TaskList,
    /// Its place among the role's tasks.
    pub index: usize,
    /// The place of its subject among the task's subjects.
    pub subject: usize,
    pub task: &'a Task,
    pub rendered: Arc<Rendered>,
    /// What its references say where a template says it, in the order needs, restarts, reloads.
    pub references: Vec<Option<String>>,
    /// Parameters are missing that only a host decides: not to be compared.
    pub partial: bool,
}

/// Parameters, identity and what it touches.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// `module:subject`.
    pub name: String,
    /// What `id:` says.
    pub id: Option<String>,
    pub params: Params,
    pub touches: Touches,
    pub contents: Vec<(Digest, ContentSource)>,
    /// A secret is in it in another form, so that nothing of it can be shown.
    pub changes_secrets: bool,
}

/// The drafts of a host, and which tasks `when` left out.
pub(super) struct Drafts<'a> {
    pub tasks: Vec<Draft<'a>>,
    /// Instance and module's name of tasks that are not there.
    pub dropped: Vec<(usize, Arc<str>)>,
}

/// Renders all tasks of all instances.
pub(super) fn tasks<'a>(
    scope: &Arc<HostScope>,
    instances: &'a [Instance],
    request: &Request<'_>,
) -> Result<Drafts<'a>, Diagnostics> {
    let mut drafts = Drafts { tasks: Vec::new(), dropped: Vec::new() };
    let mut diagnostics = Diagnostics::new();
    let lists: &[TaskList] = match request.list {
        TaskList::Cleanup => &[TaskList::Cleanup],
        TaskList::Tasks | TaskList::Verify => &[TaskList::Tasks, TaskList::Verify],
    };
    for list in lists {
        for (place, instance) in instances.iter().enumerate() {
            // Roles that a role needs may be needed by others, too: only those that are named are cleaned up.
            let named =
                request.roles.is_none_or(|roles| roles.iter().any(|role| **role == *instance.role.name));
            if *list == TaskList::Cleanup && !named {
                continue;
            }
            for (index, task) in instance.role.list(*list).iter().enumerate() {
                let mut renderer =
                    TaskRenderer { scope, instance, place, list: *list, index, task, drafts: &mut drafts };
                if let Err(found) = renderer.render() {
                    diagnostics.extend(found);
                }
            }
        }
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(drafts) }
}

struct TaskRenderer<'r, 'a> {
    scope: &'r Arc<HostScope>,
    instance: &'a Instance,
    place: usize,
    list: TaskList,
    index: usize,
    task: &'a Task,
    drafts: &'r mut Drafts<'a>,
}

impl TaskRenderer<'_, '_> {
    fn render(&mut self) -> Result<(), Vec<Diagnostic>> {
        self.scope.forget();
        if self.task.when.iter().any(|when| matches!(when, When::Always(false))) {
            self.drop_task();
            return Ok(());
        }
        if self.task.is_literal() {
            let project = &self.scope.project;
            let slot = project.prepared.slot(&self.instance.role.name, self.list, self.index);
            let context = Value::UNDEFINED;
            if let Some(slot) = slot
                && !self.task.params.iter().any(|param| param.schema.kind == Kind::Template)
            {
                let prepared = slot.get_or_init(|| self.prepare(&context));
                let context = self.instance.scope.context();
                for (subject, rendered) in prepared.as_ref().map_err(Clone::clone)? {
                    self.push(*subject, rendered.clone(), &context)?;
                }
                return Ok(());
            }
        }
        match &self.task.each {
            None => {
                let context = self.instance.scope.context();
                self.render_with(&context)
            }
            Some(each) => {
                let items = self.items(each)?;
                if items.is_empty() {
                    self.drop_task();
                }
                let mut problems = Vec::new();
                for item in items {
                    let context = self.instance.scope.context_with(item);
                    if let Err(found) = self.render_with(&context) {
                        problems.extend(found);
                    }
                }
                if problems.is_empty() { Ok(()) } else { Err(problems) }
            }
        }
    }

    fn drop_task(&mut self) {
        self.drafts.dropped.push((self.place, self.task.module_name.clone()));
    }

    /// The values `each` goes through: the items of a list, or `{key, value}` for each entry of a map.
    fn items(&self, each: &Argument) -> Result<Vec<Value>, Vec<Diagnostic>> {
        let context = self.instance.scope.context();
        let items =
            each.evaluate(self.templates(), &context).map_err(|diagnostic| self.scope.explain(diagnostic))?;
        let wrong = || {
            let message = format!(
                "`each` of `{}` wants a list or a map, not {}",
                self.task.label,
                value::described(&items)
            );
            vec![Diagnostic::error(message).at(each.span, "")]
        };
        match items.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                items.try_iter().map(Iterator::collect).map_err(|_| wrong())
            }
            ValueKind::Map => {
                let keys = items.try_iter().map_err(|_| wrong())?;
                let entry = |key: Value| {
                    let value = items.get_item(&key).unwrap_or_default();
                    Value::from_pairs([("key", key), ("value", value)])
                };
                Ok(keys.map(entry).collect())
            }
            _ => Err(wrong()),
        }
    }

    fn templates(&self) -> &Templates {
        self.scope.project.roles.templates()
    }

    fn render_with(&mut self, context: &Value) -> Result<(), Vec<Diagnostic>> {
        for when in &self.task.when {
            let When::Expression(expression) = when else { continue };
            let value = expression
                .evaluate(context.clone(), &self.scope.project.sources)
                .map_err(|diagnostic| self.scope.explain(diagnostic))?;
            match value.kind() {
                ValueKind::Bool if value.is_true() => {}
                ValueKind::Bool => {
                    self.drop_task();
                    return Ok(());
                }
                _ => {
                    let message =
                        format!("`when` of `{}` gives {}", self.task.label, value::described(&value));
                    let place = expression.origin().whole(&self.scope.project.sources);
                    let hint = match value.as_str() {
                        Some("true" | "false" | "yes" | "no" | "on" | "off") => {
                            "where it comes from, write true or false without quotes"
                        }
                        _ => "compare it: `x != \"\"`, `x is defined`, `x | length > 0`",
                    };
                    return Err(vec![
                        Diagnostic::error(message).at(place, "true or false is wanted").hint(hint),
                    ]);
                }
            }
        }
        for (subject, rendered) in self.prepare(context)? {
            self.push(subject, rendered, context)?;
        }
        Ok(())
    }

    /// Renders parameters for every subject.
    fn prepare(&self, context: &Value) -> PreparedTask {
        let mut problems = Vec::new();
        let values = ValueRenderer {
            project: &self.scope.project,
            files: &self.instance.role.files,
            role: &self.instance.role.name,
            task: self.task,
            context,
        };
        let mut contents = Vec::new();
        let mut changes_secrets = false;
        let mut params = self.task.module.schema.constants();
        if let Some(custom) = self.task.module.schema.custom {
            let program = custom.declaration.program.digest;
            contents.push((program, ContentSource::File(custom.source.clone())));
        }
        for param in &self.task.params {
            match values.render(&param.value, &param.schema.kind, param.schema.name, &mut contents) {
                Ok(Wire::Null) => {}
                Ok(value) => {
                    changes_secrets |= param.value.changes_secrets(self.templates());
                    if let (Kind::Template, Some(file)) = (param.schema.kind, param.value.literal_text()) {
                        let file = Templates::file_name(&self.instance.role.name, file);
                        changes_secrets |= self.templates().changes_secrets(&file);
                    }
                    params.insert(param.schema.name.to_owned(), value);
                }
                Err(diagnostic) => problems.extend(self.scope.explain(diagnostic)),
            }
        }
        let id = match &self.task.id {
            None => None,
            Some(id) => match values.render(id, &Kind::Text, "id", &mut contents) {
                Ok(Wire::Text(id)) => Some(id),
                Ok(_) => None,
                Err(diagnostic) => {
                    problems.extend(self.scope.explain(diagnostic));
                    None
                }
            },
        };
        let schema = self.task.module.schema;
        let mut rendered = Vec::with_capacity(self.task.subjects.len());
        for (place, subject) in self.task.subjects.iter().enumerate() {
            let subjects = match self.subjects(&values, subject, &mut contents) {
                Ok(subjects) => subjects,
                Err(diagnostic) => {
                    problems.extend(self.scope.explain(diagnostic));
                    continue;
                }
            };
            if !problems.is_empty() {
                continue;
            }
            changes_secrets |= subject.changes_secrets(self.templates());
            let last_subject = place + 1 == self.task.subjects.len();
            let mut subjects = subjects.into_iter().peekable();
            while let Some(value) = subjects.next() {
                // The last one has what all have had.
                let last = last_subject && subjects.peek().is_none();
                let mut params = if last { std::mem::take(&mut params) } else { params.clone() };
                // Paths are in their one spelling already.
                let shown = cm_roles::subject_text(Some(&value), &Kind::Text).unwrap_or_default();
                params.insert(schema.subject.name.to_owned(), value);
                match self.task.module.resource(&params) {
                    Ok(resource) => {
                        let name = [&self.task.module_name, ":", &shown].concat();
                        let touches = resource.touches();
                        let contents = if last { std::mem::take(&mut contents) } else { contents.clone() };
                        let id = id.clone();
                        let done = Rendered { name, id, touches, params, contents, changes_secrets };
                        rendered.push((place, Arc::new(done)));
                    }
                    Err(error) => problems.push(param_error(self.task, subject.span, &error)),
                }
            }
        }
        if problems.is_empty() { Ok(rendered) } else { Err(problems) }
    }

    /// A subject that renders to a list stands for each of its items.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    fn subjects(
        &self,
        values: &ValueRenderer<'_>,
        subject: &Argument,
        contents: &mut Vec<(Digest, ContentSource)>,
    ) -> Result<Vec<Wire>, Diagnostic> {
        let schema = self.task.module.schema;
        let kind = &schema.subject.kind;
        if let cm_roles::Form::Expression(..) = &subject.form
            && !matches!(kind, Kind::List(_))
        {
            let value = subject.evaluate(self.templates(), values.context)?;
            if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
                let items = value
                    .try_iter()
                    .map_err(|error| Diagnostic::error(error.to_string()).at(subject.span, ""))?;
                return items.map(|item| values.convert(&item, kind, schema.name, subject.span)).collect();
            }
            if value::is_omit(&value) {
                return Ok(Vec::new());
            }
        }
        Ok(vec![values.render(subject, kind, schema.name, contents)?])
    }

    fn push(
        &mut self,
        subject: usize,
        rendered: Arc<Rendered>,
        context: &Value,
    ) -> Result<(), Vec<Diagnostic>> {
        let task = self.task;
        let mut references = Vec::new();
        for reference in task.needs.iter().chain(&task.restarts).chain(&task.reloads) {
            references.push(match &reference.text {
                cm_roles::ReferenceText::Literal(_) => None,
                cm_roles::ReferenceText::Template(name) => {
                    let text = self.templates().render(name, context.clone());
                    Some(text.map_err(|diagnostic| self.scope.explain(diagnostic))?)
                }
            });
        }
        self.drafts.tasks.push(Draft {
            instance: self.place,
            list: self.list,
            index: self.index,
            subject,
            task,
            rendered,
            references,
            partial: false,
        });
        Ok(())
    }
}

/// A module's complaint at the parameter's place.
pub(super) fn param_error(task: &Task, subject: Span, error: &cm_modules::ParamError) -> Diagnostic {
    let place = task
        .params
        .iter()
        .find(|param| param.schema.name == error.param)
        .map_or(subject, |param| param.value.span);
    let schema = task.module.schema;
    let message = if error.param == schema.subject.name {
        format!("`{}` {}", schema.name, error.message)
    } else {
        format!("`{}` of `{}` {}", error.param, task.label, error.message)
    };
    Diagnostic::error(message).at(place, "")
}

/// Renders values of one task.
struct ValueRenderer<'a> {
    project: &'a Inner,
    files: &'a RoleFiles,
    role: &'a str,
    task: &'a Task,
    context: &'a Value,
}

impl ValueRenderer<'_> {
    fn templates(&self) -> &Templates {
        self.project.roles.templates()
    }

    fn what(&self, name: &str) -> String {
        format!("`{name}` of `{}`", self.task.label)
    }

    /// Renders an argument to what its parameter takes; nothing where it renders to `omit` or none.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    fn render(
        &self,
        argument: &Argument,
        kind: &Kind,
        name: &str,
        contents: &mut Vec<(Digest, ContentSource)>,
    ) -> Result<Wire, Diagnostic> {
        match kind {
            Kind::Content => {
                let Some(text) = self.text(argument, kind, name)? else { return Ok(Wire::Null) };
                let (content, source) = self.project.contents.text(&text);
                contents.push((content.digest, source));
                Ok(Wire::Content(content))
            }
            Kind::Template => {
                let Some(file) = self.text(argument, kind, name)? else { return Ok(Wire::Null) };
                let template = Templates::file_name(self.role, &file);
                if !self.templates().contains(&template) {
                    return Err(self.no_file(&file, "templates", argument.span));
                }
                let text = self.templates().render(&template, self.context.clone())?;
                let (content, source) = self.project.contents.text(&text);
                contents.push((content.digest, source));
                Ok(Wire::Content(content))
            }
            Kind::Source => {
                let Some(file) = self.text(argument, kind, name)? else { return Ok(Wire::Null) };
                let Some(found) = self.files.find("files", &file) else {
                    return Err(self.no_file(&file, "files", argument.span));
                };
                let (content, source) =
                    self.project.contents.file(&found).map_err(|error| unreadable(&error, argument.span))?;
                contents.push((content.digest, source));
                Ok(Wire::Content(content))
            }
            Kind::SourceTree => {
                let Some(folder) = self.text(argument, kind, name)? else { return Ok(Wire::Null) };
                let folder = folder.trim_end_matches('/');
                let folder = if folder == "." { "" } else { folder };
                if !folder.is_empty()
                    && self.files.find("files", folder).is_none()
                    && self.files.shipped_below(folder).is_empty()
                {
                    return Err(self.no_file(folder, "files", argument.span));
                }
                let tree = self.project.contents.tree(self.files, folder);
                let tree = tree.map_err(|error| unreadable(&error, argument.span))?;
                contents.extend(tree.contents.iter().cloned());
                Ok(Wire::Tree(tree.entries.clone()))
            }
            Kind::Path => Ok(self.text(argument, kind, name)?.map_or(Wire::Null, normal_path)),
            Kind::Text | Kind::Choice(_) => {
                Ok(self.text(argument, kind, name)?.map_or(Wire::Null, Wire::Text))
            }
            Kind::List(inner) => match &argument.form {
                cm_roles::Form::List(items) => {
                    let items: Result<Vec<Wire>, _> =
                        items.iter().map(|item| self.render(item, inner, name, contents)).collect();
                    // An item that renders to `omit` is not there.
                    Ok(Wire::List(items?.into_iter().filter(|item| *item != Wire::Null).collect()))
                }
                cm_roles::Form::Literal { wire, .. } => Ok(wire.clone()),
                _ => {
                    let value = argument.evaluate(self.templates(), self.context)?;
                    self.convert(&value, kind, name, argument.span)
                }
            },
            Kind::Map(inner) => match &argument.form {
                cm_roles::Form::Map(entries) => {
                    let mut map = BTreeMap::new();
                    for (key, item) in entries {
                        let value = self.render(item, inner, name, contents)?;
                        if value != Wire::Null {
                            map.insert(key.clone(), value);
                        }
                    }
                    Ok(Wire::Map(map))
                }
                cm_roles::Form::Literal { wire, .. } => Ok(wire.clone()),
                _ => {
                    let value = argument.evaluate(self.templates(), self.context)?;
                    self.convert(&value, kind, name, argument.span)
                }
            },
            Kind::Bool | Kind::Int { .. } | Kind::Mode | Kind::Duration | Kind::Any => {
                if let Some(wire) = argument.literal() {
                    return Ok(wire.clone());
                }
                let value = argument.evaluate(self.templates(), self.context)?;
                self.convert(&value, kind, name, argument.span)
            }
        }
    }

    /// The text an argument prints; none where it renders to `omit` or none.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    fn text(&self, argument: &Argument, kind: &Kind, name: &str) -> Result<Option<String>, Diagnostic> {
        match argument.print(self.templates(), self.context)? {
            Ok(text) => Ok(Some(text)),
            Err(value) if value::is_omit(&value) || value.is_none() => Ok(None),
            Err(value) => Err(self.wrong(&value, kind, name, argument.span)),
        }
    }

    /// A value of a template as what a parameter takes.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    fn convert(&self, value: &Value, kind: &Kind, name: &str, span: Span) -> Result<Wire, Diagnostic> {
        let wrong = || self.wrong(value, kind, name, span);
        if value::is_omit(value) || value.is_none() {
            return Ok(Wire::Null);
        }
        match kind {
            Kind::Text | Kind::Path | Kind::Choice(_) | Kind::Content => match value.kind() {
                ValueKind::String if *kind == Kind::Path => Ok(normal_path(value.to_string())),
                ValueKind::String => Ok(Wire::Text(value.to_string())),
                ValueKind::Number => Ok(Wire::Text(value.to_string())),
                ValueKind::Bool => Ok(Wire::Text(value.is_true().to_string())),
                _ => Err(wrong()),
            },
            Kind::Bool if value.kind() != ValueKind::Bool => Err(wrong()),
            Kind::Int { min, max } => match value::to_wire(value) {
                Ok(Wire::Int(number)) if (*min..=*max).contains(&number) => Ok(Wire::Int(number)),
                _ => Err(wrong()),
            },
            Kind::List(inner) => match value.kind() {
                ValueKind::Seq | ValueKind::Iterable => {
                    let items = value.try_iter().map_err(|_| wrong())?;
                    let items: Result<Vec<Wire>, _> =
                        items.map(|item| self.convert(&item, inner, name, span)).collect();
                    Ok(Wire::List(items?.into_iter().filter(|item| *item != Wire::Null).collect()))
                }
                _ => self.convert(value, inner, name, span),
            },
            Kind::Map(inner) if value.kind() == ValueKind::Map => {
                let mut map = BTreeMap::new();
                for key in value.try_iter().map_err(|_| wrong())? {
                    let item = value.get_item(&key).map_err(|_| wrong())?;
                    map.insert(key.to_string(), self.convert(&item, inner, name, span)?);
                }
                Ok(Wire::Map(map))
            }
            Kind::Map(_) => Err(wrong()),
            _ => value::to_wire(value).map_err(|_| wrong()),
        }
    }

    fn wrong(&self, value: &Value, kind: &Kind, name: &str, span: Span) -> Diagnostic {
        let message = format!("{} wants {}, not {}", self.what(name), kind.wanted(), value::described(value));
        let diagnostic = Diagnostic::error(message).at(span, "this is what it renders to");
        match (kind, value.as_str()) {
            (Kind::Bool | Kind::Int { .. }, Some(_)) => {
                diagnostic.hint("a value that is one {{ expression }} and nothing else keeps its type; text does not become another")
            }
            _ => diagnostic,
        }
    }

    fn no_file(&self, name: &str, below: &str, span: Span) -> Diagnostic {
        let known = self.files.list(below, below == "files");
        let near = cm_syntax::nearest(name, known.iter().map(String::as_str));
        let message = format!("there is no `{}/{below}/{name}`", self.files.shown());
        Diagnostic::error(message).at(span, "this is what it renders to").did_you_mean(near)
    }
}

/// The path without superfluous slashes, so that one path has one spelling; the module says what is wrong with others.
pub(super) fn normal_path(text: String) -> Wire {
    let normal =
        text.starts_with('/') && !text.ends_with('/') && !text.contains("//") && !text.contains("/.");
    if normal {
        return Wire::Text(text);
    }
    match cm_modules::AbsolutePath::parse(&text) {
        Ok(path) => Wire::Text(path.0.to_string_lossy().into_owned()),
        Err(_) => Wire::Text(text),
    }
}

fn unreadable(error: &Unreadable, span: Span) -> Diagnostic {
    let text = error.error.to_string();
    let cause = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    Diagnostic::error(format!("cannot read {}", error.path.display()))
        .at(span, "wanted here")
        .caused_by(cause)
}
