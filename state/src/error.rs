//! What can go wrong with the state, and what to do about each.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why the state could not be read or written. [`StateError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Other processes held the file for the whole wait.
    #[error("the state file `{}` is in use: it was not free within {:.0?}{}", path.display(), waited, processes(.holders))]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
        /// Processes that hold it, where the kernel tells.
        holders: Vec<u32>,
    },
    /// It is something else than a state file of `cm`.
    #[error("`{}` is not a state file of cm: it {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, as the end of a sentence.
        found: String,
    },
    /// It has no content at all.
    #[error("the state file `{}` is empty (0 bytes)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It was a state file of `cm` once; now something in it does not fit.
    #[error("the state file `{}` is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A newer `cm` has written it.
    #[error("the state file `{}` has format {found}; this cm knows formats up to {supported}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        supported: u32,
    },
    /// The file may not be opened.
    #[error("may not {action} the state file `{}`", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file's folder cannot be made or written to.
    #[error("cannot create the state file `{}`", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk, a quota or a limit of the process is exhausted.
    #[error("no space to write the state file `{}`", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading or writing failed in some other way.
    #[error("cannot use the state file `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database library refused for a reason that is not the file's contents.
    #[error("cannot use the state file `{}`: {detail}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// No run has such a name.
    #[error("there is no run `{given}`")]
    UnknownRun {
        /// What was asked for.
        given: String,
    },
    /// Several runs could be meant.
    #[error("`{given}` could be any of {} runs: {}", candidates.len(), few(candidates))]
    AmbiguousRun {
        /// What was asked for.
        given: String,
        /// The runs that fit, newest first.
        candidates: Vec<String>,
    },
    /// A value is larger than any sensible one; it was not stored.
    #[error("{what} is too large to be remembered: {size} bytes, at most {limit}")]
    TooLarge {
        /// What it is.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// A record could not be put into bytes.
    #[error("cannot encode a record of the state: {detail}")]
    Encode {
        /// What the encoder said.
        detail: String,
    },
}

impl StateError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Busy { path, .. } => format!(
                "another cm is at work on it; try again when it is done. If none is, see which process \
                 has the file open (`fuser -v {}`) and end it",
                quoted(path)
            ),
            Self::Foreign { path, .. } => format!(
                "nothing was written to it. Name another file as the state in cm.toml, or move this one \
                 away (`mv {0} {0}.old`)",
                quoted(path)
            ),
            Self::Empty { path } => format!(
                "cm never leaves an empty file; a full disk or a crash of the machine may have. Put a \
                 backup in its place, or remove it (`rm {}`): the next run makes a new one",
                quoted(path)
            ),
            Self::Damaged { path, .. } => format!(
                "cm did not change what it holds. Put a backup in its place, or move it away \
                 (`mv {0} {0}.old`): the next run makes a new one. What is lost then is history and what \
                 was last seen; hosts and their journals are not touched",
                quoted(path)
            ),
            Self::Newer { .. } => {
                "nothing was written to it. Use a cm at least as new as the one that wrote it, or give \
                 this one a state file of its own"
                    .to_owned()
            }
            Self::Denied { path, action, .. } => format!(
                "it takes the right to {action} the file; `ls -l {0}` shows whose it is. If cm was once \
                 run by root here: `sudo chown \"$USER\" {0}`",
                quoted(path)
            ),
            Self::Create { path, .. } => format!(
                "it takes the right to write to the folder {}; or name another file as the state in cm.toml",
                quoted(folder(path))
            ),
            Self::NoSpace { path, .. } => format!(
                "free some space (`df -h {}`); what was recorded before is whole",
                quoted(folder(path))
            ),
            Self::Io { .. } => {
                "what was recorded before is whole unless the disk itself is failing (see `dmesg`)".to_owned()
            }
            Self::UnknownRun { .. } => {
                "`cm history` lists the runs; older ones may have been pruned".to_owned()
            }
            Self::AmbiguousRun { .. } => "give more letters of its id".to_owned(),
            Self::Engine { .. } | Self::TooLarge { .. } | Self::Encode { .. } => return None,
        })
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path as one types it to a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn processes(pids: &[u32]) -> String {
    match pids {
        [] => String::new(),
        [pid] => format!(" (process {pid} holds it)"),
        pids => {
            let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
            format!(" (processes {} hold it)", pids.join(", "))
        }
    }
}

fn few(candidates: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = candidates.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if candidates.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::StateError;

    #[test]
    fn says_what_where_and_what_to_do() {
        let error = StateError::Busy {
            path: "my repo/.cm/state.redb".into(),
            waited: Duration::from_secs(30),
            holders: vec![12, 34],
        };
        assert_eq!(
            error.to_string(),
            "the state file `my repo/.cm/state.redb` is in use: it was not free within 30s (processes 12, 34 hold it)"
        );
        assert!(error.hint().unwrap().contains("`fuser -v 'my repo/.cm/state.redb'`"));

        let error = StateError::Damaged { path: "a'b".into(), detail: "the checksum does not fit".into() };
        assert_eq!(error.to_string(), "the state file `a'b` is damaged: the checksum does not fit");
        assert!(error.hint().unwrap().contains(r"`mv 'a'\''b' 'a'\''b'.old`"), "{:?}", error.hint());

        let error = StateError::AmbiguousRun {
            given: "2026".into(),
            candidates: (0..7).map(|n| format!("2026112{n}-171530-k3f")).collect(),
        };
        assert_eq!(
            error.to_string(),
            "`2026` could be any of 7 runs: 20261120-171530-k3f, 20261121-171530-k3f, 20261122-171530-k3f, \
             20261123-171530-k3f, 20261124-171530-k3f, …"
        );
    }
}
