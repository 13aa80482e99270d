//! `[tasks.NAME]`: what an agent may be at work on, and how far that reaches.

use std::collections::{BTreeMap, BTreeSet};

use super::header::Frame;
use super::names;
use super::read::Table;
use crate::bundle::{Resource, Task};
use crate::limits;

/// Reads `[tasks]`.
pub(super) fn read(
    root: &Table,
    frame: &Frame,
    resources: &BTreeMap<String, Resource>,
) -> BTreeMap<String, Task> {
    let tables = root.tables("tasks", "task");
    let one = |table: &Table| {
        let given = table.item("envelope").is_some();
        let envelope = given.then(|| table.table("envelope")).flatten();
        let envelope = envelope.map(|envelope| pairs(&envelope, frame, resources));
        let claimants = table.texts("claimants").unwrap_or_default();
        for claimant in &claimants {
            frame.refer(table, "application", &frame.applications, *claimant);
        }
        table.finish();
        let claimants = claimants.iter().map(|claimant| claimant.text.to_owned()).collect();
        Task { envelope, claimants }
    };
    tables.iter().map(|(name, table)| (name.text.to_owned(), one(table))).collect()
}

/// The envelope's pairs: each resource, and which of its scopes.
fn pairs(
    envelope: &Table,
    frame: &Frame,
    resources: &BTreeMap<String, Resource>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    let mut count: usize = 0;
    for (id, item) in envelope.pairs() {
        frame.refer(envelope, "resource", &frame.resources, id);
        let Some(elements) = item.elements() else {
            envelope.ill_typed(&names::shown(id.text), item, "an array of scopes");
            continue;
        };
        let defined = resources.get(id.text).map(|resource| &resource.scopes);
        let mut scopes = BTreeSet::new();
        for element in elements {
            let Some(scope) = element.text() else {
                envelope.ill_typed(&names::shown(id.text), element, "scopes only");
                continue;
            };
            if let Some(defined) = defined
                && !defined.contains(scope.text)
            {
                let hint = names::hint(scope.text, defined.iter().map(String::as_str));
                let (scope_shown, id) = (names::shown(scope.text), names::shown(id.text));
                let message = format!("resource `{id}` has no scope `{scope_shown}`{hint}");
                envelope.mistake(scope.at, message);
            }
            scopes.insert(scope.text.to_owned());
        }
        if scopes.is_empty() && defined.is_some_and(|defined| !defined.is_empty()) {
            let id = names::shown(id.text);
            envelope.mistake(item.at, format!("no scope of resource `{id}` is named"));
        }
        count = count.saturating_add(scopes.len().max(1));
        all.insert(id.text.to_owned(), scopes);
    }
    if count > limits::ENVELOPE {
        let message = format!("may have at most {} pairs of resource and scope", limits::ENVELOPE);
        envelope.mistake(envelope.at, message);
    }
    let bytes = serde_json::to_vec(&all).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > limits::ENVELOPE_BYTES {
        let most = limits::ENVELOPE_BYTES;
        envelope.mistake(envelope.at, format!("may have at most {most} bytes, as JSON"));
    }
    all
}
