//! The list of all modules and checks: a new one is its file and one line here.

use crate::{Module, ParamError, Params, Resource, Schema, checks, custom, library};

/// Every module, in the order of the documentation.
pub static MODULES: &[Module] = &[
    library::file::MODULE,
    library::directory::MODULE,
    library::link::MODULE,
    library::tree::MODULE,
    library::line::MODULE,
    library::download::MODULE,
    library::archive::MODULE,
    library::git::MODULE,
    library::block::MODULE,
    library::replace::MODULE,
    library::ini::MODULE,
    library::hosts_entry::MODULE,
    library::cron::MODULE,
    library::limits::MODULE,
    library::sysctl::MODULE,
    library::command::MODULE,
    library::package::MODULE,
    library::repository::MODULE,
    library::service::MODULE,
    library::unit::MODULE,
    library::user::MODULE,
    library::group::MODULE,
    library::authorized_key::MODULE,
    library::hostname::MODULE,
    library::timezone::MODULE,
    library::mount::MODULE,
    library::swap::MODULE,
    library::kernel_module::MODULE,
    library::alternatives::MODULE,
    library::debconf::MODULE,
    library::wait::MODULE,
    library::reboot::MODULE,
];

/// Every check of a role's `verify:` list.
pub static CHECKS: &[Module] = &[
    checks::port::MODULE,
    checks::http::MODULE,
    checks::command::MODULE,
    checks::file::MODULE,
    checks::service::MODULE,
    checks::process::MODULE,
];

/// Names that start a check's module name on the wire, so that a check and a module may share a word.
pub const CHECK_PREFIX: &str = "check.";

/// The module of this name; checks are found by `check.NAME`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Module> {
    match name.strip_prefix(CHECK_PREFIX) {
        Some(check) => CHECKS.iter().find(|module| module.schema.name == check),
        None => MODULES.iter().find(|module| module.schema.name == name),
    }
}

/// Makes the resource of a task.
///
/// # Errors
/// An unknown module, or a parameter that is wrong.
pub fn compile(module: &str, params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    if custom::is_custom(params) {
        return custom::compile(params);
    }
    let module = find(module).ok_or_else(|| ParamError::new("module", format!("`{module}` is unknown")))?;
    for name in params.keys() {
        if name != module.schema.subject.name && module.schema.param(name).is_none() {
            return Err(ParamError::new(name, "is not a parameter of this module"));
        }
    }
    (module.compile)(params)
}

/// The module of a schema that the user's repository declares.
#[must_use]
pub fn of_custom(schema: &'static Schema) -> Module {
    Module { schema, compile: custom::compile }
}
