//! `cm modules [NAME]`: the reference of modules and checks, from the same definitions that check roles; those of the
//! repository too, where there is one.

use clap::Args;
use cm_modules::{Module, ParamSchema, registry};

use cm_roles::CustomModules;
use cm_syntax::{Diagnostics, Sources};

use crate::{exit::Exit, failure::Failure, fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Only this module or check.
    name: Option<String>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let (modules, checks) = (registry::MODULES, registry::CHECKS);
    let custom = custom(options)?;
    if options.json {
        let describe = |module: &Module, check: bool| {
            let params: Vec<_> =
                std::iter::once(&module.schema.subject).chain(module.schema.params).map(param_json).collect();
            serde_json::json!({
                "name": module.schema.name, "check": check, "custom": module.schema.custom.is_some(),
                "doc": clean(module.schema.doc), "params": params,
            })
        };
        let tasks = modules.iter().chain(custom.iter()).map(|m| describe(m, false));
        let all = tasks.chain(checks.iter().map(|m| describe(m, true)));
        all.for_each(|line| report::print(&format!("{line}\n")));
        return Ok(Exit::Ok);
    }
    if let Some(name) = &arguments.name {
        let all = || modules.iter().chain(custom.iter()).chain(checks);
        let found: Vec<&Module> = all().filter(|module| module.schema.name == *name).collect();
        if found.is_empty() {
            let names = all().map(|module| module.schema.name);
            let near = cm_syntax::nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::new(format!("there is no module or check `{name}`")).maybe_hint(near));
        }
        found.into_iter().for_each(|module| report::print(&markdown(module)));
        return Ok(Exit::Ok);
    }
    report::print(
        "# Modules and checks\n\nWritten by `cm modules`; the parameters of each task beside the keys that every task takes\n\
         (`id`, `when`, `each`, `needs`, `restarts`, `reloads`, `tags`, `become`, `retry`, `timeout`, `sensitive`).\n\n## Modules\n\n",
    );
    modules.iter().for_each(|module| report::print(&markdown(module)));
    report::print("## Checks of `verify:`\n\n");
    checks.iter().for_each(|module| report::print(&markdown(module)));
    if custom.iter().next().is_some() {
        report::print("## Modules of this repository\n\n");
        custom.iter().for_each(|module| report::print(&markdown(module)));
    }
    Ok(Exit::Ok)
}

/// The modules of the repository; none where there is no repository.
pub(super) fn custom(options: &Options) -> Result<CustomModules, Failure> {
    let root = match fleet::root(options) {
        Ok(root) => root,
        Err(failure) if options.repository.is_some() => return Err(failure),
        Err(_) => return Ok(CustomModules::default()),
    };
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let custom = CustomModules::read(&root, &sources, &mut diagnostics);
    if diagnostics.has_errors() { Err(Failure::Diagnostics(diagnostics, sources)) } else { Ok(custom) }
}

fn clean(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn param_json(param: &ParamSchema) -> serde_json::Value {
    serde_json::json!({
        "name": param.name, "wants": param.kind.wanted(), "required": param.required, "doc": clean(param.doc),
    })
}

fn markdown(module: &Module) -> String {
    let schema = module.schema;
    let mut text =
        format!("### {}\n\n{}\n\n| key | wants | meaning |\n|---|---|---|\n", schema.name, clean(schema.doc));
    let subject = format!("`{}: {}`", schema.name, schema.subject.name.to_uppercase());
    text.push_str(&row(&subject, &schema.subject, true));
    for param in schema.params {
        text.push_str(&row(&format!("`{}`", param.name), param, param.required));
    }
    text.push('\n');
    text
}

fn row(key: &str, param: &ParamSchema, required: bool) -> String {
    let wants = param.kind.wanted().replace('|', "\\|");
    let required = if required { ", required" } else { "" };
    format!("| {key} | {wants}{required} | {} |\n", clean(param.doc).replace('\n', " ").replace('|', "\\|"))
}
