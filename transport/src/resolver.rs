//! Turns what the inventory wants into endpoints: inventory first, then ssh_config, then defaults.
//!
//! ssh_config is evaluated by OpenSSH itself (`ssh -G`, about 14 ms) once for each set of blocks that hosts
//! match, and not at all for hosts about which it says nothing. Only where the result depends on the host itself
//! (`Match` with conditions, tokens, canonical names) it is once for each host.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::{OnceCell, Semaphore};

use crate::endpoint::{
    AgentUse, DEFAULT_ATTEMPTS, DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVE, DEFAULT_KEEPALIVE_MAX,
    DEFAULT_PORT, Endpoint, HostKeyPolicy, Wanted,
};
use crate::jump_list::{JumpHost, parse_jumps};
use crate::ssh_config::{
    Applies, Config, ConfigPaths, Names, Query, RunError, Settings, SshProgram, evaluate, expand, expand_path,
};

/// Where a [`Resolver`] looks.
#[derive(Debug, Clone, Default)]
pub struct ResolverOptions {
    /// Configuration to read.
    pub config: ConfigSource,
    /// Home directory in place of the user's, for `~`, key files and known_hosts.
    pub home: Option<PathBuf>,
    /// Does without OpenSSH's `ssh` even if it is there; `Match` lines with conditions then count as not met.
    pub without_openssh: bool,
    /// Hosts of the inventory that jumps may name.
    pub hosts: HashMap<String, Wanted>,
}

/// Which ssh_config is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConfigSource {
    /// `~/.ssh/config` and `/etc/ssh/ssh_config`.
    #[default]
    Standard,
    /// This file alone, as `ssh -F`.
    File(PathBuf),
    /// None.
    None,
}

/// A host's connection settings could not be found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// `ssh` finds a fault in ssh_config.
    #[error("ssh_config cannot be used for `{host}`: {message}")]
    Config {
        /// Name of the host.
        host: String,
        /// What `ssh` says, with file and line.
        message: String,
    },
    /// A jump is not written as `[user@]host[:port]`.
    #[error("the jump host `{jump}` of `{host}` is not of the form [user@]host[:port]")]
    BadJump {
        /// Name of the host.
        host: String,
        /// What was written.
        jump: String,
    },
    /// Jump hosts lead to each other.
    #[error("the jump hosts of `{host}` lead in a circle: {}", .chain.join(" -> "))]
    JumpLoop {
        /// Name of the host.
        host: String,
        /// The jump hosts in the order in which they ask for each other.
        chain: Vec<String>,
    },
    /// A name begins with a dash, which `ssh` would take for an option.
    #[error("`{name}` cannot be the name of a host: it begins with a dash")]
    BadName {
        /// The name.
        name: String,
    },
}

/// As deep as jump hosts may nest.
const DEEPEST_JUMP: usize = 8;

/// Resolves hosts; keeps what was evaluated. Clones share it.
#[derive(Debug, Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: ResolverOptions,
    home: PathBuf,
    local_user: String,
    /// Read at first use.
    basis: OnceCell<Basis>,
    evaluated: Mutex<HashMap<GroupKey, Arc<Evaluation>>>,
    /// Bounds the processes that run at a time.
    processes: Semaphore,
}

/// What came of one group; whoever is first does the work, the others wait.
type Evaluation = OnceCell<Result<Arc<Settings>, RunError>>;

#[derive(Debug)]
struct Basis {
    config: Config,
    ssh: Option<SshProgram>,
    /// Whether our home directory is the one that `ssh` sees.
    same_home: bool,
}

/// Hosts with the same key have the same settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    blocks: Vec<usize>,
    /// Set where the result depends on the host itself.
    query: Option<Query>,
}

type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Endpoint, ResolveError>> + Send + 'a>>;

impl Resolver {
    /// Makes a resolver; nothing is read before the first host.
    #[must_use]
    pub fn new(options: ResolverOptions) -> Self {
        let home = options.home.clone().or_else(std::env::home_dir).unwrap_or_else(|| PathBuf::from("/"));
        let processes = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        Self {
            shared: Arc::new(Shared {
                options,
                home,
                local_user: local_user(),
                basis: OnceCell::new(),
                evaluated: Mutex::default(),
                processes: Semaphore::new(processes),
            }),
        }
    }

    /// Finds all that is needed to reach a host.
    ///
    /// # Errors
    /// ssh_config has a fault, or the jump hosts make no sense.
    pub async fn resolve(&self, wanted: &Wanted) -> Result<Endpoint, ResolveError> {
        self.resolve_within(wanted, &mut Vec::new()).await
    }

    fn resolve_within<'a>(&'a self, wanted: &'a Wanted, chain: &'a mut Vec<String>) -> Resolving<'a> {
        Box::pin(async move {
            let host = &wanted.host;
            if chain.len() >= DEEPEST_JUMP || chain.contains(host) {
                chain.push(host.clone());
                return Err(ResolveError::JumpLoop { host: chain[0].clone(), chain: chain.clone() });
            }
            chain.push(host.clone());
            let settings = self.settings(wanted).await?;
            let mut endpoint = self.endpoint(wanted, &settings);
            let (jumps, from_inventory) = match &wanted.jump {
                Some(jumps) => (Some(jumps.as_str()), true),
                None => (settings.proxy_jump.as_deref(), false),
            };
            if let Some(jumps) = jumps {
                endpoint.jump = self.jumps(wanted, jumps, from_inventory, chain).await?;
            }
            if wanted.jump.is_some() {
                endpoint.proxy_command = None;
            }
            chain.pop();
            Ok(endpoint)
        })
    }

    /// Resolves a list of jump hosts. The first has its own ssh_config to the full; the next ones are reached through
    /// those before them, whatever ssh_config says, as with `ssh -J`.
    async fn jumps(
        &self,
        wanted: &Wanted,
        jumps: &str,
        from_inventory: bool,
        chain: &mut Vec<String>,
    ) -> Result<Vec<Endpoint>, ResolveError> {
        let list =
            parse_jumps(jumps).map_err(|jump| ResolveError::BadJump { host: wanted.host.clone(), jump })?;
        let mut way: Vec<Endpoint> = Vec::new();
        for (index, jump) in list.iter().enumerate() {
            // `Host *` with a ProxyJump names the jump host itself too; `ssh` passes over that as well.
            if jump.host.eq_ignore_ascii_case(&wanted.host)
                || wanted.address.as_deref().is_some_and(|address| address == jump.host)
            {
                continue;
            }
            let mut asked = self.wanted_jump(jump, wanted, from_inventory);
            if index > 0 {
                asked.jump = Some("none".to_owned());
            }
            let mut endpoint = self.resolve_within(&asked, chain).await?;
            if index == 0 {
                way.append(&mut endpoint.jump);
            }
            if from_inventory
                && asked.user.is_none()
                && endpoint.user == self.shared.local_user
                && let Some(user) = &wanted.user
            {
                endpoint.user.clone_from(user);
            }
            way.push(endpoint);
        }
        Ok(way)
    }

    /// Says what is wanted of a jump host. Where the inventory names it, the `ssh:` settings that it gives the host
    /// hold for the way there too.
    fn wanted_jump(&self, jump: &JumpHost, host: &Wanted, from_inventory: bool) -> Wanted {
        let known = self.shared.options.hosts.get(&jump.host);
        let mut asked = known.cloned().unwrap_or_else(|| Wanted::new(jump.host.clone()));
        if jump.user.is_some() {
            asked.user.clone_from(&jump.user);
        }
        asked.port = jump.port.or(asked.port);
        if known.is_none() {
            if from_inventory {
                asked.key.clone_from(&host.key);
            }
            asked.known_hosts.clone_from(&host.known_hosts);
            asked.host_keys = host.host_keys;
            asked.connect_timeout = host.connect_timeout;
            asked.attempts = host.attempts;
            asked.keepalive = host.keepalive;
            asked.keepalive_max = host.keepalive_max;
        }
        asked
    }

    async fn settings(&self, wanted: &Wanted) -> Result<Arc<Settings>, ResolveError> {
        for name in [Some(&wanted.host), wanted.address.as_ref()].into_iter().flatten() {
            if name.starts_with('-') {
                return Err(ResolveError::BadName { name: name.clone() });
            }
        }
        let basis = self.shared.basis.get_or_init(|| self.read_basis()).await;
        let (query, key) = group(&basis.config, wanted);
        if key.blocks.is_empty() && key.query.is_none() {
            return Ok(Arc::new(evaluate(&basis.config, &query.name)));
        }
        let host_decides = key.query.is_some();
        let cell = {
            let mut evaluated = self.shared.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(evaluated.entry(key.clone()).or_default())
        };
        let result = cell
            .get_or_init(|| async {
                let Some(ssh) = &basis.ssh else {
                    return Ok(Arc::new(evaluate(&basis.config, &query.name)));
                };
                let _permit = self.shared.processes.acquire().await;
                let asked = if host_decides {
                    query.clone()
                } else {
                    Query { name: query.name.clone(), ..Query::default() }
                };
                let own = evaluate(&basis.config, &query.name);
                let mut settings = match ssh.settings(&asked).await {
                    // Where all hosts have a jump host, it is its own, which `ssh` refuses. That must not be held
                    // against the others.
                    Err(RunError::Refused(words)) if words.contains("jumphost loop") => own.clone(),
                    other => other?,
                };
                if !basis.same_home {
                    // `ssh` has expanded `~` already, to the home directory of the password file.
                    settings.user_known_hosts = own.user_known_hosts;
                }
                if !sets_host_name(&basis.config, &key) {
                    // `ssh` prints the name it was asked for, which is another host's for the rest of the group.
                    settings.host_name = None;
                }
                Ok(Arc::new(settings))
            })
            .await;
        result
            .clone()
            .map_err(|error| ResolveError::Config { host: wanted.host.clone(), message: error.to_string() })
    }

    async fn read_basis(&self) -> Basis {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let (files, explicit) = config_files(&shared);
            let config = Config::read(&ConfigPaths { home: shared.home.clone(), files });
            let ssh = if shared.options.without_openssh { None } else { SshProgram::find(explicit) };
            Basis { config, ssh, same_home: same_home(&shared) }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Basis {
            config: Config::default(),
            ssh: None,
            same_home: true,
        })
    }

    fn endpoint(&self, wanted: &Wanted, settings: &Settings) -> Endpoint {
        let shared = &self.shared;
        let address = wanted
            .address
            .clone()
            .or_else(|| settings.host_name.clone())
            .unwrap_or_else(|| wanted.host.clone());
        // `[fe80::1]` is written where a port could follow.
        let address = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.to_owned(),
            None => address,
        };
        let user = wanted
            .user
            .clone()
            .or_else(|| settings.user.clone())
            .unwrap_or_else(|| shared.local_user.clone());
        let port = wanted.port.or(settings.port).unwrap_or(DEFAULT_PORT);
        let names = Names {
            home: &shared.home,
            local_user: &shared.local_user,
            original: &wanted.host,
            host: &address,
            port,
            user: &user,
            host_key_alias: settings.host_key_alias.as_deref(),
        };
        let paths = |list: &[String]| -> Vec<PathBuf> {
            list.iter().filter(|one| *one != "none").map(|one| expand_path(one, names)).collect()
        };
        let ssh_folder = shared.home.join(".ssh");

        let mut identities: Vec<PathBuf> = Vec::new();
        if let Some(key) = &wanted.key {
            identities.push(match key.to_str() {
                Some(text) => expand_path(text, names),
                None => key.clone(),
            });
        }
        for path in paths(&settings.identity_files) {
            if !identities.contains(&path) {
                identities.push(path);
            }
        }
        let default_identities = if identities.is_empty() {
            ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| ssh_folder.join(name)).collect()
        } else {
            Vec::new()
        };
        let mut known_hosts = match (&wanted.known_hosts, &settings.user_known_hosts) {
            (Some(file), _) => vec![match file.to_str() {
                Some(text) => expand_path(text, names),
                None => file.clone(),
            }],
            (None, Some(files)) => paths(files),
            (None, None) => vec![ssh_folder.join("known_hosts"), ssh_folder.join("known_hosts2")],
        };
        known_hosts.extend(match &settings.global_known_hosts {
            Some(files) => paths(files),
            None => vec!["/etc/ssh/ssh_known_hosts".into(), "/etc/ssh/ssh_known_hosts2".into()],
        });
        let agent = match settings.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => AgentUse::Environment,
            Some("none") => AgentUse::None,
            Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(variable) => {
                    std::env::var_os(variable).map_or(AgentUse::None, |path| AgentUse::Path(path.into()))
                }
                None => AgentUse::Path(expand_path(text, names)),
            },
        };
        let policy = if settings.accept_new { HostKeyPolicy::AcceptNew } else { HostKeyPolicy::Strict };
        Endpoint {
            host: wanted.host.clone(),
            port,
            identities,
            default_identities,
            certificates: paths(&settings.certificate_files),
            agent,
            identities_only: settings.identities_only,
            known_hosts,
            hash_known_hosts: settings.hash_known_hosts,
            host_key_alias: settings.host_key_alias.clone(),
            host_keys: wanted.host_keys.unwrap_or(policy),
            jump: Vec::new(),
            proxy_command: settings.proxy_command.as_deref().map(|command| expand(command, names)),
            connect_timeout: wanted
                .connect_timeout
                .or(settings.connect_timeout)
                .unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            attempts: wanted
                .attempts
                .or(settings.connection_attempts.filter(|count| *count > 1))
                .unwrap_or(DEFAULT_ATTEMPTS)
                .max(1),
            keepalive: wanted.keepalive.or(settings.alive_interval).unwrap_or(DEFAULT_KEEPALIVE),
            keepalive_max: wanted
                .keepalive_max
                .or(settings.alive_interval.and(settings.alive_count_max))
                .unwrap_or(DEFAULT_KEEPALIVE_MAX),
            address,
            user,
        }
    }
}

/// Settings that make a block worth asking about. `HashKnownHosts`, which Debian sets for all hosts, is read without
/// asking.
const THAT_MATTER: &[&str] = &[
    "certificatefile",
    "connectionattempts",
    "connecttimeout",
    "globalknownhostsfile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "port",
    "proxycommand",
    "proxyjump",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "user",
    "userknownhostsfile",
];

/// Finds the name to ask for, and what the answer depends on.
fn group(config: &Config, wanted: &Wanted) -> (Query, GroupKey) {
    // Somebody may have written `Host web1`, somebody else `Host 10.0.*`: the inventory's name comes first, its
    // address counts where nothing is said about the name itself.
    let specific = |name: &str| {
        config.matching(name).into_iter().any(|(index, _)| {
            let block = &config.blocks[index];
            block.is_specific() && block.lines.iter().any(|line| THAT_MATTER.contains(&line.keyword.as_str()))
        })
    };
    let name = match &wanted.address {
        Some(address) if !specific(&wanted.host) && specific(address) => address.clone(),
        _ => wanted.host.clone(),
    };
    let query = Query { name, address: wanted.address.clone(), user: wanted.user.clone(), port: wanted.port };
    let mut blocks = BTreeSet::new();
    let mut host_decides = false;
    for (index, applies) in config.matching(&query.name) {
        for line in &config.blocks[index].lines {
            if line.keyword == "canonicalizehostname" {
                host_decides |= line.arguments.first().is_some_and(|value| value != "no");
            }
            if !THAT_MATTER.contains(&line.keyword.as_str()) {
                continue;
            }
            blocks.insert(index);
            // ProxyCommand and the paths are expanded here; only names are expanded by `ssh -G`.
            host_decides |= applies == Applies::Perhaps
                || (line.keyword == "hostname" && line.arguments.iter().any(|value| value.contains('%')));
        }
    }
    let key = GroupKey { blocks: blocks.into_iter().collect(), query: host_decides.then(|| query.clone()) };
    (query, key)
}

fn sets_host_name(config: &Config, key: &GroupKey) -> bool {
    key.query.is_some()
        || key
            .blocks
            .iter()
            .any(|index| config.blocks[*index].lines.iter().any(|line| line.keyword == "hostname"))
}

/// Returns the files to read, and the one to give to `ssh -F` where it would read others by itself.
fn config_files(shared: &Shared) -> (Vec<PathBuf>, Option<PathBuf>) {
    let users = shared.home.join(".ssh/config");
    match &shared.options.config {
        ConfigSource::File(file) => (vec![file.clone()], Some(file.clone())),
        ConfigSource::None => (Vec::new(), Some("/dev/null".into())),
        ConfigSource::Standard => {
            let system = PathBuf::from("/etc/ssh/ssh_config");
            match (same_home(shared), users.is_file()) {
                (true, _) => (vec![users, system], None),
                (false, true) => (vec![users.clone()], Some(users)),
                (false, false) => (vec![system.clone()], Some(system)),
            }
        }
    }
}

/// Says whether `ssh`, which takes the home directory from the password file and not from HOME, sees the same one.
fn same_home(shared: &Shared) -> bool {
    passwd_entry().is_none_or(|entry| entry.home == shared.home)
}

struct PasswdEntry {
    user: String,
    home: PathBuf,
}

/// Finds this user in /etc/passwd; network accounts are not there.
fn passwd_entry() -> Option<PasswdEntry> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| PasswdEntry {
            user: fields[0].to_owned(),
            home: Path::new(fields.get(5).copied().unwrap_or("/")).to_owned(),
        })
    })
}

fn local_user() -> String {
    passwd_entry()
        .map(|entry| entry.user)
        .or_else(|| std::env::var("LOGNAME").ok())
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| "root".to_owned())
}
