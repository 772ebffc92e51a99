//! `cm.toml`: the settings of a repository. All are optional.
//!
//! ```toml
//! forks = 100                  # hosts at work at once
//! state = ".cm/state.redb"     # relative to the repository
//! strict = false               # warnings are errors
//! agents = "agents"            # folder of agents for other architectures: agents/<arch>/cm-agent
//! lock_wait = "5m"             # how long a run waits for another one on a node
//! inventory = ["hosts.ini", "inv.py"]  # instead of inventory.yaml or inventory/; see docs/inventory.md
//! timeout = "30m"              # how long one attempt of a task may take where neither it nor its module says
//!
//! [ssh]                        # for hosts of which the inventory does not say it
//! user = "admin"
//! port = 22
//! key = "~/.ssh/id_ed25519"
//! host_keys = "strict"         # or "accept-new"
//! connect_timeout = "10s"
//!
//! [node]
//! journal_limit = "256 MiB"    # what the journal on a node may take, with the contents it keeps
//!
//! [history]
//! runs = 500                   # runs that are remembered: of those that changed something, and of those that did not
//! days = 90                    # older ones go, too; by default none does because of its age
//! size = "2 GiB"               # what runs may take in the state database; the oldest go
//! rollouts = 100               # rollouts that are remembered; those that are not over always are
//! audit = 10000                # lines of the audit log
//!
//! [secrets]
//! identity = "~/.config/cm/age.txt"
//! recipients = ["age1…"]
//! ```

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use cm_modules::parse_duration;
use cm_syntax::{Diagnostic, Diagnostics, Entry, FileId, MapReader, Node, Sources, Span, Spanned, Yaml};
use toml::de::{DeTable, DeValue};

/// The smallest limit of a journal, in bytes.
const JOURNAL_LEAST: u64 = 1 << 20;

/// The smallest limit of what runs may take, in bytes.
const HISTORY_LEAST: u64 = 1 << 20;

/// The file that holds the settings.
pub const SETTINGS_FILE: &str = "cm.toml";

/// The settings of a repository.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Hosts at work at once; none: the program's own choice.
    pub forks: Option<Spanned<u32>>,
    /// The state file, relative to the repository.
    pub state: Option<Spanned<PathBuf>>,
    /// Whether warnings are errors.
    pub strict: bool,
    /// The folder of agents for other architectures, relative to the repository.
    pub agents: Option<Spanned<PathBuf>>,
    /// The inventories instead of `inventory.yaml` or `inventory/`: files and folders, relative to the repository.
    pub inventory: Vec<Spanned<PathBuf>>,
    /// How long a run waits for another one on a node.
    pub lock_wait: Option<Spanned<Duration>>,
    /// How long one attempt of a task may take where nothing else says it.
    pub timeout: Option<Spanned<Duration>>,
    /// What the inventory leaves open about SSH.
    pub ssh: SshSettings,
    /// Bytes that the journal on a node may take, with the contents it keeps; none: the node's own choice.
    pub journal_limit: Option<Spanned<u64>>,
    /// How much of the past is remembered.
    pub history: HistorySettings,
    /// The file of the key that decrypts secrets.
    pub identity: Option<Spanned<PathBuf>>,
    /// Who new secrets are encrypted for, beside those of `secrets.yaml`.
    pub recipients: Vec<Spanned<String>>,
}

/// `[history]`.
#[derive(Clone, Debug, Default)]
pub struct HistorySettings {
    /// How many runs are remembered, of those that changed something and of those that did not.
    pub runs: Option<Spanned<u32>>,
    /// For how many days.
    pub days: Option<Spanned<u32>>,
    /// How many bytes they may take.
    pub size: Option<Spanned<u64>>,
    /// How many rollouts are remembered.
    pub rollouts: Option<Spanned<u32>>,
    /// How many lines the audit log keeps.
    pub audit: Option<Spanned<u32>>,
}

/// `[ssh]`.
#[derive(Clone, Debug, Default)]
pub struct SshSettings {
    /// Who to log in as.
    pub user: Option<Spanned<String>>,
    /// The port.
    pub port: Option<Spanned<u16>>,
    /// The private key; a leading `~` is the home folder.
    pub key: Option<Spanned<String>>,
    /// Whether keys of unknown hosts are taken and remembered.
    pub accept_new: Option<Spanned<bool>>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Option<Spanned<Duration>>,
}

impl Settings {
    /// Reads the settings of the repository at `root`; the defaults where it has no such file.
    pub fn load(root: &Path, sources: &Sources, diagnostics: &mut Diagnostics) -> Self {
        if !root.join(SETTINGS_FILE).exists() {
            return Self::default();
        }
        match sources.read(root, Path::new(SETTINGS_FILE)) {
            Ok(file) => Self::read(file, sources, diagnostics),
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                Self::default()
            }
        }
    }

    /// Reads a file that is among the sources.
    fn read(file: FileId, sources: &Sources, diagnostics: &mut Diagnostics) -> Self {
        let text = sources.text(file);
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            let place = span(file, range);
            diagnostics.push(Diagnostic::error("this is not TOML").at(place, error.message().to_owned()));
        }
        let node = table_node(file, table.span(), table.get_ref());
        let mut reader = MapReader::new(&node, format!("`{SETTINGS_FILE}`"), diagnostics);
        // Within their types: bounded by the reader.
        let forks = reader.int_between("forks", 1, 10_000).map(|forks| forks.map(|forks| forks as u32));
        let state = reader.text("state").map(|path| path.map(PathBuf::from));
        let strict = reader.bool("strict").is_some_and(|strict| strict.value);
        let agents = reader.text("agents").map(|path| path.map(PathBuf::from));
        let inventory = match reader.node("inventory").map(|node| &node.value) {
            Some(Yaml::Text(_)) => reader.text("inventory").into_iter().collect(),
            _ => reader.texts("inventory").unwrap_or_default(),
        };
        let inventory = inventory.into_iter().map(|path| path.map(PathBuf::from)).collect();
        let lock_wait = duration(&mut reader, "lock_wait");
        let timeout = duration(&mut reader, "timeout");
        let (ssh, node_table, secrets) = (reader.node("ssh"), reader.node("node"), reader.node("secrets"));
        let history = reader.node("history");
        reader.finish();
        let empty = Node::new(node.span, Yaml::Map(Vec::new()));
        let mut reader = MapReader::new(ssh.unwrap_or(&empty), "`[ssh]`", diagnostics);
        let ssh = SshSettings {
            user: reader.text("user").map(|user| user.map(str::to_owned)),
            port: reader.int_between("port", 1, 65_535).map(|port| port.map(|port| port as u16)),
            key: reader.text("key").map(|key| key.map(str::to_owned)),
            accept_new: host_keys(&mut reader),
            connect_timeout: duration(&mut reader, "connect_timeout"),
        };
        reader.finish();
        let mut reader = MapReader::new(node_table.unwrap_or(&empty), "`[node]`", diagnostics);
        let journal_limit = size(&mut reader, "journal_limit", JOURNAL_LEAST);
        reader.finish();
        let mut reader = MapReader::new(history.unwrap_or(&empty), "`[history]`", diagnostics);
        let mut count =
            |key, most| reader.int_between(key, 1, most).map(|count| count.map(|count| count as u32));
        let history = HistorySettings {
            runs: count("runs", 1_000_000),
            days: count("days", 36_500),
            rollouts: count("rollouts", 100_000),
            audit: count("audit", 100_000_000),
            size: size(&mut reader, "size", HISTORY_LEAST),
        };
        reader.finish();
        let mut reader = MapReader::new(secrets.unwrap_or(&empty), "`[secrets]`", diagnostics);
        let identity = reader.text("identity").map(|path| path.map(PathBuf::from));
        let recipients = reader.texts("recipients").unwrap_or_default();
        let recipients = recipients.into_iter().map(|text| text.map(str::to_owned)).collect();
        reader.finish();
        Self {
            forks,
            state,
            strict,
            agents,
            inventory,
            lock_wait,
            timeout,
            ssh,
            journal_limit,
            history,
            identity,
            recipients,
        }
    }
}

fn host_keys(reader: &mut MapReader<'_, '_>) -> Option<Spanned<bool>> {
    let word = reader.text("host_keys")?;
    match word.value {
        "strict" => Some(word.map(|_| false)),
        "accept-new" => Some(word.map(|_| true)),
        _ => {
            let message = "`host_keys` of `[ssh]` wants strict or accept-new";
            reader.diagnostics().push(Diagnostic::error(message).at(word.span, ""));
            None
        }
    }
}

/// A size in bytes: `"256 MiB"`, or a number of bytes.
fn size<'a>(reader: &mut MapReader<'a, '_>, key: &'a str, least: u64) -> Option<Spanned<u64>> {
    let node = reader.node(key)?;
    let bytes = match (&node.value, node.as_int()) {
        (Yaml::Text(text), _) => parse_size(text),
        (_, Some(bytes)) => u64::try_from(bytes).ok(),
        _ => None,
    };
    match bytes {
        Some(bytes) if bytes >= least => Some(Spanned::new(bytes, node.span)),
        _ => reader.wrong(key, "a size such as \"256 MiB\", 1 MiB or more", node),
    }
}

/// `64 MiB`: a whole number of bytes, or with a unit, of 1024 (`MiB`, `M`) or of 1000 (`MB`).
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn duration<'a>(reader: &mut MapReader<'a, '_>, key: &'a str) -> Option<Spanned<Duration>> {
    let node = reader.node(key)?;
    let duration = match (&node.value, node.as_int()) {
        (Yaml::Text(text), _) => parse_duration(text),
        (_, Some(seconds)) => u64::try_from(seconds).ok().map(Duration::from_secs),
        _ => None,
    };
    match duration {
        Some(duration) => Some(Spanned::new(duration, node.span)),
        None => reader.wrong(key, "a duration such as \"10s\" or \"5m\"", node),
    }
}

fn span(file: FileId, range: std::ops::Range<usize>) -> Span {
    // Within u32: sources refuse larger files.
    Span::new(file, range.start as u32, range.end as u32)
}

fn table_node(file: FileId, range: std::ops::Range<usize>, table: &DeTable<'_>) -> Node {
    let entries = table.iter().map(|(key, value)| Entry {
        key: Spanned::new(key.get_ref().to_string(), span(file, key.span())),
        value: value_node(file, value.span(), value.get_ref()),
    });
    Node::new(span(file, range), Yaml::Map(entries.collect()))
}

/// TOML as the tree that the strict readers of YAML take.
fn value_node(file: FileId, range: std::ops::Range<usize>, value: &DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Yaml::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Yaml::Int(number),
            Err(_) => Yaml::Text(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Yaml::Float(number),
            Err(_) => Yaml::Text(number.as_str().to_owned()),
        },
        DeValue::Boolean(flag) => Yaml::Bool(*flag),
        DeValue::Datetime(time) => Yaml::Text(time.to_string()),
        DeValue::Array(items) => {
            Yaml::List(items.iter().map(|item| value_node(file, item.span(), item.get_ref())).collect())
        }
        DeValue::Table(table) => return table_node(file, range, table),
    };
    Node::new(span(file, range), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let sources = Sources::new();
        let text = "fork = 4\nforks = 0\nstate = 3\nlock_wait = \"soon\"\n[ssh]\nusr = \"a\"\nhost_keys = \"no\"\n[secret]\n";
        let file = sources.add(SETTINGS_FILE, text.into());
        let mut diagnostics = Diagnostics::new();
        Settings::read(file, &sources, &mut diagnostics);
        insta::assert_snapshot!(diagnostics.render(&sources, cm_syntax::Style::plain()));
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_unit() {
        let sizes = ["256 MiB", "1GiB", "5 MB", "4096", "1.5 GiB", "MiB", "99999999999 GiB", "3 apples"];
        let read: Vec<Option<u64>> = sizes.into_iter().map(parse_size).collect();
        let none = None;
        assert_eq!(
            read,
            [Some(256 << 20), Some(1 << 30), Some(5_000_000), Some(4096), none, none, none, none]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let sources = Sources::new();
        let text = "forks = 7\nlock_wait = \"5m\"\nstrict = true\n[ssh]\nport = 2222\nhost_keys = \"accept-new\"\n[node]\njournal_limit = \"64 MiB\"\n[secrets]\nrecipients = [\"age1x\"]\n";
        let file = sources.add(SETTINGS_FILE, text.into());
        let mut diagnostics = Diagnostics::new();
        let settings = Settings::read(file, &sources, &mut diagnostics);
        assert!(diagnostics.is_empty());
        assert_eq!(settings.forks.unwrap().value, 7);
        assert_eq!(settings.lock_wait.unwrap().value, Duration::from_secs(300));
        assert_eq!((settings.strict, settings.ssh.port.unwrap().value), (true, 2222));
        assert!(settings.ssh.accept_new.unwrap().value);
        assert_eq!(settings.journal_limit.unwrap().value, 64 << 20);
        assert_eq!(settings.recipients[0].value, "age1x");
    }
}
