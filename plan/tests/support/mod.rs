#![allow(dead_code, reason = "each test file uses a part of it")]
//! A repository written for one test, and what is told about it.

use std::{fs, path::Path};

use cm_plan::{FactsBook, HostPlan, LoadOptions, Project, Request};
use cm_syntax::Style;
use cm_wire::Facts;

/// A repository in a folder of its own, which goes with it.
pub struct Repository(tempfile::TempDir);

impl Repository {
    /// Writes files, given by path and text.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// One host `web1` in a group `web` with the role `web`, which this is.
    pub fn role(role: &str) -> Self {
        Self::new(&[("inventory.yaml", INVENTORY), ("roles/web/role.yaml", role)])
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn load(&self) -> Result<Project, String> {
        load(self.path(), &[])
    }

    /// All errors as a person sees them.
    pub fn errors(&self) -> String {
        self.load().err().unwrap_or_default()
    }

    /// The plan of one host, or all errors.
    pub fn plan(&self, host: &str) -> Result<HostPlan, String> {
        plan(&self.load()?, host, &Request::default())
    }
}

pub const INVENTORY: &str = "hosts:\n  web1:\ngroups:\n  web: { hosts: [web1], roles: [web] }\n";

pub fn load(root: &Path, set: &[&str]) -> Result<Project, String> {
    let set = set.iter().map(|text| (*text).to_owned()).collect();
    let options = LoadOptions { set, ..LoadOptions::default() };
    Project::load(root, &options).map_err(|error| error.diagnostics.render(&error.sources, Style::plain()))
}

pub fn plan(project: &Project, host: &str, request: &Request<'_>) -> Result<HostPlan, String> {
    plan_with(project, host, &FactsBook::default(), request)
}

pub fn plan_with(
    project: &Project,
    host: &str,
    others: &FactsBook,
    request: &Request<'_>,
) -> Result<HostPlan, String> {
    let id = project.inventory().host_id(host).unwrap();
    let compiled = project.compile(id, &facts(host), others, request);
    compiled.map_err(|diagnostics| diagnostics.render(project.sources(), Style::plain()))
}

pub fn facts(host: &str) -> Facts {
    let os = cm_wire::Os {
        family: "debian".into(),
        name: "debian".into(),
        version: "12".into(),
        codename: "bookworm".into(),
    };
    Facts { hostname: host.into(), os, cpus: 4, ..Facts::default() }
}

/// One line a task: id, parameters, what comes before it, whom it tells.
pub fn outline(plan: &HostPlan) -> String {
    let mut text = String::new();
    let mut after = vec![Vec::new(); plan.tasks.len()];
    for edge in plan.graph.task_edges() {
        after[edge.to].push(edge.from);
    }
    for (index, task) in plan.tasks.iter().enumerate() {
        let params: Vec<String> =
            task.params.iter().map(|(name, value)| format!("{name}={}", shown(plan, value))).collect();
        text += &format!("{index} {} [{}] {}", task.id, task.role, params.join(" "));
        if !after[index].is_empty() {
            text += &format!(" after {:?}", after[index]);
        }
        for notify in &task.notify {
            text += &format!(" {:?}->{}", notify.notice, notify.task);
        }
        if !task.edits.is_empty() {
            text += &format!(" edits {:?}", task.edits);
        }
        if task.sensitive {
            text += " sensitive";
        }
        if let Some(user) = &task.run_as {
            text += &format!(" as {user}");
        }
        text += "\n";
    }
    text
}

fn shown(plan: &HostPlan, value: &cm_wire::Value) -> String {
    use cm_wire::Value;
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Content(content) => match &plan.contents[&content.digest] {
            cm_plan::ContentSource::Bytes(bytes) => {
                format!("<{}>", String::from_utf8_lossy(bytes).escape_debug())
            }
            cm_plan::ContentSource::File(path) => {
                format!("<file {}>", path.file_name().unwrap().to_string_lossy())
            }
        },
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(plan, item)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, item)| format!("{key}:{}", shown(plan, item))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Tree(entries) => format!("<{} entries>", entries.len()),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Null => "null".into(),
    }
}
