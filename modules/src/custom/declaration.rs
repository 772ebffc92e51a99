//! What a module's declaration says beyond its parameters, in the form in which it travels with each task.

use std::{collections::BTreeMap, fmt};

use cm_wire::{ContentRef, Value};

use crate::{ParamError, Params};

/// The parameter that holds a task's declaration. No parameter of a user can have such a name.
const DECLARATION: &str = "$module";

/// How a change is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undo {
    /// The program has the verb `undo`; its looks tell the state that `undo` brings back.
    #[default]
    Verb,
    /// What the declaration says the module makes is restored as that of any other module.
    Makes,
    /// Not at all.
    None,
}

impl Undo {
    /// The words of the declaration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("verb", Self::Verb), ("makes", Self::Makes), ("none", Self::None)];

    fn word(self) -> &'static str {
        match self {
            Self::Verb => "verb",
            Self::Makes => "makes",
            Self::None => "none",
        }
    }
}

/// What a module is, beyond the types of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// Its program.
    pub program: ContentRef,
    /// The parameter that a task's key holds.
    pub subject: String,
    /// Further parameters that say which thing it is.
    pub identity: Vec<String>,
    /// What it makes whole: patterns ([`super::Pattern`]).
    pub makes: Vec<String>,
    /// Of what it makes a part.
    pub edits: Vec<String>,
    /// What must be there before, if some task makes it.
    pub needs: Vec<String>,
    /// It takes the thing away where this parameter has this value.
    pub absent: Option<(String, Value)>,
    /// How a change is taken back.
    pub undo: Undo,
    /// It is ordered by what it makes and needs alone.
    pub parallel: bool,
    /// Seconds one call may take where the task does not say; 0: the agent's own limit.
    pub timeout: u32,
    /// Programs that must be on the node, and the packages they come with (empty: not known).
    pub programs: BTreeMap<String, String>,
    /// Values of parameters that are not given.
    pub defaults: Params,
    /// Parameters whose values are never shown.
    pub secrets: Vec<String>,
}

impl Declaration {
    /// The parameters that every task of the module has.
    #[must_use]
    pub fn constants(&self) -> Params {
        let text = |text: &str| Value::Text(text.to_owned());
        let list = |list: &[String]| Value::List(list.iter().map(|word| text(word)).collect());
        let absent = match &self.absent {
            Some((name, value)) => Value::List(vec![text(name), value.clone()]),
            None => Value::Null,
        };
        let programs = self.programs.iter().map(|(name, package)| (name.clone(), text(package))).collect();
        let fields = [
            ("name", text(&self.name)),
            ("program", Value::Content(self.program)),
            ("subject", text(&self.subject)),
            ("identity", list(&self.identity)),
            ("makes", list(&self.makes)),
            ("edits", list(&self.edits)),
            ("needs", list(&self.needs)),
            ("absent", absent),
            ("undo", text(self.undo.word())),
            ("parallel", Value::Bool(self.parallel)),
            ("timeout", Value::Int(self.timeout.into())),
            ("programs", Value::Map(programs)),
            ("defaults", Value::Map(self.defaults.clone())),
            ("secrets", list(&self.secrets)),
        ];
        // What is empty does not travel.
        let empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) | Value::Int(0) => true,
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            _ => false,
        };
        let fields = fields.into_iter().filter(|(_, value)| !empty(value));
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).collect();
        Params::from([(DECLARATION.to_owned(), Value::Map(fields))])
    }

    /// Whether these are parameters of a task of such a module.
    pub(super) fn is_in(params: &Params) -> bool {
        params.contains_key(DECLARATION)
    }

    /// The declaration among a task's parameters, and the others with their defaults.
    pub(super) fn take(params: &Params) -> Result<(Self, Params), ParamError> {
        let unreadable = || ParamError::new(DECLARATION, "cannot be read; this is a bug");
        let Some(Value::Map(fields)) = params.get(DECLARATION) else { return Err(unreadable()) };
        let text = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
        let list = |name: &str| -> Vec<String> {
            match fields.get(name) {
                Some(Value::List(items)) => {
                    items.iter().filter_map(Value::as_text).map(str::to_owned).collect()
                }
                _ => Vec::new(),
            }
        };
        let map = |name: &str| match fields.get(name) {
            Some(Value::Map(entries)) => entries.clone(),
            _ => Params::new(),
        };
        let Some(Value::Content(program)) = fields.get("program") else { return Err(unreadable()) };
        let absent = match fields.get("absent") {
            Some(Value::List(pair)) => match pair.as_slice() {
                [Value::Text(name), value] => Some((name.clone(), value.clone())),
                _ => return Err(unreadable()),
            },
            _ => None,
        };
        let undo = text("undo").unwrap_or_default();
        let programs = map("programs").into_iter().map(|(name, package)| {
            let package = package.as_text().unwrap_or_default().to_owned();
            (name, package)
        });
        let declaration = Self {
            name: text("name").ok_or_else(unreadable)?,
            program: *program,
            subject: text("subject").ok_or_else(unreadable)?,
            identity: list("identity"),
            makes: list("makes"),
            edits: list("edits"),
            needs: list("needs"),
            absent,
            undo: Undo::WORDS
                .into_iter()
                .find_map(|(word, kind)| (word == undo).then_some(kind))
                .ok_or_else(unreadable)?,
            parallel: fields.get("parallel") == Some(&Value::Bool(true)),
            timeout: match fields.get("timeout") {
                Some(Value::Int(seconds)) => u32::try_from(*seconds).map_err(|_| unreadable())?,
                _ => 0,
            },
            programs: programs.collect(),
            defaults: map("defaults"),
            secrets: list("secrets"),
        };
        let mut given = declaration.defaults.clone();
        let own = params.iter().filter(|(name, value)| *name != DECLARATION && **value != Value::Null);
        given.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        Ok((declaration, given))
    }
}

/// Checks rendered parameters beyond what their kinds say.
pub type Check = Box<dyn Fn(&Params) -> Result<(), ParamError> + Send + Sync>;

/// What the schema of a repository's module has beyond that of a built-in one.
pub struct Custom {
    /// What it is.
    pub declaration: Declaration,
    /// [`Declaration::constants`].
    pub constants: Params,
    /// Its program on the controller.
    pub source: std::path::PathBuf,
    /// Checks rendered parameters.
    pub check: Check,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("declaration", &self.declaration).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use cm_wire::Digest;

    use super::*;

    #[test]
    fn a_declaration_survives_its_way() {
        let mut declaration = Declaration {
            name: "kv".into(),
            program: ContentRef { digest: Digest::of(b"x"), size: 1 },
            subject: "key".into(),
            identity: vec!["file".into()],
            makes: vec!["path:{{ file }}".into()],
            edits: Vec::new(),
            needs: vec!["user:x".into()],
            absent: Some(("state".into(), "absent".into())),
            undo: Undo::None,
            parallel: true,
            timeout: 7,
            programs: [("psql".to_owned(), String::new())].into(),
            defaults: [("state".to_owned(), "present".into())].into(),
            secrets: vec!["value".into()],
        };
        let mut params = declaration.constants();
        params.insert("key".into(), "a".into());
        params.insert("none".into(), Value::Null);
        let given: Params = [("key".to_owned(), "a".into()), ("state".to_owned(), "present".into())].into();
        assert_eq!(Declaration::take(&params), Ok((declaration.clone(), given)));
        declaration.absent = None;
        declaration.undo = Undo::Verb;
        (declaration.parallel, declaration.timeout) = (false, 0);
        assert_eq!(Declaration::take(&declaration.constants()).map(|(own, _)| own), Ok(declaration));
        assert!(Declaration::take(&Params::new()).is_err());
    }
}
