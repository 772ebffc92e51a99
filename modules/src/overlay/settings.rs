//! Settings of an overlay: values in memory over those of the node below; and of the empty node.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Empty, Overlay};
use crate::{
    Problem,
    node::{SettingKind, Settings},
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
        let mut values = self.settings.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert((kind, key.to_owned()), value.map(str::to_owned));
        Ok(())
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
