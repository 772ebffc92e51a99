//! Asks OpenSSH itself: runs `ssh -G` and reads what it prints.

use std::path::PathBuf;
use std::process::Stdio;

use thiserror::Error;
use tokio::process::Command;

use super::Settings;

/// OpenSSH's client, as an evaluator of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshProgram {
    /// The program.
    pub program: PathBuf,
    /// Configuration file in place of the standard ones.
    pub config: Option<PathBuf>,
}

/// What is known of the connection on the command line of `ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    /// Name that `Host` patterns are compared with.
    pub name: String,
    pub address: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// `ssh -G` gave no settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum RunError {
    #[error("`{}` could not be started: {reason}", .program.display())]
    NotStarted { program: PathBuf, reason: String },
    #[error("{0}")]
    Refused(String),
}

impl SshProgram {
    /// Finds `ssh` in `PATH`.
    pub fn find(config: Option<PathBuf>) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let program =
            std::env::split_paths(&path).map(|folder| folder.join("ssh")).find(|one| one.is_file())?;
        Some(Self { program, config })
    }

    /// Evaluates the configuration for one host.
    ///
    /// # Errors
    /// The program cannot be started, or finds a fault in the configuration: then in its own words.
    pub async fn settings(&self, query: &Query) -> Result<Settings, RunError> {
        let mut command = Command::new(&self.program);
        command.arg("-G");
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        if let Some(user) = &query.user {
            command.arg("-l").arg(user);
        }
        if let Some(port) = query.port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(address) = &query.address {
            command.arg("-o").arg(format!("HostName={}", address.replace('%', "%%")));
        }
        let output = command
            .arg("--")
            .arg(&query.name)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| RunError::NotStarted {
                program: self.program.clone(),
                reason: error.to_string(),
            })?;
        if !output.status.success() {
            return Err(RunError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(parse(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Key files that `ssh` tries when none are named; it prints them like named ones.
const DEFAULT_IDENTITIES: &[&str] = &[
    "~/.ssh/id_rsa",
    "~/.ssh/id_dsa",
    "~/.ssh/id_ecdsa",
    "~/.ssh/id_ecdsa_sk",
    "~/.ssh/id_ed25519",
    "~/.ssh/id_ed25519_sk",
    "~/.ssh/id_xmss",
];

fn parse(text: &str) -> Settings {
    let mut settings = Settings::default();
    for line in text.lines() {
        let Some((keyword, value)) = line.split_once(' ') else { continue };
        match keyword {
            "stricthostkeychecking" => settings.accept_new = accepts_new(value),
            "hashknownhosts" => settings.hash_known_hosts = is_yes(value),
            "identitiesonly" => settings.identities_only = is_yes(value),
            "userknownhostsfile" | "globalknownhostsfile" => {
                let files: Vec<String> = value.split_ascii_whitespace().map(str::to_owned).collect();
                settings.take(keyword, &files);
            }
            "proxyjump" | "proxycommand" if value == "none" => {}
            // Everything else is one value, printed without quotes.
            _ => {
                settings.take(keyword, &[value.to_owned()]);
            }
        }
    }
    if settings.identity_files.iter().all(|file| DEFAULT_IDENTITIES.contains(&file.as_str())) {
        settings.identity_files.clear();
    }
    if settings.alive_interval == Some(std::time::Duration::ZERO) {
        settings.alive_interval = None;
    }
    settings
}

/// Says whether a value of `StrictHostKeyChecking` lets new hosts in. `ask` does not: there is nobody to ask.
pub(crate) fn accepts_new(value: &str) -> bool {
    matches!(value, "accept-new" | "no" | "off" | "false")
}

pub(crate) fn is_yes(value: &str) -> bool {
    matches!(value, "yes" | "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_openssh_is_read() {
        // Recorded: OpenSSH 9.2 with a few settings.
        let settings = parse(
            "host web1\nuser admin\nhostname 10.0.0.1\nport 2222\nconnecttimeout none\n\
             identitiesonly yes\nhashknownhosts yes\nstricthostkeychecking accept-new\n\
             identityfile ~/my keys/one\nidentityfile ~/.ssh/two\n\
             globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2\n\
             serveraliveinterval 0\nproxyjump none\n",
        );
        assert_eq!(settings.user.as_deref(), Some("admin"));
        assert_eq!(settings.port, Some(2222));
        assert_eq!(settings.identity_files, ["~/my keys/one", "~/.ssh/two"]);
        assert!(settings.identities_only && settings.hash_known_hosts && settings.accept_new);
        assert_eq!(settings.global_known_hosts.as_ref().unwrap().len(), 2);
        assert_eq!(
            (settings.connect_timeout, settings.alive_interval, settings.proxy_jump),
            (None, None, None)
        );
    }

    #[test]
    fn default_key_files_are_not_named_ones() {
        let defaults: String =
            DEFAULT_IDENTITIES.iter().map(|file| format!("identityfile {file}\n")).collect();
        assert_eq!(parse(&defaults).identity_files, Vec::<String>::new());
    }
}
