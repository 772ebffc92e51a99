//! Reads `role.yaml` files into [`Role`]s, telling everything that is wrong in one go.

mod references;
mod rollout;
mod scenario;
mod task;
mod values;

pub use references::{means, subject_text};
pub use scenario::{TESTS, check_scenarios, read_scenarios};
pub(crate) use task::COMMON;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use cm_syntax::{
    Diagnostic, Diagnostics, FileId, MapReader, Node, Sources, Span, Spanned, Yaml, nearest, parse_collecting,
};

use crate::{
    custom::CustomModules,
    files::{RoleFile, RoleFiles},
    library,
    param::RoleParam,
    role::{Need, Role},
    template::{Origin, Scope, Templates, Uses, World},
};

/// The folder of a repository that holds its roles.
pub const ROLES: &str = "roles";
const ROLE_FILE: &str = "role.yaml";

/// All roles of a repository and those of the library that they need, checked.
#[derive(Debug)]
pub struct Roles {
    roles: BTreeMap<Arc<str>, Arc<Role>>,
    templates: Templates,
    custom: CustomModules,
}

impl Roles {
    /// No roles, for who wants only the hosts of a repository.
    #[must_use]
    pub fn none(sources: &Sources) -> Self {
        let templates = Templates::new(sources.clone());
        Self { roles: BTreeMap::new(), templates, custom: CustomModules::default() }
    }

    /// The role of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// Names of the roles that can be used, those of the library too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let shipped = library::names().map(|name| -> &str { name });
        let own = self.roles.keys().map(|name| -> &str { name });
        own.chain(shipped.filter(|name| !self.roles.contains_key(*name)))
    }

    /// Their compiled templates.
    #[must_use]
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The repository's own modules.
    #[must_use]
    pub fn custom_modules(&self) -> &CustomModules {
        &self.custom
    }

    /// For the values of the inventory, which are templates of the same set.
    pub fn templates_mut(&mut self) -> &mut Templates {
        &mut self.templates
    }
}

/// Reads all roles of a repository, those of the library they need and those in `wanted` (which are told
/// where they are unknown).
pub fn read_roles(
    root: &Path,
    wanted: &[Spanned<String>],
    world: &World,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Roles {
    let custom = CustomModules::read(root, sources, diagnostics);
    let mut reader = Reader {
        root,
        world,
        custom,
        sources,
        diagnostics,
        templates: Templates::new(sources.clone()),
        own: own_roles(root),
        raw: BTreeMap::new(),
    };
    let own: Vec<String> = reader.own.iter().cloned().collect();
    for name in &own {
        reader.open(name);
    }
    for name in wanted {
        reader.open_named(name);
    }
    reader.finish()
}

/// Whether templates can name it.
pub(crate) fn good_param_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Folders below `roles/` that hold a `role.yaml`.
fn own_roles(root: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(root.join(ROLES)) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| entry.path().join(ROLE_FILE).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// A role file of which the head is read: parameters are known before any role's texts are checked.
struct RawRole {
    node: Node,
    files: RoleFiles,
    params: Vec<RoleParam>,
    param_names: BTreeSet<String>,
    needs: Vec<RawNeed>,
}

struct RawNeed {
    role: Spanned<String>,
    with: Option<Node>,
}

struct Reader<'a> {
    root: &'a Path,
    world: &'a World,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
    templates: Templates,
    custom: CustomModules,
    own: BTreeSet<String>,
    raw: BTreeMap<String, Option<RawRole>>,
}

impl Reader<'_> {
    /// Opens a role that something written names.
    fn open_named(&mut self, name: &Spanned<String>) {
        if self.own.contains(&name.value) || library::get(&name.value).is_some() {
            self.open(&name.value);
            return;
        }
        let shipped = library::names().map(|name| -> &str { name });
        let known = self.own.iter().map(|name| -> &str { name }).chain(shipped);
        let near = nearest(&name.value, known).map(str::to_owned);
        let mut diagnostic = Diagnostic::error(format!("unknown role `{}`", name.value))
            .at(name.span, "there is no such role");
        diagnostic = match near {
            Some(near) => diagnostic.did_you_mean(Some(&near)),
            None => diagnostic
                .hint(format!("a role is a folder `{ROLES}/{}` with a `{ROLE_FILE}` in it", name.value)),
        };
        self.diagnostics.push(diagnostic);
    }

    /// Reads a role's head and opens the roles it needs.
    fn open(&mut self, name: &str) {
        if self.raw.contains_key(name) {
            return;
        }
        self.raw.insert(name.to_owned(), None);
        let Some((file, files)) = self.file(name) else { return };
        let Some(node) = parse_collecting(self.sources, file, self.diagnostics) else { return };
        let mut reader = MapReader::new(&node, format!("role `{name}`"), self.diagnostics);
        let params = reader.map("params").unwrap_or_default();
        let needs = reader.node("needs");
        for key in ["description", "prune", "tasks", "verify", "cleanup", "rollout"] {
            reader.allow(key);
        }
        reader.finish();
        let params: Vec<RoleParam> =
            params.iter().map(|entry| RoleParam::parse(name, entry, self.diagnostics)).collect();
        for param in &params {
            self.check_param_name(&param.name);
        }
        let needs = needs.map(|node| self.raw_needs(name, node)).unwrap_or_default();
        let wanted: Vec<Spanned<String>> = needs.iter().map(|need| need.role.clone()).collect();
        let param_names = params.iter().map(|param| param.name.value.clone()).collect();
        self.raw.insert(name.to_owned(), Some(RawRole { node, files, params, param_names, needs }));
        for role in wanted {
            self.open_named(&role);
        }
    }

    fn file(&mut self, name: &str) -> Option<(FileId, RoleFiles)> {
        if self.own.contains(name) {
            let relative = Path::new(ROLES).join(name);
            let files = RoleFiles::Folder {
                path: self.root.join(&relative),
                shown: relative.to_string_lossy().into_owned(),
            };
            return match self.sources.read(self.root, &relative.join(ROLE_FILE)) {
                Ok(file) => Some((file, files)),
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic);
                    None
                }
            };
        }
        let (role, files) = library::get(name)?;
        let (_, text) = files.iter().find(|(path, _)| *path == ROLE_FILE)?;
        let text = String::from_utf8_lossy(text).into_owned();
        let file = self.sources.add(format!("shipped:{role}/{ROLE_FILE}"), text);
        Some((file, RoleFiles::Shipped { role, files }))
    }

    fn check_param_name(&mut self, name: &Spanned<String>) {
        let word = &name.value;
        let good = good_param_name(word);
        const TAKEN: &[&str] =
            &["node", "host", "hosts", "groups", "secrets", "item", "omit", "loop", "self"];
        if !good {
            let message = format!("`{word}` cannot be the name of a parameter");
            let hint = format!("write `{}`", word.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
            self.diagnostics
                .push(Diagnostic::error(message).at(name.span, "letters, digits and `_` only").hint(hint));
        } else if TAKEN.contains(&word.as_str()) {
            let message = format!("`{word}` cannot be the name of a parameter");
            self.diagnostics
                .push(Diagnostic::error(message).at(name.span, "means something else in templates"));
        }
    }

    fn raw_needs(&mut self, name: &str, node: &Node) -> Vec<RawNeed> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            Yaml::Null => &[],
            _ => std::slice::from_ref(node),
        };
        let mut needs = Vec::new();
        for item in items {
            match &item.value {
                Yaml::Text(text) => {
                    needs.push(RawNeed { role: Spanned::new(text.clone(), item.span), with: None })
                }
                Yaml::Map(_) => {
                    let what = format!("an item of `needs` of role `{name}`");
                    let mut reader = MapReader::new(item, what, self.diagnostics);
                    let role = reader.required_text("role").map(|role| role.map(str::to_owned));
                    let with = reader.node("with").cloned();
                    reader.finish();
                    needs.extend(role.map(|role| RawNeed { role, with }));
                }
                _ => self.diagnostics.push(
                    Diagnostic::error(format!(
                        "`needs` of role `{name}` lists roles, not {}",
                        item.described()
                    ))
                    .at(item.span, "")
                    .hint("write a role's name, or { role: NAME, with: { PARAM: VALUE } }"),
                ),
            }
        }
        needs
    }

    fn finish(mut self) -> Roles {
        references::find_cycles(&self.raw, self.diagnostics);
        let raw = std::mem::take(&mut self.raw);
        let param_names: BTreeMap<String, BTreeSet<String>> = raw
            .iter()
            .filter_map(|(name, role)| Some((name.clone(), role.as_ref()?.param_names.clone())))
            .collect();
        let mut roles: BTreeMap<Arc<str>, Role> = BTreeMap::new();
        for (name, role) in raw {
            let Some(role) = role else { continue };
            let role = RoleReader::new(&name, &role, &mut self).read(&role, &param_names);
            roles.insert(name.into(), role);
        }
        references::resolve(&mut roles, self.diagnostics);
        let roles = roles.into_iter().map(|(name, role)| (name, Arc::new(role))).collect();
        Roles { roles, templates: self.templates, custom: self.custom }
    }
}

/// Reads the body of one role.
struct RoleReader<'a> {
    name: &'a str,
    world: &'a World,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
    templates: &'a mut Templates,
    params: &'a BTreeSet<String>,
    files: &'a RoleFiles,
    custom: &'a CustomModules,
    template_files: BTreeSet<String>,
    uses: Uses,
    /// Whether `item` is there, in what is being read.
    item: bool,
    /// Whether any task has it: template files may then use it.
    any_item: bool,
    /// Template files that tasks name.
    named_templates: BTreeSet<String>,
}

impl<'a> RoleReader<'a> {
    fn new(name: &'a str, raw: &'a RawRole, reader: &'a mut Reader<'_>) -> Self {
        Self {
            name,
            world: reader.world,
            sources: reader.sources,
            diagnostics: reader.diagnostics,
            templates: &mut reader.templates,
            params: &raw.param_names,
            files: &raw.files,
            custom: &reader.custom,
            template_files: raw.files.list("templates", false),
            uses: Uses::default(),
            item: false,
            any_item: false,
            named_templates: BTreeSet::new(),
        }
    }

    fn scope(&self) -> Scope<'a> {
        Scope { world: self.world, params: self.params, item: self.item }
    }

    fn read(mut self, raw: &RawRole, all_params: &BTreeMap<String, BTreeSet<String>>) -> Role {
        let mut reader = MapReader::new(&raw.node, format!("role `{}`", self.name), self.diagnostics);
        let description = reader.text("description").map(|text| text.value.to_owned());
        let prune = reader.bool("prune").is_some_and(|prune| prune.value);
        let tasks = reader.list("tasks").unwrap_or_default();
        let verify = reader.list("verify").unwrap_or_default();
        let cleanup = reader.list("cleanup").unwrap_or_default();
        let rollout = reader.node("rollout");
        let _ = reader.rest();
        reader.finish();
        let defaults = raw
            .params
            .iter()
            .filter_map(|param| {
                let default = param.default.as_ref()?;
                Some((param.name.value.clone(), self.free_value(default)))
            })
            .collect();
        let needs = raw.needs.iter().map(|need| self.need(need, all_params)).collect();
        let tasks = self.tasks(tasks, task::Written::Task);
        let verify = self.tasks(verify, task::Written::Check);
        let cleanup = self.tasks(cleanup, task::Written::Task);
        let rollout = rollout.map(|node| self.rollout(node));
        self.template_files();
        Role {
            name: self.name.into(),
            span: Span { end: raw.node.span.start, ..raw.node.span },
            description,
            params: raw.params.clone(),
            param_names: raw.param_names.clone(),
            defaults,
            needs,
            prune,
            tasks,
            verify,
            cleanup,
            rollout,
            files: raw.files.clone(),
            uses: self.uses,
        }
    }

    fn need(&mut self, raw: &RawNeed, all_params: &BTreeMap<String, BTreeSet<String>>) -> Need {
        let mut with = Vec::new();
        let entries = raw.with.as_ref().and_then(Node::as_map).unwrap_or_default();
        if let Some(node) = raw.with.as_ref().filter(|node| node.as_map().is_none() && !node.is_null()) {
            let message =
                format!("`with` for role `{}` must be a map, not {}", raw.role.value, node.described());
            self.diagnostics
                .push(Diagnostic::error(message).at(node.span, "`parameter: value` pairs were expected"));
        }
        for entry in entries {
            if let Some(known) = all_params.get(&raw.role.value)
                && !known.contains(&entry.key.value)
            {
                let near = nearest(&entry.key.value, known.iter().map(String::as_str));
                let message = format!("role `{}` has no parameter `{}`", raw.role.value, entry.key.value);
                self.diagnostics.push(
                    Diagnostic::error(message).at(entry.key.span, "unknown parameter").did_you_mean(near),
                );
                continue;
            }
            let value = self.free_value(&entry.value);
            with.push((entry.key.clone(), value));
        }
        Need { role: raw.role.clone(), with }
    }

    /// Checks and compiles the files of `templates/`; one that no task names and that is not text is left alone.
    fn template_files(&mut self) {
        self.item = self.any_item;
        let shown = self.files.shown();
        for name in std::mem::take(&mut self.template_files) {
            let Some(file) = self.files.find("templates", &name) else { continue };
            let text = match &file {
                RoleFile::Path(path) => std::fs::read(path).map_err(|error| error.to_string()),
                RoleFile::Bytes(bytes) => Ok(bytes.to_vec()),
            };
            let text = text
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
            match text {
                Ok(text) => {
                    let file = self.sources.add(format!("{shown}/templates/{name}"), text.clone());
                    let scope = self.scope();
                    let uses = self.templates.add_file(
                        self.name,
                        &name,
                        Origin::File(file),
                        &text,
                        scope,
                        self.diagnostics,
                    );
                    self.check_includes(&uses, file);
                    self.uses.extend(&uses);
                }
                Err(error) if self.named_templates.contains(&name) => {
                    let message = format!("cannot read the template `{shown}/templates/{name}`");
                    self.diagnostics.push(Diagnostic::error(message).caused_by(error));
                }
                Err(_) => {}
            }
        }
    }

    /// Included files must be there.
    fn check_includes(&mut self, uses: &Uses, file: FileId) {
        for name in &uses.templates {
            if self.files.find("templates", name).is_none() {
                let text = self.sources.text(file);
                let start = text.find(name.as_str()).unwrap_or(0) as u32;
                let place = Span::new(file, start, start + name.len() as u32);
                self.missing_file(name, place, "templates");
            }
        }
    }

    /// A file of the role that is not there, with the nearest that is.
    fn missing_file(&mut self, name: &str, place: Span, below: &str) {
        let known = self.files.list(below, below == "files");
        let near = nearest(name, known.iter().map(String::as_str));
        let shown = self.files.shown();
        let message = format!("there is no `{shown}/{below}/{name}`");
        let mut diagnostic = Diagnostic::error(message).at(place, "no such file").did_you_mean(near);
        if near.is_none() && known.is_empty() {
            diagnostic = diagnostic.hint(format!("{shown}/{below}/ is empty or not there"));
        }
        self.diagnostics.push(diagnostic);
    }

    /// A value of no particular kind, such as a parameter's default.
    fn free_value(&mut self, node: &Node) -> crate::argument::Argument {
        self.argument(node, None)
    }
}
