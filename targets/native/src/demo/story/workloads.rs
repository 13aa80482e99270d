//! Jobs, functions, machines and service accounts: each shows its platform's token, and no secret
//! is kept anywhere. Together they show every way to present one.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::stage::Stage;
use super::super::step::{Step, Told};
use super::{BY_ASSERTION, CLIENT_CREDENTIALS, EXCHANGE, JWT, JWT_BEARER};

pub(super) fn github(stage: &Stage) -> Step {
    Step {
        title: "A GitHub Actions job gets a deploy token",
        story: "The job shows the token that GitHub signed for it. A rule of the zone knows the \
                repository by its id, the branch and the environment, and puts the job on the task \
                `deploy`. The task's id is the run's.",
        call: Call::new(JWT_BEARER)
            .fetch("GITHUB", stage.token_for_us("github"))
            .variable("assertion", "GITHUB")
            .text("resource", "https://deploy.example.com")
            .text("scope", "deploy"),
        told: Told::Issued {
            policies: &["permit/deploy-from-ci"],
            claims: vec![
                ("/sub", "ci-deploy".into()),
                ("/sub_profile", "app".into()),
                ("/act", Value::Null),
                ("/aud", "https://deploy.example.com".into()),
                ("/scope", "deploy".into()),
                ("/task/name", "deploy".into()),
                ("/task/id", "29999999999".into()),
                ("/task/source", "rule".into()),
                ("/path/0/rules", json!(["deploy-job"])),
            ],
        },
    }
}

pub(super) fn vercel(stage: &Stage) -> Step {
    Step {
        title: "A Vercel function gets its token",
        story: "Here the platform's token is the client's proof of who it is.",
        call: Call::new(CLIENT_CREDENTIALS)
            .fetch("VERCEL", stage.token_for_us("vercel"))
            .text("client_assertion_type", BY_ASSERTION)
            .variable("client_assertion", "VERCEL")
            .text("resource", "https://status.example.com"),
        told: itself(
            "web",
            "https://status.example.com",
            "read",
            &["permit/anybody-reads-what-is-public"],
        ),
    }
}

pub(super) fn fly(stage: &Stage) -> Step {
    Step {
        title: "A Fly.io machine gets its token",
        story: "The app and the organization are compared by their ids: names can be taken again.",
        call: Call::new(JWT_BEARER)
            .fetch("FLY", stage.token_for_us("fly"))
            .variable("assertion", "FLY")
            .text("resource", "https://logs.example.com")
            .text("scope", "logs:read logs:delete"),
        told: itself(
            "worker",
            "https://logs.example.com",
            "logs:delete logs:read",
            &["permit/worker-keeps-logs"],
        ),
    }
}

pub(super) fn aws(stage: &Stage) -> Step {
    Step {
        title: "An AWS role gets its token",
        story: "The account's own issuer signs for the role. No access key leaves AWS.",
        call: Call::new(CLIENT_CREDENTIALS)
            .fetch("AWS", stage.token_for_us("aws"))
            .text("client_assertion_type", BY_ASSERTION)
            .variable("client_assertion", "AWS")
            .text("resource", "https://acme.snowflakecomputing.com"),
        told: itself(
            "etl",
            "https://acme.snowflakecomputing.com",
            "query",
            &["permit/etl-fills-warehouse"],
        ),
    }
}

pub(super) fn gcp(stage: &Stage) -> Step {
    Step {
        title: "A Google Cloud service account gets its token",
        story: "A token exchange with nothing but the subject token, as Google's client libraries \
                send it. The rule says that this token may stand alone.",
        call: Call::new(EXCHANGE)
            .fetch("GCP", stage.token_for_us("gcp"))
            .variable("subject_token", "GCP")
            .text("subject_token_type", JWT)
            .text("audience", "https://customers.example.com"),
        told: itself(
            "reports",
            "https://customers.example.com",
            "read",
            &["permit/reports-read-customers"],
        ),
    }
}

/// A token of an application on its own behalf.
fn itself(
    application: &'static str,
    resource: &'static str,
    scope: &'static str,
    policies: &'static [&'static str],
) -> Told {
    Told::Issued {
        policies,
        claims: vec![
            ("/sub", application.into()),
            ("/sub_profile", "app".into()),
            ("/act", Value::Null),
            ("/aud", resource.into()),
            ("/scope", scope.into()),
        ],
    }
}
