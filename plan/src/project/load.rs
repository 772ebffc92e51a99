//! Reading a repository: every file is read and checked before anything is given back, and all errors come at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_inventory::{Inventory, Variable};
use cm_roles::{Argument, Roles, Scope, Templates, World, holds_template, read_roles};
use cm_syntax::{Diagnostic, Diagnostics, Node, Severity, Sources, Spanned, nearest};
use minijinja::Value;

use super::{Assigned, HostVariable, Inner, Project, SetValue, check};
use crate::{
    compile::{Orders, Prepared, certain_errors},
    content::Contents,
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
        let project = load(root, options, &sources, &mut diagnostics);
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
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Inner> {
    let settings = Settings::load(root, sources, diagnostics);
    let inventory = Inventory::load(sources, root, diagnostics);
    // What only roles need is not looked at; templates of variables may use what they define.
    let mut unheard = Diagnostics::new();
    let secrets = Secrets::load(root, settings.identity.clone(), &settings.recipients, sources, diagnostics);
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
    other_facts: bool,
}

impl ValueCompiler<'_> {
    fn variables(&mut self, variables: BTreeMap<String, Variable>) -> BTreeMap<String, HostVariable> {
        variables
            .into_iter()
            .map(|(name, variable)| {
                let argument = self.argument(&variable.value);
                (name, HostVariable { argument, origin: variable.origin, overridden: variable.overridden })
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
