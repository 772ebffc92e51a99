//! Settings of an overlay: values in memory over those of the node below; and of the empty node.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Empty, Overlay};
use crate::{
    Node, Problem,
    custom::Call,
    mounted::Mounted,
    node::{Attributes, SettingKind, Settings},
};

type Key = (SettingKind, String);

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct SettingsLayer {
    values: Mutex<BTreeMap<Key, Option<String>>>,
}

impl Settings for Overlay<'_> {
    fn setting(&self, kind: SettingKind, key: &str) -> Result<Option<String>, Problem> {
        // Poisoned: another thread panicked between two whole states.
        let values = self.settings.values.lock().unwrap_or_else(PoisonError::into_inner);
        match values.get(&(kind, key.to_owned())) {
            Some(value) => Ok(value.clone()),
            None => {
                drop(values);
                self.below.setting(kind, key)
            }
        }
    }

    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        value: Option<&str>,
        _deadline: Instant,
    ) -> Result<(), Problem> {
        let before = if kind == SettingKind::Mounted { self.setting(kind, key)? } else { None };
        {
            let mut values = self.settings.values.lock().unwrap_or_else(PoisonError::into_inner);
            values.insert((kind, key.to_owned()), value.map(str::to_owned));
        }
        if kind == SettingKind::Mounted {
            self.show_mount(Path::new(key), before.as_deref(), value);
        }
        if kind == SettingKind::Custom {
            // What else the module's `undo` brings back, nobody knows.
            self.things_may_appear();
        }
        Ok(())
    }

    fn learn(&self, key: &str, call: &Call, state: Option<String>) {
        self.below.learn(key, call, state);
    }

    fn known(&self, key: &str) -> Option<Call> {
        self.below.known(key)
    }
}

impl Overlay<'_> {
    /// Shows at a mount point what is seen there from now on. What is on a device, nobody knows before it
    /// is mounted: it is taken to be empty, and anything may yet appear.
    fn show_mount(&self, path: &Path, before: Option<&str>, after: Option<&str>) {
        let before = before.and_then(Mounted::parse);
        let after = after.and_then(Mounted::parse);
        let mut attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
        let mut source = None;
        match &after {
            Some(after) if before.is_some_and(|before| before.is_same_file_system(after, self)) => return,
            Some(after) if after.is_bind() => source = Some(Path::new(&after.device)),
            Some(after) if after.fstype == "tmpfs" => {
                let option = |name: &str| after.value(name);
                attributes = Attributes {
                    mode: option("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o1777),
                    uid: option("uid").and_then(|uid| uid.parse().ok()).unwrap_or(0),
                    gid: option("gid").and_then(|gid| gid.parse().ok()).unwrap_or(0),
                };
            }
            Some(_) => self.things_may_appear(),
            None => {}
        }
        // A path that cannot be followed is told by what is tried on it.
        let _ = match after {
            Some(_) => self.mount_over(path, source, attributes),
            None => self.unmount_at(path, attributes),
        };
    }
}

impl Settings for Empty {
    fn setting(&self, _kind: SettingKind, _key: &str) -> Result<Option<String>, Problem> {
        Ok(None)
    }

    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        _value: Option<&str>,
        _deadline: Instant,
    ) -> Result<(), Problem> {
        Err(Problem::new(format!("this node has no {} {key}", kind.word())))
    }
}
