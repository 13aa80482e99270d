//! What compiles, and what does not: each refusal with its line and its message.

use std::collections::BTreeMap;

use super::{Source, Sources, compile, uploads};
use crate::bundle::{Bearer, Bundle, KeySource, SingleUse, SubjectKind, Test};
use crate::jwk::Algorithm;

mod documents;
mod example;
mod identities;
mod issuers;
mod parties;
mod rules;
mod samples;
mod syntax;

const HEADER: &str = "[zone]\nname = \"test\"\nissuer = \"https://as.example.com\"\n";

/// A rule about GitHub that is as it should be.
const RULE: &str = r#"
[issuers.gh]
preset = "github-actions"
[rules.gh]
issuer = "gh"
application = "ci"
claims = { "/repository_owner_id" = "65", "/repository_id" = "74" }
[applications.ci]
"#;

fn sources(zone_toml: &str) -> Sources {
    Sources {
        zone: Source { path: "zone.toml".to_owned(), text: zone_toml.to_owned() },
        ..Sources::default()
    }
}

/// Compiles what must compile, after the usual header.
fn compiled(rest: &str) -> Bundle {
    let zone = format!("{HEADER}{rest}");
    compile(&sources(&zone)).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// Checks the mistakes in `files`, each written as `line: message`.
fn refused_files(files: &Sources, expected: &[String]) {
    let mistakes = compile(files).expect_err("must not compile");
    let found: Vec<_> = mistakes.iter().map(|m| format!("{}: {}", m.line, m.message)).collect();
    assert_eq!(found, expected);
}

/// Checks that every line marked `#!` has the mistake that follows the mark, and no other line has
/// one. Lines are numbered with the header.
fn refused(rest: &str) {
    refused_whole(&format!("{HEADER}{rest}"));
}

fn refused_whole(zone: &str) {
    let marked = |(line, text): (usize, &str)| {
        let (_, message) = text.split_once("#! ")?;
        Some(format!("{line}: {message}"))
    };
    let expected: Vec<_> = (1..).zip(zone.lines()).filter_map(marked).collect();
    refused_files(&sources(zone), &expected);
}

/// Names a test for each refusal.
macro_rules! refuses {
    ($($name:ident: $toml:expr;)*) => { $(
        #[test]
        fn $name() {
            super::refused($toml);
        }
    )* };
}
use refuses;

#[test]
fn a_bare_zone_compiles_with_its_defaults() {
    let bundle = compiled("");
    assert_eq!(bundle.zone, "test");
    assert_eq!(bundle.algorithm, Algorithm::ES256);
    assert_eq!((bundle.token_secs, bundle.session_secs), (300, 43_200));
    assert!(!bundle.danger_allow_http_loopback);
    let bytes = bundle.to_bytes().expect("a bundle has bytes");
    assert_eq!(Bundle::from_bytes(&bytes).expect("and is read back"), bundle);
}

#[test]
fn a_preset_fills_in_what_the_row_does_not_say() {
    let bundle = compiled(RULE);
    let issuer = &bundle.issuers["gh"];
    assert_eq!(issuer.preset.as_deref(), Some("github-actions"));
    assert_eq!(issuer.issuer, ["https://token.actions.githubusercontent.com"]);
    let keys = "https://token.actions.githubusercontent.com/.well-known/jwks";
    assert_eq!(issuer.keys, KeySource::Url(keys.to_owned()));
    assert_eq!(issuer.audience, ["https://as.example.com"]);
    assert_eq!(issuer.lifetime_secs, 900);
    assert_eq!(issuer.single_use, SingleUse::Always);
    assert_eq!(issuer.subject, SubjectKind::Workload);
    assert_eq!(issuer.require.len(), 1);
    assert_eq!(bundle.rules["gh"].bearer, Bearer::Application("ci".to_owned()));
}

#[test]
fn a_row_overrides_its_preset() {
    let bundle = compiled(
        r#"
        [issuers.gh]
        preset = "github-actions"
        audience = ["a", "b"]
        lifetime_secs = 60
        single_use = "never"
        algorithms = ["ES256"]
        token_types = ["jwt"]
        device_claim = "/runner"
        keys = { discovery = "https://keys.example.com/d", keys_host = "cdn.example.com" }
        require = { "/runner_environment" = "github-hosted" }
        "#,
    );
    let issuer = &bundle.issuers["gh"];
    assert_eq!(issuer.audience, ["a", "b"]);
    assert_eq!(issuer.lifetime_secs, 60);
    assert_eq!(issuer.single_use, SingleUse::Never);
    assert_eq!(issuer.algorithms, [Algorithm::ES256]);
    assert_eq!(issuer.device_claim.as_deref(), Some("/runner"));
    let KeySource::Discovery { issuer: said, keys_host, .. } = &issuer.keys else {
        panic!("not discovery")
    };
    assert_eq!(said, "https://token.actions.githubusercontent.com");
    assert_eq!(keys_host.as_deref(), Some("cdn.example.com"));
    // What the preset refuses stays refused.
    assert_eq!(issuer.require.len(), 2);
}

#[test]
fn a_zone_on_loopback_takes_a_real_issuer_with_keys_from_loopback() {
    let zone = r#"
        [zone]
        name = "try"
        issuer = "http://127.0.0.1:8080"
        danger_allow_http_loopback = true
        [issuers.gh]
        preset = "github-actions"
        keys = { url = "http://127.0.0.1:9000/keys" }
        [issuers.cluster]
        preset = "kubernetes"
        url = "https://kubernetes.default.svc.cluster.local"
        keys = { url = "http://127.0.0.1:9000/keys" }
    "#;
    let bundle = compile(&sources(zone)).expect("a zone for trying out");
    assert!(bundle.danger_allow_http_loopback);
    let keys = KeySource::Url("http://127.0.0.1:9000/keys".to_owned());
    assert_eq!(bundle.issuers["gh"].keys, keys);
    assert_eq!(bundle.issuers["gh"].audience, ["http://127.0.0.1:8080"]);
}

#[test]
fn conditions_of_every_kind() {
    let bundle = compiled(
        r#"
        [issuers.gl]
        preset = "gitlab"
        [applications.ci]
        [rules.gl]
        issuer = "gl"
        application = "ci"
        task_id = "/pipeline_id"
        [rules.gl.claims]
        "/namespace_id" = "72"
        "/project_id" = ["20", "21"]
        "/runner_id" = 1
        "/protected" = true
        "/groups_direct" = { equals = ["a", "b"] }
        "/ref" = { none_of = ["main"] }
        "/source" = { none_of = "web" }
        "/environment" = { absent_or = "prod" }
        "#,
    );
    let of = |pointer: &str| {
        let conditions = &bundle.rules["gl"].conditions;
        let found = conditions.iter().find(|condition| condition.pointer == pointer);
        found.expect("the condition").test.clone()
    };
    assert_eq!(of("/namespace_id"), Test::Equals("72".into()));
    assert_eq!(of("/project_id"), Test::OneOf(vec!["20".into(), "21".into()]));
    assert_eq!(of("/runner_id"), Test::Equals(1.into()));
    assert_eq!(of("/protected"), Test::Equals(true.into()));
    assert_eq!(of("/groups_direct"), Test::Equals(vec!["a", "b"].into()));
    assert_eq!(of("/ref"), Test::NoneOf(vec!["main".into()]));
    assert_eq!(of("/source"), Test::NoneOf(vec!["web".into()]));
    assert_eq!(of("/environment"), Test::AbsentOr("prod".into()));
}

#[test]
fn uploads_names_the_files_that_are_wanted_and_none_that_climb() {
    let zone = r#"
        [issuers.a]
        keys = { file = "keys/a.json" }
        [issuers.b]
        keys = { file = "../b.json" }
        [applications.c]
        credentials = [{ kind = "key", keys = { file = "keys/c.json" } }]
    "#;
    assert_eq!(uploads(zone), ["keys/a.json", "keys/c.json"]);
    assert_eq!(uploads("not toml"), [""; 0]);
}

/// A zone with one issuer whose keys are `file`.
fn with_upload(file: &str, text: &str) -> Sources {
    let zone = format!(
        "{HEADER}[issuers.idp]\nissuer = \"https://idp.example.com\"\nkeys = {{ file = \"{file}\" }}\n"
    );
    let uploaded = BTreeMap::from([(file.to_owned(), text.to_owned())]);
    Sources { uploaded, ..sources(&zone) }
}
