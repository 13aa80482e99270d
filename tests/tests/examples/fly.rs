//! `examples/fly`: the script, beside a socket that answers as a machine's does.

use std::process::Command;

use writ_core::http::Request;
use writ_tests::emulation::{Reply, header, json as body, listen_at};
use writ_tests::{example, tools};

use crate::scene::{Mint, Scene};

#[test]
fn a_fly_machine_deletes_logs() {
    let scene = Scene::open();
    let (ended_well, said) = clean(&scene);
    assert!(ended_well, "{said}");
    let claims = scene.served();
    assert_eq!(claims["sub"], "worker");
    assert_eq!(claims["aud"], "https://logs.example.com");
    assert_eq!(claims["scope"], "logs:delete");
    assert_eq!(claims["call"], "DELETE /older-than/30d");
}

#[test]
fn a_fly_machine_of_another_app_does_not() {
    let scene = Scene::open();
    // An app of the same name, whose id is another.
    scene.mint.change("app_id", "11111112");
    let (ended_well, said) = clean(&scene);
    assert!(!ended_well && said.contains("no token: ") && said.contains("invalid_grant"), "{said}");
    scene.assert_refused("rule_missing");
}

#[test]
fn the_emulated_fly_refuses_what_fly_would() {
    let mint = Scene::open().mint;
    let ask = |method: &str, host: &str, body: &str| {
        let request = Request {
            method: method.to_owned(),
            path: "/v1/tokens/oidc".to_owned(),
            headers: vec![("host".to_owned(), host.to_owned())],
            body: body.as_bytes().to_vec(),
            ..Request::default()
        };
        token_endpoint(&mint, &request).status
    };
    assert_eq!(ask("POST", "localhost", r#"{"aud":"https://a.example"}"#), 200);
    assert_eq!(ask("GET", "localhost", ""), 404);
    assert_eq!(ask("POST", "api.machines.dev", "{}"), 400);
    assert_eq!(ask("POST", "localhost", "aud=https://a.example"), 400);
}

fn clean(scene: &Scene) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api");
    let mint = scene.mint.clone();
    listen_at(&socket, move |request| token_endpoint(&mint, request));
    let mut script = Command::new(example::path("fly/clean-logs.sh"));
    script.env("WRIT", &scene.writ).env("LOGS_API", &scene.api).env("FLY_API_SOCKET", &socket);
    tools::outcome(&mut script)
}

/// `POST /v1/tokens/oidc`: the token itself comes back.
fn token_endpoint(mint: &Mint, request: &Request) -> Reply {
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/v1/tokens/oidc") {
        return Reply::refusal(404, "there is nothing here");
    }
    if header(request, "host") != Some("localhost") {
        return Reply::refusal(400, "that is not this host");
    }
    if !body(request).is_object() {
        return Reply::refusal(400, "that is no JSON");
    }
    let asked = body(request);
    let audience = asked["aud"].as_str().unwrap_or("https://fly.io/acme");
    Reply::ok(mint.token("fly", "fly", audience, &[]))
}
