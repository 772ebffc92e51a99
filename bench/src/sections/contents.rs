//! A large file and many small ones: `cm apply` against `tar | ssh`, and what it costs when they are there.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::figures::{cost_row, costs, ratio_claim};
use crate::{
    findings::Findings,
    ground::{Ground, Site},
    measure::{Comparison, Cost, alternate, run, run_together, shown, typical},
    plot::Plot,
    section::Section,
};

/// The section.
pub const SECTION: Section = Section {
    name: "contents",
    title: "Contents",
    about: "\
A role that brings a file of 50 MiB (of no pattern that compresses) and a tree of 500 files of 2 KiB to 16 hosts. The \
first time against `tar -c | ssh HOST tar -x` to all of them at once, with the same key exchange, user and `sudo`: \
tar writes and is done, `cm` also checks what came, syncs each file before it takes its name, keeps a journal from \
which all of it can be taken back, and looks again. Then with nothing to change: files of which size, times and inode are \
what they were need no hash, with `--paranoid` all are hashed. The hosts' disks are in memory, so what is \
compared is the work and not the disk; the agent is on the hosts already.",
    quick: true,
    run: measure,
};

/// The large file, in bytes.
const LARGE: usize = 50 << 20;
/// The small files, and the size of each in bytes.
const SMALL: (usize, usize) = (500, 2048);
/// Where `cm` brings them, where tar, and where rsync.
const PLACES: [&str; 3] = ["/srv/by-cm", "/srv/by-tar", "/srv/by-rsync"];

fn measure(ground: &Ground) -> Result<Findings> {
    let hosts = ground.pick(16, 4);
    let site = ground.fresh(hosts)?;
    let files = write_role(&site)?;
    let wanted = digest_here(&files)?;
    let apply = |more: &[&str]| {
        let words: Vec<&str> = ["apply", "contents", "on", "all", "-q"].iter().chain(more).copied().collect();
        run(&mut site.cm(&words), &[0])
    };
    // The agent goes to the hosts, the key exchange has its caches.
    apply(&[])?;
    let by_cm = || {
        // As if there had never been a run.
        site.sh_on_all(&format!(
            "rm -rf {} /var/lib/cm/journal /var/lib/cm/applied /var/lib/cm/kept /var/lib/cm/digests",
            PLACES[0]
        ))?;
        let cost = apply(&[])?;
        prove(&site, PLACES[0], &wanted)?;
        Ok(cost)
    };
    let by_tar = || {
        site.sh_on_all(&format!("rm -rf {}", PLACES[1]))?;
        let cost = run_together(tars(&site, &files)?)?.0;
        prove(&site, PLACES[1], &wanted)?;
        Ok(cost)
    };
    let rounds = ground.pick(9, 5);
    ground.say(&format!("cm apply and {hosts} tar | ssh in turn, {rounds} rounds"));
    let first = alternate(rounds, by_cm, by_tar)?;

    let rounds = ground.pick(15, 7);
    ground.say(&format!("nothing to change, without and with --paranoid in turn, {rounds} rounds"));
    // Whatever was changed just now is hashed once more and then known.
    apply(&[])?;
    let unchanged = alternate(rounds, || apply(&[]), || apply(&["--paranoid"]))?;
    prove(&site, PLACES[0], &wanted)?;
    let rsync = rsync(ground, &site, &files, &wanted, rounds, &|| apply(&[]))?;
    findings(&site, &files, hosts, &first, &unchanged, rsync.as_ref())
}

fn findings(
    site: &Site,
    files: &Path,
    hosts: usize,
    first: &Comparison,
    unchanged: &Comparison,
    rsync: Option<&Comparison>,
) -> Result<Findings> {
    let tar = format!("{hosts} × `tar -c \\| ssh host tar -x`, all at once");
    let mut table = costs(&format!("{hosts} hosts, 50 MiB and 500 × 2 KiB"));
    cost_row(&mut table, &tar, &first.b);
    cost_row(&mut table, "`cm apply`, first time", &first.a);
    cost_row(&mut table, "`cm apply`, nothing to change", &unchanged.a);
    cost_row(&mut table, "`cm apply --paranoid`, nothing to change", &unchanged.b);
    let bar = |name: &str, costs: &[Cost]| (name.to_owned(), typical(costs).wall.as_secs_f64() * 1e3);
    let mut bars = vec![
        bar("tar | ssh", &first.b),
        bar("cm apply, first time", &first.a),
        bar("cm apply, unchanged", &unchanged.a),
        bar("cm apply --paranoid, unchanged", &unchanged.b),
    ];
    let mut claims = vec![ratio_claim("wall time, first time / tar | ssh", first.wall_ratio(), 1.2)];
    let mut notes = vec![
        "After every run each host's files were compared with the source by a SHA-256 of them all.".into(),
    ];
    match rsync {
        Some(rsync) => {
            cost_row(&mut table, &format!("{hosts} × `rsync -a`, nothing to change, all at once"), &rsync.b);
            bars.push(bar("rsync -a, unchanged", &rsync.b));
            claims.push(ratio_claim("wall time, nothing to change / rsync", rsync.wall_ratio(), 1.0));
        }
        None => {
            notes.push("rsync is not on this machine or not on the hosts, so it was not measured.".into())
        }
    }
    let first_host = site.hosts.first().map_or("n01", String::as_str);
    Ok(Findings {
        tables: vec![table],
        claims,
        plots: vec![Plot::bars("contents", &format!("Contents to {hosts} hosts: wall time"), "ms", bars)],
        commands: vec![
            shown(&tar_to(site, first_host, files)?) + "   # to every host, all at once",
            shown(&site.cm(&["apply", "contents", "on", "all", "-q"])),
            shown(&site.cm(&["apply", "contents", "on", "all", "-q", "--paranoid"])),
        ],
        notes,
        ..Findings::default()
    })
}

/// Writes the role `contents` and its files; the folder of the files.
fn write_role(site: &Site) -> Result<std::path::PathBuf> {
    let role = site.repository.join("roles/contents");
    let files = role.join("files");
    let mut random = Random(88_172_645_463_325_252);
    let mut write = |path: &Path, size: usize| {
        fs::write(path, random.bytes(size)).with_context(|| format!("{} cannot be written", path.display()))
    };
    for folder in 0..10 {
        fs::create_dir_all(files.join(format!("tree/{folder}")))?;
    }
    write(&files.join("large.bin"), LARGE)?;
    for number in 0..SMALL.0 {
        write(&files.join(format!("tree/{}/{number}", number % 10)), SMALL.1)?;
    }
    let place = PLACES[0];
    let tasks = format!(
        "tasks:\n  - directory: {place}\n  - file: {place}/large.bin\n    source: large.bin\n  - tree: {place}/tree\n    \
         source: tree\n"
    );
    fs::write(role.join("role.yaml"), tasks)?;
    Ok(files)
}

/// Bytes of no pattern, the same in every run.
struct Random(u64);

impl Random {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// `tar | ssh` to one host. The shell only joins the two.
fn tar_to(site: &Site, host: &str, files: &Path) -> Result<Command> {
    let place = PLACES[1];
    let remote = format!("sudo sh -c 'mkdir -p {place} && tar -C {place} -xf -'");
    let ssh = site.ssh(host, &[&remote])?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "files=$1; shift; tar -C \"$files\" -cf - . | \"$@\"", "tar-to"]).arg(files);
    command.arg(ssh.get_program()).args(ssh.get_args()).current_dir(&site.repository);
    Ok(command)
}

fn tars(site: &Site, files: &Path) -> Result<Vec<Command>> {
    site.hosts.iter().map(|host| tar_to(site, host, files)).collect()
}

/// Nothing to change by `cm` and by rsync, in turn; none where rsync is not on both sides.
fn rsync(
    ground: &Ground,
    site: &Site,
    files: &Path,
    wanted: &str,
    rounds: usize,
    apply: &dyn Fn() -> Result<Cost>,
) -> Result<Option<Comparison>> {
    let here = Command::new("rsync").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !here.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    ground.say("installing rsync on the hosts");
    let install = "apt-get update -q && apt-get install -q -y --no-install-recommends rsync";
    let there = site.sh_on_all(&format!("({install}) >/dev/null 2>&1; command -v rsync || true"))?;
    if there.iter().any(|path| path.trim().is_empty()) {
        return Ok(None);
    }
    let commands = || -> Result<Vec<Command>> {
        site.hosts
            .iter()
            .map(|host| {
                let ssh = shown(&site.ssh(host, &[])?);
                let address = site.lab.host_status(host)?.address;
                // rsync names the host itself.
                let ssh = ssh.trim_end_matches(&address.to_string()).trim().to_owned();
                let mut command = Command::new("rsync");
                command.args(["-a", "--rsync-path", "sudo rsync", "-e", &ssh]);
                command.arg(format!("{}/", files.display())).arg(format!("{address}:{}", PLACES[2]));
                Ok(command)
            })
            .collect()
    };
    run_together(commands()?)?;
    prove(site, PLACES[2], wanted)?;
    ground.say(&format!("nothing to change, cm and rsync in turn, {rounds} rounds"));
    alternate(rounds, apply, || run_together(commands()?).map(|(all, _)| all)).map(Some)
}

/// A digest of all files below a folder, names and contents.
fn digest(folder: &str) -> String {
    format!("cd {folder} && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum")
}

fn digest_here(folder: &Path) -> Result<String> {
    let output = Command::new("/bin/sh").arg("-c").arg(digest(&folder.display().to_string())).output()?;
    ensure!(output.status.success(), "the source cannot be read");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Proves that every host holds what the source does.
fn prove(site: &Site, place: &str, wanted: &str) -> Result<()> {
    for (host, found) in site.hosts.iter().zip(site.sh_on_all(&digest(place))?) {
        ensure!(found == wanted, "{host} does not hold in {place} what the source holds");
    }
    Ok(())
}
