//! Modules of the repository: `modules/NAME`, a program, and `modules/NAME.yaml`, what it takes and makes.
//!
//! Nothing of them is run here: what a role may write is known from the declaration alone.

mod declared;
mod program;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Mutex, PoisonError},
};

use cm_modules::{Module, registry};
use cm_syntax::{Diagnostic, Diagnostics, Sources};
use cm_wire::Digest;

/// The folder of a repository that holds its modules.
pub const MODULES: &str = "modules";

/// The modules of a repository.
#[derive(Clone, Default)]
pub struct CustomModules(BTreeMap<String, &'static Module>);

impl std::fmt::Debug for CustomModules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Modules that were read. Their schemas live as long as the program, as those of built-in ones do; so each
/// version of a module is made once, however often a repository is read.
static KNOWN: Mutex<BTreeMap<Digest, &'static Module>> = Mutex::new(BTreeMap::new());

impl CustomModules {
    /// Reads all modules of a repository; what is wrong with one is told, and it is left out.
    pub fn read(root: &Path, sources: &Sources, diagnostics: &mut Diagnostics) -> Self {
        let mut found = Self::default();
        let Ok(entries) = std::fs::read_dir(root.join(MODULES)) else { return found };
        let mut files: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        files.sort();
        for file in &files {
            if let Some(name) = file.strip_suffix(".yaml") {
                if let Some(module) = module(root, name, &files, sources, diagnostics) {
                    found.0.insert(name.to_owned(), module);
                }
            } else if !file.contains('.')
                && !files.contains(&format!("{file}.yaml"))
                && program::is_executable(&root.join(MODULES).join(file))
            {
                diagnostics.push(
                    Diagnostic::error(format!("the module `{MODULES}/{file}` has no declaration"))
                        .hint(format!("`{MODULES}/{file}.yaml` says what it takes: docs/custom-modules.md")),
                );
            }
        }
        found
    }

    /// The module of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'static Module> {
        self.0.get(name).copied()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static Module> {
        self.0.values().copied()
    }
}

fn module(
    root: &Path,
    name: &str,
    files: &[String],
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<&'static Module> {
    let relative = Path::new(MODULES).join(format!("{name}.yaml"));
    let file = match sources.read(root, &relative) {
        Ok(file) => file,
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            return None;
        }
    };
    let source = root.join(MODULES).join(name);
    let program = program::read(&source, name, files, diagnostics);
    let mut own = Diagnostics::new();
    let declared = declared::read(name, file, sources, &mut own);
    let good = !own.has_errors();
    diagnostics.extend(own);
    let (program, declared) = (program?, declared.filter(|_| good)?);
    let text = sources.text(file);
    let place = source.to_string_lossy();
    let parts: [&[u8]; 4] = [name.as_bytes(), place.as_bytes(), text.as_bytes(), &program.digest.0];
    let lengths = parts.map(|part| (part.len() as u64).to_le_bytes());
    let whole: Vec<u8> = lengths.iter().flatten().copied().chain(parts.concat()).collect();
    // Poisoned: a thread panicked between two whole states.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    Some(*known.entry(Digest::of(&whole)).or_insert_with(|| {
        let schema = Box::leak(Box::new(declared.schema(program, source.clone())));
        Box::leak(Box::new(registry::of_custom(schema)))
    }))
}

/// Names and kinds of values, for [`declared`].
type Names = HashMap<String, crate::param::RoleParam>;

#[cfg(test)]
mod tests;
