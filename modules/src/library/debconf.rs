//! `debconf`: answers to the questions that packages ask while they are installed.

use cm_wire::{Change, Value};

use super::presence::State;
use crate::{
    Class, Context, Effect, Kind, Module, Param, ParamError, Params, Problem, Resource, Seen, Thing, Touches,
    choice, node::SettingKind, params,
};

choice! {
    /// The type of a question (debconf-devel(7)).
    pub enum QuestionType {
        /// A line of text.
        String = "string",
        /// `true` or `false`.
        Boolean = "boolean",
        /// One of several.
        Select = "select",
        /// Some of several, parted by commas.
        Multiselect = "multiselect",
        /// A password.
        Password = "password",
        /// A text to be read.
        Note = "note",
        /// A text without an answer.
        Text = "text",
        /// The title of others.
        Title = "title",
    }
}

params! {
    /// The answer to a question of a package, given before it is asked: `apt` installs without asking, and
    /// `dpkg-reconfigure` finds it. A task comes before those that install its package. An answer that
    /// differs later does not configure the package again by itself.
    pub struct Debconf = "debconf" {
        /// The question, such as `postfix/main_mailer_type`.
        subject question: Question,
        /// The package that asks; the first part of the question's name where it is not given.
        package: Option<Question>,
        /// `present`, or `absent`: not answered.
        state: State = State::Present,
        /// The type of the question.
        r#type: Option<QuestionType>,
        /// The answer; `true` and `false` for a boolean. That of a `password` is never shown.
        value: Option<Value>,
    }
}

/// The name of a question or of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question(pub String);

impl Param for Question {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        if name.is_empty() || name.starts_with(['#', '-']) {
            return Err(format!("{name:?} is not a name such as `postfix/mailname`"));
        }
        match name.chars().find(|c| c.is_whitespace() || c.is_control() || *c == ',') {
            Some(wrong) => Err(format!("{name:?} holds {wrong:?}; a name has no blanks and no commas")),
            None => Ok(Self(name)),
        }
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Debconf::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = Debconf::from_params(params)?;
    let question = task.question.0;
    let package = match task.package {
        Some(package) => package.0,
        None => match question.split_once('/') {
            Some((package, _)) if !package.is_empty() && package != "shared" => package.to_owned(),
            _ => {
                return Err(ParamError::new(
                    "package",
                    "is required: the question does not name its package",
                ));
            }
        },
    };
    if package.contains('/') {
        return Err(ParamError::new("package", format!("{package:?} is not the name of a package")));
    }
    if task.state == State::Absent {
        for (name, given) in [("type", task.r#type.is_some()), ("value", task.value.is_some())] {
            if given {
                return Err(ParamError::new(name, "cannot be given for an answer that is to be absent"));
            }
        }
        return Ok(Box::new(Wanted { package, question, answer: None }));
    }
    let kind = task
        .r#type
        .ok_or_else(|| ParamError::new("type", format!("is required ({})", QuestionType::KIND.wanted())))?;
    let value = task.value.ok_or_else(|| ParamError::new("value", "is required (a string)"))?;
    let value = answer(kind, &value).map_err(|message| ParamError::new("value", message))?;
    Ok(Box::new(Wanted { package, question, answer: Some((kind, value)) }))
}

/// The answer as debconf keeps it.
fn answer(kind: QuestionType, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::List(items) if kind == QuestionType::Multiselect => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_text).collect();
            items.ok_or("wants a list of strings")?.join(", ")
        }
        other => return Err(format!("wants a string, not {}", other.kind())),
    };
    if kind == QuestionType::Boolean && text != "true" && text != "false" {
        return Err(format!("of a boolean is true or false, not {text:?}"));
    }
    if text.contains(['\n', '\r', '\0']) || text.contains("\\n") {
        return Err("is one line: debconf cannot be given a line break".into());
    }
    if text.ends_with('\\') {
        return Err("cannot end with a backslash: debconf would read on".into());
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err("cannot begin or end with a blank".into());
    }
    Ok(text)
}

struct Wanted {
    package: String,
    question: String,
    /// None: not answered.
    answer: Option<(QuestionType, String)>,
}

impl Wanted {
    fn key(&self) -> String {
        format!("{} {}", self.package, self.question)
    }

    fn found(&self, context: &Context<'_>) -> Result<Option<(String, String)>, Problem> {
        let value = context.node.setting(SettingKind::Debconf, &self.key())?;
        Ok(value.map(|value| match value.split_once(' ') {
            Some((kind, answer)) => (kind.to_owned(), answer.to_owned()),
            None => (value, String::new()),
        }))
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::Free)
            .makes(Thing::Setting(SettingKind::Debconf, self.key()))
            .removes(self.answer.is_none())
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let found = self.found(context)?;
        let password = QuestionType::Password.word();
        let hidden = context.sensitive
            || found.as_ref().is_some_and(|(kind, _)| kind == password)
            || self.answer.as_ref().is_some_and(|(kind, _)| *kind == QuestionType::Password);
        let show = |text: &String| if hidden { "[secret]".to_owned() } else { text.clone() };
        let mut changes = Vec::new();
        let answer = |found: &Option<(String, String)>| found.as_ref().map(|(_, answer)| show(answer));
        match &self.answer {
            None if found.is_none() => {}
            None => changes.push(Change::new("answer", answer(&found), None)),
            Some((kind, wanted)) => {
                if found.as_ref().map(|(_, answer)| answer) != Some(wanted) {
                    changes.push(Change::new("answer", answer(&found), Some(show(wanted))));
                }
                if let Some((found, _)) = found.filter(|(found, _)| found != kind.word()) {
                    changes.push(Change::new("type", Some(found), Some(kind.word().into())));
                }
            }
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let value = self.answer.as_ref().map(|(kind, answer)| format!("{} {answer}", kind.word()));
        context.node.set(SettingKind::Debconf, &self.key(), value.as_deref(), context.deadline)?;
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
