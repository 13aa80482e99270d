//! `examples/vercel`: the function, called as Vercel calls it.

use serde_json::{Value, json};
use writ_tests::emulation::{Reply, header, json as body, listen};
use writ_tests::target::clock;
use writ_tests::{example, tools};

use crate::scene::{Mint, Scene};

#[test]
fn a_vercel_function_calls_an_api() {
    for way in [Way::Header, Way::Variable] {
        let scene = Scene::open();
        let (ended_well, said) = call(&scene, way);
        assert!(ended_well, "{said}");
        let answer = said.strip_prefix("200 ").unwrap_or(&said);
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer, json!({ "sub": "web", "scope": "read" }));
        let claims = scene.served();
        assert_eq!(claims["sub"], "web");
        assert_eq!(claims["aud"], "https://status.example.com");
        assert_eq!(claims["scope"], "read");
        assert_eq!(claims["act"], Value::Null, "what Vercel calls `act` is no actor");
    }
}

#[test]
fn a_preview_of_the_vercel_function_does_not() {
    let scene = Scene::open();
    scene.mint.change("environment", "preview");
    let (ended_well, said) = call(&scene, Way::Header);
    assert!(!ended_well && said.contains("invalid_grant"), "{said}");
    scene.assert_refused("rule_missing");
}

#[test]
fn a_vercel_function_without_a_token_is_told_so() {
    let scene = Scene::open();
    let (ended_well, said) = call(&scene, Way::Neither);
    assert!(!ended_well && said.contains("https://oidc.vercel.com/~token: "), "{said}");
}

/// How the function finds its own token.
#[derive(PartialEq)]
enum Way {
    Header,
    Variable,
    Neither,
}

/// Calls the function as it stands. Only the way to `oidc.vercel.com` is another: it leads to the
/// emulation.
fn call(scene: &Scene, way: Way) -> (bool, String) {
    let own = scene.mint.token("vercel", "vercel-team", "https://vercel.com/acme", &[]);
    let vercel = exchange(scene.mint.clone(), own.clone());
    let script = format!(
        "const direct = globalThis.fetch
         globalThis.fetch = (url, options) =>
           direct(String(url).replace('https://oidc.vercel.com', '{vercel}'), options)
         const {{ GET }} = await import({function})
         const headers = process.env.HEADER ? {{ 'x-vercel-oidc-token': process.env.HEADER }} : {{}}
         const answer = await GET(new Request('https://acme.example/api/status', {{ headers }}))
         console.log(answer.status, await answer.text())",
        function = json!(example::path("vercel/api/status.js")),
    );
    let mut node = tools::node();
    node.args(["--input-type=module", "--eval", &script]).env_remove("VERCEL_OIDC_TOKEN");
    node.env("WRIT", &scene.writ).env("STATUS_API", &scene.api);
    match way {
        Way::Header => node.env("HEADER", own),
        Way::Variable => node.env("VERCEL_OIDC_TOKEN", own),
        Way::Neither => &mut node,
    };
    tools::outcome(&mut node)
}

/// `POST /~token` of `oidc.vercel.com`: the function's own token, made over for another audience.
fn exchange(mint: Mint, own: String) -> String {
    listen(move |request| {
        let asked = body(request);
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/~token") {
            return Reply::refusal(404, "there is nothing here");
        }
        if header(request, "content-type") != Some("application/json") {
            return Reply::refusal(415, "that is no JSON");
        }
        if asked["token"] != json!(own) {
            return Reply::refusal(401, "that is no token of a project's");
        }
        let Some(audience) = asked["aud"].as_str() else {
            return Reply::refusal(400, "for whom?");
        };
        let act = json!({ "aud": "https://vercel.com/acme", "iat": clock() });
        // Vercel gives an id only where one is asked for; the fixture has one.
        let id = asked["jti"].clone();
        let token =
            mint.token("vercel", "vercel-exchanged", audience, &[("act", act), ("jti", id)]);
        Reply::ok(json!({ "token": token }))
    })
}
