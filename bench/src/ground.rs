//! What every section stands on: the release build of `cm`, fresh labs, a folder for scratch.
//!
//! Everything is gone afterwards, also after an error, Ctrl-C or a kill: each lab has an undertaker, a process
//! that waits for the end of this one.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cm_lab::{HostSpec, Lab, LabError, LabSpec, Release, Storage};

use crate::{
    measure,
    role::{Role, Size},
};

/// The key exchange of the ssh clients that `cm` is compared with; it is the one that `cm` uses.
pub const KEY_EXCHANGE: &str = "curve25519-sha256";

/// What a section works with.
pub struct Ground {
    /// The release build of `cm`, with its agent inside.
    pub cm: PathBuf,
    /// Fewer hosts, fewer rounds.
    pub quick: bool,
    scratch: tempfile::TempDir,
    _undertaker: ChildStdin,
    began: Instant,
    labs: AtomicUsize,
    shared: Mutex<Option<Arc<Site>>>,
}

impl Ground {
    /// A ground over this build of `cm`.
    ///
    /// # Errors
    /// There is no such program, or no folder for scratch can be made.
    pub fn new(cm: PathBuf, quick: bool) -> Result<Self> {
        let cm = cm.canonicalize().with_context(|| format!("{} is not there", cm.display()))?;
        let scratch =
            tempfile::Builder::new().prefix("cm-bench-").tempdir().context("a folder for scratch")?;
        let undertaker = undertaker("rm -rf \"$1\"", &[scratch.path().as_os_str()])?;
        let (labs, shared) = (AtomicUsize::new(0), Mutex::new(None));
        Ok(Self { cm, quick, scratch, _undertaker: undertaker, began: Instant::now(), labs, shared })
    }

    /// One of two numbers: for a whole run, and for a quick one.
    #[must_use]
    pub fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// Tells what goes on.
    pub fn say(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs();
        eprintln!("[{:2}:{:02}] {text}", seconds / 60, seconds % 60);
    }

    /// A command line as it is elsewhere: without the folder of this run.
    #[must_use]
    pub fn without_scratch(&self, line: &str) -> String {
        line.replace(&format!("{}/", self.scratch.path().display()), "")
    }

    /// A folder of this run, made if it is not there and gone with it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.path().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// Fresh hosts `n01`, `n02`, … of Debian 12, and a repository of `cm` over them with the roles of all
    /// sizes. They are gone when it is dropped.
    ///
    /// # Errors
    /// The lab does not boot.
    pub fn fresh(&self, hosts: usize) -> Result<Site> {
        self.fresh_on(hosts, Storage::Memory)
    }

    /// [`Ground::fresh`], with what hosts write on the disk or in memory.
    ///
    /// # Errors
    /// The lab does not boot.
    pub fn fresh_on(&self, hosts: usize, storage: Storage) -> Result<Site> {
        self.end_shared();
        self.boot(hosts, storage)
    }

    /// Hosts on which [`Size::Usual`] is applied already, the same for all sections that ask one after the
    /// other for as many. They stay until fresh ones are asked for.
    ///
    /// # Errors
    /// The lab does not boot, or the role does not apply.
    pub fn applied(&self, hosts: usize) -> Result<Arc<Site>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = shared.as_ref().filter(|site| site.hosts.len() == hosts) {
            return Ok(Arc::clone(site));
        }
        *shared = None;
        let site = self.boot(hosts, Storage::Memory)?;
        self.say("first apply of 100 tasks");
        site.fill_apt_caches()?;
        measure::run(&mut site.cm(&["apply", &Role::sized(Size::Usual).name, "on", "all"]), &[0])?;
        let site = Arc::new(site);
        *shared = Some(Arc::clone(&site));
        Ok(site)
    }

    /// Takes the hosts of [`Ground::applied`] down.
    pub fn end_shared(&self) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn boot(&self, hosts: usize, storage: Storage) -> Result<Site> {
        let number = self.labs.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{}-{number}", std::process::id());
        let repository = self.folder(&name)?;
        self.say(&format!("booting {hosts} hosts"));
        let undertaker = undertaker("\"$1\" lab down \"$2\"", &[self.cm.as_os_str(), name.as_ref()])?;
        let names: Vec<String> = (1..=hosts).map(|n| format!("n{n:02}")).collect();
        let specs = names.iter().map(|name| HostSpec { name: name.clone(), release: Release::Debian12 });
        let mut spec = LabSpec::new(&name, specs.collect(), &repository);
        spec.storage = storage;
        let lab = cm_lab::up(&spec, &mut |_| {}).map_err(told)?;
        let site = Site {
            lab,
            repository,
            hosts: names,
            cm: self.cm.clone(),
            apt_caches: self.scratch.path().join("apt-caches.tar"),
            _undertaker: undertaker,
        };
        for size in [Size::Small, Size::Usual, Size::Large] {
            Role::sized(size).write_for_cm(&site.repository)?;
        }
        Ok(site)
    }
}

fn told(error: LabError) -> anyhow::Error {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    anyhow::Error::new(error).context(format!("the lab does not boot{hint}"))
}

/// A process that runs a script when this one has ended, however it has: nobody else holds the other end of its
/// input. What is gone already then is no concern of its.
fn undertaker(script: &str, arguments: &[&OsStr]) -> Result<ChildStdin> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("read -r _; {script}"), "cm-bench-undertaker"])
        .args(arguments)
        .process_group(0);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.context("/bin/sh")?.stdin.ok_or_else(|| anyhow!("a piped stdin is there"))
}

/// Hosts and a repository of `cm` over them.
pub struct Site {
    /// The hosts.
    pub lab: Lab,
    /// The folder with inventory, key, known hosts and roles.
    pub repository: PathBuf,
    /// Their names, which are their host names, too.
    pub hosts: Vec<String>,
    cm: PathBuf,
    apt_caches: PathBuf,
    _undertaker: ChildStdin,
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left is the undertaker's, whose input ends next.
        let _ = cm_lab::down(self.lab.name());
    }
}

impl Site {
    /// `cm` in the repository.
    #[must_use]
    pub fn cm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cm);
        command.args(arguments).current_dir(&self.repository);
        command
    }

    /// A plain cold `ssh HOST COMMAND` to a host: no configuration, no connection kept from before.
    ///
    /// # Errors
    /// There is no such host.
    pub fn ssh(&self, host: &str, remote: &[&str]) -> Result<Command> {
        let address = self.lab.host_status(host)?.address.to_string();
        let mut command = Command::new("ssh");
        let key_exchange = format!("KexAlgorithms={KEY_EXCHANGE}");
        let known_hosts = format!("UserKnownHostsFile={}", self.lab.known_hosts_path().display());
        command.args(["-F", "none", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", &key_exchange]);
        command.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            &known_hosts,
            "-o",
            "IdentitiesOnly=yes",
            "-i",
        ]);
        command.arg(self.lab.key_path()).args(["-l", "admin", &address]).args(remote);
        Ok(command)
    }

    /// [`Site::ssh`] to every host.
    ///
    /// # Errors
    /// None that hosts of the site give.
    pub fn ssh_to_all(&self, remote: &[&str]) -> Result<Vec<Command>> {
        self.hosts.iter().map(|host| self.ssh(host, remote)).collect()
    }

    /// What a script prints on a host, run as root past SSH and past `cm`.
    ///
    /// # Errors
    /// The script fails.
    pub fn sh(&self, host: &str, script: &str) -> Result<String> {
        let output = self.lab.exec(host, &["sh", "-c", script])?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("on {host}: {script}: {}: {}", output.status, error.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// [`Site::sh`] on all hosts at once.
    ///
    /// # Errors
    /// It fails on one.
    pub fn sh_on_all(&self, script: &str) -> Result<Vec<String>> {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                self.hosts.iter().map(|host| scope.spawn(|| self.sh(host, script))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// Brings apt's lists and the packages of the largest role into the caches of all hosts: one host of the
    /// whole run fetches them, all others get the very same bytes. So no network is measured, and all hosts are
    /// alike.
    ///
    /// # Errors
    /// apt cannot fetch them.
    pub fn fill_apt_caches(&self) -> Result<()> {
        // A file: what this program holds in memory would count as every child's.
        let mut others = self.hosts.as_slice();
        if !self.apt_caches.exists() {
            let Some((first, rest)) = others.split_first() else { return Ok(()) };
            self.fetch_packages(first)?;
            others = rest;
        }
        let mut running = Vec::new();
        for host in others {
            let mut unpack = self.lab.enter_command(host)?;
            unpack.args(["tar", "-C", "/var", "-x"]).stdin(fs::File::open(&self.apt_caches)?);
            running.push((host, unpack.spawn().context("tar")?));
        }
        for (host, mut unpack) in running {
            let status = unpack.wait()?;
            ensure!(status.success(), "apt's caches cannot be unpacked on {host}: {status}");
        }
        Ok(())
    }

    /// Installs what other tools need on hosts, from the caches of [`Site::fill_apt_caches`].
    ///
    /// # Errors
    /// apt fails.
    pub fn install_python(&self) -> Result<()> {
        self.sh_on_all(
            "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install python3 python3-apt",
        )
        .map(drop)
    }

    fn fetch_packages(&self, host: &str) -> Result<()> {
        let packages = Role::sized(Size::Large).packages.join(" ");
        self.sh(
            host,
            &format!(
                "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && \
                 apt-get -qq -y --no-install-recommends --download-only install {packages} && \
                 apt-get -qq -y --no-install-recommends --download-only install python3 python3-apt && \
                 apt-get -s install {packages} > /dev/null"
            ),
        )?;
        // Under another name until it is whole.
        let partial = self.apt_caches.with_extension("partial");
        let file = fs::File::create(&partial).with_context(|| format!("{}", partial.display()))?;
        let mut pack = self.lab.enter_command(host)?;
        pack.args(["tar", "-C", "/var", "-c", "lib/apt/lists", "cache/apt"])
            .stdin(Stdio::null())
            .stdout(file);
        let status = pack.status().context("tar")?;
        ensure!(status.success(), "apt's caches of {host} cannot be packed: {status}");
        fs::rename(&partial, &self.apt_caches).with_context(|| format!("{}", self.apt_caches.display()))
    }

    /// Proves that a role changes nothing any more.
    ///
    /// # Errors
    /// It would.
    pub fn prove_unchanged(&self, role: &str) -> Result<()> {
        measure::run(&mut self.cm(&["plan", role, "on", "all"]), &[0])
            .with_context(|| format!("`{role}` is not applied as it should be"))
            .map(drop)
    }
}
