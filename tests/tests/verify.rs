//! `writ verify`, run as an operator runs it, against a service on this machine.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::Algorithm;
use writ_core::jwt::Unverified;
use writ_core::operator::Step;
use writ_tests::deployment::binary;
use writ_tests::forms::{proof, token_request};
use writ_tests::front::Front;
use writ_tests::issuer::{Page, Parties, Party, Token, Usual};
use writ_tests::operator;
use writ_tests::running::Running;
use writ_tests::server::Server;
use writ_tests::target::clock;
use writ_tests::zones::{Places, Zone};

const FILES: &str = "https://files.example/api";

/// The native service with the zone `plain`, at the address that the zone names as its issuer.
fn service() -> Running {
    // The service and the command are one binary, of this build.
    let _ = binary();
    let front = Front::open();
    let server = Server::start();
    let places = Places { zone: front.url().to_owned(), keys: server.keys() };
    let running = Running::of("native", Zone::load("plain", &places), places, server, &[]);
    front.lead_to(&running.instances[0]);
    running
}

/// A token for the files API, which the assistant got for itself.
fn token(running: &Running) -> String {
    let fields = [
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
        ("grant_type", "client_credentials"),
        ("resource", FILES),
    ];
    let answer = running.send(&token_request(&fields));
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn writ(arguments: &[&str]) -> Output {
    Command::new(binary()).arg("verify").args(arguments).output().unwrap()
}

/// Exit code and the JSON document of a verification.
fn verdict(issuer: &str, token: &str, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&[token, "--issuer", issuer, "--format", "json"][..], more].concat();
    let output = writ(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    (output.status.code(), document)
}

/// What became of a check.
fn result(document: &Value, check: &str) -> String {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check).unwrap();
    found["result"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_told_to_be_valid_or_why_it_is_not() {
    let running = service();
    let issuer = running.told.issuer.as_str();
    let token = token(&running);
    let (code, document) = verdict(issuer, &token, &["--audience", FILES]);
    assert_eq!((code, &document["valid"]), (Some(0), &json!(true)), "{document}");
    assert_eq!(document["claims"]["client_id"], "assistant");
    for check in ["token", "issuer", "key", "signature", "audience", "claims", "lifetime"] {
        assert_eq!(result(&document, check), "passed", "{document}");
    }

    let (code, document) = verdict(issuer, &token, &[]);
    assert_eq!((code, result(&document, "audience")), (Some(0), "skipped".into()), "{document}");

    let (code, document) = verdict(issuer, &token, &["--audience", "https://mail.example"]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("audience_wrong")), "{document}");
    assert_eq!(result(&document, "signature"), "passed");
    assert_eq!(result(&document, "lifetime"), "skipped");
    assert_eq!(document["claims"], Value::Null);

    let (signed, _) = token.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", base64url(&[1; 64]));
    let (code, document) = verdict(issuer, &tampered, &[]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("signature_wrong")), "{document}");

    let (code, document) = verdict("https://other.example", &token, &[]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("issuer_wrong")), "{document}");
    let (code, document) = verdict(issuer, "no-token", &[]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("malformed")), "{document}");
}

#[test]
fn people_read_the_checks_and_then_the_claims() {
    let running = service();
    let token = token(&running);
    let directory = tempfile::tempdir().unwrap();
    running.zone.write(directory.path());
    let zone = directory.path().to_str().unwrap();

    // From standard input, and with the issuer that the zone's files name.
    let mut child = Command::new(binary())
        .args(["verify", "-", "--zone", zone, "--audience", FILES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in ["✓ signature", "✓ lifetime", "\nvalid\n", "subject  assistant", "scopes   read"]
    {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal");

    let issuer = running.told.issuer.as_str();
    let output = writ(&[&token, "--issuer", issuer, "--audience", "https://mail.example"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("✗ audience   it is for `https://files.example/api`"), "{said}");
    assert!(said.contains("not valid: audience_wrong") && !said.contains("subject"), "{said}");
}

#[test]
fn what_cannot_be_told_is_another_code_than_what_is_not_valid() {
    let mut running = service();
    let issuer = running.told.issuer.clone();
    let token = token(&running);
    running.stop();
    let (code, document) = verdict(&issuer, &token, &[]);
    assert_eq!((code, &document["valid"]), (Some(2), &Value::Null), "{document}");
    assert_eq!(result(&document, "key"), "unknown");

    // No issuer is believed because a token names it.
    for arguments in [&["x"][..], &["x", "--issuer", "not-a-url"], &["x", "--zone", "/nowhere"]] {
        let output = writ(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            output.stdout.is_empty() && said.contains("issuer") || said.contains("zone"),
            "{said}"
        );
    }
    let help = String::from_utf8(writ(&["--help"]).stdout).unwrap();
    for word in ["standard input", "--audience", "Exits with 0", "shell's history"] {
        assert!(help.contains(word), "no {word:?} in\n{help}");
    }
}

/// An issuer that the test plays, since a service's own tokens live for ten seconds at the least.
#[test]
fn an_expired_token_is_told_to_be_expired_and_one_without_a_status_not_to_be_a_zones() {
    let server = Server::start();
    let issuer = server.keys().trim_end_matches("/keys").to_owned();
    let party =
        Party { issuer: issuer.clone(), algorithms: vec![Algorithm::ES256], ..Party::default() };
    let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") });
    let page = |body: Value| Page { status: 200, body };
    server.publish("/.well-known/oauth-authorization-server", &page(metadata));
    server.publish("/jwks", &page(party.key_set("played")));
    let parties: Parties = [("played".to_owned(), party)].into();
    let sign = |expires: i64| {
        let description: Token = serde_json::from_value(json!({
            "from": "played", "header": { "typ": "at+jwt" },
            "claims": { "sub": "a", "client_id": "a", "sid": "s", "exp": expires },
        }))
        .unwrap();
        description.sign(&parties, &Usual::at(clock() - 100, FILES))
    };
    let (code, document) = verdict(&issuer, &sign(clock() - 60), &["--audience", FILES]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("expired")), "{document}");
    assert_eq!(result(&document, "audience"), "passed");
    // It names no status list, as every token of a zone does.
    let token = sign(clock() + 60);
    let (code, document) = verdict(&issuer, &token, &["--audience", FILES]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("status_malformed")), "{document}");
    assert_eq!(
        (result(&document, "lifetime"), result(&document, "status")),
        ("passed".into(), "failed".into())
    );
    let (code, document) = verdict(&issuer, &token, &["--audience", FILES, "--no-status"]);
    assert_eq!((code, &document["valid"]), (Some(0), &json!(true)), "{document}");
    assert_eq!(result(&document, "status"), "skipped");
}

#[test]
fn x11_a_token_of_an_ended_session_is_told_to_be_revoked() {
    let running = service();
    let issuer = running.told.issuer.as_str();
    let token = token(&running);
    let (code, document) = verdict(issuer, &token, &["--audience", FILES]);
    assert_eq!((code, result(&document, "status")), (Some(0), "passed".into()), "{document}");

    let parsed = Unverified::parse(&token).unwrap();
    let sid = parsed.unverified_claim("sid").and_then(Value::as_str).unwrap();
    let ended = running.send(&operator::request(&running.told, &Step::end(sid), clock()));
    assert_eq!(ended.status, 204);
    // The service makes a new list every few seconds; this command keeps none.
    let revoked = (0..30).any(|_| {
        std::thread::sleep(Duration::from_secs(1));
        let (code, document) = verdict(issuer, &token, &["--audience", FILES]);
        code == Some(1) && document["reason"] == "revoked"
    });
    assert!(revoked, "it is not revoked after 30 s");
    let (code, document) = verdict(issuer, &token, &["--no-status"]);
    assert_eq!((code, result(&document, "status")), (Some(0), "skipped".into()), "{document}");
}

#[test]
fn x10_a_bound_token_is_verified_with_its_proof_and_not_without() {
    let running = service();
    let issuer = running.told.issuer.as_str();
    let form = [
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
        ("grant_type", "client_credentials"),
        ("resource", FILES),
    ];
    let mut request = token_request(&form);
    let endpoint = format!("{issuer}/oauth/token");
    request.headers.push(("dpop".to_owned(), proof("phone", "POST", &endpoint, None, clock())));
    let body = running.send(&request).json().unwrap();
    assert_eq!(body["token_type"], "DPoP", "{body}");
    let token = body["access_token"].as_str().unwrap();

    let (code, document) = verdict(issuer, token, &["--audience", FILES]);
    assert_eq!((code, &document["reason"]), (Some(1), &json!("bound")), "{document}");
    let url = "https://files.example/api/1";
    let shown = proof("phone", "GET", url, Some(token), clock());
    let with = |method| ["--audience", FILES, "--dpop", &*shown, "--method", method, "--url", url];
    let (code, document) = verdict(issuer, token, &with("GET"));
    assert_eq!((code, &document["valid"]), (Some(0), &json!(true)), "{document}");
    let (code, document) = verdict(issuer, token, &with("PUT"));
    assert_eq!((code, &document["reason"]), (Some(1), &json!("proof_wrong")), "{document}");
}
