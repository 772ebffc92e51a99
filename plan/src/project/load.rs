//! Reading a repository: every file is read and checked before anything is given back, and all errors come at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_inventory::{Inventory, Reading, Variable};
use cm_roles::{Argument, Roles, Scope, Templates, World, holds_template, read_roles};
use cm_syntax::{Diagnostic, Diagnostics, Node, Severity, Sources, Spanned, nearest};
use minijinja::Value;

use super::{Assigned, HostVariable, Inner, Project, SetValue, check};
use crate::{
    compile::{Orders, Prepared, certain_errors},
    content::Contents,
    rules::Rules,
    secrets::Secrets,
    settings::Settings,
    waivers::{Day, Waivers},
};

/// What the templates of the inventory belong to, where a role's name would stand.
const INVENTORY: &str = "inventory";

/// How to read a repository.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--set name=value`, as typed.
    pub set: Vec<String>,
    /// Names of roles that are wanted beside those the inventory assigns; unknown ones are errors.
    pub roles: Vec<String>,
    /// Read only hosts and settings: roles, and what else is wrong in the repository, do not matter.
    pub hosts_only: bool,
    /// Inventories from the command line, absolute or hosts parted by commas; else those of cm.toml, else the repository's.
    pub inventory: Vec<PathBuf>,
}

/// A repository that cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// The files that were read.
    pub sources: Sources,
    /// All that is wrong; render it with `sources`.
    pub diagnostics: Diagnostics,
}

impl Project {
    /// Reads and checks the repository at `root`, without touching any host.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(root: &Path, options: &LoadOptions) -> Result<Self, Box<LoadError>> {
        let sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let project = load(root, options, None, &sources, &mut diagnostics);
        Self::checked(project, sources, diagnostics)
    }

    /// The same repository with these hosts in the groups that take hosts by rule; earlier ones are forgotten.
    ///
    /// # Errors
    /// What is wrong then, each with its place.
    pub fn with_members(&self, members: &BTreeMap<String, Vec<String>>) -> Result<Self, Box<LoadError>> {
        let inner = &self.inner;
        let sources = inner.sources.clone();
        let mut diagnostics = Diagnostics::new();
        let Some(inventory) = inner.inventory.with_members(members, &sources, &mut diagnostics) else {
            return Ok(self.clone());
        };
        let project = load(&inner.root, &inner.options, Some(inventory), &sources, &mut diagnostics);
        // What was told once is not told again.
        let errors = diagnostics.into_iter().filter(|found| {
            found.severity == Severity::Error
                || !inner.warnings.iter().any(|known| known.message == found.message)
        });
        let mut project = Self::checked(project, sources, errors.collect())?;
        if let Some(changed) = Arc::get_mut(&mut project.inner) {
            changed.warnings.extend(inner.warnings.iter().cloned());
        }
        Ok(project)
    }

    fn checked(
        project: Option<Inner>,
        sources: Sources,
        mut diagnostics: Diagnostics,
    ) -> Result<Self, Box<LoadError>> {
        match project {
            Some(mut inner) if !diagnostics.has_errors() => {
                if inner.settings.strict && !diagnostics.is_empty() {
                    diagnostics.push(Diagnostic::error("warnings are errors here: `strict` in cm.toml"));
                    return Err(Box::new(LoadError { sources, diagnostics }));
                }
                inner.warnings = diagnostics;
                let inner = Arc::new(inner);
                let diagnostics = certain_errors(&inner);
                if diagnostics.has_errors() {
                    return Err(Box::new(LoadError { sources, diagnostics }));
                }
                Ok(Self { inner })
            }
            _ => {
                debug_assert!(diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
                Err(Box::new(LoadError { sources, diagnostics }))
            }
        }
    }
}

fn load(
    root: &Path,
    options: &LoadOptions,
    known: Option<Inventory>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Inner> {
    let settings = Settings::load(root, sources, diagnostics);
    let secrets = Secrets::load(root, settings.identity.clone(), &settings.recipients, sources, diagnostics);
    let inventory = known.or_else(|| {
        let secret = |name: &str| {
            let secret = secrets.get(name)?;
            Some(secret.map(|secret| secret.expose().to_owned()).map_err(Box::new))
        };
        let named = if options.inventory.is_empty() {
            settings.inventory.iter().map(|path| path.value.clone()).collect()
        } else {
            options.inventory.clone()
        };
        let reading = Reading { root, named: &named, secret: &secret };
        Inventory::load_from(sources, &reading, diagnostics)
    });
    // What only roles need is not looked at; templates of variables may use what they define.
    let mut unheard = Diagnostics::new();
    let set: Vec<(Spanned<String>, SetValue)> =
        options.set.iter().filter_map(|text| SetValue::parse(text, sources, diagnostics)).collect();
    let variables: Vec<BTreeMap<String, Variable>> = match &inventory {
        Some(inventory) => inventory.hosts().map(|(host, _)| inventory.variables(host)).collect(),
        None => Vec::new(),
    };
    let mut world = World {
        variables: variables.iter().flat_map(|variables| variables.keys().cloned()).collect(),
        secrets: secrets.names().map(str::to_owned).collect(),
        secret_variables: secret_variables(&variables),
        ..World::default()
    };
    let mut wanted: Vec<Spanned<String>> = Vec::new();
    if let Some(inventory) = &inventory {
        world.hosts = inventory.hosts().map(|(_, host)| host.name().to_owned()).collect();
        world.variables.extend(inventory.variables_of_rules().map(str::to_owned));
        world.groups = inventory.groups().map(|(_, group)| group.name().to_owned()).collect();
        for (_, group) in inventory.groups() {
            wanted.extend(group.roles().iter().cloned());
        }
    }
    for role in &options.roles {
        let file = sources.add("the command line", role.clone());
        // Within u32: nobody types that much.
        let span = cm_syntax::Span::new(file, 0, role.len() as u32);
        wanted.push(Spanned::new(role.clone(), span));
    }
    let mut roles = if options.hosts_only {
        Roles::none(sources)
    } else {
        let roles = read_roles(root, &wanted, &world, sources, diagnostics);
        check_set(&set, &world, &roles, diagnostics);
        roles
    };
    let waivers = if options.hosts_only {
        Waivers::default()
    } else {
        Waivers::load(root, inventory.as_ref(), Day::today(), sources, diagnostics)
    };
    let diagnostics = if options.hosts_only { &mut unheard } else { diagnostics };
    let inventory = inventory?;
    let params: BTreeSet<String> = roles.iter().flat_map(|role| role.param_names.iter().cloned()).collect();
    let mut compiler = ValueCompiler {
        templates: roles.templates_mut(),
        scope: Scope { world: &world, params: &params, item: false },
        diagnostics,
        known: HashMap::new(),
        broken: HashMap::new(),
        other_facts: false,
    };
    let host_variables: Vec<BTreeMap<String, HostVariable>> =
        variables.into_iter().map(|variables| compiler.variables(variables)).collect();
    let assigned: Vec<Vec<Assigned>> = inventory
        .hosts()
        .map(|(host, _)| {
            let assigned = inventory.roles_of(host).into_iter();
            assigned.map(|assigned| compiler.assigned(&assigned)).collect()
        })
        .collect();
    let inventory_uses_other_facts = compiler.other_facts;
    let rules = Rules::compile(&inventory, &world, sources, diagnostics);
    let groups = groups_value(&inventory);
    let inner = Inner {
        root: PathBuf::from(root),
        sources: sources.clone(),
        settings,
        groups,
        prepared: Prepared::new(&roles),
        orders: Orders::default(),
        inventory,
        roles,
        secrets: Arc::new(secrets),
        waivers,
        set: set.into_iter().map(|(name, value)| (name.value, value)).collect(),
        world,
        host_variables,
        assigned,
        contents: Contents::default(),
        inventory_uses_other_facts,
        warnings: Diagnostics::new(),
        rules,
        options: options.clone(),
    };
    check::hosts(&inner, diagnostics);
    Some(inner)
}

/// Names of variables that some host takes from `secrets`, directly or through other variables.
fn secret_variables(hosts: &[BTreeMap<String, Variable>]) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    loop {
        let holds = |node: &Node| {
            let text = cm_roles::value::from_node(node).to_string();
            holds_template(node)
                && (text.contains("secrets") || found.iter().any(|name| text.contains(name.as_str())))
        };
        let more: Vec<String> = hosts
            .iter()
            .flatten()
            .filter(|(name, variable)| !found.contains(*name) && holds(&variable.value))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// A name given by `--set` that nothing reads is a mistake.
fn check_set(
    set: &[(Spanned<String>, SetValue)],
    world: &World,
    roles: &Roles,
    diagnostics: &mut Diagnostics,
) {
    for (name, _) in set {
        let mut known: BTreeSet<&str> = world.variables.iter().map(String::as_str).collect();
        known.extend(roles.iter().flat_map(|role| role.param_names.iter().map(String::as_str)));
        if !known.contains(name.value.as_str()) {
            let near = nearest(&name.value, known.iter().copied());
            diagnostics.push(
                Diagnostic::error(format!("unknown variable `{}`", name.value))
                    .at(name.span, "not a parameter of any role, nor a variable of any host or group")
                    .did_you_mean(near),
            );
        }
    }
}

fn groups_value(inventory: &Inventory) -> Value {
    Value::from_pairs(inventory.groups().map(|(id, group)| {
        let hosts: Vec<Value> =
            inventory.hosts_of(id).map(|host| Value::from(inventory.host(host).name())).collect();
        (Value::from(group.name()), Value::from_pairs([("hosts", Value::from(hosts))]))
    }))
}

/// Compiles the values of the inventory; those of groups once for all their hosts.
struct ValueCompiler<'a> {
    templates: &'a mut Templates,
    scope: Scope<'a>,
    diagnostics: &'a mut Diagnostics,
    known: HashMap<(cm_syntax::Span, String), Arc<Argument>>,
    /// Of values of others, what is wrong with them.
    broken: HashMap<(cm_syntax::Span, String), Option<Arc<Diagnostic>>>,
    other_facts: bool,
}

impl ValueCompiler<'_> {
    fn variables(&mut self, variables: BTreeMap<String, Variable>) -> BTreeMap<String, HostVariable> {
        variables
            .into_iter()
            .map(|(name, variable)| {
                let (argument, broken) = if variable.foreign {
                    self.foreign(&variable.value)
                } else {
                    (self.argument(&variable.value), None)
                };
                let (origin, overridden) = (variable.origin, variable.overridden);
                (name, HostVariable { argument, origin, overridden, broken })
            })
            .collect()
    }

    fn assigned(&mut self, assigned: &cm_inventory::AssignedRole<'_>) -> Assigned {
        let with = assigned
            .with
            .iter()
            .map(|given| (Spanned::new(given.name.to_owned(), given.span), self.argument(given.value)))
            .collect();
        Assigned { role: assigned.name.clone(), with }
    }

    /// A value of others. What is wrong with its templates is told where it is used: they may be for Ansible alone.
    fn foreign(&mut self, node: &Node) -> (Arc<Argument>, Option<Arc<Diagnostic>>) {
        if !holds_template(node) {
            return (self.argument(node), None);
        }
        let key = (node.span, format!("{:?}", node.value));
        if let (Some(argument), Some(broken)) = (self.known.get(&key), self.broken.get(&key)) {
            return (argument.clone(), broken.clone());
        }
        let mut problems = Diagnostics::new();
        let (argument, uses) = Argument::compile(INVENTORY, node, self.scope, self.templates, &mut problems);
        let broken =
            problems.into_iter().find(|problem| problem.severity == Severity::Error).map(|problem| {
                Arc::new(
                    problem
                        .hint("the variable is one of Ansible's; its template uses what is not known here"),
                )
            });
        self.other_facts |= uses.other_facts && broken.is_none();
        let argument = Arc::new(argument);
        self.known.insert(key.clone(), argument.clone());
        self.broken.insert(key, broken.clone());
        (argument, broken)
    }

    fn argument(&mut self, node: &Node) -> Arc<Argument> {
        // The text belongs to the key: a range fills each host's own number in.
        let text = if holds_template(node) {
            format!("{:?}", node.value)
        } else {
            cm_roles::value::from_node(node).to_string()
        };
        if let Some(known) = self.known.get(&(node.span, text.clone())) {
            return known.clone();
        }
        let (argument, uses) =
            Argument::compile(INVENTORY, node, self.scope, self.templates, self.diagnostics);
        self.other_facts |= uses.other_facts;
        let argument = Arc::new(argument);
        self.known.insert((node.span, text), argument.clone());
        argument
    }
}
