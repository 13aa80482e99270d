//! `[rules.ID]`: which bearers are which application, or are people; and conditions on claims.

use std::collections::BTreeMap;

use serde_json::Value;

use super::header::Frame;
use super::issuer::Row;
use super::read::{At, Item, Table, Text};
use super::{claim, keys, names, pins, tag};
use crate::bundle::{Bearer, Condition, Rule, SubjectKind, TagOn, Test};
use crate::presets::{Preset, Require};

/// Reads `[rules]`.
pub(super) fn read(root: &Table, frame: &Frame, rows: &[Row]) -> BTreeMap<String, Rule> {
    let tables = root.tables("rules", "rule");
    names::check_alike(root.report, "rule", tables.iter().map(|(id, _)| *id));
    let mut rules = BTreeMap::new();
    for (id, table) in &tables {
        if let Err(wrong) = names::check(id.text) {
            table.mistake(id.at, format!("the id {wrong}"));
        }
        if let Some(rule) = rule(table, frame, rows) {
            check_twin(table, &rules, &rule);
            rules.insert(id.text.to_owned(), rule);
        }
    }
    rules
}

/// The conditions that an issuer puts on every token: its preset's, and its own beside them. They
/// only ever add up, so that a row cannot lift what its preset refuses.
pub(super) fn required(table: &Table, preset: &Preset) -> Vec<Condition> {
    let own = table.table("require").map(|table| conditions(&table)).unwrap_or_default();
    let own = own.into_iter().map(|(_, condition)| condition);
    preset.require.iter().map(Require::condition).chain(own).collect()
}

fn rule(table: &Table, frame: &Frame, rows: &[Row]) -> Option<Rule> {
    let issuer = table.needed("issuer");
    if let Some(issuer) = issuer {
        frame.refer(table, "issuer", &frame.issuers, issuer);
    }
    let row = rows.iter().find(|row| issuer.is_some_and(|issuer| row.id.text == issuer.text));
    let bearer = bearer(table, frame, row);
    let conditions = match table.item("claims") {
        Some(_) => table.table("claims").map(|claims| conditions(&claims)),
        None => Some(Vec::new()),
    };
    if let (Some(row), Some(conditions)) = (row, &conditions) {
        pins::check(table, row, conditions);
    }
    let task = table.text("task");
    if let Some(task) = task {
        frame.refer(table, "task", &frame.tasks, task);
    }
    let rule = Rule {
        issuer: issuer.map_or_else(String::new, |issuer| issuer.text.to_owned()),
        alone: alone(table, bearer.as_ref()),
        task_id: claim::pointer(table, "task_id"),
        task: task.map(|task| task.text.to_owned()),
        tags: match (&bearer, table.item("tags")) {
            (Some(Bearer::Application(_)), Some(item)) => {
                table.mistake(item.at, "`tags` are for people; an application has its own");
                BTreeMap::new()
            }
            _ => tag::said(frame, table, TagOn::User),
        },
        bearer: bearer.unwrap_or(Bearer::User),
        conditions: conditions
            .unwrap_or_default()
            .into_iter()
            .map(|(_, condition)| condition)
            .collect(),
    };
    table.finish();
    Some(rule)
}

fn bearer(table: &Table, frame: &Frame, row: Option<&Row>) -> Option<Bearer> {
    let application = table.text("application");
    let user = table.flag("user");
    if let Some(application) = application {
        frame.refer(table, "application", &frame.applications, application);
    }
    let bearer = match (application, user) {
        (Some(application), None) => Bearer::Application(application.text.to_owned()),
        (None, Some(true)) => Bearer::User,
        _ => {
            table.mistake(table.at, "must have either `application` or `user = true`");
            return None;
        }
    };
    let wrong = match (&bearer, row.and_then(|row| row.subject)) {
        (Bearer::Application(_), Some(SubjectKind::User)) => {
            Some("the issuer's bearers are people: write `user = true`")
        }
        (Bearer::User, Some(SubjectKind::Workload)) => {
            Some("the issuer's bearers are workloads: name an `application`")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        let key = if bearer == Bearer::User { "user" } else { "application" };
        table.mistake(table.item(key).map_or(table.at, |item| item.at), wrong);
    }
    Some(bearer)
}

fn alone(table: &Table, bearer: Option<&Bearer>) -> bool {
    let alone = table.flag("alone") == Some(true);
    if alone && bearer == Some(&Bearer::User) {
        let at = table.item("alone").map_or(table.at, |item| item.at);
        table.mistake(at, "`alone` is for applications: a person's token identifies no client");
    }
    alone
}

/// Reads conditions: a table from JSON Pointers to what must be there.
fn conditions(claims: &Table) -> Vec<(At, Condition)> {
    let one = |(pointer, item): (Text, Item)| {
        if let Err(wrong) = claim::check_pointer(pointer.text) {
            let shown = names::shown(pointer.text);
            claims.mistake(pointer.at, format!("claim `{shown}` {wrong}"));
        }
        let test = test(claims, pointer, item)?;
        Some((pointer.at, Condition { pointer: pointer.text.to_owned(), test }))
    };
    claims.pairs().filter_map(one).collect()
}

fn test(claims: &Table, pointer: Text, item: Item) -> Option<Test> {
    let Some(words) = item.value.as_table() else {
        return match item.elements() {
            Some(elements) => list(claims, pointer, item, elements).map(Test::OneOf),
            None => scalar(claims, pointer, item).map(Test::Equals),
        };
    };
    let mut words = words.iter();
    let (Some((word, value)), None) = (words.next(), words.next()) else {
        return wrong(claims, pointer, item, COMPARED);
    };
    let value = Item { value: value.get_ref(), at: item.at };
    match word.get_ref().as_ref() {
        "equals" => whole(claims, pointer, value).map(Test::Equals),
        "absent_or" => whole(claims, pointer, value).map(Test::AbsentOr),
        "none_of" => match value.elements() {
            Some(elements) => list(claims, pointer, value, elements).map(Test::NoneOf),
            None => scalar(claims, pointer, value).map(|value| Test::NoneOf(vec![value])),
        },
        _ => wrong(claims, pointer, item, COMPARED),
    }
}

/// A value that is compared as it is: a scalar, or an array of them in their order.
fn whole(claims: &Table, pointer: Text, item: Item) -> Option<Value> {
    match item.elements() {
        Some(mut elements) => elements
            .try_fold(Vec::new(), |mut values, element| {
                values.push(scalar(claims, pointer, element)?);
                Some(values)
            })
            .map(Value::Array),
        None => scalar(claims, pointer, item),
    }
}

fn list<'a>(
    claims: &Table,
    pointer: Text,
    item: Item,
    elements: impl Iterator<Item = Item<'a>>,
) -> Option<Vec<Value>> {
    let values: Vec<_> = elements.map(|element| scalar(claims, pointer, element)).collect();
    if values.is_empty() {
        return wrong(claims, pointer, item, "is compared with an empty list");
    }
    values.into_iter().collect()
}

fn scalar(claims: &Table, pointer: Text, item: Item) -> Option<Value> {
    let value = keys::json(item).filter(|value| !value.is_array() && !value.is_object());
    let Some(value) = value else {
        return wrong(
            claims,
            pointer,
            item,
            "can be compared with texts, integers and truth values",
        );
    };
    if value.as_str().is_some_and(|text| text.ends_with('*')) {
        let why = "is compared exactly: a `*` at the end matches nothing but itself";
        return wrong(claims, pointer, item, why);
    }
    Some(value)
}

fn wrong<T>(claims: &Table, pointer: Text, item: Item, what: &str) -> Option<T> {
    claims.mistake(item.at, format!("claim `{}` {what}", names::shown(pointer.text)));
    None
}

/// Notes a rule with the same issuer and conditions: a token matches at most one.
fn check_twin(table: &Table, rules: &BTreeMap<String, Rule>, rule: &Rule) {
    let twin = rules
        .iter()
        .find(|(_, other)| other.issuer == rule.issuer && other.conditions == rule.conditions);
    if let Some((id, _)) = twin
        && !rule.conditions.is_empty()
    {
        table.mistake(table.at, format!("matches the same tokens as rule `{}`", names::shown(id)));
    }
}

const COMPARED: &str =
    "must be a value, a list of values, or one of `equals`, `none_of` and `absent_or`";
