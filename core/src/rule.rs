//! Rules: claim conditions on ids that never change hands, and the one rule that a token matches.
//!
//! Claims are addressed by JSON Pointer and compared with their types: `"20"` is not `20`. A claim
//! that is missing matches nothing. Two rules that match are a mistake, and nobody is let in by it.

use crate::active::Active;
use crate::bundle::{Condition, Rule, Test};
use crate::identity::Fault;
use crate::jwt::Claims;
use crate::refusal::Reason;

/// Whether a condition holds, type and value.
pub(crate) fn holds(condition: &Condition, claims: &Claims) -> bool {
    let actual = claims.pointer(&condition.pointer);
    match &condition.test {
        Test::Equals(expected) => actual == Some(expected),
        Test::OneOf(accepted) => actual.is_some_and(|actual| accepted.contains(actual)),
        Test::NoneOf(refused) => actual.is_none_or(|actual| !refused.contains(actual)),
        Test::AbsentOr(expected) => actual.is_none_or(|actual| actual == expected),
        Test::Absent => actual.is_none(),
    }
}

/// Claim, expected, actual: for the record.
pub(crate) fn expectation(condition: &Condition, claims: &Claims) -> String {
    let actual = claims.pointer(&condition.pointer).map_or_else(
        || "absent".to_owned(),
        |actual| format!("`{}`", crate::form::printable(&actual.to_string())),
    );
    let expected = serde_json::to_string(&condition.test).unwrap_or_default();
    format!("`{}` is {actual}, expected {expected}", condition.pointer)
}

/// The one rule that the token matches.
pub(crate) fn matching<'a>(
    zone: &'a Active,
    row: &str,
    claims: &Claims,
) -> Result<(&'a str, &'a Rule), Fault> {
    let ids = zone.rules.get(row).map(Vec::as_slice).unwrap_or_default();
    let mut near = None;
    let mut found = None;
    for (id, rule) in ids.iter().filter_map(|id| zone.bundle.rules.get_key_value(id)) {
        match rule.conditions.iter().find(|condition| !holds(condition, claims)) {
            Some(failed) => near = near.or(Some((id, failed))),
            None if found.is_some() => {
                return Err((Reason::RuleAmbiguous, format!("`{id}` matches as well")));
            }
            None => found = Some((id.as_str(), rule)),
        }
    }
    found.ok_or_else(|| {
        let detail = near.map(|(id, failed)| {
            format!("rule `{id}`, of {}: {}", ids.len(), expectation(failed, claims))
        });
        (Reason::RuleMissing, detail.unwrap_or_else(|| "it has no rule".to_owned()))
    })
}
