//! `cm secrets set|list`: values encrypted with age in `secrets.yaml`.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use cm_wire::Secret;

use crate::{exit::Exit, failure::Failure, fleet::Fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Encrypt a value and put it into secrets.yaml; it is read from standard input.
    Set {
        /// The secret's name.
        name: String,
    },
    /// List the names of all secrets.
    List,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let fleet = Fleet::load(options)?;
    let project = &fleet.project;
    match &arguments.action {
        Action::List => {
            for name in project.secrets().names() {
                report::print(&format!("{name}\n"));
            }
        }
        Action::Set { name } => {
            let value = read_value()?;
            let recipients = project.secrets().recipients();
            if recipients.is_empty() {
                return Err(Failure::new("there is nobody to encrypt for")
                    .hint("list age public keys as `recipients:` in secrets.yaml, or `secrets.recipients` in cm.toml"));
            }
            let failed = |error: &dyn std::error::Error| {
                Failure::because(format!("secret `{name}` was not written"), error)
            };
            let recipients = recipients.iter().map(|recipient| recipient.value.as_str());
            let encrypted = cm_plan::encrypt(&value, recipients).map_err(|error| failed(&error))?;
            cm_plan::set_secret(project.root(), name, &encrypted).map_err(|error| failed(&error))?;
        }
    }
    Ok(Exit::Ok)
}

fn read_value() -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| Failure::because("the value could not be read", &error);
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("value: ").map(Secret::new).map_err(failed);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    // The newline that echo adds is not part of the value.
    Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
}
