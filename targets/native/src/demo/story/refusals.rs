//! What is refused: a token that was spent, in whichever slot, and a token in the wrong hands.

use super::super::call::Call;
use super::super::stage::Stage;
use super::super::step::{Step, Told};
use super::{ACCESS_TOKEN, BY_ASSERTION, CLIENT_CREDENTIALS, EXCHANGE, JWT, JWT_BEARER};

/// The first step's resource: all would be well but for the token.
const DEPLOY: &str = "https://deploy.example.com";

pub(super) fn replayed_assertion(_: &Stage) -> Step {
    Step {
        title: "The CI token again, as assertion",
        story: "Someone found $GITHUB of step 1 in a log. It was single-use: it is spent.",
        call: Call::new(JWT_BEARER).variable("assertion", "GITHUB").text("resource", DEPLOY),
        told: replayed(400, "invalid_grant"),
    }
}

pub(super) fn replayed_client_assertion(_: &Stage) -> Step {
    Step {
        title: "The CI token again, as client_assertion",
        story: "Spent in one slot is spent in all: here it is the client's proof of who it is.",
        call: Call::new(CLIENT_CREDENTIALS)
            .text("client_assertion_type", BY_ASSERTION)
            .variable("client_assertion", "GITHUB")
            .text("resource", DEPLOY),
        told: replayed(401, "invalid_client"),
    }
}

pub(super) fn replayed_subject_token(stage: &Stage) -> Step {
    Step {
        title: "The CI token again, as subject_token",
        story: "Even by a client that proves itself with a fresh token of the same job.",
        call: Call::new(EXCHANGE)
            .fetch("FRESH", stage.token_for_us("github"))
            .text("client_assertion_type", BY_ASSERTION)
            .variable("client_assertion", "FRESH")
            .variable("subject_token", "GITHUB")
            .text("subject_token_type", JWT)
            .text("resource", DEPLOY),
        told: replayed(400, "invalid_request"),
    }
}

pub(super) fn replayed_actor_token(stage: &Stage) -> Step {
    Step {
        title: "The CI token again, as actor_token",
        story: "Even beside a fresh subject token.",
        call: Call::new(EXCHANGE)
            .fetch("FRESH", stage.token_for_us("github"))
            .text("client_assertion_type", BY_ASSERTION)
            .variable("client_assertion", "FRESH")
            .variable("subject_token", "FRESH")
            .text("subject_token_type", JWT)
            .variable("actor_token", "GITHUB")
            .text("actor_token_type", JWT)
            .text("resource", DEPLOY),
        told: replayed(400, "invalid_request"),
    }
}

pub(super) fn stolen(stage: &Stage) -> Step {
    Step {
        title: "A stolen token, shown by another application",
        story: "`helper` is a known application with a good secret, and got hold of $ASK of step 7. \
                That token is addressed to `health`, which alone may exchange it.",
        call: Call::new(EXCHANGE)
            .basic("helper", stage.cast.secret("helper"))
            .variable("subject_token", "ASK")
            .text("subject_token_type", ACCESS_TOKEN)
            .text("resource", "https://logs.example.com")
            .text("scope", "logs:read"),
        told: Told::Refused {
            status: 400,
            error: "invalid_request",
            reason: "presenter_refused",
            policies: &[],
        },
    }
}

fn replayed(status: u16, error: &'static str) -> Told {
    Told::Refused { status, error, reason: "replayed", policies: &[] }
}
