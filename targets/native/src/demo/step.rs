//! One step: what it shows, how it must end, and whether it did.

use serde_json::Value;

use super::call::{Answer, Call};

/// One step, as it is told beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The headline.
    pub(crate) title: &'static str,
    /// What is going on.
    pub(crate) story: &'static str,
    pub(crate) call: Call,
    pub(crate) told: Told,
}

/// How a step must end.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// With a token that these policies permit and that has these claims, by JSON Pointer. `null`
    /// stands for a claim that must not be there.
    Issued { policies: &'static [&'static str], claims: Vec<(&'static str, Value)> },
    /// With this error to the caller, and this reason and these policies in the record.
    Refused {
        status: u16,
        error: &'static str,
        reason: &'static str,
        policies: &'static [&'static str],
    },
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    /// The claims of the token, where one was issued and its signature verifies.
    pub(crate) claims: Option<Value>,
    /// The record's event.
    pub(crate) event: Value,
}

impl Outcome {
    /// A text of the answer's.
    pub(crate) fn said(&self, name: &str) -> &str {
        self.answer.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text of the record's.
    pub(crate) fn recorded(&self, name: &str) -> &str {
        self.event.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A list of texts of the record's.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.event.get(name).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Told {
    /// Everything in which the outcome is otherwise.
    pub(crate) fn differences(&self, outcome: &Outcome) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, told: &Value, is: &Value| {
            if told != is {
                found.push(format!("{what} was told to be {told}, and is {is}"));
            }
        };
        let (status, told_policies) = match self {
            Self::Issued { policies, .. } => (200, *policies),
            Self::Refused { status, policies, .. } => (*status, *policies),
        };
        compare("the status", &status.into(), &outcome.answer.status.into());
        compare("the list of policies", &told_policies.into(), &outcome.list("policies").into());
        match self {
            Self::Issued { claims, .. } => {
                let token = outcome.claims.as_ref();
                compare(
                    "that a token with a good signature came",
                    &true.into(),
                    &token.is_some().into(),
                );
                for (pointer, told) in claims {
                    let is = token.and_then(|token| token.pointer(pointer));
                    compare(&format!("claim `{pointer}`"), told, is.unwrap_or(&Value::Null));
                }
            }
            Self::Refused { error, reason, policies, .. } => {
                let token = outcome.answer.body.get("access_token").is_some();
                compare("that a token came", &false.into(), &token.into());
                compare("the error", &(*error).into(), &outcome.said("error").into());
                compare(
                    "the recorded reason",
                    &(*reason).into(),
                    &outcome.recorded("reason").into(),
                );
                for policy in *policies {
                    let named = outcome.said("error_description").contains(policy);
                    compare(
                        &format!("that the caller reads `{policy}`"),
                        &true.into(),
                        &named.into(),
                    );
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the difference names, and what makes it.
    type Spoiled = (&'static str, fn(&mut Outcome));

    fn issued() -> (Told, Outcome) {
        let told = Told::Issued {
            policies: &["permit/a"],
            claims: vec![("/sub", json!("x")), ("/act", Value::Null)],
        };
        let outcome = Outcome {
            answer: Answer {
                status: 200,
                body: json!({ "access_token": "t" }),
                request: "r".into(),
            },
            claims: Some(json!({ "sub": "x" })),
            event: json!({ "policies": ["permit/a"] }),
        };
        (told, outcome)
    }

    fn refused() -> (Told, Outcome) {
        let told = Told::Refused {
            status: 400,
            error: "access_denied",
            reason: "policy_forbids",
            policies: &["forbid/b"],
        };
        let body = json!({ "error": "access_denied", "error_description": "by forbid/b" });
        let outcome = Outcome {
            answer: Answer { status: 400, body, request: "r".into() },
            claims: None,
            event: json!({ "reason": "policy_forbids", "policies": ["forbid/b"] }),
        };
        (told, outcome)
    }

    #[test]
    fn what_goes_as_told_has_no_differences() {
        for (told, outcome) in [issued(), refused()] {
            assert_eq!(told.differences(&outcome), Vec::<String>::new());
        }
    }

    #[test]
    fn each_wrong_detail_of_a_token_is_found() {
        let (told, good) = issued();
        let wrong: [Spoiled; 6] = [
            ("status", |outcome| outcome.answer.status = 201),
            ("policies", |outcome| outcome.event = json!({ "policies": ["permit/b"] })),
            ("`/sub`", |outcome| outcome.claims = Some(json!({ "sub": "y" }))),
            ("`/sub`", |outcome| outcome.claims = Some(json!({}))),
            ("`/act`", |outcome| outcome.claims = Some(json!({ "sub": "x", "act": {} }))),
            ("signature", |outcome| outcome.claims = None),
        ];
        for (named, change) in wrong {
            let mut outcome = good.clone();
            change(&mut outcome);
            let found = told.differences(&outcome).join("\n");
            assert!(found.contains(named), "{named}: {found}");
        }
    }

    #[test]
    fn each_wrong_detail_of_a_refusal_is_found() {
        let (told, good) = refused();
        let wrong: [Spoiled; 6] = [
            ("status", |outcome| outcome.answer.status = 503),
            ("error", |outcome| outcome.answer.body["error"] = "invalid_request".into()),
            ("reason", |outcome| outcome.event["reason"] = "replayed".into()),
            ("policies", |outcome| outcome.event["policies"] = json!([])),
            ("forbid/b", |outcome| outcome.answer.body["error_description"] = "no".into()),
            ("token", |outcome| outcome.answer.body["access_token"] = "t".into()),
        ];
        for (named, change) in wrong {
            let mut outcome = good.clone();
            change(&mut outcome);
            let found = told.differences(&outcome).join("\n");
            assert!(found.contains(named), "{named}: {found}");
        }
    }

    #[test]
    fn a_token_where_a_refusal_was_told_is_found() {
        let (told, _) = refused();
        let (_, token) = issued();
        assert!(told.differences(&token).len() >= 4);
    }
}
