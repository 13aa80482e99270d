//! What a rule must and must not compare: claims that never change hands, of the right tenant.
//!
//! Names of organisations, projects and people are given up and taken by others; a rule that rests
//! on them admits the next owner.

use super::issuer::Row;
use super::names;
use super::read::{At, Table};
use crate::bundle::{Condition, Test};
use crate::presets::{CUSTOM, Preset};

/// Notes what is wrong with the conditions of the rule in `table`, each with its place.
pub(super) fn check(table: &Table, row: &Row, conditions: &[(At, Condition)]) {
    let Some(preset) = row.preset else { return };
    check_refused(table, preset, conditions);
    check_subject(table, row, conditions);
    let compared: Vec<&str> = conditions
        .iter()
        .filter(|(_, condition)| is_comparison(&condition.test))
        .map(|(_, condition)| condition.pointer.as_str())
        .collect();
    if compared.is_empty() {
        let message = "compares no claim: every token of the issuer would match";
        return table.mistake(table.at, message);
    }
    let mut missing = missing(preset, &compared);
    if compared.iter().all(|pointer| is_name(pointer) && !is_pin(preset, pointer)) {
        let names = names::listed(compared, "and");
        if missing.is_empty() && !preset.tenant.is_empty() {
            missing.push(names::listed(preset.tenant.iter().copied(), "or"));
        }
        let advice = match missing.is_empty() {
            true => "an id".to_owned(),
            false => missing.join(" and "),
        };
        let message =
            format!("compares only names, which change hands ({names}): compare {advice}");
        return table.mistake(table.at, message);
    }
    let tenant = preset.tenant;
    if !tenant.is_empty() && !tenant.iter().any(|pointer| compared.contains(pointer)) {
        let tenants = names::listed(tenant.iter().copied(), "or");
        table.mistake(
            table.at,
            format!(
                "its issuer is the same for every customer of {}: compare {tenants}",
                platform(preset)
            ),
        );
        missing.retain(|group| *group != tenants);
    }
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        let message = format!("does not compare {missing}, which preset `{}` demands", preset.name);
        table.mistake(table.at, message);
    }
}

/// The groups of which `compared` has none, each as a list of its members.
fn missing(preset: &Preset, compared: &[&str]) -> Vec<String> {
    let met = |group: &&[&str]| {
        group.iter().any(|pin| compared.iter().any(|pointer| pinned_by(pin, pointer)))
    };
    let groups = preset.pins.iter().filter(|group| !met(group));
    groups.map(|group| names::listed(group.iter().copied(), "or")).collect()
}

fn pinned_by(pin: &str, pointer: &str) -> bool {
    pointer == pin || (pin.ends_with('/') && pointer.starts_with(pin))
}

fn is_pin(preset: &Preset, pointer: &str) -> bool {
    let pins = preset.pins.iter().copied().flatten().chain(preset.tenant);
    pins.into_iter().any(|pin| pinned_by(pin, pointer))
}

/// Whether a test admits only tokens that carry one of certain values.
pub(super) fn is_comparison(test: &Test) -> bool {
    matches!(test, Test::Equals(_) | Test::OneOf(_))
}

/// Whether a claim's name says that it is a name.
pub(super) fn is_name(pointer: &str) -> bool {
    let last = pointer.rsplit(['/', '.']).next().unwrap_or_default();
    NAMES.contains(&last) || NAME_ENDINGS.iter().any(|ending| last.ends_with(ending))
}

fn check_refused(table: &Table, preset: &Preset, conditions: &[(At, Condition)]) {
    for (at, condition) in conditions {
        let refused = preset.refused_claims.iter();
        let refused = refused.clone().find(|refused| refused.covers_pointer(&condition.pointer));
        if let Some(refused) = refused {
            let pointer = &condition.pointer;
            table.mistake(*at, format!("claim `{pointer}` cannot be compared: {}", refused.why));
        }
    }
}

fn check_subject(table: &Table, row: &Row, conditions: &[(At, Condition)]) {
    let Some(prefix) = &row.subject_prefix else { return };
    let subjects = conditions.iter().filter(|(_, condition)| condition.pointer == "/sub");
    for (at, condition) in subjects {
        let values = match &condition.test {
            Test::Equals(value) => std::slice::from_ref(value),
            Test::OneOf(values) => values,
            Test::NoneOf(_) | Test::AbsentOr(_) | Test::Absent => &[],
        };
        let starts = |value: &serde_json::Value| {
            value.as_str().is_some_and(|text| text.starts_with(prefix.as_str()))
        };
        if !values.iter().all(starts) {
            table.mistake(*at, format!("claim `/sub` must start with `{prefix}`"));
        }
    }
}

fn platform(preset: &Preset) -> &str {
    if preset.name == CUSTOM.name { "the platform" } else { preset.platform }
}

const NAMES: [&str; 7] =
    ["email_verified", "login", "name", "nickname", "preferred_username", "upn", "username"];

const NAME_ENDINGS: [&str; 6] = ["_name", "_path", "_slug", "_login", "_email", "email"];
