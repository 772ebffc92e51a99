//! `cm node list|show|trust|forget`.

use clap::{Args, Subcommand};
use cm_state::Store;
use owo_colors::OwoColorize;

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet},
    options::Options,
    record, report,
};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the nodes that were ever reached.
    List,
    /// Show one node: facts, resources, when each changed and by which run.
    Show {
        /// The host.
        host: String,
    },
    /// Forget nodes: what is known of them, not the runs they were part of, and nothing on the nodes themselves.
    Forget {
        /// The hosts; they need not be in the inventory any more.
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
    },
    /// Accept a host's key, new or changed.
    Trust {
        /// The host.
        host: String,
        /// The key's fingerprint, read on the host's console; otherwise the key is shown and asked about.
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<String>,
        /// Accept without a question.
        #[arg(short = 'y', long)]
        yes: bool,
    },
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        Action::List => list(options),
        Action::Show { host } => show(options, host),
        Action::Forget { hosts } => forget(options, hosts),
        Action::Trust { host, fingerprint, yes } => trust(options, host, fingerprint.as_deref(), *yes),
    }
}

fn list(options: &Options) -> Result<Exit, Failure> {
    let store = fleet::open_state(options)?;
    let nodes = store.nodes().map_err(fleet::state_failure)?;
    if options.json {
        nodes.iter().for_each(|node| report::print(&format!("{}\n", serde_json::json!(node))));
        return Ok(Exit::Ok);
    }
    let mut table = report::table(&["node", "lifecycle", "address", "last seen", "host key"]);
    for node in &nodes {
        table.add_row(vec![
            node.name.clone(),
            report::json_word(&node.lifecycle),
            node.address.clone().unwrap_or_default(),
            node.last_seen.map_or_else(String::new, |time| time.to_string()),
            node.host_key.clone().unwrap_or_default(),
        ]);
    }
    report::print_table(&table);
    Ok(Exit::Ok)
}

fn show(options: &Options, host: &str) -> Result<Exit, Failure> {
    let store = fleet::open_state(options)?;
    let node = store.node(host).map_err(fleet::state_failure)?.ok_or_else(|| unknown(host))?;
    let facts = store.facts(&[host]).map_err(fleet::state_failure)?.pop().map(|(_, facts)| facts);
    let facts: serde_json::Value =
        facts.and_then(|facts| serde_json::from_str(&facts).ok()).unwrap_or_default();
    let resources = store.resources(host).map_err(fleet::state_failure)?;
    if options.json {
        let mut value = serde_json::json!(node);
        value["facts"] = facts;
        value["resources"] = serde_json::json!(resources);
        report::print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let seen = node.last_seen.map_or_else(|| "never".into(), |time| time.to_string());
    let mut text = format!(
        "{}: {}, at {}, last seen {seen}\n",
        node.name.bold(),
        report::json_word(&node.lifecycle),
        node.address.clone().unwrap_or_else(|| "?".into())
    );
    let os = &facts["os"];
    if os.is_object() {
        text.push_str(&format!(
            "  {} {}, kernel {}\n",
            word(&os["name"]),
            word(&os["version"]),
            word(&facts["kernel"])
        ));
    }
    report::print(&text);
    let mut table = report::table(&["resource", "role", "last outcome", "changed", "by run"]);
    for resource in &resources {
        table.add_row(vec![
            report::one_line(&resource.id),
            resource.role.as_deref().unwrap_or_default().to_owned(),
            report::json_word(&resource.outcome),
            resource.changed.as_ref().map_or_else(String::new, |change| change.at.to_string()),
            resource.changed.as_ref().map_or_else(String::new, |change| change.run.to_string()),
        ]);
    }
    report::print_table(&table);
    Ok(Exit::Ok)
}

fn unknown(host: &str) -> Failure {
    Failure::new(format!("no node `{host}` was ever reached")).hint("`cm node list` lists those that were")
}

/// All or, where one is not known, none.
fn forget(options: &Options, hosts: &[String]) -> Result<Exit, Failure> {
    let store = fleet::open_state(options)?;
    for host in hosts {
        store.node(host).map_err(fleet::state_failure)?.ok_or_else(|| unknown(host))?;
    }
    for host in hosts {
        store.forget_node(host).map_err(fleet::state_failure)?;
    }
    store.append_audit(&[record::audit_line()]).map_err(fleet::state_failure)?;
    if options.json {
        report::print(&format!("{}\n", serde_json::json!({ "event": "forgotten", "nodes": hosts })));
    } else if !options.quiet {
        report::print(&format!("forgotten: {}\n", hosts.join(", ")));
    }
    Ok(Exit::Ok)
}

fn word(value: &serde_json::Value) -> String {
    report::one_line(value.as_str().unwrap_or_default())
}

fn trust(options: &Options, host: &str, fingerprint: Option<&str>, yes: bool) -> Result<Exit, Failure> {
    let fleet = Fleet::load(options)?;
    let reach = fleet.ssh(host)?;
    let runtime = drive::runtime()?;
    runtime.block_on(async {
        let connector = fleet.connector();
        let failed = |error: &dyn std::error::Error| {
            Failure::because(format!("the key of `{host}` was not accepted"), error)
        };
        let endpoint = reach.endpoint().await.map_err(|error| failed(&error))?;
        let trusted = match fingerprint {
            Some(fingerprint) => {
                connector.trust(&endpoint, fingerprint).await.map_err(|error| failed(&error))?
            }
            None => {
                let key = connector
                    .offered_key(&endpoint)
                    .await
                    .map_err(|error| failed(&error).maybe_hint(error.hint()))?;
                report::print(&format!(
                    "{host} ({}) offers {} {}\n",
                    endpoint.socket_name(),
                    key.key_type,
                    key.fingerprint
                ));
                if !yes && !fleet::ask("compare it on the host's console. Accept it?")? {
                    return Err(Failure::new(format!("the key of `{host}` was not accepted")));
                }
                connector.trust_key(&endpoint, key).await.map_err(|error| failed(&error))?
            }
        };
        let replaced = match trusted.replaced.len() {
            0 => String::new(),
            1 => ", 1 old key taken out".into(),
            many => format!(", {many} old keys taken out"),
        };
        report::print(&format!(
            "{host}: {} {} is trusted now ({}{replaced})\n",
            trusted.key.key_type,
            trusted.key.fingerprint,
            trusted.file.display()
        ));
        Ok(Exit::Ok)
    })
}
