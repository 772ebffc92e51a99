//! `cm schema`: JSON Schema of a repository's files, so that editors complete and check while one types.

mod inventory;
mod role;
mod rollout;
mod values;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{exit::Exit, failure::Failure, options::Options, report};

#[derive(Args, Debug)]
#[command(after_help = "An editor is told by a line at the top of a file: \
    `# yaml-language-server: $schema=../../role.schema.json`.")]
pub struct Arguments {
    /// Which files it is about.
    #[arg(value_enum)]
    file: File,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum File {
    /// `roles/NAME/role.yaml`.
    Role,
    /// `inventory.yaml`, and the files of `inventory/`.
    Inventory,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let schema = match arguments.file {
        File::Role => role::schema(&super::modules::custom(options)?),
        File::Inventory => inventory::schema(),
    };
    report::print(&format!("{schema:#}\n"));
    Ok(Exit::Ok)
}

/// A whole schema: the draft that editors' YAML servers and validators all know.
fn document(title: &str, description: &str, mut body: Value) -> Value {
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "description": description,
    });
    if let (Some(whole), Some(body)) = (whole.as_object_mut(), body.as_object_mut()) {
        whole.append(body);
    }
    whole
}

/// A map with these keys and no others.
fn object(properties: Value, required: &[&str]) -> Value {
    let mut map = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    map
}

/// The same with a text for a person.
fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}
