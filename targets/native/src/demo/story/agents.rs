//! A person, an agent that acts for them, and a second agent that the first one asks.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::stage::Stage;
use super::super::step::{Step, Told};
use super::{ACCESS_TOKEN, BY_ASSERTION, EXCHANGE, ID_TOKEN};

/// The person, as tokens and policies name them: by issuer and subject, never by address.
const PERSON: &str = "user:okta:00uid4BxXw6I6TV4m0g3";

pub(super) fn for_a_user(stage: &Stage) -> Step {
    let call = fixer(stage, true)
        .text("resource", "https://issues.example.com")
        .text("scope", "read issues:create")
        .text("task", "fix-bug")
        .text("task_id", "bug-421")
        .keep("ISSUES");
    Step {
        title: "An agent acting for a user: a token naming both",
        story: "A person signed in with Okta to the agent `fixer`. It shows their ID token, proves \
                itself with a key of its own, and says what it is working on.",
        call,
        told: Told::Issued {
            policies: &["permit/people-work-on-issues"],
            claims: vec![
                ("/sub", PERSON.into()),
                ("/sub_profile", "user".into()),
                ("/act", json!({ "sub": "fixer" })),
                ("/aud", "https://issues.example.com".into()),
                ("/scope", "issues:create read".into()),
                ("/task/name", "fix-bug".into()),
                ("/task/id", "bug-421".into()),
            ],
        },
    }
}

pub(super) fn asks_another(stage: &Stage) -> Step {
    let call = fixer(stage, false)
        .text("resource", "https://agents.example.com/health")
        .text("task", "fix-bug")
        .text("task_id", "bug-421")
        .keep("ASK");
    Step {
        title: "A token to ask a second agent with",
        story: "The second agent, `health`, is a resource like any other. Same person, same task: \
                the same session, so ending it ends everything below.",
        call,
        told: Told::Issued {
            policies: &["permit/people-ask-agents"],
            claims: vec![
                ("/sub", PERSON.into()),
                ("/act", json!({ "sub": "fixer" })),
                ("/aud", "https://agents.example.com/health".into()),
                ("/scope", "ask".into()),
                ("/sid", stage.claim("ISSUES", "sid")),
            ],
        },
    }
}

pub(super) fn second_hop(stage: &Stage) -> Step {
    Step {
        title: "The second agent takes the second hop",
        story: "`health` received the token of the last step and exchanges it for the logs. The \
                new one names the person and both agents, and its path leads back to their sign-in.",
        call: Call::new(EXCHANGE)
            .basic("health", stage.cast.secret("health"))
            .variable("subject_token", "ASK")
            .text("subject_token_type", ACCESS_TOKEN)
            .text("resource", "https://logs.example.com")
            .text("scope", "logs:read"),
        told: Told::Issued {
            policies: &["permit/logs-when-fixing-bugs"],
            claims: vec![
                ("/sub", PERSON.into()),
                ("/act", json!({ "sub": "health", "act": { "sub": "fixer" } })),
                ("/aud", "https://logs.example.com".into()),
                ("/scope", "logs:read".into()),
                ("/task/id", "bug-421".into()),
                ("/sid", stage.claim("ISSUES", "sid")),
                ("/path/0/jti", stage.claim("ASK", "jti")),
                ("/path/2", Value::Null),
            ],
        },
    }
}

pub(super) fn personal_data(stage: &Stage) -> Step {
    Step {
        title: "A request for personal data is denied",
        story: "The person may see customers, and a policy permits that. But customers are \
                tagged `pii`, an agent is on the chain, and a forbid beats every permit.",
        call: fixer(stage, false).text("resource", "https://customers.example.com"),
        told: Told::Refused {
            status: 400,
            error: "access_denied",
            reason: "policy_forbids",
            policies: &["forbid/no-pii-for-agents"],
        },
    }
}

/// An exchange by `fixer` for the person, who signs in where `first`.
fn fixer(stage: &Stage, first: bool) -> Call {
    let call = Call::new(EXCHANGE);
    let call = if first { call.fetch("PERSON", stage.token_at("okta", "fixer")) } else { call };
    call.variable("subject_token", "PERSON")
        .text("subject_token_type", ID_TOKEN)
        .text("client_assertion_type", BY_ASSERTION)
        .fetched("client_assertion", stage.assertion("fixer"))
}
