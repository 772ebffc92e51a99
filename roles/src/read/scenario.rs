//! Reads the scenarios of a role's `tests/`: their shape, and the tasks and checks in them as the role language has them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use cm_syntax::{
    Diagnostic, Diagnostics, Entry, FileId, MapReader, Node, Sources, Span, Spanned, Yaml, nearest,
    parse_collecting,
};

use super::{ROLES, RawRole, Reader, RoleReader, own_roles};
use crate::{
    files::RoleFiles,
    param::{RoleParam, holds_template},
    scenario::{Drift, Later, RELEASES, Scenario, ScenarioGroup, ScenarioHost, Setting, Written},
    template::{Templates, World},
};

/// The folder of a role that holds its scenarios, and `templates/` and `files/` for their tasks.
pub const TESTS: &str = "tests";
/// A machine for tests is small.
const MOST_HOSTS: i64 = 20;

/// Reads the scenarios of a role of the repository at `root`, sorted by name. A role without any has one: `defaults`.
/// What is wrong with the roles themselves is told by [`super::read_roles`] alone.
pub fn read_scenarios(
    root: &Path,
    role: &str,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Scenario> {
    let mut unheard = Diagnostics::new();
    let params = opened(root, &World::default(), sources, &mut unheard, &[role.to_owned()]).raw.remove(role);
    // A role that cannot be read has errors of its own; nothing can be said of its parameters.
    let params = params.flatten().map(|raw| raw.params);
    let files = scenario_files(&root.join(ROLES).join(role).join(TESTS));
    let mut scenarios = Vec::new();
    for name in &files {
        let relative = Path::new(ROLES).join(role).join(TESTS).join(format!("{name}.yaml"));
        let file = match sources.read(root, &relative) {
            Ok(file) => file,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                continue;
            }
        };
        let Some(node) = parse_collecting(sources, file, diagnostics) else { continue };
        let reader = ScenarioReader { role, params: params.as_deref(), sources, diagnostics };
        let Some(mut scenario) = reader.read(name, &node) else { continue };
        check(root, &mut scenario, file, sources, diagnostics);
        scenarios.push(scenario);
    }
    if files.is_empty() {
        let mut scenario = plain(role);
        scenario.roles = opened_names(root, &scenario, sources);
        scenarios.push(scenario);
    }
    scenarios
}

/// Checks the scenarios of all roles of a repository.
pub fn check_scenarios(root: &Path, sources: &Sources, diagnostics: &mut Diagnostics) {
    for role in own_roles(root) {
        if root.join(ROLES).join(&role).join(TESTS).is_dir() {
            read_scenarios(root, &role, sources, diagnostics);
        }
    }
}

/// Names of all `NAME.yaml` in a folder, sorted.
fn scenario_files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect()
}

/// The role with its defaults on one host.
fn plain(role: &str) -> Scenario {
    Scenario {
        name: "defaults".into(),
        role: role.to_owned(),
        description: None,
        releases: Vec::new(),
        hosts: numbered(1),
        groups: Vec::new(),
        on: "all".into(),
        params: Vec::new(),
        vars: Vec::new(),
        secrets: Vec::new(),
        before: Written::default(),
        then: Written::default(),
        later: Vec::new(),
        drift: Vec::new(),
        leaves: Vec::new(),
        roles: Vec::new(),
    }
}

fn numbered(count: i64) -> Vec<ScenarioHost> {
    let host = |n| ScenarioHost { name: format!("node{n}"), vars: Vec::new(), release: None };
    (1..=count).map(host).collect()
}

/// A reader that has opened these roles and those they need.
fn opened<'a>(
    root: &'a Path,
    world: &'a World,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
    roles: &[String],
) -> Reader<'a> {
    let templates = Templates::new(sources.clone());
    let own = own_roles(root);
    // What is wrong with the repository's modules is told where its roles are read.
    let custom = crate::custom::CustomModules::read(root, sources, &mut Diagnostics::new());
    let mut reader =
        Reader { root, world, sources, diagnostics, templates, custom, own, raw: Default::default() };
    roles.iter().for_each(|role| reader.open(role));
    reader
}

/// The roles that a scenario begins with.
fn first_roles(scenario: &Scenario) -> Vec<String> {
    let of_groups = scenario.groups.iter().flat_map(|group| group.roles.iter().cloned());
    of_groups.chain([scenario.role.clone()]).collect()
}

fn opened_names(root: &Path, scenario: &Scenario, sources: &Sources) -> Vec<String> {
    let mut unheard = Diagnostics::new();
    let world = World::default();
    let reader = opened(root, &world, sources, &mut unheard, &first_roles(scenario));
    reader.raw.into_iter().filter_map(|(name, raw)| raw.map(|_| name)).collect()
}

/// Checks the lists of a scenario as lists of a role of its own that has the tested role's parameters.
fn check(
    root: &Path,
    scenario: &mut Scenario,
    file: FileId,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) {
    let own = own_roles(root);
    for group in &scenario.groups {
        for role in &group.roles {
            if !own.contains(role) && crate::library::get(role).is_none() {
                let near = nearest(role, own.iter().map(String::as_str));
                let place = find(sources, file, role);
                diagnostics.push(
                    Diagnostic::error(format!("unknown role `{role}`"))
                        .at(place, "there is no such role")
                        .did_you_mean(near),
                );
            }
        }
    }
    scenario.roles = opened_names(root, scenario, sources);
    let named =
        |settings: &[Setting]| settings.iter().map(|setting| setting.name.value.clone()).collect::<Vec<_>>();
    let mut variables: BTreeSet<String> = named(&scenario.vars).into_iter().collect();
    variables.extend(scenario.hosts.iter().flat_map(|host| named(&host.vars)));
    variables.extend(scenario.groups.iter().flat_map(|group| named(&group.vars)));
    let world = World {
        variables,
        groups: scenario.groups.iter().map(|group| group.name.clone()).collect(),
        hosts: scenario.hosts.iter().map(|host| host.name.clone()).collect(),
        secrets: scenario.secrets.iter().map(|(name, _)| name.clone()).collect(),
        ..World::default()
    };
    let mut told = Diagnostics::new();
    let mut reader = opened(root, &world, sources, &mut told, &first_roles(scenario));
    let Some(Some(tested)) = reader.raw.remove(&scenario.role) else { return };
    let below = Path::new(ROLES).join(&scenario.role).join(TESTS);
    let mut lists: Vec<(&Written, &str)> = vec![(&scenario.before, "tasks"), (&scenario.then, "verify")];
    lists.extend(scenario.later.iter().map(|later| (&later.then, "verify")));
    lists.extend(scenario.drift.iter().map(|drift| (&drift.then, "verify")));
    for (list, key) in lists.into_iter().filter(|(list, _)| !list.is_empty()) {
        let items: Vec<Node> = list.items.iter().map(|(node, _)| node.clone()).collect();
        let span = items[0].span;
        let entry =
            Entry { key: Spanned::new(key.to_owned(), span), value: Node::new(span, Yaml::List(items)) };
        let raw = RawRole {
            node: Node::new(span, Yaml::Map(vec![entry])),
            files: RoleFiles::Folder { path: root.join(&below), shown: below.display().to_string() },
            params: tested.params.clone(),
            param_names: tested.param_names.clone(),
            needs: Vec::new(),
        };
        let name = format!("{}-{key}", scenario.role);
        let role = RoleReader::new(&name, &raw, &mut reader).read(&raw, &Default::default());
        let mut alone = [(Arc::<str>::from(name.as_str()), role)].into_iter().collect();
        super::references::resolve(&mut alone, reader.diagnostics);
    }
    let ours =
        |diagnostic: &Diagnostic| diagnostic.primary.as_ref().is_some_and(|label| label.span.file == file);
    let mut seen = BTreeSet::new();
    for diagnostic in told.iter().filter(|diagnostic| ours(diagnostic)) {
        let place = diagnostic.primary.as_ref().map(|label| (label.span.start, label.span.end));
        if seen.insert((place, diagnostic.message.clone())) {
            diagnostics.push(diagnostic.clone());
        }
    }
}

/// Where a word stands first in a file.
fn find(sources: &Sources, file: FileId, word: &str) -> Span {
    // Within u32: no file that was read is larger.
    let start = sources.text(file).find(word).unwrap_or(0) as u32;
    Span::new(file, start, start + word.len() as u32)
}

/// Reads the shape of one file.
struct ScenarioReader<'a> {
    role: &'a str,
    params: Option<&'a [RoleParam]>,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
}

impl ScenarioReader<'_> {
    fn read(mut self, name: &str, node: &Node) -> Option<Scenario> {
        let mut scenario = Scenario { name: name.to_owned(), ..plain(self.role) };
        if node.is_null() {
            return Some(scenario);
        }
        let what = format!("scenario `{name}` of role `{}`", self.role);
        let mut reader = MapReader::new(node, what, self.diagnostics);
        scenario.description = reader.text("description").map(|text| text.value.to_owned());
        let releases = reader.texts("releases").unwrap_or_default();
        let hosts = reader.node("hosts");
        let groups = reader.map("groups").unwrap_or_default();
        let on = reader.text("on");
        let params = reader.map("params").unwrap_or_default();
        let vars = reader.map("vars").unwrap_or_default();
        let secrets = reader.map("secrets").unwrap_or_default();
        let before = reader.list("before").unwrap_or_default();
        let then = reader.list("then").unwrap_or_default();
        let later = reader.list("later").unwrap_or_default();
        let drift = reader.list("drift").unwrap_or_default();
        let leaves = reader.texts("leaves").unwrap_or_default();
        reader.finish();
        scenario.releases = releases.iter().filter_map(|release| self.release(release)).collect();
        if let Some(hosts) = hosts {
            scenario.hosts = self.hosts(hosts);
        }
        let known: Vec<String> = scenario.hosts.iter().map(|host| host.name.clone()).collect();
        scenario.groups = groups.iter().map(|entry| self.group(entry, &known)).collect();
        if let Some(on) = on {
            let groups = scenario.groups.iter().map(|group| group.name.as_str());
            let names: Vec<&str> = known.iter().map(String::as_str).chain(groups).chain(["all"]).collect();
            self.known(&Spanned::new(on.value, on.span), &names, "host or group");
            scenario.on = on.value.to_owned();
        }
        scenario.params = self.param_values(params);
        scenario.vars = settings(vars);
        scenario.secrets = self.secrets(secrets);
        scenario.before = self.written(before);
        scenario.then = self.written(then);
        scenario.later = later.iter().enumerate().map(|(index, node)| self.later(index, node)).collect();
        scenario.drift =
            drift.iter().enumerate().map(|(index, node)| self.drift(index, node, &known)).collect();
        scenario.leaves = leaves.iter().map(|path| path.value.to_owned()).collect();
        (!scenario.hosts.is_empty()).then_some(scenario)
    }

    fn release(&mut self, release: &Spanned<&str>) -> Option<String> {
        self.known(release, &RELEASES, "release");
        RELEASES.contains(&release.value).then(|| release.value.to_owned())
    }

    /// Tells a name that is none of those that there are.
    fn known(&mut self, name: &Spanned<&str>, known: &[&str], what: &str) {
        if !known.contains(&name.value) {
            let near = nearest(name.value, known.iter().copied());
            let mut diagnostic = Diagnostic::error(format!("unknown {what} `{}`", name.value))
                .at(name.span, format!("there is no such {what} here"))
                .did_you_mean(near);
            if near.is_none() {
                diagnostic = diagnostic.hint(format!("there are {}", known.join(", ")));
            }
            self.diagnostics.push(diagnostic);
        }
    }

    /// A number, a list of names, or a map of names to `{ vars, release }`.
    fn hosts(&mut self, node: &Node) -> Vec<ScenarioHost> {
        let mut hosts = Vec::new();
        match &node.value {
            Yaml::Int(count) if (1..=MOST_HOSTS).contains(count) => return numbered(*count),
            Yaml::List(items) if !items.is_empty() => {
                for item in items {
                    let name = item.as_text().unwrap_or_default();
                    self.host_name(name, item.span, &mut hosts);
                }
            }
            Yaml::Map(entries) if !entries.is_empty() => {
                for entry in entries {
                    self.host_name(&entry.key.value, entry.key.span, &mut hosts);
                    let Some(host) = hosts.last_mut().filter(|_| !entry.value.is_null()) else { continue };
                    let what = format!("host `{}`", entry.key.value);
                    let mut reader = MapReader::new(&entry.value, what, self.diagnostics);
                    host.vars = settings(reader.map("vars").unwrap_or_default());
                    let release = reader.text("release");
                    reader.finish();
                    host.release = release.and_then(|release| self.release(&release));
                }
            }
            _ => self.diagnostics.push(
                Diagnostic::error(format!(
                    "`hosts` wants a number from 1 to {MOST_HOSTS}, a list of names, or a map of them, not {}",
                    node.described()
                ))
                .at(node.span, "")
                .hint("`hosts: 3` makes node1, node2 and node3"),
            ),
        }
        hosts
    }

    fn host_name(&mut self, name: &str, place: Span, hosts: &mut Vec<ScenarioHost>) {
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.ends_with('-')
            && name.len() <= 63;
        if !good {
            self.diagnostics.push(
                Diagnostic::error(format!("`{name}` cannot name a host of a scenario"))
                    .at(place, "lower-case letters, digits and `-` only, a letter first"),
            );
        } else if hosts.iter().any(|host| host.name == name) {
            self.diagnostics.push(
                Diagnostic::error(format!("host `{name}` is there twice")).at(place, "the second time"),
            );
            return;
        }
        hosts.push(ScenarioHost { name: name.to_owned(), vars: Vec::new(), release: None });
    }

    /// A list of hosts, or `{ hosts, vars, roles }`.
    fn group(&mut self, entry: &Entry, known: &[String]) -> ScenarioGroup {
        let name = entry.key.value.clone();
        let mut group = ScenarioGroup { name, hosts: Vec::new(), vars: Vec::new(), roles: Vec::new() };
        let hosts: Vec<Spanned<String>> = match &entry.value.value {
            Yaml::List(items) => items
                .iter()
                .map(|item| Spanned::new(item.as_text().unwrap_or_default().to_owned(), item.span))
                .collect(),
            _ => {
                let what = format!("group `{}`", entry.key.value);
                let mut reader = MapReader::new(&entry.value, what, self.diagnostics);
                let hosts = reader.texts("hosts").unwrap_or_default();
                group.vars = settings(reader.map("vars").unwrap_or_default());
                let roles = reader.texts("roles").unwrap_or_default();
                group.roles = roles.iter().map(|role| role.value.to_owned()).collect();
                reader.finish();
                hosts.into_iter().map(|host| host.map(str::to_owned)).collect()
            }
        };
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        for host in &hosts {
            self.known(&Spanned::new(host.value.as_str(), host.span), &names, "host");
        }
        group.hosts = hosts.into_iter().map(|host| host.value).collect();
        group
    }

    /// Values of the role's parameters: known names, and of their types where they hold no templates.
    fn param_values(&mut self, entries: &[Entry]) -> Vec<Setting> {
        let Some(params) = self.params else { return settings(entries) };
        for entry in entries {
            let name = &entry.key.value;
            match params.iter().find(|param| param.name.value == *name) {
                Some(param) if !holds_template(&entry.value) => {
                    if let Err(wrong) = param.check_node(&entry.value) {
                        self.diagnostics.push(param.mismatch(&wrong, entry.value.span));
                    }
                }
                Some(_) => {}
                None => {
                    let near = nearest(name, params.iter().map(|param| param.name.value.as_str()));
                    self.diagnostics.push(
                        Diagnostic::error(format!("role `{}` has no parameter `{name}`", self.role))
                            .at(entry.key.span, "unknown parameter")
                            .did_you_mean(near)
                            .hint("what is no parameter of the role goes into `vars`"),
                    );
                }
            }
        }
        settings(entries)
    }

    fn secrets(&mut self, entries: &[Entry]) -> Vec<(String, String)> {
        let mut secrets = Vec::new();
        for entry in entries {
            match entry.value.as_text() {
                Some(text) => secrets.push((entry.key.value.clone(), text.to_owned())),
                None => self.diagnostics.push(
                    Diagnostic::error(format!(
                        "secret `{}` wants a string, not {}",
                        entry.key.value,
                        entry.value.described()
                    ))
                    .at(entry.value.span, ""),
                ),
            }
        }
        secrets
    }

    fn written(&self, items: &[Node]) -> Written {
        let place = |item: &Node| self.sources.place_line(item.span);
        Written { items: items.iter().map(|item| (item.clone(), place(item))).collect() }
    }

    fn later(&mut self, index: usize, node: &Node) -> Later {
        let mut reader = MapReader::new(node, "an item of `later`", self.diagnostics);
        let name = reader.text("name").map(|name| name.value.to_owned());
        let params = reader.map("params").unwrap_or_default();
        let then = reader.list("then").unwrap_or_default();
        reader.require("params");
        reader.finish();
        Later {
            name: name.unwrap_or_else(|| format!("later {}", index + 1)),
            params: self.param_values(params),
            then: self.written(then),
        }
    }

    fn drift(&mut self, index: usize, node: &Node, known: &[String]) -> Drift {
        let mut reader = MapReader::new(node, "an item of `drift`", self.diagnostics);
        let name = reader.text("name").map(|name| name.value.to_owned());
        let on = reader.texts("on").unwrap_or_default();
        reader.require("commands");
        let commands = reader.texts("commands").unwrap_or_default();
        reader.require("finds");
        let finds = reader.texts("finds").unwrap_or_default();
        let then = reader.list("then").unwrap_or_default();
        reader.finish();
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        on.iter().for_each(|host| self.known(host, &names, "host"));
        for find in finds.iter().filter(|find| find.value.trim().is_empty()) {
            self.diagnostics.push(
                Diagnostic::error(format!("`{}` is not the id of a task", find.value))
                    .at(find.span, "`MODULE:SUBJECT` was expected")
                    .hint("as `cm verify` shows it: `file:/etc/motd`"),
            );
        }
        Drift {
            name: name.unwrap_or_else(|| format!("drift {}", index + 1)),
            on: on.iter().map(|host| host.value.to_owned()).collect(),
            commands: commands.iter().map(|command| command.value.to_owned()).collect(),
            finds: finds.into_iter().map(|find| find.map(str::to_owned)).collect(),
            then: self.written(then),
        }
    }
}

fn settings(entries: &[Entry]) -> Vec<Setting> {
    entries.iter().map(|entry| Setting { name: entry.key.clone(), value: entry.value.clone() }).collect()
}

#[cfg(test)]
mod tests;
