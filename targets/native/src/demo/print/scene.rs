//! A step that was played, and what there is to say of it.

use super::super::look::{BAD, GOOD, paint};
use super::super::step::{Outcome, Step};

/// A step that was played.
pub(crate) struct Scene {
    pub(super) number: usize,
    pub(super) title: &'static str,
    pub(super) story: &'static str,
    pub(super) outcome: Outcome,
    pub(super) differences: Vec<String>,
}

impl Scene {
    pub(crate) fn new(number: usize, step: &Step, outcome: Outcome) -> Self {
        let differences = step.told.differences(&outcome);
        Self { number, title: step.title, story: step.story, outcome, differences }
    }

    pub(crate) fn is_as_told(&self) -> bool {
        self.differences.is_empty()
    }

    pub(super) fn mark(&self) -> String {
        if self.is_as_told() { paint(GOOD, "✓") } else { paint(BAD, "✗") }
    }

    /// What came of it, and what decided that.
    pub(super) fn decided(&self) -> (&'static str, String) {
        let outcome = &self.outcome;
        let policies = outcome.list("policies").join(", ");
        let reason = outcome.recorded("reason").to_owned();
        match outcome.recorded("outcome") {
            "allow" => ("issued", policies),
            "deny" if !policies.is_empty() => ("denied", policies),
            "deny" => ("denied", reason),
            "refuse" => ("refused", reason),
            _ => ("failed", format!("{} {reason}", outcome.answer.status)),
        }
    }
}

/// Who was recognized: the actor, those before it, on whose behalf, and by which rule.
pub(super) fn who(outcome: &Outcome) -> String {
    let (client, subject) = (outcome.recorded("client"), outcome.recorded("subject"));
    let chain = outcome.list("chain");
    let mut text = match chain.split_first() {
        Some((actor, before)) => {
            let mut text = format!("`{actor}`");
            for actor in before.iter().filter(|before| **before != subject) {
                text = format!("{text}, asked by `{actor}`");
            }
            if *actor != subject { format!("{text}, for `{subject}`") } else { text }
        }
        None if client.is_empty() && subject.is_empty() => return String::new(),
        None if client.is_empty() || client == subject => format!("`{subject}`"),
        None => format!("`{client}`, showing a token of `{subject}`"),
    };
    if let (Some(rule), Some(issuer)) =
        (outcome.list("rules").first(), outcome.list("issuers").first())
    {
        text = format!("{text}, by rule `{rule}` of issuer `{issuer}`");
    }
    text
}
