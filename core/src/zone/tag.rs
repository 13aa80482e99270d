//! `[tags]`, and the tags that entities carry.

use std::collections::{BTreeMap, BTreeSet};

use super::header::Frame;
use super::names;
use super::read::{Table, Text};
use crate::bundle::{Tag, TagOn};

/// Reads `[tags]`.
pub(super) fn declared(root: &Table) -> BTreeMap<String, Tag> {
    let tables = root.tables("tags", "tag");
    names::check_alike(root.report, "tag", tables.iter().map(|(name, _)| *name));
    tables.iter().map(|(name, table)| (name.text.to_owned(), declaration(*name, table))).collect()
}

fn declaration(name: Text, table: &Table) -> Tag {
    if let Err(wrong) = names::check_attribute(name.text) {
        table.mistake(name.at, format!("the name {wrong}"));
    }
    let on: BTreeSet<_> = match table.texts("on") {
        Some(words) if words.is_empty() => {
            table.mistake(table.at, "`on` names nothing that carries it");
            BTreeSet::new()
        }
        Some(words) => words.iter().filter_map(|word| table.chosen("on", *word, &ON)).collect(),
        None => missing(table, "on"),
    };
    let values: BTreeSet<_> = match table.texts("values") {
        Some(values) => values.iter().map(|value| checked(table, *value)).collect(),
        None => missing(table, "values"),
    };
    let default = table.needed("default").map_or_else(String::new, |default| {
        if !values.contains(default.text) {
            let shown = names::shown(default.text);
            table.mistake(default.at, format!("`default` is `{shown}`, which is not in `values`"));
        }
        default.text.to_owned()
    });
    table.finish();
    Tag { on, values, default }
}

/// The tags that an entity of kind `on` says, without defaults.
pub(super) fn said(frame: &Frame, entity: &Table, on: TagOn) -> BTreeMap<String, String> {
    let Some(table) = entity.table("tags") else { return BTreeMap::new() };
    let mut said = BTreeMap::new();
    for (name, item) in table.pairs() {
        let shown = names::shown(name.text);
        let Some(value) = item.text() else {
            table.ill_typed(&shown, item, "a string");
            continue;
        };
        match frame.tags.get(name.text) {
            None => {
                let hint = names::hint(name.text, frame.tags.keys().map(String::as_str));
                table.mistake(name.at, format!("there is no tag `{shown}`{hint}"));
            }
            Some(tag) if !tag.on.contains(&on) => {
                table.mistake(name.at, format!("tag `{shown}` is not one of {}", plural(on)));
            }
            Some(tag) if !tag.values.contains(value.text) => {
                let hint = names::hint(value.text, tag.values.iter().map(String::as_str));
                let value = names::shown(value.text);
                table.mistake(item.at, format!("tag `{shown}` has no value `{value}`{hint}"));
            }
            Some(_) => {
                said.insert(name.text.to_owned(), value.text.to_owned());
            }
        }
    }
    said
}

/// The tags of an entity of kind `on`, with the defaults of those that it does not say.
pub(super) fn complete(frame: &Frame, entity: &Table, on: TagOn) -> BTreeMap<String, String> {
    let defaults = frame.tags.iter().filter(|(_, tag)| tag.on.contains(&on));
    let mut tags: BTreeMap<_, _> =
        defaults.map(|(name, tag)| (name.clone(), tag.default.clone())).collect();
    tags.extend(said(frame, entity, on));
    tags
}

fn checked(table: &Table, value: Text) -> String {
    if let Err(wrong) = names::check_value(value.text) {
        table.mistake(value.at, format!("value `{}` {wrong}", names::shown(value.text)));
    }
    value.text.to_owned()
}

/// Nothing, with a mistake where the key is not there at all.
fn missing<T: Default>(table: &Table, key: &'static str) -> T {
    if table.item(key).is_none() {
        table.missing(key);
    }
    T::default()
}

fn plural(on: TagOn) -> &'static str {
    match on {
        TagOn::User => "users",
        TagOn::Application => "applications",
        TagOn::Resource => "resources",
    }
}

const ON: [(&str, TagOn); 3] =
    [("user", TagOn::User), ("application", TagOn::Application), ("resource", TagOn::Resource)];
