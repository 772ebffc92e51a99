//! Groups by rule (`where:`): which hosts fit is for the plan to say, which knows facts; here it is put in.

use std::collections::BTreeMap;

use cm_syntax::{Diagnostics, Sources};

use crate::{GroupId, Inventory, build};

impl Inventory {
    /// Whether any group takes hosts by rule.
    pub fn has_rules(&self) -> bool {
        self.draft.is_some()
    }

    /// The groups that take hosts by rule, in inventory order.
    pub fn groups_with_rules(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.groups().filter(|(_, group)| group.rule().is_some()).map(|(id, _)| id)
    }

    /// The same inventory with these hosts (by name) in the groups that have rules; earlier ones are forgotten.
    /// None where no group has a rule.
    pub fn with_members(
        &self,
        members: &BTreeMap<String, Vec<String>>,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let kept = self.draft.as_ref()?;
        let mut draft = (**kept).clone();
        for group in draft.groups.iter_mut().filter(|group| group.rule.is_some()) {
            let Some(hosts) = members.get(&group.name.value) else { continue };
            let span = group.name.span;
            group.hosts.extend(hosts.iter().map(|host| cm_syntax::Spanned::new(host.clone(), span)));
        }
        let mut inventory = build::build(draft, sources, diagnostics);
        inventory.draft = Some(kept.clone());
        Some(inventory)
    }
}
