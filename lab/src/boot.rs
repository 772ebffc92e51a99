//! Starting a host and waiting until its sshd answers.

use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cgroup::HostCgroup;
use crate::command::{CommandError, last_lines, tool};
use crate::error::LabError;
use crate::host_root::root_path;
use crate::network::forget_neighbour;
use crate::process::ProcessIdentity;
use crate::record::{HostProcesses, HostRecord, LabRecord};
use crate::requirements::hierarchies;

const KEEPER: &str = include_str!("boot/keeper.sh");

/// Ends of a poll's pauses: short, since a host boots in about two seconds.
const PAUSE: Duration = Duration::from_millis(20);

/// The cgroup of a host.
pub(crate) fn host_cgroup(record: &LabRecord, host: &HostRecord) -> Result<HostCgroup, LabError> {
    Ok(HostCgroup::new(hierarchies()?, record.number().cgroup(host.slot)))
}

/// Starts a prepared host; it runs on when this process ends.
pub(crate) fn start(record: &LabRecord, host: &HostRecord) -> Result<(), LabError> {
    let cgroup = host_cgroup(record, host)?;
    cgroup.create()?;
    forget_neighbour(record.number(), host.slot);
    let keeper = spawn_keeper(record, host, &cgroup)?;
    record.save_processes(&host.name, HostProcesses { keeper, leader: None })
}

fn spawn_keeper(
    record: &LabRecord,
    host: &HostRecord,
    cgroup: &HostCgroup,
) -> Result<ProcessIdentity, LabError> {
    let console = record.console_path(&host.name);
    let number = record.number();
    // The keeper is left to the machine's init at once: a child of this process would stay a zombie for
    // as long as this process runs and does not wait for it.
    let mut command = tool("sh");
    command.arg("-c").arg("log=$1; shift; setsid \"$@\" >> \"$log\" 2>&1 < /dev/null & echo $!").arg("sh");
    command.arg(&console);
    command.args(["sh", "-c", KEEPER, "cm-lab-keeper"]).arg(number.cable(host.slot));
    command.args(cgroup.entrances("keeper")).arg("--").args(cgroup.entrances("machine")).arg("--");
    command.args(["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"]);
    command.args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"]);
    command.arg(format!("--machine={}", number.machine(host.slot)));
    command.arg(format!("--network-bridge={}", number.bridge()));
    command.arg("--directory").arg(root_path(record, host));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    // Hosts see cgroup 2 alone, as on a real Debian, even where this machine mixes both versions;
    // systemd 256 and later would not start otherwise.
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let start = |source| CommandError::Start { command: "systemd-nspawn".into(), source };
    let child = command.spawn().map_err(start)?;
    let output = child.wait_with_output().map_err(start)?;
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse::<i32>().ok();
    pid.and_then(ProcessIdentity::of).ok_or_else(|| {
        let stderr = console_tail(record, host);
        CommandError::Failed { command: "systemd-nspawn".into(), status: output.status, stderr }.into()
    })
}

/// Waits until a started host answers, and records its leader. `former` is a leader it must no longer
/// have: that of before a reboot.
pub(crate) fn wait_until_ready(
    record: &LabRecord,
    host: &HostRecord,
    former: Option<ProcessIdentity>,
) -> Result<(), LabError> {
    let limit = Duration::from_secs(record.boot_limit_secs);
    let cgroup = host_cgroup(record, host)?;
    let began = Instant::now();
    let Some(processes) = record.load_processes(&host.name) else {
        return Err(LabError::NotRunning { lab: record.name.clone(), host: host.name.clone() });
    };
    while began.elapsed() < limit && processes.keeper.is_alive() {
        let leader = cgroup.leader().filter(|leader| Some(*leader) != former);
        if let Some(leader) = leader
            && listens(leader.pid)
            && banner(SocketAddr::from((host.address, 22))).is_ok()
        {
            return record.save_processes(
                &host.name,
                HostProcesses { keeper: processes.keeper, leader: Some(leader) },
            );
        }
        std::thread::sleep(PAUSE);
    }
    Err(LabError::NoAnswer {
        host: host.name.clone(),
        address: host.address.to_string(),
        after: began.elapsed(),
        console: console_tail(record, host),
    })
}

/// Whether the host has a route and a listener on port 22, read from its own tables: asking by network
/// before it has its address would make this machine's neighbour table slow to believe in it later.
fn listens(leader: i32) -> bool {
    let read = |table: &str| fs::read_to_string(format!("/proc/{leader}/net/{table}")).unwrap_or_default();
    let listening = |table: &str| {
        read(table).lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace();
            // 0A is LISTEN.
            fields.nth(1).is_some_and(|local| local.ends_with(":0016")) && fields.nth(1) == Some("0A")
        })
    };
    (listening("tcp") || listening("tcp6")) && read("route").lines().count() > 1
}

/// Reads the first bytes of sshd's greeting.
fn banner(address: SocketAddr) -> io::Result<()> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting)?;
    if &greeting == b"SSH-" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn console_tail(record: &LabRecord, host: &HostRecord) -> String {
    let path = record.console_path(&host.name);
    read_lossy(&path).map(|text| last_lines(&text, 12)).unwrap_or_default()
}

fn read_lossy(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}
