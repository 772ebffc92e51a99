//! Templates in the entries of hosts: `"{{ n }}"` of a range, `"{{ name }}"` of any host.
//!
//! What they see:
//! - `n`: what the range stands for in this host's name, a whole number (or the letter, for `[a:c]`); `part`: the same as
//!   text, as it stands in the name with its zeros (`"01"`); `index`: counted from 0.
//! - `n2`, `part2`, `index2` and so on for further ranges in one name.
//! - `name`: the name of the host.
//!
//! A string that is one `{{ expression }}` and nothing else keeps the expression's type: `"{{ n + 8000 }}"` is a number.
//! An undefined name is an error. In `vars`, a template that names none of `n`, `part`, `index` is left as it is: it is
//! for the plan, which knows facts and secrets.

use std::collections::BTreeMap;

use cm_syntax::{Diagnostic, Entry, Node, Sources, Span, Yaml, nearest};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior, Value};

use crate::range::Expanded;
use crate::settings::is_template;

/// Whether templates that do not name the range are left alone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// `address` and settings: everything is filled in here.
    Everything,
    /// `vars`: only what names `n`, `part` or `index`.
    Ranges,
}

/// Makes the environment the templates of one file are compiled in.
pub(crate) fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // Building fails for impossible delimiters alone, and these are the usual ones.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_debug(true);
    environment
}

/// A value compiled once, to be filled in for each host of a range.
pub(crate) struct Prepared<'e, 'a> {
    node: &'a Node,
    form: Form<'e, 'a>,
}

enum Form<'e, 'a> {
    Fixed,
    Expression { expression: Expression<'e, 'a>, offset: usize },
    Template(Template<'e, 'a>),
    List(Vec<Prepared<'e, 'a>>),
    Map(Vec<(&'a Entry, Prepared<'e, 'a>)>),
}

/// What templates of one host see.
pub(crate) struct Names(Value);

impl Names {
    pub(crate) fn new(host: &Expanded) -> Self {
        let mut names = BTreeMap::from([("name".to_owned(), Value::from(host.name.as_str()))]);
        for (at, part) in host.parts.iter().enumerate() {
            let suffix = if at == 0 { String::new() } else { (at + 1).to_string() };
            let n = part.number.map_or_else(|| Value::from(part.text.as_str()), Value::from);
            names.insert(format!("n{suffix}"), n);
            names.insert(format!("part{suffix}"), Value::from(part.text.as_str()));
            names.insert(format!("index{suffix}"), Value::from(part.index));
        }
        Self(Value::from(names))
    }

    /// Names that are already values.
    pub(crate) fn of(names: BTreeMap<String, Value>) -> Self {
        Self(Value::from(names))
    }

    fn list(&self) -> Vec<String> {
        self.0.try_iter().map(|names| names.map(|name| name.to_string()).collect()).unwrap_or_default()
    }
}

/// Compiles the templates of a value.
pub(crate) fn prepare<'e, 'a>(
    environment: &'e Environment<'a>,
    sources: &Sources,
    node: &'a Node,
    scope: Scope,
) -> Result<Prepared<'e, 'a>, Box<Diagnostic>> {
    let form = match &node.value {
        Yaml::Text(text) if is_template(text) => compile(environment, sources, node, text, scope)?,
        Yaml::List(items) if items.iter().any(holds_template) => {
            let items = items.iter().map(|item| prepare(environment, sources, item, scope));
            Form::List(items.collect::<Result<_, _>>()?)
        }
        Yaml::Map(entries) if entries.iter().any(|entry| holds_template(&entry.value)) => {
            let entries =
                entries.iter().map(|entry| Ok((entry, prepare(environment, sources, &entry.value, scope)?)));
            Form::Map(entries.collect::<Result<_, Box<Diagnostic>>>()?)
        }
        _ => Form::Fixed,
    };
    Ok(Prepared { node, form })
}

fn holds_template(node: &Node) -> bool {
    match &node.value {
        Yaml::Text(text) => is_template(text),
        Yaml::List(items) => items.iter().any(holds_template),
        Yaml::Map(entries) => entries.iter().any(|entry| holds_template(&entry.value)),
        _ => false,
    }
}

fn compile<'e, 'a>(
    environment: &'e Environment<'a>,
    sources: &Sources,
    node: &'a Node,
    text: &'a str,
    scope: Scope,
) -> Result<Form<'e, 'a>, Box<Diagnostic>> {
    let ours = |names: std::collections::HashSet<String>| {
        scope == Scope::Everything || names.iter().any(|name| names_a_range(name))
    };
    if let Some((inside, offset)) = lone_expression(text)
        && let Ok(expression) = environment.compile_expression(inside)
    {
        let form = Form::Expression { offset, expression };
        let Form::Expression { expression, .. } = &form else { return Ok(Form::Fixed) };
        return Ok(if ours(expression.undeclared_variables(false)) { form } else { Form::Fixed });
    }
    match environment.template_from_str(text) {
        Ok(template) if ours(template.undeclared_variables(false)) => Ok(Form::Template(template)),
        Ok(_) => Ok(Form::Fixed),
        Err(error) => Err(Box::new(explain(&error, sources, node, 0, &[]))),
    }
}

fn names_a_range(name: &str) -> bool {
    ["n", "part", "index"].iter().any(|base| {
        name.strip_prefix(base).is_some_and(|rest| {
            rest.is_empty() || (!rest.starts_with('0') && rest.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

/// The inside of `{{ … }}` when the text holds nothing else, and where it begins. `{{ a }}-{{ b }}` is told apart by its
/// inside not being an expression.
fn lone_expression(text: &str) -> Option<(&str, usize)> {
    let start = text.len() - text.trim_start().len();
    let trimmed = text.trim();
    let inside = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    let lead = usize::from(inside.starts_with('-'));
    let inside = &inside[lead..];
    let inside = inside.strip_suffix('-').unwrap_or(inside);
    Some((inside, start + 2 + lead))
}

impl Prepared<'_, '_> {
    /// Fills in the templates for one host.
    pub(crate) fn fill(&self, names: &Names, sources: &Sources) -> Result<Node, Box<Diagnostic>> {
        let node = self.node;
        let value = match &self.form {
            Form::Fixed => return Ok(node.clone()),
            Form::Expression { expression, offset } => {
                let fail = |error: &Error| Box::new(explain(error, sources, node, *offset, &names.list()));
                let value = expression.eval(&names.0).map_err(|error| fail(&error))?;
                if value.is_undefined() {
                    return Err(fail(&Error::from(ErrorKind::UndefinedError)));
                }
                to_node(&value, node.span).map_err(|error| fail(&error))?.value
            }
            Form::Template(template) => {
                let text = template
                    .render(&names.0)
                    .map_err(|error| Box::new(explain(&error, sources, node, 0, &names.list())))?;
                Yaml::Text(text)
            }
            Form::List(items) => {
                let items = items.iter().map(|item| item.fill(names, sources));
                Yaml::List(items.collect::<Result<_, _>>()?)
            }
            Form::Map(entries) => {
                let entries = entries.iter().map(|(entry, value)| {
                    Ok(Entry { key: entry.key.clone(), value: value.fill(names, sources)? })
                });
                Yaml::Map(entries.collect::<Result<_, Box<Diagnostic>>>()?)
            }
        };
        Ok(Node::new(node.span, value))
    }
}

fn to_node(value: &Value, span: Span) -> Result<Node, Error> {
    let yaml = match value.kind() {
        ValueKind::None => Yaml::Null,
        ValueKind::Bool => Yaml::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(whole) if value.is_integer() => Yaml::Int(whole),
            _ => Yaml::Float(f64::try_from(value.clone())?),
        },
        ValueKind::String => Yaml::Text(value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            Yaml::List(value.try_iter()?.map(|item| to_node(&item, span)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let entries = value.try_iter()?.map(|key| {
                let item = value.get_item(&key)?;
                let key = cm_syntax::Spanned::new(key.to_string(), span);
                Ok(Entry { key, value: to_node(&item, span)? })
            });
            Yaml::Map(entries.collect::<Result<_, Error>>()?)
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("a {kind} cannot be written as YAML"),
            ));
        }
    };
    Ok(Node::new(span, yaml))
}

fn explain(error: &Error, sources: &Sources, node: &Node, offset: usize, names: &[String]) -> Diagnostic {
    let text = node.as_text().unwrap_or_default();
    let range = error.range().map(|range| range.start + offset..range.end + offset);
    let range = range.filter(|range| !range.is_empty() && text.get(range.clone()).is_some());
    let lone = lone_expression(text).map(|(inside, start)| {
        let lead = inside.len() - inside.trim_start().len();
        start + lead..start + lead + inside.trim().len()
    });
    if error.kind() == ErrorKind::UndefinedError {
        // Of `n.a.b` the engine marks `.a.b`; a person looks for the whole.
        let range = range.or(lone).map(|range| {
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            let before = text.get(..range.start).unwrap_or_default();
            match text.get(range.clone()).is_some_and(|marked| marked.starts_with('.')) {
                true => before.trim_end_matches(word).len()..range.end,
                false => range,
            }
        });
        let name = range.clone().and_then(|range| text.get(range)).unwrap_or_default().trim();
        let span = range.clone().map_or(node.span, |range| node.span_within(sources, range));
        let diagnostic = Diagnostic::error(format!("`{name}` is undefined in this template"))
            .at(span, "not known here")
            .did_you_mean(nearest(name, names.iter().map(String::as_str)));
        return match names {
            [only] => diagnostic.hint(format!(
                "only `{only}` is known here; `n`, `part` and `index` belong to ranges such as \"web[01:16]\""
            )),
            _ => diagnostic.hint(format!(
                "known here: {}",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )),
        };
    }
    let span = range.map_or(node.span, |range| node.span_within(sources, range));
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Diagnostic::error("this template cannot be filled in").at(span, reason)
}
