//! The platforms' sample tokens against a zone that is written for them: each preset's terms fit
//! the tokens that the platform really issues.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::{compile, uploads};
use super::sources;
use crate::bundle::{Bundle, Condition, Issuer, Test};
use crate::jwk::Algorithm;

/// Each sample and the issuer's row that it belongs to.
const ROWS: [(&str, &str); 41] = [
    ("aks", "aks"),
    ("auth0-m2m", "auth0-m2m"),
    ("aws-outbound", "aws-outbound"),
    ("aws-outbound-ec2", "aws-outbound"),
    ("azure-app-v2", "azure-v2"),
    ("azure-devops", "azure-devops"),
    ("azure-mi-v1", "azure-v1"),
    ("bitbucket", "bitbucket"),
    ("buildkite", "buildkite"),
    ("circleci", "circleci"),
    ("circleci-v2", "circleci"),
    ("cloudflare-access", "access"),
    ("cloudflare-access-service-token", "access-service"),
    ("cognito-id", "cognito"),
    ("cursor", "cursor"),
    ("deno-deploy", "deno-deploy"),
    ("eks-irsa", "eks"),
    ("entra-user", "entra"),
    ("fly", "fly"),
    ("gcp-cloud-run", "google-sa"),
    ("gcp-gce-full", "google-sa"),
    ("github-actions", "github"),
    ("github-actions-custom-sub", "github-enterprise"),
    ("github-actions-immutable", "github"),
    ("github-actions-pr-target", "github"),
    ("gitlab", "gitlab"),
    ("gitlab-project-id-sub", "gitlab"),
    ("gke-ksa", "gke"),
    ("google-user", "google"),
    ("hcp-terraform", "hcp-terraform"),
    ("id-jag", "id-jag"),
    ("kubernetes-default-1y", "kubernetes"),
    ("kubernetes-projected", "kubernetes"),
    ("modal", "modal"),
    ("okta-user", "okta"),
    ("spacelift", "spacelift"),
    ("spiffe", "spiffe"),
    ("vercel-exchanged", "vercel"),
    ("vercel-global", "vercel-global"),
    ("vercel-team", "vercel"),
    ("wag", "wag"),
];

const REFUSED: [&str; 2] = ["github-actions-pr-target", "kubernetes-default-1y"];

#[test]
fn every_sample_meets_the_terms_of_its_row_but_the_two_that_must_not() {
    let bundle = zone();
    for (name, row) in ROWS {
        assert!(bundle.issuers[row].preset.is_some(), "{name} has no preset");
        let sample = sample(name);
        let met = met(&bundle, row, &sample);
        assert_eq!(met.is_ok(), !REFUSED.contains(&name), "{name}: {met:?}");
    }
}

#[test]
fn every_sample_is_tried() {
    let tried: BTreeSet<_> = ROWS.iter().map(|(name, _)| format!("{name}.json")).collect();
    let files = fs::read_dir(folder()).expect("the samples");
    let files = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let left: Vec<_> =
        files.filter(|name| name.ends_with(".json") && !tried.contains(name)).collect();
    // A signed request to AWS is not a token of the kind that issuers' rows are about.
    assert_eq!(left, ["aws-sigv4.json"]);
}

#[test]
fn the_key_sets_that_samples_name_are_where_presets_look() {
    use crate::bundle::KeySource;
    let bundle = zone();
    for (name, row) in ROWS {
        let issuer = &bundle.issuers[row];
        let sample = sample(name);
        match &issuer.keys {
            KeySource::Url(url) if sample["jwks_uri"].is_string() => {
                assert_eq!(sample["jwks_uri"], url.as_str(), "{name}");
            }
            KeySource::Discovery { url, .. } => {
                assert_eq!(sample["discovery"], url.as_str(), "{name}")
            }
            _ => {}
        }
    }
}

/// Whether the token of `sample`, asked for with the row's audience, meets the row's terms and
/// exactly one rule.
fn met(bundle: &Bundle, row: &str, sample: &Value) -> Result<(), String> {
    let issuer: &Issuer = &bundle.issuers[row];
    let claims = &sample["claims"];
    let iss = claims["iss"].as_str().unwrap_or_default();
    let lifetime = claims["exp"]
        .as_i64()
        .zip(claims["iat"].as_i64())
        .map(|(exp, iat)| exp.saturating_sub(iat));
    let header = &sample["header"];
    let algorithm = Algorithm::from_name(header["alg"].as_str().unwrap_or_default());
    let typ = header["typ"].as_str().unwrap_or_default().to_ascii_lowercase();
    let several = claims["aud"].as_array().is_some_and(|all| all.len() > 1);
    let checks = [
        ("iss", issuer.issuer.iter().any(|known| known == iss)),
        ("exp", lifetime.is_some_and(|lifetime| lifetime <= issuer.lifetime_secs)),
        ("alg", algorithm.is_some_and(|algorithm| issuer.algorithms.contains(&algorithm))),
        ("typ", issuer.typ.contains(&typ)),
        ("kid", issuer.kid_optional || header["kid"].is_string()),
        ("aud", !several || issuer.several_audiences),
        ("subject", claims.pointer(&issuer.subject_claim).is_some_and(Value::is_string)),
        ("require", issuer.require.iter().all(|condition| holds(condition, claims))),
        ("client", issuer.client_claim.iter().all(|claim| client(bundle, claims.pointer(claim)))),
    ];
    if let Some((what, _)) = checks.iter().find(|(_, met)| !met) {
        return Err((*what).to_owned());
    }
    let rules = bundle.rules.values().filter(|rule| rule.issuer == row);
    let matching = rules.filter(|rule| rule.conditions.iter().all(|one| holds(one, claims)));
    match matching.count() {
        1 => Ok(()),
        count => Err(format!("{count} rules")),
    }
}

fn client(bundle: &Bundle, claim: Option<&Value>) -> bool {
    let id = claim.and_then(|claim| claim.as_str().or_else(|| claim.get(0)?.as_str()));
    id.is_some_and(|id| bundle.applications.contains_key(id))
}

fn holds(condition: &Condition, claims: &Value) -> bool {
    let value = claims.pointer(&condition.pointer);
    match &condition.test {
        Test::Equals(wanted) => value == Some(wanted),
        Test::OneOf(all) => value.is_some_and(|value| all.contains(value)),
        Test::NoneOf(all) => value.is_none_or(|value| !all.contains(value)),
        Test::AbsentOr(wanted) => value.is_none_or(|value| value == wanted),
        Test::Absent => value.is_none(),
    }
}

fn zone() -> Bundle {
    let text = fs::read_to_string(folder().join("zone.toml")).expect("the zone of the samples");
    assert_eq!(uploads(&text), [""; 0]);
    compile(&sources(&text)).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn sample(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).expect(name);
    serde_json::from_str(&text).expect(name)
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}
