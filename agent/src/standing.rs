//! What this node knows of a task that is not as wanted: three states are compared, what was wanted when it was
//! applied last, what is wanted now, and what is there.
//!
//! Whether somebody changed it is told by looking for what was wanted then: nothing but the node itself has to be
//! remembered for that, and the answer names the attributes. Where that cannot be looked for (a secret, a command,
//! a content that is gone) the journal's state after the last change is compared with what is there.

use std::time::{Duration, Instant};

use cm_modules::{
    Class, Contents, Context, Node, Problem, Resource, Seen,
    former::{Former, Item, capture},
    node::Content,
    registry,
};
use cm_wire::{Applied, Change, Digest, Mode, Standing, Stream, Task, Touched};

use crate::{
    applied::{AppliedTasks, Entry, Kept, wanted},
    journal::Journal,
    traces,
};

/// How long the look for what was wanted before may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// Values longer than this are told by their length, in bytes.
const SHOWN: usize = 200;

/// What a node knows.
pub struct Knowledge<'a> {
    /// The machine itself.
    pub node: &'a dyn Node,
    /// Its memory of changes.
    pub journal: &'a Journal,
    /// Its memory of what was applied.
    pub applied: &'a AppliedTasks,
}

/// A task that is not as wanted.
pub struct Asked<'a> {
    /// The task.
    pub task: &'a Task,
    /// The edits of its file, in order.
    pub edits: Vec<&'a Task>,
    /// Its class.
    pub class: Class,
    /// What it makes, as the journal names it.
    pub made: &'a [Item],
    /// What differs from what is wanted now.
    pub changes: &'a [Change],
}

impl Knowledge<'_> {
    /// All that can be said of a task that differs.
    #[must_use]
    pub fn of(&self, asked: &Asked<'_>) -> Standing {
        let Some(entry) = self.applied.tasks.get(&asked.task.id) else {
            let touched = self.by_journal(asked);
            return self.standing(asked, None, true, touched);
        };
        let cut_off = self.cut_off_since(asked, entry);
        let undone = entry.undone.clone().or(cut_off);
        let moved = entry.wanted != wanted(asked.task, asked.edits.iter().copied());
        let touched = match (moved, &undone) {
            (false, None) => touched_by(asked.changes),
            (true, None) => match self.by_look(asked, entry) {
                Some(Touched::Yes(_)) if self.changed_since(asked, entry) => self.by_journal(asked),
                Some(touched) => touched,
                None => self.by_journal(asked),
            },
            (_, Some(_)) => self.by_journal(asked),
        };
        let applied = Applied { run: entry.run.clone(), time: entry.time, undone };
        self.standing(asked, Some(applied), moved, touched)
    }

    fn standing(
        &self,
        asked: &Asked<'_>,
        applied: Option<Applied>,
        moved: bool,
        mut touched: Touched,
    ) -> Standing {
        let traces = match &touched {
            Touched::Yes(_) => traces::of(self.node, asked.made),
            Touched::No | Touched::Unknown => Vec::new(),
        };
        if let (Touched::Yes(changes), true) = (&mut touched, asked.task.sensitive) {
            for change in changes {
                let hide = |value: Option<String>| value.map(|_| "[secret]".to_owned());
                change.before = hide(change.before.take());
                change.after = hide(change.after.take());
            }
        }
        Standing { applied, moved, touched, traces }
    }

    /// A later run that began to change it and did not come to its end.
    fn cut_off_since(&self, asked: &Asked<'_>, entry: &Entry) -> Option<String> {
        self.journal.read(|ledger| {
            let last = |item: &Item| ledger.items.get(item)?.versions.last();
            asked.made.iter().filter_map(last).find_map(|version| {
                let later = version.after.is_none() && version.run != entry.run && version.time >= entry.time;
                later.then(|| format!("run {} was cut off while it changed it", version.run))
            })
        })
    }

    /// Whether another run has changed its things since: another task of ours, or one that was cut off.
    fn changed_since(&self, asked: &Asked<'_>, entry: &Entry) -> bool {
        self.journal.read(|ledger| {
            let last = |item: &Item| ledger.items.get(item)?.versions.last();
            let later = |run: &str, time: u64| run != entry.run && time >= entry.time;
            asked.made.iter().filter_map(last).any(|version| later(&version.run, version.time))
        })
    }

    /// Looks for what was wanted then; none where that cannot be.
    fn by_look(&self, asked: &Asked<'_>, entry: &Entry) -> Option<Touched> {
        let kept = entry.task.as_ref()?;
        // The guard of a command that is no longer wanted is not run either.
        if asked.class == Class::Opaque {
            return None;
        }
        let resource = compile(kept)?;
        if resource.touches().class == Class::Opaque {
            return None;
        }
        let edits: Option<Vec<Box<dyn Resource>>> =
            kept.edits.iter().map(|edit| compile(self.applied.tasks.get(edit)?.task.as_ref()?)).collect();
        let edits = edits?;
        let edits: Vec<&dyn Resource> = edits.iter().map(|edit| -> &dyn Resource { edit.as_ref() }).collect();
        let silent = |_: Stream, _: &str| {};
        let seen = resource.look(&Context {
            node: self.node,
            mode: Mode::Verify,
            contents: &KeptOnly(self.journal),
            diff: false,
            sensitive: asked.task.sensitive,
            at_start: true,
            disturbed: false,
            notices: &[],
            edits: &edits,
            deadline: Instant::now() + LOOK_LIMIT,
            run_as: kept.run_as.as_deref(),
            live: &silent,
            stopping: &|| false,
        });
        match seen {
            Ok(Seen::AsWanted) => Some(Touched::No),
            Ok(Seen::Differs(changes)) => Some(touched_by(&changes)),
            Ok(Seen::Later | Seen::Unknown) | Err(_) => None,
        }
    }

    /// Compares what the last change left with what is there.
    fn by_journal(&self, asked: &Asked<'_>) -> Touched {
        let left: Vec<(&Item, Former)> = self.journal.read(|ledger| {
            let left = |item| Some((item, ledger.items.get(item)?.left()?.clone()));
            asked.made.iter().filter_map(left).collect()
        });
        if left.is_empty() {
            return Touched::Unknown;
        }
        let mut changes = Vec::new();
        for (item, left) in left {
            match capture(self.node, item, None) {
                Ok(now) if left.same(&now) => {}
                Ok(now) => changes.extend(self.between(&left, &now)),
                Err(_) => return Touched::Unknown,
            }
        }
        // Mode and owner are somebody's business only where the role says them.
        let kept = self.applied.tasks.get(&asked.task.id).and_then(|entry| entry.task.as_ref());
        let params = kept.map_or(&asked.task.params, |kept| &kept.params);
        changes.retain(|change| {
            !matches!(change.attribute.as_str(), "mode" | "owner" | "group")
                || params.contains_key(&change.attribute)
        });
        if changes.is_empty() { Touched::No } else { Touched::Yes(changes) }
    }

    /// The attributes in which two states differ.
    fn between(&self, left: &Former, now: &Former) -> Vec<Change> {
        let (user, group) = (|id| self.node.user_name(id), |id| self.node.group_name(id));
        let mut changes = Vec::new();
        let mut compare = |attribute: &str, left: String, now: String| {
            if left != now {
                changes.push(Change::new(attribute, Some(left), Some(now)));
            }
        };
        match (left, now) {
            (Former::File(left), Former::File(now)) => {
                compare("content", left.content.short(), now.content.short());
                compare("mode", format!("{:04o}", left.mode), format!("{:04o}", now.mode));
                compare("owner", user(left.uid), user(now.uid));
                compare("group", group(left.gid), group(now.gid));
            }
            (
                Former::Directory { mode, uid, gid, .. },
                Former::Directory { mode: mode_now, uid: uid_now, gid: gid_now, .. },
            ) => {
                compare("mode", format!("{mode:04o}"), format!("{mode_now:04o}"));
                compare("owner", user(*uid), user(*uid_now));
                compare("group", group(*gid), group(*gid_now));
            }
            (Former::Link { target, .. }, Former::Link { target: target_now, .. }) => {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                compare("target", shown(target), shown(target_now));
            }
            (Former::Package { version, .. }, Former::Package { version: version_now, .. }) => {
                compare("version", version.clone(), version_now.clone());
            }
            (Former::Unit { file, load, .. }, Former::Unit { file: file_now, load: load_now, .. }) => {
                compare("enabled", file.clone(), file_now.clone());
                compare("loaded", load.clone(), load_now.clone());
            }
            (Former::Setting(value), Former::Setting(value_now)) => {
                compare("value", short(value), short(value_now));
            }
            (Former::Group { gid, .. }, Former::Group { gid: gid_now, .. }) => {
                compare("gid", gid.to_string(), gid_now.to_string());
            }
            _ => {}
        }
        if changes.is_empty() {
            let word = |state: &Former| Some(state.word().to_owned()).filter(|word| word != "absent");
            // Of one kind, and yet not the same: the kind alone can be named (the fields of an account).
            let after = if word(left) == word(now) { Some("changed".to_owned()) } else { word(now) };
            changes.push(Change::new("state", word(left), after));
        }
        changes
    }
}

fn compile(kept: &Kept) -> Option<Box<dyn Resource>> {
    registry::compile(&kept.module, &kept.params).ok()
}

/// What a look found, seen from the other side: before is what there should be, after what was found. A restart
/// or a reload that is owed is nobody's change.
fn touched_by(changes: &[Change]) -> Touched {
    let owed = |change: &&Change| !matches!(change.attribute.as_str(), "restart" | "reload");
    let turned =
        |change: &Change| Change::new(&change.attribute, change.after.clone(), change.before.clone());
    let turned: Vec<Change> = changes.iter().filter(owed).map(turned).collect();
    if turned.is_empty() { Touched::No } else { Touched::Yes(turned) }
}

fn short(text: &str) -> String {
    if text.len() <= SHOWN { text.to_owned() } else { format!("{} bytes", text.len()) }
}

/// Contents that the node still has itself: nobody is asked for what is no longer wanted.
struct KeptOnly<'a>(&'a Journal);

impl Contents for KeptOnly<'_> {
    fn fetch(&self, digest: &Digest, size: u64) -> Result<Content, Problem> {
        let gone = || Problem::new("a content that was wanted before is not kept");
        self.0.content(digest, size).ok_or_else(gone)
    }
}

#[cfg(test)]
mod tests;
