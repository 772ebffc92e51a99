//! `cron`: a job of cron(8), in a file of its own under /etc/cron.d.

mod schedule;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use super::presence::State;
use super::{account_name::AccountName, ownership, scalar::Scalar, whole_file::WholeFile};
use crate::{
    Class, Context, Effect, Module, ParamError, Params, Problem, Resource, Seen, Thing, Touches, params,
};

/// Where the files of jobs are.
const FOLDER: &str = "/etc/cron.d";
/// Longest command that every cron(8) takes, in bytes (MAX_COMMAND of its sources, with line end and NUL).
const COMMAND_LIMIT: usize = 998;

params! {
    /// A job of cron(8): the file /etc/cron.d/NAME, which is the job's alone, with mode 0644 as cron wants
    /// it. Crontabs of users (`crontab -e`) are not touched: `user` says whom the job runs as.
    ///
    /// When it runs is said by `schedule`, or by some of `minute`, `hour`, `day`, `month` and `weekday`;
    /// those left out are `*`. Cron must be there: a task `- package: cron` brings it.
    pub struct Cron = "cron" {
        /// The job's name, and its file's: letters, digits, `-` and `_`; cron ignores files with other names.
        subject name: String,
        /// `present` or `absent`.
        state: State = State::Present,
        /// The command line, run by /bin/sh. A `%` has a meaning of its own there (crontab(5)): `\%` is one.
        command: Option<String>,
        /// The user it runs as.
        user: AccountName = AccountName("root".to_owned()),
        /// Five fields, `"*/10 8-18 * * mon-fri"`, or one of `@reboot`, `@hourly`, `@daily`, `@weekly`,
        /// `@monthly`, `@yearly`.
        schedule: Option<String>,
        /// Minutes, 0 to 59: a number, `*`, a range `8-18`, a step `*/5`, or several with commas.
        minute: Option<Scalar>,
        /// Hours, 0 to 23.
        hour: Option<Scalar>,
        /// Days of the month, 1 to 31. Cron runs the job when this or `weekday` holds, where both are given.
        day: Option<Scalar>,
        /// Months, 1 to 12 or `jan` to `dec`.
        month: Option<Scalar>,
        /// Days of the week, 0 to 7 (0 and 7 are Sunday) or `sun` to `sat`.
        weekday: Option<Scalar>,
        /// Variables of its environment, such as `MAILTO` and `PATH`. Cron expands nothing in them.
        env: Option<BTreeMap<String, Scalar>>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Cron::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Cron::from_params(params)?;
    let name = &given.name;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(ParamError::new(
            "name",
            format!(
                "{name:?} cannot name a file in {FOLDER}: cron takes letters, digits, `-` and `_`, no dots"
            ),
        ));
    }
    let path = PathBuf::from(FOLDER).join(name);
    let user = given.user.0.clone();
    let text = match given.state {
        State::Present => Some(text_of(&given)?),
        State::Absent => {
            let given = [
                ("command", given.command.is_some()),
                ("schedule", given.schedule.is_some() || !given.fields().is_empty()),
                ("env", given.env.is_some()),
            ];
            if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(ParamError::new(name, "cannot be given for a job that is to be absent"));
            }
            None
        }
    };
    Ok(Box::new(Wanted { path, user, text }))
}

impl Cron {
    /// The fields of the schedule that are given.
    fn fields(&self) -> Vec<(&'static schedule::Field, &str)> {
        let given = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        let fields = schedule::FIELDS.iter().zip(given);
        fields.filter_map(|(field, value)| Some((field, &*value.as_ref()?.0))).collect()
    }

    fn when(&self) -> Result<String, ParamError> {
        let fields = self.fields();
        match (&self.schedule, fields.first()) {
            (Some(_), Some((field, _))) => {
                Err(ParamError::new(field.name, "cannot be given together with `schedule`"))
            }
            (Some(schedule), None) => {
                schedule::check(schedule).map_err(|error| ParamError::new("schedule", error))
            }
            (None, None) => Err(ParamError::new(
                "schedule",
                "is required: when the job runs (\"* * * * *\" is every minute)",
            )),
            (None, Some(_)) => {
                for (field, value) in &fields {
                    field.check(value).map_err(|error| ParamError::new(field.name, error))?;
                }
                let value = |field: &schedule::Field| {
                    fields.iter().find(|(given, _)| given.name == field.name).map_or("*", |(_, value)| value)
                };
                Ok(schedule::FIELDS.iter().map(value).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// What the file holds.
fn text_of(job: &Cron) -> Result<String, ParamError> {
    let command = job.command.as_deref().map(str::trim).unwrap_or_default();
    if command.is_empty() {
        return Err(ParamError::new("command", "is required (a string)"));
    }
    if command.contains(['\n', '\r', '\0']) {
        return Err(ParamError::new("command", "is one line and cannot hold a line break; call a script"));
    }
    if command.len() > COMMAND_LIMIT {
        return Err(ParamError::new(
            "command",
            format!("has {} bytes; cron takes {COMMAND_LIMIT} at most: call a script", command.len()),
        ));
    }
    let mut text = String::from("# Managed by cm.\n");
    for (name, value) in job.env.iter().flatten() {
        text += &variable(name, &value.0).map_err(|error| ParamError::new("env", error))?;
    }
    text += &format!("{} {} {command}\n", job.when()?, job.user.0);
    Ok(text)
}

/// A line that sets a variable, as crontab(5) reads it: quotes keep blanks at the ends, nothing is escaped.
fn variable(name: &str, value: &str) -> Result<String, String> {
    let first = name.bytes().next();
    if !first.is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(format!("{name:?} cannot be the name of a variable"));
    }
    if value.contains(['\n', '\r', '\0']) {
        return Err(format!("`{name}` is one line and cannot hold a line break"));
    }
    let plain = !value.is_empty()
        && value == value.trim_matches([' ', '\t'])
        && !value.starts_with(['"', '\''])
        && !value.starts_with('=');
    let quote = match value {
        _ if plain => "",
        _ if !value.contains('"') => "\"",
        _ if !value.contains('\'') => "'",
        _ => return Err(format!("`{name}` holds both kinds of quotes, which crontab(5) cannot tell apart")),
    };
    Ok(format!("{name}={quote}{value}{quote}\n"))
}

struct Wanted {
    path: PathBuf,
    user: String,
    /// None: no such job.
    text: Option<String>,
}

impl Wanted {
    fn file(&self) -> WholeFile<'_> {
        WholeFile { path: &self.path, text: self.text.as_deref() }
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches = Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            .needs(Thing::Package("cron".to_owned()))
            .needs(Thing::Package("cronie".to_owned()));
        match self.text {
            Some(_) => touches.needs(Thing::User(self.user.clone())),
            None => touches.removes(true),
        }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.file().look(context).map(Seen::from_changes)
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        if self.text.is_some() {
            // Cron would ignore the whole file.
            ownership::uid(context, &self.user)?;
        }
        self.file().change(context).map_err(|problem| {
            let missing = problem.message.ends_with("/etc/cron.d is not there");
            if missing { problem.hint("cron is not installed: `- package: cron` brings it") } else { problem }
        })?;
        Ok(Effect::default())
    }
}
