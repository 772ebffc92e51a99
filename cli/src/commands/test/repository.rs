//! The repository of a case: its hosts, the roles it takes, and roles made from the scenario's lists.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use cm_lab::Lab;
use cm_roles::{ROLES, Scenario, Setting, TESTS, Written};
use cm_syntax::Node;
use serde_json::{Map, Value, json};

use super::folder::Workplace;

/// An address for documentation (RFC 5737), where no host is yet.
const NOWHERE: &str = "192.0.2.1";

/// A repository of one case.
pub struct Repository {
    folder: PathBuf,
    tested: PathBuf,
    /// The declarations of the role's parameters, for roles made from lists.
    params: Value,
    /// What places in made roles stand for: `roles/web-then/role.yaml:3` is `roles/web/tests/tls.yaml:12`.
    pub places: BTreeMap<String, String>,
}

impl Repository {
    /// Makes it, without an inventory.
    pub fn make(folder: PathBuf, workplace: &Workplace, scenario: &Scenario) -> io::Result<Self> {
        let roles = folder.join(ROLES);
        fs::create_dir_all(&roles)?;
        let all = workplace.root().join(ROLES);
        for role in &scenario.roles {
            symlink(all.join(role), roles.join(role))?;
        }
        let modules = workplace.root().join("modules");
        if modules.exists() {
            symlink(modules, folder.join("modules"))?;
        }
        fs::write(folder.join("cm.toml"), "")?;
        let tested = all.join(&scenario.role);
        let params = declared_params(&tested.join("role.yaml")).unwrap_or_else(|| json!({}));
        Ok(Self { folder, tested, params, places: BTreeMap::new() })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the inventory: the scenario's hosts at the lab's addresses (at none that there is, without a lab), with
    /// its variables and those of `later`.
    pub fn inventory(&self, lab: Option<&Lab>, scenario: &Scenario, later: &[&[Setting]]) -> io::Result<()> {
        let mut hosts = Map::new();
        let at = lab.map(Lab::hosts).unwrap_or_default();
        for own in &scenario.hosts {
            let address = at.iter().find(|host| host.name == own.name).map(|host| host.address.to_string());
            let address = address.unwrap_or_else(|| NOWHERE.to_owned());
            hosts.insert(own.name.clone(), json!({ "address": address, "vars": values(&own.vars) }));
        }
        let names: Vec<&String> = scenario.hosts.iter().map(|host| &host.name).collect();
        let mut vars = values(&scenario.params);
        vars.extend(values(&scenario.vars));
        for settings in later {
            vars.extend(values(settings));
        }
        let mut groups = Map::new();
        let inner: Vec<&String> = scenario.groups.iter().map(|group| &group.name).collect();
        groups.insert("everything".into(), json!({ "hosts": names, "groups": inner, "vars": vars }));
        for group in &scenario.groups {
            groups.insert(group.name.clone(), json!({ "hosts": group.hosts, "vars": values(&group.vars) }));
        }
        let mut ssh = json!({ "user": "admin", "config": "none" });
        if let Some(lab) = lab {
            ssh["key"] = json!(lab.key_path());
            ssh["known_hosts"] = json!(lab.known_hosts_path());
        }
        let inventory =
            json!({ "hosts": hosts, "groups": groups, "defaults": { "ssh": ssh, "become": true } });
        fs::write(self.folder.join("inventory.yaml"), format!("{inventory:#}\n"))
    }

    /// Lets the lab's key read secrets. The inventory, which names them, is written when they are there.
    pub fn secrets_for(&self, lab: &Lab) -> io::Result<()> {
        let key = lab.key_path();
        let public = fs::read_to_string(key.with_extension("pub"))?;
        let settings =
            format!("[secrets]\nidentity = \"{}\"\nrecipients = [\"{}\"]\n", key.display(), public.trim());
        fs::write(self.folder.join("inventory.yaml"), "hosts: {}\n")?;
        fs::write(self.folder.join("cm.toml"), settings)
    }

    /// Makes a role of a list of tasks (`tasks`) or checks (`verify`); each item stands on a line of its own, so that
    /// its place can be told.
    pub fn make_role(&mut self, name: &str, key: &str, list: &Written) -> io::Result<()> {
        let folder = self.folder.join(ROLES).join(name);
        fs::create_dir_all(&folder)?;
        for below in ["templates", "files"] {
            let theirs = self.tested.join(TESTS).join(below);
            if theirs.is_dir() && !folder.join(below).exists() {
                symlink(theirs, folder.join(below))?;
            }
        }
        let mut text = format!("{{ \"params\": {},\n\"{key}\": [\n", self.params);
        for (index, (item, place)) in list.items.iter().enumerate() {
            let comma = if index + 1 < list.items.len() { "," } else { "" };
            text.push_str(&format!("{}{comma}\n", plain(item)));
            self.places.insert(format!("{ROLES}/{name}/role.yaml:{}", index + 3), place.clone());
        }
        text.push_str("] }\n");
        fs::write(folder.join("role.yaml"), text)
    }
}

/// A written value as JSON, which is YAML too.
fn plain(node: &Node) -> Value {
    // Written values are plain data with text keys; a float that JSON lacks is told by who reads the role.
    serde_json::to_value(node).unwrap_or(Value::Null)
}

fn values(settings: &[Setting]) -> Map<String, Value> {
    settings.iter().map(|setting| (setting.name.value.clone(), plain(&setting.value))).collect()
}

/// What `params:` of a role file says; none where the file cannot be read, which its own reader tells.
fn declared_params(file: &Path) -> Option<Value> {
    let sources = cm_syntax::Sources::new();
    let file = sources.add(file, fs::read_to_string(file).ok()?);
    let node = cm_syntax::parse(&sources, file).ok()?;
    let mut params = plain(node.get("params")?);
    for param in params.as_object_mut().into_iter().flat_map(Map::values_mut) {
        // A list that does not use a parameter must not ask for it.
        if let Some(param) = param.as_object_mut() {
            param.remove("required");
        }
    }
    Some(params)
}
