//! What Ansible's connection variables (`ansible_host`, `ansible_user`, …) say about how we reach a host.
//!
//! They are variables as all others, so their templates are filled in with the host's variables here: facts and secrets
//! are not known when a host is to be reached.

use std::collections::{BTreeMap, BTreeSet};

use cm_syntax::{Diagnostic, Diagnostics, Node, Sources, Span, Spanned, Yaml};
use minijinja::Environment;

use super::ssh_args::{self, Understood};
use super::world::Set;
use crate::draft::{Key, Value};
use crate::fill;
use crate::range::Expanded;
use crate::settings::{self, Setting, is_template};

/// Variables of variables are followed this deep.
const DEEPEST: usize = 16;

/// How a host is reached.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub address: Option<Spanned<String>>,
    pub settings: Vec<Value>,
    /// Why the host cannot be managed at all, such as a connection that is not SSH.
    pub refused: Option<Diagnostic>,
}

/// Warnings that hold for many hosts, told once for each place.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeSet<(Span, String)>);

/// What is needed to read the connection of one host.
pub(crate) struct Connection<'c, 'e> {
    pub host: &'c str,
    /// The strongest value of a variable of the host.
    pub look_up: &'c dyn Fn(&str) -> Option<&'c Set>,
    pub environment: &'c Environment<'e>,
    pub sources: &'c Sources,
    pub told: &'c mut Told,
    pub diagnostics: &'c mut Diagnostics,
}

impl<'c> Connection<'c, '_> {
    /// Reads it.
    pub(crate) fn read(mut self) -> Reach {
        let mut reach = Reach::default();
        let mut gathered = Gathered { host: self.host, settings: Vec::new(), problems: Diagnostics::new() };
        // Of two names for one thing, the second is the stronger one, as in Ansible's plugins.
        if let Some(node) = self.last(&["ansible_host", "ansible_ssh_host"]) {
            let address = Spanned::new(text_of(&node), node.span);
            let what = format!("host `{}`", self.host);
            crate::native::check_address(&what, &address, &mut gathered.problems);
            reach.address = Some(address);
        }
        // Weaker than the variables that say one thing each.
        for name in ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"] {
            let Some(node) = self.value(name) else { continue };
            let found = ssh_args::read(&text_of(&node));
            for left in &found.left {
                let message = format!("`{left}` of `{name}` is not honoured");
                self.warn(node.span, message, "has no meaning for cm's own SSH");
            }
            gathered.arguments(&found, node.span);
        }
        let numbers: [(_, &[&str]); 2] = [
            (Setting::Port, &["ansible_port", "ansible_ssh_port"]),
            (Setting::ConnectTimeout, &["ansible_timeout", "ansible_ssh_timeout"]),
        ];
        for (setting, names) in numbers {
            if let Some(node) = self.last(names) {
                let value = text_of(&node).trim().parse().map_or_else(|_| node.value.clone(), Yaml::Int);
                gathered.set(setting, node.span, value);
            }
        }
        let texts: [(_, &[&str]); 2] = [
            (Setting::User, &["ansible_user", "ansible_ssh_user"]),
            (Setting::Key, &["ansible_private_key_file", "ansible_ssh_private_key_file"]),
        ];
        for (setting, names) in texts {
            if let Some(node) = self.last(names) {
                gathered.set(setting, node.span, Yaml::Text(text_of(&node)));
            }
        }
        if let Some(node) = self.last(&["ansible_host_key_checking", "ansible_ssh_host_key_checking"]) {
            let word = if truth(&node) == Some(false) { "accept-new" } else { "strict" };
            gathered.set(Setting::HostKeys, node.span, Yaml::Text(word.to_owned()));
        }
        if let Some(node) = self.last(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"]) {
            let label = "cm logs in with keys, certificates or an ssh-agent";
            self.warn(node.span, "passwords of SSH are not used".to_owned(), label);
        }
        self.rights(&mut gathered);
        if let Some(node) = self.value("ansible_connection") {
            let kind = text_of(&node);
            let known = match kind.rsplit('.').next().unwrap_or_default() {
                "ssh" | "smart" | "paramiko" | "paramiko_ssh" => Some("ssh"),
                "local" => Some("local"),
                _ => None,
            };
            match known {
                Some(known) => {
                    gathered.set(Setting::Connection, node.span, Yaml::Text(known.to_owned()));
                }
                None => {
                    let message = format!("host `{}` is left out: it is reached by `{kind}`", self.host);
                    reach.refused =
                        Some(Diagnostic::warning(message).at(node.span, "cm knows `ssh` and `local`"));
                    return reach;
                }
            }
        }
        reach.settings = gathered.settings;
        // One place may be wrong for many hosts; one of them is enough to know.
        for problem in gathered.problems {
            let place = problem.primary.as_ref().map(|label| label.span);
            if place.is_none_or(|place| self.told.0.insert((place, String::new()))) {
                self.diagnostics.push(problem);
            }
        }
        reach
    }

    /// `become` and what goes with it.
    fn rights(&mut self, gathered: &mut Gathered<'_>) {
        let host = self.host;
        let wanted = self.value("ansible_become");
        let becomes = wanted.as_ref().and_then(truth);
        if let Some(node) = &wanted {
            match becomes {
                Some(flag) => gathered.set(Setting::Become, node.span, Yaml::Bool(flag)),
                None => gathered.problems.push(
                    Diagnostic::error(format!("`ansible_become` of host `{host}` is neither true nor false"))
                        .at(node.span, ""),
                ),
            }
        }
        if becomes == Some(true) {
            if let Some(node) = self.value("ansible_become_user").filter(|node| text_of(node) != "root") {
                gathered.problems.push(
                    Diagnostic::error(format!("host `{host}` is to become `{}`, not root", text_of(&node)))
                        .at(node.span, "cm's tasks run as root")
                        .hint("a task that is to run as another user says so in its role: `become: NAME`"),
                );
            }
            if let Some(node) = self.value("ansible_become_method").filter(|node| text_of(node) != "sudo") {
                let text = format!("`ansible_become_method={}` is not honoured", text_of(&node));
                self.warn(node.span, text, "cm becomes root by `sudo`");
            }
        }
        let passwords =
            ["ansible_sudo_pass", "ansible_sudo_password", "ansible_become_pass", "ansible_become_password"];
        if let Some(node) = self.last(&passwords) {
            gathered.set(Setting::BecomePassword, node.span, Yaml::Text(text_of(&node)));
        }
    }

    fn warn(&mut self, span: Span, message: String, label: &str) {
        if self.told.0.insert((span, message.clone())) {
            self.diagnostics.push(Diagnostic::warning(message).at(span, label));
        }
    }

    /// The last of several names that has a value.
    fn last(&mut self, names: &[&str]) -> Option<Node> {
        names.iter().rev().find_map(|name| self.value(name))
    }

    /// A variable's value with its templates filled in.
    fn value(&mut self, name: &str) -> Option<Node> {
        let set = (self.look_up)(name)?;
        match self.filled(&set.node, 0) {
            Ok(node) => Some(node).filter(|node| !node.is_null()),
            Err(diagnostic) => {
                let message = format!("`{name}` of host `{}` cannot be filled in", self.host);
                if self.told.0.insert((set.node.span, String::new())) {
                    let mut told = Diagnostic::error(message).at(set.node.span, "");
                    told = told.caused_by(diagnostic.message);
                    self.diagnostics.push(told.hint(
                        "variables that say how a host is reached know the host's other variables, no facts",
                    ));
                }
                None
            }
        }
    }

    fn filled(&self, node: &Node, depth: usize) -> Result<Node, Box<Diagnostic>> {
        let Some(text) = node.as_text().filter(|text| is_template(text)) else { return Ok(node.clone()) };
        if depth > DEEPEST {
            return Err(Box::new(Diagnostic::error("variables need each other in a circle")));
        }
        // What secrets are, only the plan knows.
        if text.contains("secrets.") {
            return Ok(node.clone());
        }
        let failed = |error: &minijinja::Error| {
            Box::new(Diagnostic::error(
                error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            ))
        };
        let names = self.environment.template_from_str(text).map_err(|error| failed(&error))?;
        let host = Expanded { name: self.host.to_owned(), parts: Vec::new() };
        let mut known = BTreeMap::new();
        for name in names.undeclared_variables(false) {
            let value = match name.as_str() {
                "inventory_hostname" => Node::new(node.span, Yaml::Text(host.name.clone())),
                "inventory_hostname_short" => {
                    let short = host.name.split('.').next().unwrap_or_default();
                    Node::new(node.span, Yaml::Text(short.to_owned()))
                }
                _ => match (self.look_up)(&name) {
                    Some(set) => self.filled(&set.node, depth + 1)?,
                    None => continue,
                },
            };
            // A lone `{{ name }}` of what only the plan knows goes on as that.
            if value.as_text().is_some_and(|text| text.contains("secrets.")) {
                return Ok(Node::new(node.span, value.value));
            }
            known.insert(name, minijinja::Value::from(minijinja::value::Serde(&value)));
        }
        let prepared = fill::prepare(self.environment, self.sources, node, fill::Scope::Everything)?;
        prepared.fill(&fill::Names::of(known), self.sources)
    }
}

/// Settings found so far; later ones win.
struct Gathered<'h> {
    host: &'h str,
    settings: Vec<Value>,
    problems: Diagnostics,
}

impl Gathered<'_> {
    fn set(&mut self, setting: Setting, span: Span, value: Yaml) {
        let node = Node::new(span, value);
        let what = format!("`{}` of host `{}`", setting.name(), self.host);
        // Ours must not stand in clear text; in what others wrote it does.
        let password = setting == Setting::BecomePassword && node.as_text().is_some();
        match settings::check(setting, &what, &node) {
            Err(problems) if !password => self.problems.extend(*problems),
            _ => {
                let key = Key::Setting(setting);
                self.settings.retain(|value| value.key != key);
                self.settings.push(Value { key, span, node, rank: Some(0) });
            }
        }
    }

    /// Hands on what arguments of `ssh` say.
    fn arguments(&mut self, found: &Understood, span: Span) {
        let texts = [
            (Setting::Jump, &found.jump),
            (Setting::User, &found.user),
            (Setting::Key, &found.key),
            (Setting::Config, &found.config),
            (Setting::KnownHosts, &found.known_hosts),
        ];
        for (setting, text) in texts {
            if let Some(text) = text {
                self.set(setting, span, Yaml::Text(text.clone()));
            }
        }
        let numbers = [
            (Setting::Port, found.port),
            (Setting::ConnectTimeout, found.connect_timeout),
            (Setting::Keepalive, found.keepalive),
        ];
        for (setting, number) in numbers {
            if let Some(number) = number {
                self.set(setting, span, Yaml::Int(number));
            }
        }
        if let Some(accept) = found.accept_new {
            let word = if accept { "accept-new" } else { "strict" };
            self.set(Setting::HostKeys, span, Yaml::Text(word.to_owned()));
        }
    }
}

/// A scalar as text, as it would be printed.
fn text_of(node: &Node) -> String {
    match &node.value {
        Yaml::Text(text) => text.clone(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Int(value) => value.to_string(),
        Yaml::Float(value) => value.to_string(),
        _ => String::new(),
    }
}

/// What Ansible takes for true and false.
fn truth(node: &Node) -> Option<bool> {
    match text_of(node).to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" | "1.0" => Some(true),
        "false" | "no" | "off" | "n" | "f" | "0" | "0.0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
