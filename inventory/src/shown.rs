//! The inventory as `ansible-inventory --list` prints one: what other programs read, and what tests compare.

use serde_json::{Map, Value, json};

use crate::ansible::into_draft::MAGIC;
use crate::{GroupId, HostId, Inventory};

impl Inventory {
    /// Groups with their hosts and children, and the variables of each host under `_meta`. Variables are not rendered.
    pub fn ansible_list(&self) -> Value {
        let mut list = Map::new();
        let mut variables = Map::new();
        for (id, host) in self.hosts() {
            let own = self.variables(id).into_iter().filter(|(name, _)| !MAGIC.contains(&name.as_str()));
            // What is in a variable is plain data.
            let own: Map<String, Value> = own.map(|(name, variable)| (name, json!(variable.value))).collect();
            if !own.is_empty() {
                variables.insert(host.name().to_owned(), Value::Object(own));
            }
        }
        let mut held = vec![false; self.groups.len()];
        for (_, group) in self.groups() {
            group.children().iter().for_each(|child| held[child.index()] = true);
        }
        let name = |group: &GroupId| json!(self.group(*group).name());
        let host_name = |host: HostId| json!(self.host(host).name());
        let mut in_a_group = vec![false; self.hosts.len()];
        for (id, group) in self.groups() {
            if id.index() == 0 {
                continue;
            }
            let hosts: Vec<Value> = group.own_hosts().map(host_name).collect();
            group.own_hosts().for_each(|host| in_a_group[host.index()] = true);
            let children: Vec<Value> = group.children().iter().map(name).collect();
            let mut body = Map::new();
            if !hosts.is_empty() {
                body.insert("hosts".to_owned(), hosts.into());
            }
            if !children.is_empty() {
                body.insert("children".to_owned(), children.into());
            }
            if !body.is_empty() {
                list.insert(group.name().to_owned(), body.into());
            }
        }
        let groups = self.groups().map(|(id, _)| id);
        let mut top: Vec<Value> =
            groups.filter(|id| id.index() != 0 && !held[id.index()]).map(|id| name(&id)).collect();
        let alone: Vec<Value> =
            self.hosts().map(|(id, _)| id).filter(|id| !in_a_group[id.index()]).map(host_name).collect();
        if !alone.is_empty() && !list.contains_key("ungrouped") {
            list.insert("ungrouped".to_owned(), json!({ "hosts": alone }));
        }
        if !top.contains(&json!("ungrouped")) {
            top.push(json!("ungrouped"));
        }
        list.insert("all".to_owned(), json!({ "children": top }));
        list.insert("_meta".to_owned(), json!({ "hostvars": variables }));
        Value::Object(list)
    }
}
