//! One lab for all tests of a process, taken down when the process has ended, however it ends.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use cm_lab::{HostSpec, Lab, LabSpec, Release};

use crate::{program, skipped};

/// The hosts of the lab: one of each release, and a second Debian 12 for what may break a host.
const HOSTS: [(&str, Release); 4] = [
    ("d11", Release::Debian11),
    ("d12", Release::Debian12),
    ("d13", Release::Debian13),
    ("e12", Release::Debian12),
];

/// Hosts that are broken on purpose: killed, filled, cut off, rebooted. Each theme has its own.
const FRAGILE: [(&str, Release); 7] = [
    ("agents", Release::Debian12),
    ("packs", Release::Debian13),
    ("links", Release::Debian12),
    ("power", Release::Debian11),
    ("disks", Release::Debian12),
    ("beside", Release::Debian13),
    ("mute", Release::Debian13),
];

/// Hosts that nobody else uses: one for the cases of the modules, one that is compared as a whole.
const QUIET: [(&str, Release); 2] = [("cases", Release::Debian12), ("whole", Release::Debian12)];

/// Hosts on which everything is taken back again, guarded and restarted; one for each test.
const UNDOING: [(&str, Release); 6] = [
    ("undone", Release::Debian12),
    ("pruned", Release::Debian11),
    ("cleaned", Release::Debian12),
    ("forgot", Release::Debian13),
    ("guarded", Release::Debian12),
    ("boots", Release::Debian13),
];

/// Hosts that are changed behind our back; one for each test.
const DRIFTING: [(&str, Release); 4] = [
    ("drifted", Release::Debian12),
    ("mended", Release::Debian13),
    ("watched", Release::Debian12),
    ("fought", Release::Debian13),
];

/// Hosts of a cluster that is upgraded member by member while a client writes.
const CLUSTER: [(&str, Release); 4] = [
    ("member1", Release::Debian12),
    ("member2", Release::Debian12),
    ("member3", Release::Debian12),
    ("client", Release::Debian12),
];

/// Hosts of one service, and the load balancer before them.
const ROLLING: [(&str, Release); 13] = [
    ("w01", Release::Debian12),
    ("w02", Release::Debian12),
    ("w03", Release::Debian12),
    ("w04", Release::Debian12),
    ("w05", Release::Debian12),
    ("w06", Release::Debian12),
    ("w07", Release::Debian12),
    ("w08", Release::Debian12),
    ("w09", Release::Debian12),
    ("w10", Release::Debian12),
    ("w11", Release::Debian12),
    ("w12", Release::Debian12),
    ("lb", Release::Debian12),
];

/// Real hosts.
pub struct Hosts {
    /// The lab.
    pub lab: Lab,
    /// A folder for this process's files, gone with the lab.
    pub folder: PathBuf,
    /// Its end, which comes with this process's, is what the lab's undertaker waits for.
    _alive: ChildStdin,
}

/// The hosts, booted by the first who asks; none where they cannot be, which is said.
///
/// # Panics
/// When they do not boot, or where CI wants every test to run.
#[must_use]
pub fn hosts() -> Option<&'static Hosts> {
    static HOSTS_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    HOSTS_UP.get_or_init(|| boot_where_possible("suite", &HOSTS)).as_ref()
}

/// The hosts that may be broken, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn fragile_hosts() -> Option<&'static Hosts> {
    static FRAGILE_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    FRAGILE_UP.get_or_init(|| boot_where_possible("faults", &FRAGILE)).as_ref()
}

/// The hosts that nobody else uses, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn quiet_hosts() -> Option<&'static Hosts> {
    static QUIET_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    QUIET_UP.get_or_init(|| boot_where_possible("quiet", &QUIET)).as_ref()
}

/// The hosts on which everything is taken back again, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn undoing_hosts() -> Option<&'static Hosts> {
    static UNDOING_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    UNDOING_UP.get_or_init(|| boot_where_possible("undoing", &UNDOING)).as_ref()
}

/// The hosts that are changed behind our back, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn drifting_hosts() -> Option<&'static Hosts> {
    static DRIFTING_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    DRIFTING_UP.get_or_init(|| boot_where_possible("drifting", &DRIFTING)).as_ref()
}

/// The hosts of a cluster, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn cluster_hosts() -> Option<&'static Hosts> {
    static CLUSTER_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    CLUSTER_UP.get_or_init(|| boot_where_possible("cluster", &CLUSTER)).as_ref()
}

/// Twelve hosts for a service and one for its load balancer, in a lab of their own.
///
/// # Panics
/// As [`hosts`].
#[must_use]
pub fn rolling_hosts() -> Option<&'static Hosts> {
    static ROLLING_UP: OnceLock<Option<Hosts>> = OnceLock::new();
    ROLLING_UP.get_or_init(|| boot_where_possible("rolling", &ROLLING)).as_ref()
}

fn boot_where_possible(purpose: &str, hosts: &[(&str, Release)]) -> Option<Hosts> {
    match cm_lab::requirements() {
        Ok(()) => Some(boot(purpose, hosts)),
        Err(missing) => {
            skipped(&format!("real hosts: {missing}"));
            None
        }
    }
}

fn boot(purpose: &str, hosts: &[(&str, Release)]) -> Hosts {
    let name = format!("{purpose}-{}", std::process::id());
    let folder =
        tempfile::Builder::new().prefix("cm-suite-").tempdir().expect("a folder for temporary files").keep();
    let alive = undertaker(&name, &folder);
    let hosts =
        hosts.iter().map(|(name, release)| HostSpec { name: (*name).into(), release: *release }).collect();
    let spec = LabSpec::new(&name, hosts, folder.join("lab"));
    let lab = cm_lab::up(&spec, &mut |_| {})
        .unwrap_or_else(|error| panic!("the lab does not boot: {error}: {:?}", error.hint()));
    Hosts { lab, folder, _alive: alive }
}

/// A process of its own that takes the lab down when this one has ended: a killed suite leaves nothing behind.
fn undertaker(name: &str, folder: &Path) -> ChildStdin {
    // A `cm` that a test did not wait for works in a repository below the folder: it goes first.
    let script = "read -r _; \
         for p in /proc/[0-9]*; do case \"$(readlink \"$p/cwd\")\" in \"$3\"/*) kill -9 \"${p#/proc/}\";; esac; done; \
         \"$1\" lab down \"$2\"; rm -r \"$3\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "cm-suite-undertaker"]).arg(program()).arg(name).arg(folder).process_group(0);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("/bin/sh starts").stdin.expect("its input is a pipe")
}

impl Hosts {
    /// The names of the hosts with Debian 11, 12 and 13.
    pub const RELEASES: [&'static str; 3] = ["d11", "d12", "d13"];

    /// The names of the hosts of [`rolling_hosts`] but for the load balancer `lb`.
    pub const ROLLING: [&'static str; 12] =
        ["w01", "w02", "w03", "w04", "w05", "w06", "w07", "w08", "w09", "w10", "w11", "w12"];

    /// The address of a host.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn address(&self, host: &str) -> String {
        self.lab.host_status(host).expect("a host of the lab").address.to_string()
    }

    /// What a script prints on a host, run as root past SSH and past `cm`.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn sh(&self, host: &str, script: &str) -> String {
        let output = self.lab.exec(host, &["sh", "-c", script]).expect("a running host");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{host}: {script}: {} {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a script succeeds on a host.
    #[must_use]
    pub fn holds(&self, host: &str, script: &str) -> bool {
        self.lab.exec(host, &["sh", "-c", script]).is_ok_and(|output| output.status.success())
    }
}
