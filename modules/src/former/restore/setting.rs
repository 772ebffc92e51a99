//! A setting as it was.

use cm_wire::Change;

use crate::{Class, Context, Effect, Problem, Resource, Seen, Thing, Touches, node::SettingKind};

pub(super) struct SettingWas {
    pub(super) kind: SettingKind,
    pub(super) key: String,
    /// None: it had no value.
    pub(super) value: Option<String>,
}

impl Resource for SettingWas {
    fn touches(&self) -> Touches {
        Touches::new(Class::Free).makes(Thing::Setting(self.kind, self.key.clone()))
    }

    fn batch(&self) -> Option<&'static str> {
        // Programs that manage parts of one file know nothing of each other: one after the other.
        (self.kind == SettingKind::Custom).then_some("modules of the repository")
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let now = context.node.setting(self.kind, &self.key)?;
        if now == self.value {
            return Ok(Seen::AsWanted);
        }
        // An answer of this type is nobody's to read, whatever task gave it.
        let password = |value: &Option<String>| {
            self.kind == SettingKind::Debconf
                && value.as_ref().is_some_and(|value| value.starts_with("password "))
        };
        let secret = |value: &Option<String>| {
            self.kind == SettingKind::Custom
                && value.as_ref().is_some_and(|value| value.starts_with("secret "))
        };
        let hide = |value| password(value) || secret(value);
        let hidden = context.sensitive || hide(&now) || hide(&self.value);
        let shown = |value: Option<String>| {
            if hidden { value.map(|_| "[secret]".to_owned()) } else { value }
        };
        let attribute = if self.kind == SettingKind::Custom { "state" } else { "value" };
        Ok(Seen::Differs(vec![Change::new(attribute, shown(now), shown(self.value.clone()))]))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        context.node.set(self.kind, &self.key, self.value.as_deref(), context.deadline)?;
        Ok(Effect::default())
    }
}
