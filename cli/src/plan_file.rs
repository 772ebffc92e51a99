//! The file of a plan: what `cm plan -o FILE` found, and `cm apply FILE` is held to.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use cm_engine::{HostEnd, Promise, RunEvent};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Changes when the meaning of a number in it does.
const FORMAT: u32 = 1;

/// A plan as it was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    format: u32,
    /// The run that made it.
    pub run: String,
    /// `[ROLES] on TARGET`.
    pub words: Vec<String>,
    /// What else was typed.
    pub set: Vec<String>,
    pub tags: Vec<String>,
    pub start_at: Option<String>,
    pub limit: Option<String>,
    pub prune: bool,
    pub diff: bool,
    hosts: BTreeMap<String, PlannedHost>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedHost {
    /// The digest of its tasks.
    tasks: String,
    /// What each task found, 16 digits each.
    found: String,
}

/// What was typed to make a plan.
#[derive(Debug, Default)]
pub struct Typed {
    pub words: Vec<String>,
    pub set: Vec<String>,
    pub tags: Vec<String>,
    pub start_at: Option<String>,
    pub limit: Option<String>,
    pub prune: bool,
    pub diff: bool,
}

/// Gathers what hosts promise while a plan runs.
#[derive(Debug, Default)]
pub struct Gathering {
    told: HashMap<String, Promise>,
    hosts: BTreeMap<String, PlannedHost>,
}

impl Gathering {
    /// Takes an event of the plan's run. A host that is not planned to its end promises nothing.
    pub fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Promised { host, promise } => {
                self.told.insert(host.to_string(), promise.clone());
            }
            RunEvent::HostEnded(report) if matches!(report.end, HostEnd::Ok | HostEnd::Changed) => {
                if let Some(promise) = self.told.remove(&*report.host) {
                    let found = promise.looks.iter().map(|look| format!("{look:016x}")).collect();
                    let planned = PlannedHost { tasks: promise.catalog.to_string(), found };
                    self.hosts.insert(report.host.to_string(), planned);
                }
            }
            _ => {}
        }
    }

    /// Hosts that have promised.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Writes the file, readable by its owner alone: values of `--set` are in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, path: &Path, run: String, typed: Typed) -> Result<(), Failure> {
        let Typed { words, set, tags, start_at, limit, prune, diff } = typed;
        let file = PlanFile {
            format: FORMAT,
            run,
            words,
            set,
            tags,
            start_at,
            limit,
            prune,
            diff,
            hosts: self.hosts,
        };
        let failed = |error: std::io::Error| {
            Failure::because(format!("the plan cannot be written to {}", path.display()), &error)
        };
        let text = serde_json::to_string_pretty(&file).map_err(|error| failed(error.into()))?;
        // A new file each time: an old one may have another mode, or be a link.
        let beside = path.with_added_extension(format!("{}.tmp", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
        let written = out.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            failed(error)
        })
    }
}

impl PlanFile {
    /// Reads the file of a plan.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::because(format!("{} cannot be read", path.display()), &error))?;
        let no_plan = || {
            Failure::new(format!("{} is no plan of this version of cm", path.display()))
                .hint("`cm plan … -o FILE` makes one; roles are applied by `cm apply ROLE on TARGET`")
        };
        let file: Self = serde_json::from_str(&text).map_err(|_| no_plan())?;
        if file.format == FORMAT { Ok(file) } else { Err(no_plan()) }
    }

    /// What each host has promised.
    ///
    /// # Errors
    /// When the file was damaged.
    pub fn promises(&self) -> Result<HashMap<String, Promise>, Failure> {
        let damaged = |host: &str| Failure::new(format!("the plan is damaged: what it says of `{host}`"));
        let promise = |(host, planned): (&String, &PlannedHost)| {
            let catalog = planned.tasks.parse().map_err(|_| damaged(host))?;
            let digits = planned.found.as_bytes().chunks(16);
            let look = |digits: &[u8]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
            let looks: Option<Vec<u64>> = digits.map(look).collect();
            let looks = looks.ok_or_else(|| damaged(host))?;
            Ok((host.clone(), Promise { catalog, looks }))
        };
        self.hosts.iter().map(promise).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

    use cm_engine::{HostReport, Trouble};
    use cm_wire::Digest;

    use super::*;

    fn promised(host: &str, looks: &[u64]) -> RunEvent {
        let promise = Promise { catalog: Digest::of(host.as_bytes()), looks: looks.to_vec() };
        RunEvent::Promised { host: host.into(), promise }
    }

    fn ended(host: &str, end: HostEnd) -> RunEvent {
        RunEvent::HostEnded(HostReport {
            host: host.into(),
            end,
            labels: Arc::new([]),
            results: Vec::new(),
            orphans: Vec::new(),
            verdicts: HashMap::new(),
            ledger: None,
            took: 0,
            facts: None,
        })
    }

    #[test]
    fn what_hosts_promised_is_read_back_and_only_of_hosts_that_were_planned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let mut gathering = Gathering::default();
        for event in [
            promised("web1", &[0, u64::MAX, 17]),
            promised("web2", &[1]),
            ended("web1", HostEnd::Changed),
            ended("web2", HostEnd::Unreachable(Trouble::new("lost", "it"))),
            ended("web3", HostEnd::Ok),
        ] {
            gathering.event(&event);
        }
        let typed = Typed { words: vec!["web".into()], set: vec!["a=1".into()], ..Typed::default() };
        gathering.write(&path, "r1".into(), typed).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let file = PlanFile::read(&path).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(
            (file.run.as_str(), &file.words[..], &file.set[..]),
            ("r1", &["web".to_owned()][..], &["a=1".to_owned()][..])
        );
        let promises = file.promises().unwrap_or_else(|failure| panic!("{failure}"));
        let web1 = Promise { catalog: Digest::of(b"web1"), looks: vec![0, u64::MAX, 17] };
        assert_eq!(promises, [("web1".to_owned(), web1)].into());
    }

    #[test]
    fn what_is_no_plan_or_damaged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let mut gathering = Gathering::default();
        gathering.event(&promised("web1", &[1, 2]));
        gathering.event(&ended("web1", HostEnd::Ok));
        gathering.write(&path, "r".into(), Typed::default()).unwrap_or_else(|failure| panic!("{failure}"));
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, said) in [
            ("\"format\": 1", "\"format\": 9", "is no plan of this version"),
            ("{", "x", "is no plan of this version"),
            ("0000000000000002", "000000000000000z", "damaged"),
        ] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let told = match PlanFile::read(&path).and_then(|file| file.promises()) {
                Err(failure) => failure.to_string(),
                Ok(_) => panic!("{to} was taken"),
            };
            assert!(told.contains(said), "{told}");
        }
    }
}
