//! Reads `waivers.yaml`: every entry, all errors at once.

use std::collections::HashSet;

use cm_inventory::{Inventory, Request};
use cm_syntax::{Diagnostic, Diagnostics, MapReader, Node, Sources, Spanned, Yaml};

use super::{Day, WAIVERS_FILE, Waiver};

/// The waivers of a file that could be read; what is wrong with others is told.
pub(super) fn all(
    node: &Node,
    inventory: Option<&Inventory>,
    today: Day,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Waiver> {
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        Yaml::Null => &[],
        _ => {
            let message = format!("`{WAIVERS_FILE}` must be a list, not {}", node.described());
            diagnostics.push(Diagnostic::error(message).at(node.span, "`- resource: …` was expected"));
            &[]
        }
    };
    items.iter().filter_map(|item| one(item, inventory, today, sources, diagnostics)).collect()
}

fn one(
    node: &Node,
    inventory: Option<&Inventory>,
    today: Day,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Waiver> {
    let mut reader = MapReader::new(node, "this waiver", diagnostics);
    let resource = reader.required_text("resource");
    let target = reader.node("on").cloned();
    let attributes = reader.texts("attribute").unwrap_or_default();
    let until = reader.required_node("until").and_then(|node| match node.raw().and_then(Day::parse) {
        Some(day) => Some(Spanned::new(day, node.span)),
        None => {
            let wrong = Diagnostic::error(format!("`until` must be a day, not {}", node.described()))
                .at(node.span, "no such day")
                .hint("write it as 2026-12-31");
            reader.diagnostics().push(wrong);
            None
        }
    });
    let reason = reader.required_text("reason");
    let by = reader.text("by");
    reader.finish();
    for (name, text) in [("resource", &resource), ("reason", &reason)] {
        if let Some(text) = text.as_ref().filter(|text| text.value.trim().is_empty()) {
            diagnostics
                .push(Diagnostic::error(format!("`{name}` of this waiver is empty")).at(text.span, ""));
        }
    }
    let hosts = match &target {
        None => None,
        Some(target) => Some(hosts_of(target, inventory, sources, diagnostics)?),
    };
    let (resource, until, reason) = (resource?, until?, reason?);
    let waiver = Waiver {
        resource: resource.value.to_owned(),
        hosts,
        attributes: attributes.iter().map(|text| text.value.to_owned()).collect(),
        until: until.value,
        reason: reason.value.trim().to_owned(),
        by: by.map(|by| by.value.to_owned()),
        place: sources.place(resource.span).to_string().into(),
    };
    if waiver.expired(today) {
        diagnostics.push(
            Diagnostic::warning(format!(
                "the waiver for `{}` has expired: what it let be is drift again",
                waiver.resource
            ))
            .at(until.span, "the last day on which it held")
            .hint("mend what it was for and take it out, or give it a new day and a reason"),
        );
    }
    Some(waiver)
}

/// The hosts of a target that is written in the file; what is wrong with it is told at its place there.
fn hosts_of(
    node: &Node,
    inventory: Option<&Inventory>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<HashSet<String>> {
    let Some(target) = node.as_text() else {
        let message = format!("`on` of this waiver must be a target, not {}", node.described());
        diagnostics.push(Diagnostic::error(message).at(node.span, "a group, a host or `all`"));
        return None;
    };
    // Where the inventory cannot be read that is told already.
    let inventory = inventory?;
    match inventory.select(sources, Request { target, limit: None, failed: None }) {
        Ok(hosts) => Some(hosts.into_iter().map(|id| inventory.host(id).name().to_owned()).collect()),
        Err(wrong) => {
            for diagnostic in wrong.iter() {
                let mut told = diagnostic.clone();
                if let Some(label) = &mut told.primary {
                    let range = label.span.start as usize..label.span.end as usize;
                    label.span = node.span_within(sources, range);
                }
                told.others.clear();
                diagnostics.push(told);
            }
            None
        }
    }
}
