//! `cm lab …`: throw-away real hosts on this machine.

use std::{os::unix::process::CommandExt, path::PathBuf};

use clap::{Args, Subcommand};
use cm_lab::{HostSpec, LabError, LabSpec, PackageSource, Progress, Release, Storage};
use serde_json::json;

use crate::{exit::Exit, failure::Failure, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Boot a lab; writes an inventory that cm uses as it is.
    Up {
        /// The lab's name.
        #[arg(default_value = "lab")]
        name: String,
        /// How many hosts (web1, web2, …, and db1 as the last).
        #[arg(long, default_value_t = 3)]
        hosts: u16,
        /// The hosts' names instead (comma separated); NAME=debian-13 gives one another release.
        #[arg(long, value_delimiter = ',')]
        names: Vec<String>,
        /// debian-11, debian-12 or debian-13.
        #[arg(long, default_value = "debian-12")]
        release: String,
        /// Where to write the inventory, the key and known_hosts.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Keep what hosts write on the disk instead of in memory.
        #[arg(long)]
        disk: bool,
        /// Only the lab's own packages: no way out to Debian's.
        #[arg(long)]
        local_only: bool,
    },
    /// End a lab, or all of them.
    Down {
        /// The lab's name.
        #[arg(default_value = "lab")]
        name: String,
        /// All labs, those left behind by killed commands too.
        #[arg(long)]
        all: bool,
    },
    /// List labs and their hosts.
    Status,
    /// Log in to a host.
    Ssh(OnHost<SshRest>),
    /// Cut a host's link.
    Cut(OnHost<Nothing>),
    /// Restore a host's link.
    Restore(OnHost<Nothing>),
    /// Stop everything on a host without ending it.
    Freeze(OnHost<Nothing>),
    /// Let a frozen host go on.
    Thaw(OnHost<Nothing>),
    /// Cut a host's power.
    Kill(OnHost<Nothing>),
    /// Start a host again.
    Boot(OnHost<Nothing>),
    /// Reboot a host.
    Reboot(OnHost<Nothing>),
}

#[derive(Args, Debug)]
struct OnHost<T: Args> {
    /// The host.
    host: String,
    /// The lab's name.
    #[arg(long, default_value = "lab")]
    lab: String,
    #[command(flatten)]
    rest: T,
}

#[derive(Args, Debug)]
struct Nothing {}

#[derive(Args, Debug)]
struct SshRest {
    /// The user: admin, ops or root.
    #[arg(long, default_value = "admin")]
    user: String,
    /// A command instead of a shell.
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    act(options, &arguments.action)
        .map_err(|error| Failure::because("the lab refused", &error).maybe_hint(error.hint()))
}

fn act(options: &Options, action: &Action) -> Result<Exit, LabError> {
    match action {
        Action::Up { name, hosts, names, release, dir, disk, local_only } => {
            let release: Release = release.parse()?;
            let dir = dir.clone().unwrap_or_else(|| PathBuf::from(format!("cm-lab-{name}")));
            let mut spec = LabSpec::numbered(name, *hosts, release, std::path::absolute(&dir).unwrap_or(dir));
            if !names.is_empty() {
                spec.hosts = names.iter().map(|name| host_spec(name, release)).collect::<Result<_, _>>()?;
            }
            if *disk {
                spec.storage = Storage::Disk;
            }
            if *local_only {
                spec.packages = PackageSource::LocalOnly;
            }
            let quiet = options.quiet || options.json;
            let mut tell = |step: Progress| {
                if !quiet {
                    anstream::eprintln!("{}", tell_step(&step));
                }
            };
            let lab = cm_lab::up(&spec, &mut tell)?;
            if options.json {
                report::print(&format!("{}\n", describe(&lab)));
            } else {
                let folder = lab.dir();
                report::print(&format!(
                    "the lab is up; cm uses {} as it is:\n  cd {} && cm facts on all\n",
                    lab.inventory_path().display(),
                    folder.display()
                ));
            }
        }
        Action::Down { all: true, .. } => {
            let answer = cm_lab::down_all()?;
            for name in answer.removed {
                report::print(&format!("removed {name}\n"));
            }
            for (name, error) in answer.kept {
                report::print(&format!("kept {name}: {error}\n"));
            }
        }
        Action::Down { name, .. } => cm_lab::down(name)?,
        Action::Status => status(options)?,
        Action::Ssh(on) => {
            let error =
                cm_lab::find(&on.lab)?.ssh_command(&on.host, &on.rest.user)?.args(&on.rest.command).exec();
            return Err(LabError::Io { action: "start", path: "ssh".into(), source: error });
        }
        Action::Cut(on) => cm_lab::find(&on.lab)?.cut(&on.host)?,
        Action::Restore(on) => cm_lab::find(&on.lab)?.restore(&on.host)?,
        Action::Freeze(on) => cm_lab::find(&on.lab)?.freeze(&on.host)?,
        Action::Thaw(on) => cm_lab::find(&on.lab)?.thaw(&on.host)?,
        Action::Kill(on) => cm_lab::find(&on.lab)?.kill(&on.host)?,
        Action::Boot(on) => cm_lab::find(&on.lab)?.boot(&on.host)?,
        Action::Reboot(on) => cm_lab::find(&on.lab)?.reboot(&on.host)?,
    }
    Ok(Exit::Ok)
}

fn host_spec(name: &str, release: Release) -> Result<HostSpec, LabError> {
    Ok(match name.split_once('=') {
        Some((name, release)) => HostSpec { name: name.into(), release: release.parse()? },
        None => HostSpec { name: name.into(), release },
    })
}

fn describe(lab: &cm_lab::Lab) -> serde_json::Value {
    let hosts: Vec<_> = lab
        .hosts()
        .iter()
        .map(|host| {
            json!({
                "name": host.name, "address": host.address.to_string(), "release": host.release.to_string(),
                "state": host.state.name(), "leader": host.leader,
            })
        })
        .collect();
    json!({
        "name": lab.name(), "state": lab.state().name(), "subnet": lab.subnet(), "dir": lab.dir(),
        "inventory": lab.inventory_path(), "hosts": hosts,
    })
}

fn status(options: &Options) -> Result<(), LabError> {
    let labs = cm_lab::list()?;
    if options.json {
        labs.iter().for_each(|lab| report::print(&format!("{}\n", describe(lab))));
        return Ok(());
    }
    if labs.is_empty() {
        report::print("no lab is up\n");
    }
    for lab in &labs {
        report::print(&format!(
            "{} ({}) {} {}\n",
            lab.name(),
            lab.state().name(),
            lab.subnet(),
            lab.dir().display()
        ));
        let mut table = report::table(&["host", "address", "release", "state", "leader"]);
        for host in lab.hosts() {
            table.add_row(vec![
                host.name.clone(),
                host.address.to_string(),
                host.release.to_string(),
                host.state.name().to_owned(),
                host.leader.map_or_else(String::new, |pid| pid.to_string()),
            ]);
        }
        report::print_table(&table);
    }
    Ok(())
}

fn tell_step(step: &Progress) -> String {
    match step {
        Progress::BuildingImage { release } => {
            format!("building the image of {} (once, about half a minute)", release.name())
        }
        Progress::ImageReady { release, cached: true, .. } => format!("image of {} is there", release.name()),
        Progress::ImageReady { release, took, .. } => {
            format!("image of {} built in {:.0} s", release.name(), took.as_secs_f64())
        }
        Progress::NetworkReady { subnet } => format!("network {subnet}"),
        Progress::Booting { host } => format!("booting {host}"),
        Progress::HostReady { host, address, took } => {
            format!("{host} answers at {address} after {:.1} s", took.as_secs_f64())
        }
        Progress::RemovedRemains { name } => format!("removed what a killed run left of lab {name}"),
        other => format!("{other:?}"),
    }
}
