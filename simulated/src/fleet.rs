//! A fleet of simulated nodes with the repositories to apply to it.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use cm_lab::Release;
use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};

use crate::{
    address::{PORT, address, name},
    measured::{Measured, measure},
    process::PROCESS,
    role,
};

/// Nodes of one process at most: each takes a file number, and each session some more.
const NODES_OF_A_PROCESS: u32 = 2500;
/// The name of the role and of the group.
const ROLE: &str = "simulated";

/// What a fleet stands on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The program that is measured.
    pub cm: PathBuf,
    /// A program that calls [`process`](crate::process()) first of all: it is started for each process of nodes.
    pub simulated: PathBuf,
    /// Where a folder for all that the nodes write is made, gone with the fleet: memory where there is some.
    pub parent: PathBuf,
    /// Agents that may run at once, all processes together.
    pub agents: usize,
    /// Tasks of the role, [`TASKS`](crate::TASKS) or more.
    pub tasks: usize,
}

/// Nodes that hang.
#[derive(Clone, Debug, Default)]
pub struct Hanging {
    /// Accept connections and never say a word.
    pub mute: Vec<u32>,
    /// Start the agent, let it say hello, and are silent from then on.
    pub silent: Vec<u32>,
}

/// Processes of simulated nodes; they end with it.
#[derive(Debug)]
pub struct Fleet {
    ground: Ground,
    folder: tempfile::TempDir,
    image: PathBuf,
    servers: Vec<Child>,
}

impl Fleet {
    /// Makes keys and the tree that all nodes begin with: the image of the lab, with the role applied to it once by
    /// `cm` itself.
    ///
    /// # Errors
    /// When the image cannot be built or the role not be applied.
    pub fn prepare(ground: Ground) -> anyhow::Result<Self> {
        let image = cm_lab::image_tree(Release::Debian12, &mut |_| {})?;
        let folder = scratch(&ground.parent).context("a folder for what the nodes write")?;
        let mut fleet = Self { ground, folder, image, servers: Vec::new() };
        for key in ["host_key", "key"] {
            let made = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)?;
            made.write_openssh_file(fleet.path(key), LineEnding::LF)?;
            fs::write(fleet.path(&format!("{key}.pub")), made.public_key().to_openssh()?)?;
        }
        let first = fleet.repository(1)?;
        fleet.serve("base", 1, &[fleet.image.clone()], &Hanging::default())?;
        fleet.apply(&first, &[]).context("the tree that all nodes begin with could not be made")?;
        fleet.down();
        Ok(fleet)
    }

    /// Starts nodes, in place of those that run.
    ///
    /// # Errors
    /// When a process cannot be started or an address not be listened on.
    pub fn up(&mut self, count: u32, hanging: &Hanging) -> anyhow::Result<()> {
        let lower = [self.path("base/0/upper"), self.image.clone()];
        self.serve("nodes", count, &lower, hanging)
    }

    fn serve(
        &mut self,
        folder: &str,
        count: u32,
        lower: &[PathBuf],
        hanging: &Hanging,
    ) -> anyhow::Result<()> {
        self.down();
        let processes = count.div_ceil(NODES_OF_A_PROCESS).max(2).min(count);
        let size = count.div_ceil(processes);
        for first in (0..count).step_by(size as usize) {
            let mut command = Command::new(&self.ground.simulated);
            command.args([PROCESS, "serve", "--first", &first.to_string()]);
            command.args(["--count", &size.min(count - first).to_string()]);
            let agents = self.ground.agents.div_ceil(processes as usize);
            command.args(["--agents", &agents.to_string()]);
            for tree in lower {
                command.arg("--lower").arg(tree);
            }
            command.arg("--nodes").arg(self.path(folder));
            command.arg("--host-key").arg(self.path("host_key"));
            command.arg("--authorized").arg(self.path("key.pub"));
            for (option, nodes) in [("--mute", &hanging.mute), ("--silent", &hanging.silent)] {
                for node in nodes {
                    command.args([option, &node.to_string()]);
                }
            }
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let said = child.stdout.take().context("no output")?;
            self.servers.push(child);
            let mut line = String::new();
            BufReader::new(said).read_line(&mut line)?;
            if line != "ready\n" {
                bail!("a process of simulated nodes did not start");
            }
        }
        Ok(())
    }

    /// Ends all nodes.
    pub fn down(&mut self) {
        for mut server in self.servers.drain(..) {
            // They end with their input.
            drop(server.stdin.take());
            let _ = server.wait();
        }
    }

    /// Processor time of the nodes' processes and of all agents that have ended, in clock ticks of 10 ms.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.servers.iter().filter_map(|server| ticks(server.id())).sum()
    }

    /// A repository with an inventory of the first nodes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn repository(&self, count: u32) -> anyhow::Result<PathBuf> {
        let repository = self.path(&format!("repository-{count}"));
        if repository.exists() {
            return Ok(repository);
        }
        role::write(&repository, ROLE, self.ground.tasks)?;
        fs::write(repository.join("cm.toml"), "")?;
        let host_key = fs::read_to_string(self.path("host_key.pub"))?;
        let mut hosts = String::from("hosts:\n");
        let mut known = String::new();
        for node in 0..count {
            writeln!(hosts, "  {}: {{ address: {} }}", name(node), address(node))?;
            writeln!(known, "[{}]:{PORT} {}", address(node), host_key.trim())?;
        }
        fs::write(repository.join("known_hosts"), known)?;
        let all: Vec<String> = (0..count).map(name).collect();
        write!(
            hosts,
            "groups:\n  {ROLE}:\n    hosts: [{}]\n    roles: [{ROLE}]\n\
             defaults:\n  ssh: {{ user: root, port: {PORT}, key: {}, known_hosts: known_hosts, agent: false, connect_timeout: 3s }}\n",
            all.join(", "),
            self.path("key").display(),
        )?;
        fs::write(repository.join("inventory.yaml"), hosts)?;
        Ok(repository)
    }

    /// `cm apply`, ready to start, with its output thrown away.
    #[must_use]
    pub fn command(&self, repository: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(&self.ground.cm);
        command.arg("-C").arg(repository).args(["apply", "on", ROLE]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Applies the role to all hosts of a repository, of which none may end otherwise than well.
    ///
    /// # Errors
    /// When `cm` cannot be started or ends with another status than 0.
    pub fn apply(&self, repository: &Path, more: &[&str]) -> anyhow::Result<Measured> {
        let path = self.path("output");
        let output = fs::File::create(&path)?;
        let mut command = self.command(repository, more);
        let measured = measure(command.stderr(output.try_clone()?).stdout(output), |_| {})?;
        if measured.status != 0 {
            let said = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            bail!("`cm apply` ended with exit status {}:\n{last}", measured.status);
        }
        Ok(measured)
    }

    /// Applies the role where it is applied already.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and when not all tasks of all hosts were as they should be.
    pub fn apply_unchanged(&self, hosts: u32, more: &[&str]) -> anyhow::Result<Measured> {
        let measured = self.apply(&self.repository(hosts)?, more)?;
        let said = fs::read_to_string(self.path("output"))?;
        let all = format!("{hosts} hosts: {hosts} ok   tasks: {} ok   ", hosts as usize * self.ground.tasks);
        if !said.lines().last().is_some_and(|line| line.starts_with(&all)) {
            bail!(
                "an apply with nothing to change changed something: {}",
                said.lines().last().unwrap_or_default()
            );
        }
        Ok(measured)
    }

    /// Where repositories, keys and what the nodes write lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The connections of a run without the run, so many at once.
    ///
    /// # Errors
    /// When a connection fails.
    pub fn handshakes(&self, count: u32, at_once: usize) -> anyhow::Result<Measured> {
        let mut command = Command::new(&self.ground.simulated);
        command.args([PROCESS, "handshakes"]).args([
            "--count",
            &count.to_string(),
            "--at-once",
            &at_once.to_string(),
        ]);
        command.arg("--key").arg(self.path("key"));
        command.arg("--known-hosts").arg(self.repository(count)?.join("known_hosts"));
        let measured = measure(command.stdin(Stdio::null()), |_| {})?;
        if measured.status != 0 {
            bail!("connections to simulated nodes failed");
        }
        Ok(measured)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.down();
    }
}

/// Its own time and that of children that it waited for, see proc_pid_stat(5).
fn ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    Some(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// A folder that bears the number of this process. Those of processes that were killed go.
fn scratch(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    const PREFIX: &str = "cm-simulated-";
    for entry in fs::read_dir(parent)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(parent)
}
