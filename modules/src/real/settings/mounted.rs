//! Mounted file systems: /proc/self/mountinfo for looks, mount(8) and umount(8) for changes.

use std::{fs, path::Path, time::Instant};

use super::tool;
use crate::{
    Doing, Problem,
    mounted::{Mounted, unescape},
    real::Real,
};

/// A line of mountinfo (proc(5)).
struct Line {
    device_number: String,
    root: String,
    path: String,
    options: String,
    fstype: String,
    source: String,
    super_options: String,
}

fn parse(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split(' ').map(|field| unescape(field.as_bytes()));
    let device_number = fields.nth(2)?;
    let (root, path, options) = (fields.next()?, fields.next()?, fields.next()?);
    let mut fields = fields.skip_while(|field| field != "-").skip(1);
    let (fstype, source, super_options) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Line { device_number, root, path, options, fstype, source, super_options })
}

impl Line {
    /// As mount(8) shows them: those of the mount and those of the file system, read-only where either is.
    fn all_options(&self) -> String {
        let read_only = [&self.options, &self.super_options]
            .iter()
            .any(|options| options.split(',').any(|option| option == "ro"));
        let mut all = vec![if read_only { "ro" } else { "rw" }];
        for option in self.options.split(',').chain(self.super_options.split(',')) {
            if !matches!(option, "ro" | "rw" | "") && !all.contains(&option) {
                all.push(option);
            }
        }
        all.join(",")
    }

    /// Whether only a part of its file system is shown that no option of the file system selects.
    fn is_part(&self) -> bool {
        let selected = format!("subvol={}", self.root);
        self.root.starts_with('/')
            && self.root != "/"
            && !self.super_options.split(',').any(|option| option == selected)
    }
}

/// The path at which another mount shows the folder that this one shows.
fn source_of(bound: &Line, lines: &[Line]) -> Option<String> {
    let elsewhere = |other: &&Line| {
        other.device_number == bound.device_number && other.path != bound.path && {
            bound.root == other.root
                || bound.root.starts_with(&format!("{}/", other.root.trim_end_matches('/')))
        }
    };
    // The mount that shows most of it: another bind of the same folder is no origin.
    let other = lines.iter().filter(elsewhere).min_by_key(|other| other.root.len())?;
    let inside = bound.root.strip_prefix(other.root.trim_end_matches('/'))?;
    let path = format!("{}{inside}", other.path.trim_end_matches('/'));
    Some(if path.is_empty() { "/".into() } else { path })
}

/// What is seen at a path: of several mounts the last.
fn find(lines: &[Line], path: &str) -> Option<Mounted> {
    let line = lines.iter().rfind(|line| line.path == path)?;
    if line.is_part()
        && let Some(source) = source_of(line, lines)
    {
        // Those of the file system itself are not this mount's to set.
        return Some(Mounted {
            device: source,
            fstype: "none".into(),
            options: format!("{},bind", line.options),
        });
    }
    Some(Mounted { device: line.source.clone(), fstype: line.fstype.clone(), options: line.all_options() })
}

/// A loop device told as the file it shows, so that it can be mounted again after it is gone.
fn with_backing_file(mounted: Mounted) -> Mounted {
    let Some(name) = mounted.device.strip_prefix("/dev/loop") else { return mounted };
    match fs::read_to_string(format!("/sys/block/loop{name}/loop/backing_file")) {
        Ok(file) => Mounted {
            device: file.trim_end_matches('\n').to_owned(),
            options: format!("{},loop", mounted.options),
            ..mounted
        },
        Err(_) => mounted,
    }
}

fn mounted(path: &str) -> Result<Option<Mounted>, Problem> {
    let text = fs::read("/proc/self/mountinfo").doing("reading /proc/self/mountinfo")?;
    let lines = parse(&String::from_utf8_lossy(&text));
    Ok(find(&lines, path).map(with_backing_file))
}

pub(super) fn read(path: &str) -> Result<Option<String>, Problem> {
    Ok(mounted(path)?.map(|mounted| mounted.to_string()))
}

pub(super) fn set(real: &Real, path: &str, value: Option<&str>, deadline: Instant) -> Result<(), Problem> {
    let found = mounted(path)?;
    let Some(value) = value else {
        return if found.is_some() { unmount(real, path, deadline) } else { Ok(()) };
    };
    let wanted = Mounted::parse(value).ok_or_else(|| {
        Problem::new(format!("mounting {path}: {value:?} is not a device, a type and options"))
    })?;
    match found {
        Some(found) if found.is_same_file_system(&wanted, real) => remount(real, path, &wanted, deadline),
        found => {
            if found.is_some() {
                unmount(real, path, deadline)?;
            }
            let doing = format!("mounting {} at {path}", wanted.device);
            let argv = ["mount", "-t", &wanted.fstype, "-o", &wanted.options, "--", &wanted.device, path];
            tool::run(real, &doing, &argv, None, deadline).map_err(|problem| explain(problem, &wanted))
        }
    }
}

fn remount(real: &Real, path: &str, wanted: &Mounted, deadline: Instant) -> Result<(), Problem> {
    let doing = format!("mounting {path} again with other options");
    let options = format!("remount,{}", without_loop(&wanted.options));
    // With the device beside it, mount(8) does not mix in what fstab says.
    let mut argv = vec!["mount", "-o", &options, "--"];
    if !wanted.has("loop") {
        argv.push(&wanted.device);
    }
    argv.push(path);
    tool::run(real, &doing, &argv, None, deadline).map_err(|problem| {
        problem.hint("some options take effect only when the file system is mounted anew: unmount it first")
    })
}

/// Loop devices are set up once.
fn without_loop(options: &str) -> String {
    options.split(',').filter(|option| *option != "loop").collect::<Vec<_>>().join(",")
}

fn unmount(real: &Real, path: &str, deadline: Instant) -> Result<(), Problem> {
    tool::run(real, &format!("unmounting {path}"), &["umount", "--", path], None, deadline).map_err(
        |problem| {
            if problem.message.contains("busy") {
                return problem.hint(format!("`fuser -vm {path}` on the node says what uses it"));
            }
            problem
        },
    )
}

fn explain(problem: Problem, wanted: &Mounted) -> Problem {
    let said = problem.output.as_ref().map_or("", |output| output.stderr.as_str());
    let hint = if said.contains("unknown filesystem type") {
        format!(
            "the kernel has no `{}`, or its mount helper is missing (a package such as nfs-common)",
            wanted.fstype
        )
    } else if said.contains("bad option") || said.contains("helper program") {
        "the helper for this kind of file system is missing: a package such as nfs-common or cifs-utils"
            .into()
    } else if said.contains("wrong fs type") || said.contains("bad superblock") {
        "`dmesg` on the node says what the kernel did not like; an option or the type may be wrong".into()
    } else if said.contains("failed to setup loop device") || Path::new(&wanted.device).starts_with("/dev") {
        return tool::in_container(problem, "devices");
    } else {
        return problem;
    };
    problem.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        22 21 0:20 / /run rw,nosuid,nodev shared:2 - tmpfs tmpfs rw,size=10k,mode=755\n\
        23 21 8:1 /srv/data /var/www ro,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        24 21 0:30 /@home /home rw,relatime master:3 propagate_from:2 - btrfs /dev/sdb1 rw,subvolid=5,subvol=/@home\n\
        25 21 8:17 / /mnt/with\\040blank rw - xfs /dev/sdc1 ro\n\
        26 25 0:40 / /mnt/with\\040blank rw - tmpfs none rw\n\
        29 21 8:1 /srv/data /var/two rw - ext4 /dev/sda1 rw\n\
        27 21 0:20 /lock /var/lock rw - tmpfs tmpfs rw,size=10k\n\
        28 21 9:9 /hidden /x rw - ext4 /dev/sdd1 rw\nnonsense\n";

    fn at(path: &str) -> String {
        find(&parse(TABLE), path).map_or_else(|| "-".into(), |mounted| mounted.to_string())
    }

    #[test]
    fn mounts_are_told_so_that_they_can_be_made_again() {
        assert_eq!(at("/"), "/dev/sda1 ext4 rw,relatime,errors=remount-ro");
        assert_eq!(at("/run"), "tmpfs tmpfs rw,nosuid,nodev,size=10k,mode=755");
        assert_eq!(at("/var/www"), "/srv/data none ro,relatime,bind");
        assert_eq!(at("/var/two"), "/srv/data none rw,bind", "not by way of the first");
        assert_eq!(at("/home"), "/dev/sdb1 btrfs rw,relatime,subvolid=5,subvol=/@home");
        assert_eq!(at("/mnt/with blank"), "none tmpfs rw");
        assert_eq!(at("/var/lock"), "/run/lock none rw,bind");
        assert_eq!(at("/x"), "/dev/sdd1 ext4 rw");
        assert_eq!(at("/nowhere"), "-");
    }

    #[test]
    fn the_root_of_this_machine_is_mounted() {
        assert!(read("/").unwrap().is_some());
        assert_eq!(read("/no/such/mount").unwrap(), None);
    }
}
