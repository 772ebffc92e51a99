//! Real hosts, booted for these tests and removed by them. They need root and the lab's tools; without
//! them they say that they were skipped, and fail where CI asks for everything.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cm_lab::{
    HostSpec, HostState, Lab, LabError, LabSpec, LabState, PackageSource, Release, Storage, down, find, up,
};

/// Removes its lab however the test ends.
struct Guard(String);

impl Drop for Guard {
    fn drop(&mut self) {
        match down(&self.0) {
            Ok(()) | Err(LabError::NotFound { .. }) => {}
            Err(error) => say(&format!("lab {} is still there: {error}", self.0)),
        }
    }
}

/// Past the test harness's capture: a skipped test must be seen to be skipped.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn can_run() -> bool {
    let Err(missing) = cm_lab::requirements() else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI wants all tests to run: {missing}");
    say(&format!("skipped: real hosts: {missing}"));
    false
}

/// A name no other run of these tests uses at the same time.
fn lab_name(what: &str) -> String {
    format!("test-{what}-{}", std::process::id())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sh(lab: &Lab, host: &str, script: &str) -> String {
    let output = lab.exec(host, &["sh", "-c", script]).unwrap();
    assert!(output.status.success(), "{host}: {script}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn ssh(lab: &Lab, host: &str, user: &str, script: &str) -> Output {
    lab.ssh_command(host, user).unwrap().arg(script).stdin(Stdio::null()).output().unwrap()
}

fn ssh_address(lab: &Lab, host: &str) -> SocketAddr {
    SocketAddr::from((lab.host_status(host).unwrap().address, 22))
}

fn connect(lab: &Lab, host: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&ssh_address(lab, host), Duration::from_millis(700))?;
    stream.set_read_timeout(Some(Duration::from_millis(700)))?;
    Ok(stream)
}

fn read_some(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
    Some(buffer[..length].to_vec())
}

fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(began.elapsed() < limit, "{what} did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_lab_of_two_releases_stands_all_that_is_done_to_it() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = lab_name("two");
    let hosts = vec![
        HostSpec { name: "web1".into(), release: Release::Debian12 },
        HostSpec { name: "db1".into(), release: Release::Debian13 },
    ];
    let spec = LabSpec::new(&name, hosts, dir.path().join("repo"));
    let _guard = Guard(name.clone());
    let lab = up(&spec, &mut |_| {}).unwrap();

    is_found_and_described(&lab);
    lets_its_users_in(&lab);
    refuses_what_cannot_be(&lab, &spec);
    is_cut_and_restored(&lab);
    is_frozen_and_thawed(&lab);
    is_killed_and_started_again(&lab);
    reboots_by_itself_and_when_told(&lab);
    installs_local_packages_without_network(&lab, "web1");
    installs_local_packages_without_network(&lab, "db1");
    installs_from_the_archive(&lab);
    takes_the_users_of_the_virtual_lab(&lab);
    has_a_neighbour_that_does_not_disturb_it(&lab, dir.path());
    leaves_nothing(lab);
}

#[test]
fn a_delayed_link_takes_its_time_and_loses_nothing() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = lab_name("far");
    let spec = LabSpec::numbered(&name, 1, Release::Debian12, dir.path().join("repo"));
    let _guard = Guard(name.clone());
    let lab = up(&spec, &mut |_| {}).unwrap();
    let host = lab.hosts()[0].name.clone();
    let address = ssh_address(&lab, &host);
    let ssh_in = |script: &str| ssh(&lab, &host, "root", script).stdout;
    lab.delay(&host, 60).unwrap();
    let began = Instant::now();
    TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    // Larger than what may be on its way without an acknowledgement, in both directions.
    assert_eq!(ssh_in("head -c 3000000 /dev/zero").len(), 3_000_000);
    lab.cut(&host).unwrap();
    assert_eq!(lab.host_status(&host).unwrap().state, HostState::Cut);
    lab.restore(&host).unwrap();
    assert_eq!(lab.host_status(&host).unwrap().state, HostState::Running);
    // Another delay takes the place of the first, and none leaves nothing.
    lab.delay(&host, 10).unwrap();
    assert_eq!(ssh_in("echo here"), b"here\n");
    lab.delay(&host, 0).unwrap();
    assert_eq!(ssh_in("echo here"), b"here\n");
    lab.delay(&host, 10).unwrap();
    lab.down().unwrap();
    let left: Vec<_> =
        fs::read_dir("/sys/class/net").unwrap().flatten().map(|entry| entry.file_name()).collect();
    let number = address.ip().to_string().split('.').nth(2).unwrap().to_owned();
    let ours = format!("vd-cml{number}-");
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(&ours)), "{left:?}");
}

fn is_found_and_described(lab: &Lab) {
    let found = find(lab.name()).unwrap();
    assert_eq!(found.state(), LabState::Up);
    assert!(cm_lab::list().unwrap().iter().any(|other| other.name() == lab.name()));
    let prefix = lab.subnet().replace("0/24", "");
    for host in found.hosts() {
        assert_eq!(host.state, HostState::Running, "{host:?}");
        assert!(host.address.to_string().starts_with(&prefix));
        assert!(Path::new("/proc").join(host.leader.unwrap().to_string()).exists());
    }
    let inventory: serde_yaml::Value =
        serde_yaml::from_str(&fs::read_to_string(lab.inventory_path()).unwrap()).unwrap();
    assert_eq!(inventory["hosts"]["db1"]["address"], lab.hosts()[1].address.to_string());
    assert_eq!(inventory["groups"]["web"]["hosts"][0], "web1");
    assert_eq!(inventory["defaults"]["ssh"]["key"], lab.key_path().to_str().unwrap());
    for host in ["web1", "db1"] {
        assert_eq!(sh(lab, host, "hostname").trim(), host);
        assert_eq!(sh(lab, host, "systemctl --failed --no-legend"), "");
        assert_eq!(sh(lab, host, "systemctl list-timers --no-legend"), "");
        assert_eq!(sh(lab, host, "command -v python3 || echo none").trim(), "none");
        // Each sees the other by name.
        assert!(sh(lab, host, "getent hosts web1 db1 | wc -l").trim() == "2");
    }
    let ids: BTreeSet<String> = ["web1", "db1"].map(|host| sh(lab, host, "cat /etc/machine-id")).into();
    assert_eq!(ids.len(), 2);
}

fn lets_its_users_in(lab: &Lab) {
    for host in ["web1", "db1"] {
        assert_eq!(ssh(lab, host, "root", "id -un").stdout, b"root\n");
        assert_eq!(ssh(lab, host, "admin", "sudo -n id -un").stdout, b"root\n");
        assert!(!ssh(lab, host, "ops", "sudo -n true").status.success(), "ops has to give a password");
        assert_eq!(ssh(lab, host, "ops", "echo ops-password | sudo -S id -un").stdout, b"root\n");
    }
    let known = fs::read_to_string(lab.known_hosts_path()).unwrap();
    let keys: Vec<&str> = known.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "two hosts have the same key");
}

fn refuses_what_cannot_be(lab: &Lab, spec: &LabSpec) {
    assert!(matches!(up(spec, &mut |_| {}), Err(LabError::Exists { .. })));
    let error = lab.exec("web9", &["true"]).unwrap_err();
    assert_eq!(error.hint().unwrap(), "its hosts: web1, db1");
    assert!(matches!(lab.boot("web1"), Err(LabError::Running { .. })));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("inventory.yaml"), "hosts: {}\n").unwrap();
    let foreign = LabSpec::numbered(lab_name("foreign"), 1, Release::Debian12, elsewhere.path());
    assert!(matches!(up(&foreign, &mut |_| {}), Err(LabError::NotOurs { .. })));
    assert!(matches!(find(&foreign.name), Err(LabError::NotFound { .. })));
}

fn is_cut_and_restored(lab: &Lab) {
    let mut before = connect(lab, "web1").unwrap();
    assert!(read_some(&mut before).unwrap().starts_with(b"SSH-"));
    // As after a while of silence, when this machine has forgotten the host's hardware address.
    let address = ssh_address(lab, "web1").ip().to_string();
    assert!(Command::new("ip").args(["neigh", "flush", "to", &address]).status().unwrap().success());
    lab.cut("web1").unwrap();
    assert_eq!(lab.host_status("web1").unwrap().state, HostState::Cut);
    // Silence for as long as one likes: an unanswered neighbour would be "no route to host" after three seconds.
    let attempt = TcpStream::connect_timeout(&ssh_address(lab, "web1"), Duration::from_secs(4));
    assert_eq!(attempt.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    before.write_all(b"SSH-2.0-test\r\n").unwrap();
    assert_eq!(read_some(&mut before), None);
    assert_eq!(sh(lab, "web1", "hostname").trim(), "web1");
    let between = "timeout 1 bash -c 'exec 3<>/dev/tcp/web1/22' 2>&1; echo $?";
    assert_ne!(sh(lab, "db1", between).trim(), "0", "the lab's other hosts still reach it");
    assert_eq!(ssh(lab, "db1", "admin", "hostname").stdout, b"db1\n");
    lab.restore("web1").unwrap();
    assert_eq!(lab.host_status("web1").unwrap().state, HostState::Running);
    // The connection of before the cut goes on.
    wait_for("an answer after the cut", Duration::from_secs(10), || read_some(&mut before));
    assert_eq!(ssh(lab, "web1", "admin", "hostname").stdout, b"web1\n");
}

fn is_frozen_and_thawed(lab: &Lab) {
    lab.freeze("web1").unwrap();
    assert_eq!(lab.host_status("web1").unwrap().state, HostState::Frozen);
    let mut silent = connect(lab, "web1").unwrap();
    assert_eq!(read_some(&mut silent), None);
    lab.thaw("web1").unwrap();
    assert!(read_some(&mut silent).unwrap().starts_with(b"SSH-"));
    assert_eq!(lab.host_status("web1").unwrap().state, HostState::Running);
}

fn is_killed_and_started_again(lab: &Lab) {
    sh(lab, "web1", "echo kept > /root/before");
    let leader = lab.host_status("web1").unwrap().leader.unwrap();
    let processes = sh(lab, "web1", "systemd-run --quiet sleep 600; cat /etc/ssh/ssh_host_ed25519_key.pub");
    // A host is killed whatever state it is in. A connection into a cut host keeps the host's network alive
    // for minutes after its last process: its end once waited for that, in vain.
    let mut open = connect(lab, "web1").unwrap();
    assert!(read_some(&mut open).unwrap().starts_with(b"SSH-"));
    lab.freeze("web1").unwrap();
    lab.cut("web1").unwrap();
    let began = Instant::now();
    lab.kill("web1").unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let dead = lab.host_status("web1").unwrap();
    assert_eq!((dead.state, dead.leader), (HostState::Dead, None));
    // It may wait a moment for the machine's init to reap it.
    let process = Path::new("/proc").join(leader.to_string());
    wait_for("the end of its init", Duration::from_secs(5), || (!process.exists()).then_some(()));
    assert!(matches!(lab.exec("web1", &["true"]), Err(LabError::NotRunning { .. })));
    assert!(connect(lab, "web1").is_err());
    assert_eq!(ssh(lab, "db1", "admin", "hostname").stdout, b"db1\n");
    lab.boot("web1").unwrap();
    assert_eq!(
        sh(lab, "web1", "cat /root/before; cat /etc/ssh/ssh_host_ed25519_key.pub"),
        format!("kept\n{processes}")
    );
    assert_eq!(ssh(lab, "web1", "admin", "hostname").stdout, b"web1\n");
}

fn reboots_by_itself_and_when_told(lab: &Lab) {
    let first = lab.host_status("db1").unwrap().leader;
    lab.reboot("db1").unwrap();
    let second = lab.host_status("db1").unwrap().leader;
    assert!(second.is_some() && first != second);
    ssh(lab, "db1", "admin", "sudo systemctl reboot");
    let third = wait_for("the reboot", Duration::from_secs(30), || {
        lab.host_status("db1").unwrap().leader.filter(|leader| Some(*leader) != second)
    });
    wait_for("sshd after the reboot", Duration::from_secs(30), || {
        ssh(lab, "db1", "admin", "true").status.success().then_some(())
    });
    assert_eq!(lab.host_status("db1").unwrap().leader, Some(third));
    // And a power-off is the end, until it is started again.
    ssh(lab, "db1", "admin", "sudo systemctl poweroff");
    wait_for("the power-off", Duration::from_secs(30), || {
        (lab.host_status("db1").unwrap().state == HostState::Dead).then_some(())
    });
    lab.reboot("db1").unwrap();
    assert_eq!(lab.host_status("db1").unwrap().state, HostState::Running);
}

fn installs_local_packages_without_network(lab: &Lab, host: &str) {
    lab.cut(host).unwrap();
    let install = |what: &str| {
        let line = format!(
            "DEBIAN_FRONTEND=noninteractive apt-get -qqy -o Dpkg::Options::=--force-confold install {what}"
        );
        sh(lab, host, &line);
        sh(lab, host, "curl -s -w '%{http_code}' http://127.0.0.1:8642/")
    };
    assert_eq!(
        install("cm-lab-daemon=1.0 cm-lab-lib=1.0"),
        "hello from cm-lab-daemon 1.0 (cm-lab-lib 1.0)\n200"
    );
    assert_eq!(
        sh(lab, host, "systemctl is-enabled cm-lab-daemon; systemctl is-active cm-lab-daemon"),
        "enabled\nactive\n"
    );
    sh(
        lab,
        host,
        "sed -i 's/^greeting.*/greeting = good day/' /etc/cm-lab-daemon.conf && systemctl reload cm-lab-daemon",
    );
    wait_for("the reload", Duration::from_secs(5), || {
        sh(lab, host, "curl -s http://127.0.0.1:8642/").starts_with("good day").then_some(())
    });
    // The latest is 2.0, it needs the library's 2.0, and the changed conffile stays.
    assert_eq!(install("cm-lab-daemon"), "good day from cm-lab-daemon 2.0 (cm-lab-lib 2.0)\n200");
    assert_eq!(install("cm-lab-daemon=3.0"), "cm-lab-daemon 3.0 is broken\n503");
    assert_eq!(sh(lab, host, "systemctl is-active cm-lab-daemon").trim(), "active");
    sh(lab, host, "apt-get -qqy purge cm-lab-daemon cm-lab-lib && ! ls /etc/cm-lab-daemon.conf 2>/dev/null");
    lab.restore(host).unwrap();
}

fn installs_from_the_archive(lab: &Lab) {
    let update = lab.exec("db1", &["apt-get", "-qq", "-o", "Acquire::Retries=0", "update"]).unwrap();
    let reached = sh(lab, "db1", "apt-cache policy nginx-light").contains("Candidate: ");
    if !reached {
        let why = text(&update);
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the archive is out of reach: {why}");
        return say(&format!("skipped: packages from the archive: {why}"));
    }
    sh(lab, "db1", "DEBIAN_FRONTEND=noninteractive apt-get -qqy install nginx-light");
    let mut stream = TcpStream::connect((lab.host_status("db1").unwrap().address, 80)).unwrap();
    stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
    assert!(read_some(&mut stream).unwrap().starts_with(b"HTTP/1.1 200"));
}

/// The script that makes the users of `vagrant/`'s hosts, on a host that has none of them yet.
fn takes_the_users_of_the_virtual_lab(lab: &Lab) {
    let script = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vagrant/users.sh")).unwrap();
    let public = fs::read_to_string(lab.key_path().with_extension("pub")).unwrap();
    sh(
        lab,
        "db1",
        "userdel -r admin 2>&1; userdel -r ops 2>&1; rm /etc/sudoers.d/admin /root/.ssh/authorized_keys",
    );
    // Twice: `vagrant provision` runs it again.
    for _ in 0..2 {
        lab.exec_with_input("db1", &["tee", "/tmp/lab_key.pub"], public.as_bytes()).unwrap();
        let run = ["sh", "-s", "web1", "10.9.9.11", "cache1", "10.9.9.12"];
        let output = lab.exec_with_input("db1", &run, &script).unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(ssh(lab, "db1", "root", "id -un").stdout, b"root\n");
    assert_eq!(ssh(lab, "db1", "admin", "sudo -n id -un").stdout, b"root\n");
    assert!(!ssh(lab, "db1", "ops", "sudo -n true").status.success());
    assert_eq!(ssh(lab, "db1", "ops", "echo ops-password | sudo -S id -un").stdout, b"root\n");
    assert_eq!(
        sh(lab, "db1", "grep -c cache1 /etc/hosts; ls /tmp/lab_key.pub 2>&1 || true").lines().next(),
        Some("1")
    );
}

fn has_a_neighbour_that_does_not_disturb_it(lab: &Lab, dir: &Path) {
    let mut spec = LabSpec::numbered(lab_name("beside"), 1, Release::Debian12, dir.join("beside"));
    spec.storage = Storage::Disk;
    spec.packages = PackageSource::LocalOnly;
    let _guard = Guard(spec.name.clone());
    let beside = up(&spec, &mut |_| {}).unwrap();
    assert_ne!(beside.subnet(), lab.subnet());
    assert_ne!(ssh_address(&beside, "web1"), ssh_address(lab, "web1"));
    assert_eq!(sh(&beside, "web1", "ls /etc/apt/sources.list.d"), "cm-lab.list\n");
    let across = format!("timeout 1 bash -c '</dev/tcp/{}/22' 2>&1; echo $?", ssh_address(lab, "web1").ip());
    assert_eq!(sh(&beside, "web1", &across), "124\n", "one lab's hosts reach another's");
    beside.kill("web1").unwrap();
    assert_eq!(lab.host_status("web1").unwrap().state, HostState::Running);
    beside.down().unwrap();
    assert_eq!(ssh(lab, "web1", "admin", "hostname").stdout, b"web1\n");
}

fn leaves_nothing(lab: Lab) {
    let (name, dir, number) = (lab.name().to_owned(), lab.dir(), number(&lab));
    let changed = dir.join("known_hosts");
    fs::write(&changed, "# somebody's\n").unwrap();
    lab.down().unwrap();
    assert!(matches!(find(&name), Err(LabError::NotFound { .. })));
    assert_nothing_left(&name, &number);
    // What somebody has changed is theirs.
    let left: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [changed]);
}

/// What distinguishes the names of a lab's things from those of other labs.
fn number(lab: &Lab) -> String {
    lab.subnet().split('.').nth(2).unwrap().to_owned()
}

fn assert_nothing_left(name: &str, number: &str) {
    assert!(!Path::new("/run/cm-lab").join(name).exists());
    assert!(!Path::new("/var/lib/cm-lab").join(name).exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&format!("/cm-lab/{name}/")), "{mounts}");
    let entries = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let tables = text(&Command::new("nft").args(["list", "tables"]).output().unwrap());
    let table_names = tables.lines().filter_map(|line| line.split(' ').nth(2));
    let mut names: Vec<String> = table_names.map(str::to_owned).collect();
    for folder in ["/sys/class/net", "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"] {
        names.extend(entries(folder));
    }
    // A lab that others have started since may have been given the number.
    if cm_lab::list().unwrap().iter().any(|other| self::number(other) == number) {
        return;
    }
    let ours = [format!("cm_lab_{number}"), format!("cml{number}")];
    let ours_begin = [format!("vb-cml{number}-"), format!("cm-lab-{number}-")];
    names.retain(|name| ours.contains(name) || ours_begin.iter().any(|begin| name.starts_with(begin)));
    assert!(names.is_empty(), "{names:?}");
}

/// The example's program, which cargo builds along with the tests.
fn lab_program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/lab")
}

#[test]
fn a_lab_left_behind_by_a_killed_run_is_found_and_removed() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Killed when the network is there, when the first host starts, and when the first is ready.
    for (round, moment) in ["NetworkReady", "Booting", "HostReady"].into_iter().enumerate() {
        let name = lab_name(&format!("killed{round}"));
        let _guard = Guard(name.clone());
        let mut run = Command::new(lab_program())
            .args(["up", &name, "--hosts", "4", "--local-only", "--dir"])
            .arg(dir.path().join(&name))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
        let seen = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with(moment));
        if moment == "Booting" {
            // While it lives, and be it stopped, nobody else touches its lab.
            let stopped = Command::new("kill").args(["-STOP", &run.id().to_string()]).status().unwrap();
            assert!(stopped.success());
            assert!(matches!(down(&name), Err(LabError::Busy { .. })));
            assert_eq!(find(&name).unwrap().state(), LabState::Busy);
        }
        run.kill().unwrap();
        run.wait().unwrap();
        assert!(seen, "{moment} was never told");
        let number = number(&find(&name).unwrap());
        if round == 2 {
            let spec = LabSpec::numbered(&name, 1, Release::Debian12, dir.path().join(&name));
            let mut remains = false;
            up(&spec, &mut |step| remains |= matches!(step, cm_lab::Progress::RemovedRemains { .. }))
                .unwrap();
            assert!(remains, "the remains were not told of");
            down(&name).unwrap();
        } else {
            assert_eq!(find(&name).unwrap().state(), LabState::LeftBehind);
            let answer = cm_lab::down_left_behind().unwrap();
            assert!(answer.removed.contains(&name), "{answer:?}");
        }
        assert_nothing_left(&name, &number);
    }
}
