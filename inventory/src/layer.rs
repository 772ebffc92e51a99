//! What a set of groups says together. Hosts that belong to the same groups share it, so it is made once for each set.
//!
//! The rule: a group's level is the number of groups in the longest chain of enclosing ones; the innermost level that
//! sets a thing counts; two groups of that level that set it differently are a conflict, unless the host sets it itself.

use std::collections::{BTreeMap, HashMap};

use crate::draft::{Key, Value};
use crate::{Group, GroupId, Inventory};

#[derive(Debug)]
pub(crate) struct Layer {
    /// Outer before inner, then as written.
    pub groups: Vec<GroupId>,
    pub values: BTreeMap<Key, Slot>,
    pub conflicts: Vec<Conflict>,
}

/// Who sets one thing.
#[derive(Debug)]
pub(crate) struct Slot {
    pub winner: Place,
    /// Those that do not count, innermost first.
    pub overridden: Vec<Place>,
}

/// Two groups of one level that do not agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    pub key: Key,
    pub first: Place,
    pub second: Place,
}

/// One value of one group.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub group: GroupId,
    index: u32,
}

impl Place {
    pub(crate) fn value(self, inventory: &Inventory) -> &Value {
        self.value_in(&inventory.groups)
    }

    pub(crate) fn value_in(self, groups: &[Group]) -> &Value {
        &groups[self.group.index()].values[self.index as usize]
    }
}

impl Layer {
    /// Puts together what groups, given outer before inner, say.
    pub(crate) fn new(members: &[GroupId], groups: &[Group]) -> Self {
        let mut places: HashMap<&Key, Vec<Place>> = HashMap::new();
        for &group in members {
            for (index, value) in groups[group.index()].values.iter().enumerate() {
                // Lossless: a file holds far fewer values.
                places.entry(&value.key).or_default().push(Place { group, index: index as u32 });
            }
        }
        let mut values = BTreeMap::new();
        let mut conflicts = Vec::new();
        for (key, mut places) in places {
            let level = |place: &Place| groups[place.group.index()].level;
            let rank = |place: &Place| place.value_in(groups).rank;
            let mut others: Vec<Place> = places.extract_if(.., |place| rank(place).is_some()).collect();
            strongest_first(&mut others, groups);
            if places.is_empty() {
                let winner = others.remove(0);
                values.insert(key.clone(), Slot { winner, overridden: others });
                continue;
            }
            // Not empty: a list is made together with its first place. Levels ascend, so the innermost stand last.
            let innermost = places.last().map_or(0, level);
            let from = places.partition_point(|place| level(place) < innermost);
            let winner = places.remove(from);
            let wanted = &winner.value_in(groups).node;
            for rival in &places[from..] {
                if !rival.value_in(groups).node.same_value(wanted) {
                    conflicts.push(Conflict { key: key.clone(), first: winner, second: *rival });
                }
            }
            places.reverse();
            // Ours win over those of others.
            places.append(&mut others);
            values.insert(key.clone(), Slot { winner, overridden: places });
        }
        Self { groups: members.to_vec(), values, conflicts }
    }
}

/// Sorts values of others as Ansible does: by rank, depth, priority and name. Nobody needs to agree with anybody.
fn strongest_first(others: &mut [Place], groups: &[Group]) {
    others.sort_by_key(|place| {
        let group = &groups[place.group.index()];
        let rank = place.value_in(groups).rank;
        // `all` is weakest whatever its priority.
        (rank, group.level, if group.level == 0 { 0 } else { group.priority }, group.name.clone())
    });
    others.reverse();
}
