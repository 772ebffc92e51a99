//! The repository and its hosts, as commands use them: found, checked, selected, reachable.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use cm_engine::{
    AgentPrograms, Become, HostTarget, OtherFacts, Planner, Promises, Reach, Run, RunOptions, SshReach,
};
use cm_inventory::{Connection, HostId, HostKeys, Request, SshConfig};
use cm_plan::{LoadOptions, Project};
use cm_state::{RedbStore, StateError, Store, Timestamp};
use cm_transport::{
    ConfigSource, Connector, ConnectorOptions, HostKeyPolicy, Passphrase, Resolver, ResolverOptions, Wanted,
};
use cm_wire::{Facts, Mode, Secret};

use crate::{
    failure::Failure,
    names,
    options::{Options, RunArguments},
};

mod rules;

/// What marks the top of a repository.
const MARKS: [&str; 3] = ["inventory.yaml", "inventory", "cm.toml"];
/// Hosts at work at once where nobody says.
const FORKS: usize = 100;
/// How long a run waits for another one on a node where nobody says.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// A checked repository.
pub struct Fleet {
    pub project: Project,
    connector: Arc<Connector>,
    /// One for each ssh_config that hosts name.
    resolvers: HashMap<Option<ConfigKey>, Arc<Resolver>>,
    /// Hosts of which it cannot be said whether they belong to groups with rules.
    undecided: BTreeMap<String, Vec<String>>,
    /// Some host was left out of groups because it could not be reached.
    left_out: bool,
    /// sudo's password, asked for once.
    asked: OnceLock<Secret>,
}

/// Which ssh_config a host names.
#[derive(Clone, PartialEq, Eq, Hash)]
enum ConfigKey {
    Ignored,
    File(String),
}

/// The hosts of a command, in inventory order.
pub struct Selection {
    pub hosts: Vec<HostId>,
}

/// The top of the repository: `-C DIR`, or the nearest folder upward that looks like one.
pub fn root(options: &Options) -> Result<PathBuf, Failure> {
    if let Some(folder) = &options.repository {
        return if folder.is_dir() {
            Ok(folder.clone())
        } else {
            Err(Failure::new(format!("there is no folder {}", folder.display()))
                .hint("`-C DIR` names the repository"))
        };
    }
    let here =
        std::env::current_dir().map_err(|error| Failure::because("the working directory is gone", &error))?;
    here.ancestors()
        .find(|folder| MARKS.iter().any(|mark| folder.join(mark).exists()))
        .map(Path::to_owned)
        // An inventory that is named is enough to work with.
        .or_else(|| (!options.inventory.is_empty()).then(|| here.clone()))
        .ok_or_else(|| {
            Failure::new(format!("there is no repository at {} or above", here.display()))
                .hint("`cm init` writes a small one; `-C DIR` names another")
        })
}

/// What a state file's error means to a person.
pub fn state_failure(error: StateError) -> Failure {
    let hint = error.hint();
    let failure = match std::error::Error::source(&error) {
        Some(cause) => Failure::because(error.to_string(), cause),
        None => Failure::new(error.to_string()),
    };
    failure.maybe_hint(hint)
}

/// The state database's file, without reading the whole repository.
pub fn state_file_of(options: &Options) -> Result<PathBuf, Failure> {
    Ok(state_path(&root(options)?, &settings_of(options)?))
}

/// The settings, without reading the whole repository.
pub fn settings_of(options: &Options) -> Result<cm_plan::Settings, Failure> {
    let root = root(options)?;
    let sources = cm_syntax::Sources::new();
    let mut diagnostics = cm_syntax::Diagnostics::new();
    let settings = cm_plan::Settings::load(&root, &sources, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(Failure::Diagnostics(diagnostics, sources));
    }
    Ok(settings)
}

/// Opens the state database without reading the whole repository: history must be readable when a role is broken.
pub fn open_state(options: &Options) -> Result<RedbStore, Failure> {
    open_store(&state_file_of(options)?).map_err(state_failure)
}

/// Opens a state database and ends the runs of controllers that were killed: whoever comes next notices.
///
/// # Errors
/// When the database cannot be used.
pub fn open_store(path: &Path) -> Result<RedbStore, StateError> {
    let store = RedbStore::open(path)?;
    if let Err(error) = store.close_interrupted(Timestamp::now()) {
        // On a full or read-only disk the history must still be readable; who has to write fails by itself.
        anstream::eprintln!("warning: the runs of a killed cm could not be ended in the record: {error}");
    }
    Ok(store)
}

fn state_path(root: &Path, settings: &cm_plan::Settings) -> PathBuf {
    match &settings.state {
        Some(path) => root.join(&path.value),
        None => root.join(".cm/state.redb"),
    }
}

/// Asks a question that is answered by yes or no; no terminal is a no.
pub fn ask(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!("{question} There is no terminal to answer at"))
            .hint("`--yes` answers with yes"));
    }
    anstream::eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::because("the answer could not be read", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl Fleet {
    /// Reads and checks the repository.
    pub fn load(options: &Options) -> Result<Self, Failure> {
        Self::load_with(options, LoadOptions::default())
    }

    /// The same, with roles and settings from the command line.
    pub fn load_with(options: &Options, load: LoadOptions) -> Result<Self, Failure> {
        let root = root(options)?;
        let load = LoadOptions { inventory: named(options)?, ..load };
        let project = Project::load(&root, &load)
            .map_err(|error| Failure::Diagnostics(error.diagnostics, error.sources))?;
        if !project.warnings().is_empty() && !options.quiet && !options.json {
            anstream::eprint!("{}", project.warnings().render(project.sources(), crate::failure::style()));
        }
        let passphrase: Option<cm_transport::AskPassphrase> =
            std::io::stdin().is_terminal().then(|| Arc::new(ask_passphrase) as cm_transport::AskPassphrase);
        let connector =
            Arc::new(Connector::new(ConnectorOptions { passphrase, ..ConnectorOptions::default() }));
        let mut fleet = Self {
            project,
            connector,
            resolvers: HashMap::new(),
            undecided: BTreeMap::new(),
            left_out: false,
            asked: OnceLock::new(),
        };
        fleet.make_resolvers();
        fleet.remember_members()
    }

    fn make_resolvers(&mut self) {
        let inventory = self.project.inventory();
        let hosts: HashMap<String, Wanted> =
            inventory.hosts().map(|(id, host)| (host.name().to_owned(), self.wanted_of(id))).collect();
        let mut keys: Vec<Option<ConfigKey>> = vec![None];
        keys.extend(inventory.hosts().map(|(id, _)| config_key(&inventory.settings(id).ssh.config)));
        for key in keys {
            if !self.resolvers.contains_key(&key) {
                let config = match &key {
                    None => ConfigSource::Standard,
                    Some(ConfigKey::Ignored) => ConfigSource::None,
                    Some(ConfigKey::File(file)) => ConfigSource::File(self.path(file)),
                };
                let options = ResolverOptions { config, hosts: hosts.clone(), ..ResolverOptions::default() };
                self.resolvers.insert(key, Arc::new(Resolver::new(options)));
            }
        }
    }

    /// The state database's file.
    pub fn state_file(&self) -> PathBuf {
        state_path(self.project.root(), self.project.settings())
    }

    /// The hosts of a target.
    pub fn select(&self, target: &str, arguments: &RunArguments) -> Result<Selection, Failure> {
        let asks_failed =
            [Some(target), arguments.limit.as_deref()].iter().flatten().any(|text| text.contains("@failed"));
        let failed = if asks_failed {
            let store = open_store(&self.state_file()).map_err(state_failure)?;
            store.failed_hosts().map_err(state_failure)?
        } else {
            None
        };
        let names: Option<Vec<String>> =
            failed.map(|hosts| hosts.failed.into_iter().chain(hosts.unfinished).collect());
        let request = Request { target, limit: arguments.limit.as_deref(), failed: names.as_deref() };
        let sources = self.project.sources();
        let hosts = self
            .project
            .inventory()
            .select(sources, request)
            .map_err(|diagnostics| Failure::Diagnostics(diagnostics, sources.clone()))?;
        Ok(Selection { hosts })
    }

    /// Names and addresses of hosts, for records.
    pub fn addresses(&self, selection: &Selection) -> Vec<(String, String)> {
        let inventory = self.project.inventory();
        selection
            .hosts
            .iter()
            .map(|&id| (inventory.host(id).name().to_owned(), inventory.host(id).address().to_owned()))
            .collect()
    }

    /// Remembered facts of all hosts, for templates that look at hosts outside of the run.
    pub fn remembered_facts(&self) -> OtherFacts {
        let Ok(store) = RedbStore::open(self.state_file()) else { return OtherFacts::new() };
        let names: Vec<&str> = self.project.inventory().hosts().map(|(_, host)| host.name()).collect();
        let Ok(facts) = store.facts(&names) else { return OtherFacts::new() };
        facts
            .into_iter()
            // Facts of an older cm that cannot be read are as good as none.
            .filter_map(|(host, text)| Some((host, Arc::new(serde_json::from_str::<Facts>(&text).ok()?))))
            .collect()
    }

    /// How a host of the inventory is reached by SSH, and how its ssh_config is read.
    pub fn ssh(&self, host: &str) -> Result<SshReach, Failure> {
        let inventory = self.project.inventory();
        let id = inventory.host_id(host).ok_or_else(|| {
            let near = inventory.nearest_host(host).map(|near| format!("did you mean `{near}`?"));
            Failure::new(format!("there is no host `{host}` in the inventory")).maybe_hint(near)
        })?;
        Ok(self.reach(id))
    }

    /// What opens connections.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The run of a selection, ready to start.
    pub fn run(
        &self,
        selection: Selection,
        arguments: &RunArguments,
        mode: Mode,
        run: String,
        planner: Option<Arc<dyn Planner>>,
    ) -> Result<Run, Failure> {
        let settings = self.project.settings();
        let asked = if arguments.ask_become_pass { Some(self.asked_password()?) } else { None };
        let order = self.project.inventory().run_order(&selection.hosts);
        let mut stages = Vec::with_capacity(order.stages.len());
        for stage in order.stages {
            let targets: Result<Vec<HostTarget>, Failure> =
                stage.into_iter().map(|id| self.target(id, asked.as_ref())).collect();
            stages.push(targets?);
        }
        let needs_remembered = planner.as_ref().is_some_and(|planner| planner.needs_other_facts());
        Ok(Run {
            options: RunOptions {
                run,
                holder: names::holder(),
                mode,
                diff: true,
                fail_fast: false,
                forks: arguments
                    .forks
                    .or(settings.forks.as_ref().map(|forks| forks.value))
                    .map_or(FORKS, |forks| forks as usize),
                timeout: arguments.timeout,
                lock_wait: arguments
                    .lock_wait
                    .or(settings.lock_wait.as_ref().map(|wait| wait.value))
                    .unwrap_or(LOCK_WAIT),
                paranoid: false,
                undo: None,
                journal_limit: settings.journal_limit.as_ref().map_or(0, |limit| limit.value),
                promises: Promises::None,
                ledger: false,
            },
            stages,
            planner,
            remembered: if needs_remembered { self.remembered_facts() } else { OtherFacts::new() },
            programs: Arc::new(self.programs()?),
            connector: Arc::clone(&self.connector),
        })
    }

    fn programs(&self) -> Result<AgentPrograms, Failure> {
        let mut folders = Vec::new();
        let settings = self.project.settings();
        folders.push(
            self.project
                .root()
                .join(settings.agents.as_ref().map_or(Path::new("agents"), |path| &path.value)),
        );
        if let Ok(program) = std::env::current_exe() {
            folders.extend(program.parent().map(|folder| folder.join("agents")));
            folders
                .extend(program.parent().and_then(Path::parent).map(|folder| folder.join("lib/cm/agents")));
        }
        AgentPrograms::load(&folders)
            .map_err(|error| Failure::because("an agent program cannot be read", &error))
    }

    fn target(&self, id: HostId, asked: Option<&Secret>) -> Result<HostTarget, Failure> {
        let inventory = self.project.inventory();
        let settings = inventory.settings(id);
        let host = inventory.host(id);
        let local = settings.connection == Connection::Local;
        let becomes = settings.become_root.as_ref().is_some_and(|wanted| wanted.value);
        let password = match (asked, &settings.become_password) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(template)) if becomes => Some(self.password(template)?),
            _ => None,
        };
        let login = settings.ssh.user.as_ref().map(|user| user.value.as_str());
        let login = login.or(self.project.settings().ssh.user.as_ref().map(|user| user.value.as_str()));
        let is_root = if local { is_root() } else { login == Some("root") };
        let rights = match (becomes, is_root, &password) {
            (_, true, _) => Become::AlreadyRoot,
            (true, false, None) => Become::Sudo,
            (true, false, Some(_)) => Become::SudoWithPassword,
            (false, false, _) => Become::LoginUser,
        };
        Ok(HostTarget {
            name: host.name().into(),
            reach: if local { Reach::Local } else { Reach::Ssh(Box::new(self.reach(id))) },
            rights,
            become_password: password,
            place: Some(self.project.sources().place(host.address_span())),
        })
    }

    /// The password that `become_password: "{{ secrets.NAME }}"` names.
    fn password(&self, template: &cm_syntax::Spanned<String>) -> Result<Secret, Failure> {
        let sources = self.project.sources();
        let told =
            |diagnostic: cm_syntax::Diagnostic| Failure::Diagnostics(diagnostic.into(), sources.clone());
        // Ours must be templates; an inventory of Ansible may hold it in clear text.
        if !template.value.contains("{{") {
            return Ok(Secret::new(template.value.clone()));
        }
        let inner = template.value.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
        let Some(name) = inner.and_then(|text| text.trim().strip_prefix("secrets.")) else {
            let diagnostic = cm_syntax::Diagnostic::error("`become_password` must name a secret")
                .at(template.span, "")
                .hint("write it as \"{{ secrets.NAME }}\"");
            return Err(told(diagnostic));
        };
        let secrets = self.project.secrets();
        match secrets.get(name) {
            Some(value) => value.map_err(told),
            None => Err(told(
                cm_syntax::Diagnostic::error(format!("there is no secret `{name}`"))
                    .at(template.span, "")
                    .did_you_mean(cm_syntax::nearest(name, secrets.names())),
            )),
        }
    }

    fn asked_password(&self) -> Result<Secret, Failure> {
        if let Some(known) = self.asked.get() {
            return Ok(known.clone());
        }
        let password = ask_password()?;
        Ok(self.asked.get_or_init(|| password).clone())
    }

    fn reach(&self, id: HostId) -> SshReach {
        let ssh = self.project.inventory().settings(id).ssh;
        let paths = |list: &[cm_syntax::Spanned<String>]| {
            list.iter().map(|file| self.path(&file.value)).collect::<Vec<_>>()
        };
        let key = config_key(&ssh.config);
        // Made for every host when the repository was read; the plain one is always there.
        let resolver = self.resolvers.get(&key).or_else(|| self.resolvers.get(&None));
        SshReach {
            wanted: self.wanted_of(id),
            more_keys: paths(ssh.keys.get(1..).unwrap_or_default()),
            certificates: paths(&ssh.certificates),
            more_known_hosts: paths(ssh.known_hosts.get(1..).unwrap_or_default()),
            without_agent: ssh.agent.is_some_and(|agent| !agent.value),
            resolver: resolver
                .map_or_else(|| Arc::new(Resolver::new(ResolverOptions::default())), Arc::clone),
        }
    }

    fn wanted_of(&self, id: HostId) -> Wanted {
        let inventory = self.project.inventory();
        let (host, ssh) = (inventory.host(id), inventory.settings(id).ssh);
        let own = &self.project.settings().ssh;
        let jump = ssh.jump.map(|list| {
            if list.is_empty() {
                "none".to_owned()
            } else {
                list.iter().map(|jump| jump.value.as_str()).collect::<Vec<_>>().join(",")
            }
        });
        let key = ssh.keys.first().or(own.key.as_ref()).map(|key| self.path(&key.value));
        let accept_new = own
            .accept_new
            .as_ref()
            .map(|accept| if accept.value { HostKeyPolicy::AcceptNew } else { HostKeyPolicy::Strict });
        let mut wanted = Wanted::new(host.name());
        // A host without an address is called by its name, for which ssh_config may have another one.
        wanted.address = (host.address() != host.name()).then(|| host.address().to_owned());
        wanted.user = ssh.user.or(own.user.clone()).map(|user| user.value);
        wanted.port = ssh.port.or(own.port.clone()).map(|port| port.value);
        wanted.key = key;
        wanted.jump = jump;
        wanted.known_hosts = ssh.known_hosts.first().map(|file| self.path(&file.value));
        wanted.host_keys = ssh
            .host_keys
            .map(|policy| match policy.value {
                HostKeys::Strict => HostKeyPolicy::Strict,
                HostKeys::AcceptNew => HostKeyPolicy::AcceptNew,
            })
            .or(accept_new);
        wanted.connect_timeout = ssh.connect_timeout.or(own.connect_timeout.clone()).map(|time| time.value);
        wanted.attempts = ssh.attempts.map(|attempts| attempts.value);
        wanted.keepalive = ssh.keepalive.map(|time| time.value);
        wanted
    }

    /// A path of the inventory: `~` stays for the transport, others are relative to the repository.
    fn path(&self, written: &str) -> PathBuf {
        if written.starts_with('~') { PathBuf::from(written) } else { self.project.root().join(written) }
    }
}

fn config_key(config: &Option<cm_syntax::Spanned<SshConfig>>) -> Option<ConfigKey> {
    match &config.as_ref()?.value {
        SshConfig::Ignored => Some(ConfigKey::Ignored),
        SshConfig::File(file) => Some(ConfigKey::File(file.clone())),
    }
}

/// The inventories of the command line: files from the working directory, or hosts parted by commas.
fn named(options: &Options) -> Result<Vec<PathBuf>, Failure> {
    let here =
        || std::env::current_dir().map_err(|error| Failure::because("the working directory is gone", &error));
    let each = options.inventory.iter().map(|name| {
        let path = here()?.join(name);
        // A path where there is one; else a list of hosts, which is no path.
        Ok(if name.contains(',') && !path.exists() { PathBuf::from(name) } else { path })
    });
    each.collect()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn ask_password() -> Result<Secret, Failure> {
    rpassword::prompt_password("password of sudo: ")
        .map(Secret::new)
        .map_err(|error| Failure::because("the password could not be read", &error))
}

type Asked = std::pin::Pin<Box<dyn Future<Output = Option<Passphrase>> + Send>>;

fn ask_passphrase(file: PathBuf) -> Asked {
    Box::pin(async move {
        let prompt = format!("passphrase of {}: ", file.display());
        let answer = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
        answer.ok()?.ok().map(Passphrase::new)
    })
}
