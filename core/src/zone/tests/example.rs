//! `examples/zone`: it compiles, its policies validate strictly, and they decide what they say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode,
    Validator,
};
use serde_json::{Value, json};

use super::super::{Source, Sources, compile};
use crate::bundle::Bundle;

/// What `design.md` §5 generates for the example, written by hand.
const SCHEMA: &str = r#"
entity User = { id: String, tags: {} };
entity Application = { id: String, tags: { class: String, trust: String } };
entity Resource = {
  id: String, kind: String, scopes: Set<String>, owner?: Application,
  tags: { department: String, sensitivity: String },
};
action "credentials:issue" appliesTo {
  principal: [User, Application],
  resource: Resource,
  context: {
    subject: { id: String, profile: String },
    actor: Application,
    chain: Set<Application>,
    chain_tags: { class: Set<String>, trust: Set<String> },
    depth: Long,
    on_behalf: Bool,
    scopes: Set<String>,
    task?: { name: String, id?: String, source: String },
    device?: String,
    session?: String,
    time: Long,
    edge?: String,
    claims: {
      subject: { groups?: Set<String> },
      actor: { environment?: String },
    },
  },
};
"#;

/// One exchange: on whose behalf, who acts (the current actor last), for what, on which task, with
/// which claims; and the policies that decide, none where no permit applies.
type Case<'a> =
    (&'a str, &'a [&'a str], &'a str, &'a [&'a str], Option<&'a str>, Value, &'a [&'a str]);

const ISSUES: &str = "https://issues.example.com";
const LOGS: &str = "https://logs.example.com";
const WAREHOUSE: &str = "https://acme.snowflakecomputing.com";
const CUSTOMERS: &str = "https://customers.example.com";
const HR: &str = "https://hr.example.com";
const DEPLOY: &str = "https://deploy.example.com";
const HEALTH: &str = "https://agents.example.com/health";

#[test]
fn it_decides_what_it_says() {
    let none = json!({ "subject": {}, "actor": {} });
    let hr = json!({ "subject": { "groups": ["hr"] }, "actor": {} });
    let production = json!({ "subject": {}, "actor": { "environment": "production" } });
    let alice = "user:alice";
    let allowed: [Case; 9] = [
        (alice, &["web", "fixer"], ISSUES, &["read"], None, none.clone(), &[]),
        (alice, &["web", "fixer"], HEALTH, &["ask"], Some("fix-bug"), none.clone(), &[]),
        (alice, &["fixer", "health"], LOGS, &["logs:read"], Some("fix-bug"), none.clone(), &[]),
        (alice, &["web", "fixer"], WAREHOUSE, &["query"], None, none.clone(), &[]),
        (alice, &["web"], CUSTOMERS, &["read", "write"], None, none.clone(), &[]),
        (alice, &["web"], HR, &["read"], None, hr.clone(), &[]),
        ("ci-deploy", &["ci-deploy"], DEPLOY, &["deploy"], Some("deploy"), production.clone(), &[]),
        ("etl", &["etl"], WAREHOUSE, &["query"], None, none.clone(), &[]),
        ("worker", &["worker"], LOGS, &["logs:delete"], None, none.clone(), &[]),
    ];
    for (subject, chain, resource, scopes, task, claims, _) in allowed {
        let decided = decide(subject, chain, resource, scopes, task, &claims);
        assert_eq!(decided.0, Decision::Allow, "{subject} {chain:?} {resource} {decided:?}");
    }
    let denied: [Case; 9] = [
        (alice, &["fixer"], CUSTOMERS, &["read"], None, none.clone(), &["no-pii-for-agents"]),
        (
            alice,
            &["fixer", "web"],
            CUSTOMERS,
            &["read"],
            None,
            none.clone(),
            &["no-pii-for-agents"],
        ),
        (alice, &["helper"], HR, &["read"], None, hr.clone(), &["no-hr-for-shared"]),
        (alice, &["helper", "web"], HR, &["read"], None, hr, &["no-hr-for-shared"]),
        (
            alice,
            &["web"],
            ISSUES,
            &["issues:delete"],
            None,
            none.clone(),
            &["issues-read-and-create"],
        ),
        (
            alice,
            &["health", "fixer"],
            WAREHOUSE,
            &["query"],
            None,
            none.clone(),
            &["no-warehouse-for-health"],
        ),
        (
            alice,
            &["fixer"],
            LOGS,
            &["logs:delete"],
            Some("fix-bug"),
            none.clone(),
            &["agents-never-delete"],
        ),
        (alice, &["fixer"], LOGS, &["logs:read"], None, none.clone(), &[]),
        ("ci-deploy", &["ci-deploy"], DEPLOY, &["deploy"], Some("deploy"), none, &[]),
    ];
    for (subject, chain, resource, scopes, task, claims, reasons) in denied {
        let decided = decide(subject, chain, resource, scopes, task, &claims);
        let expected = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        assert_eq!(decided, (Decision::Deny, expected), "{subject} {chain:?} {resource}");
    }
}

#[test]
fn a_session_token_is_ones_own() {
    let claims = json!({ "subject": {}, "actor": {} });
    assert_eq!(decide("worker", &["worker"], "worker", &[], None, &claims).0, Decision::Allow);
    assert_eq!(decide("worker", &["worker"], "fixer", &[], None, &claims).0, Decision::Deny);
}

#[test]
fn every_policy_has_an_id_and_validates_strictly() {
    let policies = policies();
    let ids: BTreeSet<_> = policies.policies().map(|policy| policy.annotation("id")).collect();
    assert!(!ids.contains(&None), "a policy without an id");
    assert_eq!(ids.len(), policies.policies().count(), "an id twice");
    let result = Validator::new(schema()).validate(&policies, ValidationMode::Strict);
    let faults: Vec<_> = result.validation_errors().map(ToString::to_string).collect();
    let warnings: Vec<_> = result.validation_warnings().map(ToString::to_string).collect();
    assert_eq!((faults, warnings), (vec![], vec![]));
}

/// Decides as Writ does: for the subject, and for the current actor.
fn decide(
    subject: &str,
    chain: &[&str],
    resource: &str,
    scopes: &[&str],
    task: Option<&str>,
    claims: &Value,
) -> (Decision, BTreeSet<String>) {
    let bundle = bundle();
    let actor = chain.last().expect("an actor");
    let user = subject.starts_with("user:");
    let uid = |kind: &str, id: &str| json!({ "__entity": { "type": kind, "id": id } });
    let tags = |name: &str| -> Vec<&String> {
        chain.iter().map(|id| &bundle.applications[*id].tags[name]).collect()
    };
    let mut context = json!({
        "subject": { "id": subject, "profile": if user { "user" } else { "app" } },
        "actor": uid("Application", actor),
        "chain": chain.iter().map(|id| uid("Application", id)).collect::<Vec<_>>(),
        "chain_tags": { "class": tags("class"), "trust": tags("trust") },
        "depth": chain.len(),
        "on_behalf": subject != *actor,
        "scopes": scopes,
        "time": 0,
        "claims": claims,
    });
    if let Some(task) = task {
        let source = if task == "deploy" { "rule" } else { "claimed" };
        context["task"] = json!({ "name": task, "source": source });
    }
    let (schema, action) = (schema(), uid_of("Action", "credentials:issue"));
    let context = Context::from_json_value(context, Some((&schema, &action))).expect("a context");
    let kind = if user { "User" } else { "Application" };
    let principals = [uid_of(kind, subject), uid_of("Application", actor)];
    let answers = principals.map(|principal| {
        let resource = uid_of("Resource", resource);
        let request =
            Request::new(principal, action.clone(), resource, context.clone(), Some(&schema));
        let request = request.expect("a request");
        Authorizer::new().is_authorized(&request, &policies(), &entities(&bundle, &schema))
    });
    let denied = answers.iter().find(|answer| answer.decision() == Decision::Deny);
    assert!(answers.iter().all(|answer| answer.diagnostics().errors().count() == 0));
    let policies = policies();
    let id = |id| policies.annotation(id, "id").expect("an id").to_owned();
    match denied {
        Some(answer) => (Decision::Deny, answer.diagnostics().reason().map(id).collect()),
        None => (Decision::Allow, BTreeSet::new()),
    }
}

fn entities(bundle: &Bundle, schema: &Schema) -> Entities {
    let uid = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let entity = |kind: &str, id: &str, attrs: Value| json!({ "uid": uid(kind, id), "attrs": attrs, "parents": [] });
    let mut all = vec![entity("User", "user:alice", json!({ "id": "user:alice", "tags": {} }))];
    let defaults = json!({ "department": "engineering", "sensitivity": "internal" });
    for (id, application) in &bundle.applications {
        all.push(entity("Application", id, json!({ "id": id, "tags": application.tags })));
        let attrs = json!({ "id": id, "kind": "application", "scopes": [], "tags": defaults });
        all.push(entity("Resource", id, attrs));
    }
    for (id, resource) in &bundle.resources {
        let attrs = json!({
            "id": id, "kind": "resource", "scopes": resource.scopes, "tags": resource.tags,
        });
        all.push(entity("Resource", id, attrs));
    }
    Entities::from_json_value(Value::Array(all), Some(schema)).expect("entities")
}

fn bundle() -> Bundle {
    let text = fs::read_to_string(folder().join("zone.toml")).expect("the example");
    let files = fs::read_dir(folder().join("policies")).expect("its policies");
    let policies = files.map(|file| {
        let file = file.expect("a file");
        let path = file.file_name().into_string().expect("a name");
        Source { path, text: fs::read_to_string(file.path()).expect("a policy") }
    });
    let zone = Source { path: "zone.toml".to_owned(), text };
    let sources = Sources { zone, policies: policies.collect(), ..Sources::default() };
    compile(&sources).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn policies() -> PolicySet {
    let text: String = bundle().policies.into_values().collect();
    PolicySet::from_str(&text).expect("policies")
}

fn schema() -> Schema {
    Schema::from_cedarschema_str(SCHEMA).expect("a schema").0
}

fn uid_of(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse().expect("a type"), id.parse().expect("an id"))
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/zone")
}
