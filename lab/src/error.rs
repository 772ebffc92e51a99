//! What can go wrong with a lab, with a hint beside each error for the person who has to mend it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::command::CommandError;
use crate::requirements::Missing;
use crate::spec::Release;

/// Says why a lab could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The machine lacks something a lab needs.
    #[error("this machine cannot run a lab")]
    Missing(#[source] Missing),
    /// The lab's name cannot be used.
    #[error("`{name}` cannot name a lab: {why}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The hosts asked for cannot be made.
    #[error("these hosts cannot be made: {why}")]
    InvalidHosts {
        /// What is wrong with them.
        why: String,
    },
    /// A lab of this name is there already.
    #[error("lab `{name}` is there already")]
    Exists {
        /// The lab's name.
        name: String,
    },
    /// No lab has this name.
    #[error("there is no lab `{name}`")]
    NotFound {
        /// The name as given.
        name: String,
        /// The labs that are there.
        known: Vec<String>,
    },
    /// No host of the lab has this name.
    #[error("lab `{lab}` has no host `{host}`")]
    NoHost {
        /// The lab's name.
        lab: String,
        /// The host as given.
        host: String,
        /// The lab's hosts.
        known: Vec<String>,
    },
    /// Another process starts, changes or removes this lab at this moment.
    #[error("another process is working on lab `{name}`")]
    Busy {
        /// The lab's name.
        name: String,
    },
    /// Every subnet the labs may use is taken.
    #[error("no subnet is left for a lab: 10.213.0.0/24 to 10.213.249.0/24 are all in use")]
    NoSubnet,
    /// Something is in the way that this library did not make.
    #[error("{what} is in the way and was not made by the lab; it was left alone")]
    NotOurs {
        /// The file, interface or folder.
        what: String,
    },
    /// The base image could not be built.
    #[error("the {release} image could not be built")]
    Image {
        /// The release of the image.
        release: Release,
        /// Where the whole output of the build is.
        log: PathBuf,
        /// The step that failed.
        #[source]
        source: CommandError,
    },
    /// A host did not come up in time, or ended while it came up.
    #[error("host `{host}` did not answer on {address}:22 within {} s", after.as_secs())]
    NoAnswer {
        /// The host's name.
        host: String,
        /// Its address.
        address: String,
        /// How long was waited.
        after: Duration,
        /// The last lines of its console.
        console: String,
    },
    /// The host is not running.
    #[error("host `{host}` of lab `{lab}` is not running")]
    NotRunning {
        /// The lab's name.
        lab: String,
        /// The host's name.
        host: String,
    },
    /// The host runs already.
    #[error("host `{host}` of lab `{lab}` is running already")]
    Running {
        /// The lab's name.
        lab: String,
        /// The host's name.
        host: String,
    },
    /// Something of a lab would not go away.
    #[error("{what} of lab `{lab}` did not go away within {} s", after.as_secs())]
    StillThere {
        /// The lab's name.
        lab: String,
        /// The processes, mount or interface.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// A look at a whole host found hardly anything.
    #[error("the look at host `{host}` found only {found} things")]
    Look {
        /// The host's name.
        host: String,
        /// How many things were found.
        found: usize,
        /// What its commands said on standard error.
        said: String,
    },
    /// The record of a lab cannot be read.
    #[error("`{path}` is not the record of a lab")]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What the reader found.
        #[source]
        source: serde_json::Error,
    },
    /// A tool failed.
    #[error("a step of the lab failed")]
    Command(#[from] CommandError),
    /// A file or folder could not be read, written or made.
    #[error("could not {action} `{path}`")]
    Io {
        /// A verb: `read`, `write`, `make`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl LabError {
    /// Says what to do about it, where something is known to help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing(missing) => return missing.hint(),
            Self::Exists { name } => {
                format!("`cm lab status {name}` shows it, `cm lab down {name}` removes it")
            }
            Self::NotFound { known, .. } if known.is_empty() => {
                "no lab is running; `cm lab up` starts one".into()
            }
            Self::NotFound { known, .. } => format!("the labs on this machine: {}", known.join(", ")),
            Self::NoHost { known, .. } => format!("its hosts: {}", known.join(", ")),
            Self::Busy { .. } => "wait until it is done, or end it; then try again".into(),
            Self::NoSubnet => "`cm lab status` shows the labs, `cm lab down --all` removes them".into(),
            Self::Image { log, .. } => format!("the whole output is in `{}`", log.display()),
            Self::NoAnswer { console, .. } if !console.is_empty() => {
                format!("the last lines of its console:\n{console}")
            }
            Self::NotRunning { .. } => "`cm lab reboot` starts it again over what it had written".into(),
            Self::StillThere { .. } => "run `cm lab down` again; what it holds is still recorded".into(),
            Self::Record { path, .. } => {
                format!("if no lab of that name runs, remove the folder of `{}`", path.display())
            }
            Self::Look { said, .. } if !said.is_empty() => format!("its commands said:\n{said}"),
            _ => return None,
        })
    }
}
