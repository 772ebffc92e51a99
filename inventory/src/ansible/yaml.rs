//! Ansible's YAML inventories, by the rules of ansible-core's `plugins/inventory/yaml.py`.

use cm_syntax::{Diagnostic, Diagnostics, Entry, Node, Spanned, Yaml, nearest};

use super::pattern;
use super::world::{Set, World};

/// What a group takes.
const KEYS: [&str; 3] = ["hosts", "children", "vars"];
/// Groups may hold each other this deep.
const DEEPEST: usize = 60;

/// Whether a file of YAML is an inventory of Ansible rather than one of ours: its top holds groups.
pub(crate) fn is_one(root: &Node) -> bool {
    let Some(entries) = root.as_map() else { return false };
    let ours = |entry: &Entry| matches!(&*entry.key.value, "hosts" | "groups" | "defaults" | "sources");
    let group = |entry: &Entry| {
        let entries = entry.value.as_map();
        entry.key.value == crate::native::ALL
            || entries.is_some_and(|keys| {
                !keys.is_empty() && keys.iter().all(|key| KEYS.contains(&key.key.value.as_str()))
            })
    };
    !entries.iter().any(ours) && (entries.iter().any(group) || root.get("plugin").is_some())
}

/// Reads a parsed file into the world.
pub(crate) fn read(root: &Node, world: &mut World, diagnostics: &mut Diagnostics) {
    let Some(entries) = root.as_map() else {
        if !root.is_null() {
            diagnostics.push(
                Diagnostic::error(format!("an inventory is a map of groups, not {}", root.kind()))
                    .at(root.span, ""),
            );
        }
        return;
    };
    if let Some(plugin) = root.get("plugin") {
        let name = plugin.as_text().unwrap_or("…");
        diagnostics.push(
            Diagnostic::error(format!("Ansible's inventory plugin `{name}` cannot be used here"))
                .at(plugin.span, "a program of Ansible, not an inventory")
                .hint(
                    "let Ansible write what it finds into a file, ansible-inventory -i THIS --list > hosts.json, or run \
                     that as a command of `sources:`",
                ),
        );
        return;
    }
    let mut reader = Reader { world, diagnostics, depth: 0 };
    for entry in entries {
        reader.group(&entry.key, &entry.value);
    }
}

struct Reader<'r> {
    world: &'r mut World,
    diagnostics: &'r mut Diagnostics,
    depth: usize,
}

impl Reader<'_> {
    /// Reads a group; none where it is no group at all.
    fn group(&mut self, name: &Spanned<String>, body: &Node) -> Option<usize> {
        let entries = match &body.value {
            Yaml::Map(entries) => entries.as_slice(),
            Yaml::Null => &[],
            _ => {
                self.diagnostics.push(
                    Diagnostic::warning(format!("`{}` is passed over", name.value))
                        .at(body.span, format!("a group is a map, not {}", body.kind())),
                );
                return None;
            }
        };
        let group = self.world.group(&name.value, name.span);
        self.depth += 1;
        if self.depth > DEEPEST {
            self.diagnostics.push(
                Diagnostic::error(format!("groups are nested more than {DEEPEST} levels deep"))
                    .at(name.span, "this goes too far"),
            );
            self.depth -= 1;
            return Some(group);
        }
        for entry in entries {
            match entry.key.value.as_str() {
                "vars" => {
                    for variable in self.map(entry, &name.value) {
                        let set = Set { span: variable.key.span, node: variable.value.clone() };
                        self.world.set_for_group(group, &variable.key.value, set, self.diagnostics);
                    }
                }
                "children" => {
                    for child in self.map(entry, &name.value) {
                        if let Some(inner) = self.group(&child.key, &child.value) {
                            self.world.child(group, inner, child.key.span, self.diagnostics);
                        }
                    }
                }
                "hosts" => {
                    for host in self.map(entry, &name.value) {
                        self.hosts(group, &host);
                    }
                }
                other => self.diagnostics.push(
                    Diagnostic::warning(format!("`{other}` of group `{}` is passed over", name.value))
                        .at(entry.key.span, "a group has `hosts`, `children` and `vars`")
                        .did_you_mean(nearest(other, KEYS)),
                ),
            }
        }
        self.depth -= 1;
        Some(group)
    }

    /// The entries of a section; a text alone is one name.
    fn map(&mut self, section: &Entry, group: &str) -> Vec<Entry> {
        match &section.value.value {
            Yaml::Map(entries) => entries.clone(),
            Yaml::Null => Vec::new(),
            Yaml::Text(name) => {
                let span = section.value.span;
                let nothing = Node::new(span, Yaml::Null);
                vec![Entry { key: Spanned::new(name.clone(), span), value: nothing }]
            }
            _ => {
                let key = &section.key.value;
                self.diagnostics.push(
                    Diagnostic::error(format!(
                        "`{key}` of group `{group}` is a map, not {}",
                        section.value.kind()
                    ))
                    .at(section.value.span, "")
                    .hint(format!("each name is a key with a colon behind it: {key}: {{ NAME: }}")),
                );
                Vec::new()
            }
        }
    }

    fn hosts(&mut self, group: usize, entry: &Entry) {
        let name = &entry.key;
        let hosts = match pattern::expand(&name.value) {
            Ok(hosts) => hosts,
            Err(error) => {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{}` cannot be the name of a host", name.value))
                        .at(name.span, error.to_string()),
                );
                return;
            }
        };
        let variables = match &entry.value.value {
            Yaml::Map(variables) => variables.as_slice(),
            Yaml::Null => &[],
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(format!(
                        "the variables of host `{}` are a map, not {}",
                        name.value,
                        entry.value.kind()
                    ))
                    .at(entry.value.span, ""),
                );
                &[]
            }
        };
        let port = hosts.port.map(|port| (port, name.span));
        for host in &hosts.names {
            let Some(host) = self.world.host_at(host, port, name.span, Some(group), self.diagnostics) else {
                return;
            };
            for variable in variables {
                let set = Set { span: variable.key.span, node: variable.value.clone() };
                self.world.set_for_host(host, &variable.key.value, set, self.diagnostics);
            }
        }
    }
}
