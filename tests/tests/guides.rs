//! The first token of the README and of each guide. A shell runs the commands as they are shown, with a
//! `curl` that only notes what it was asked; what it would have posted is played against the example zone
//! that the guides say to copy, with a GitHub Actions job's token.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use serde_json::json;
use writ_core::http::Request;
use writ_tests::emulation::parameter;
use writ_tests::world::{BEGINNING, World};
use writ_tests::zones::Places;
use writ_tests::{example, forms, run, tools};

const GUIDES: [&str; 4] =
    ["README.md", "docs/deploy-workers.md", "docs/deploy-lambda.md", "docs/deploy-spin.md"];

#[test]
fn the_first_token_of_every_guide_is_issued() {
    for guide in GUIDES {
        let text = std::fs::read_to_string(tools::root().join(guide)).unwrap();
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut firsts = blocks.filter(|block| block.contains("/oauth/token"));
        let commands = firsts.next().unwrap_or_else(|| panic!("{guide} shows no first token"));
        assert_eq!(firsts.next(), None, "{guide}: and which of them is the first?");
        assert_issued(guide, commands);
    }
}

fn assert_issued(guide: &str, commands: &str) {
    let mut calls = calls(guide, commands);
    let (url, form) = posted(&calls.pop().expect("a call of curl"));
    let issuer = url.strip_suffix("/oauth/token").expect(guide);
    // Where the guide does not ask GitHub itself, it says that the token is for the issuer.
    let audience = calls.pop().map_or_else(|| issuer.to_owned(), |asked| audience(&asked));
    let places = Places { zone: issuer.to_owned(), ..Places::in_process() };
    let world = World::with(example::zone(&places), places);
    let token = world.sign(
        json!({
            "from": "github", "fixture": "github-actions",
            "claims": { "aud": audience, "environment": "production" },
        }),
        BEGINNING,
    );
    let request = Request {
        method: "POST".to_owned(),
        path: "/oauth/token".to_owned(),
        query: None,
        headers: vec![("content-type".to_owned(), forms::TYPE.to_owned())],
        body: form.replace(PROOF, &token).into_bytes(),
    };
    let answer = world.send(request, BEGINNING);
    let reasons = world.take_events();
    let reasons: Vec<_> = reasons.iter().map(|event| (event.reason, &event.detail)).collect();
    assert_eq!(answer.status, 200, "{guide}: {reasons:?}");
    let body = answer.json().unwrap();
    let token = body.get("access_token").and_then(|token| token.as_str()).unwrap();
    let (_, claims) = run::read(token, &world.published_keys()).unwrap();
    let claim = |name: &str| claims.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    assert_eq!(claim("sub").as_deref(), Some("ci-deploy"), "{guide}");
    assert_eq!(claim("aud"), parameter(form.as_bytes(), "resource"), "{guide}");
    assert_eq!(claim("scope"), parameter(form.as_bytes(), "scope"), "{guide}");
}

/// The arguments of each call of curl, in their order.
fn calls(guide: &str, commands: &str) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let calls = directory.path().join("calls");
    let script = format!(
        "curl() {{ printf '%s\\0' \"$@\" '' >>\"$CALLS\"; echo '{{\"value\":\"{PROOF}\"}}'; }}\n{commands}"
    );
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script]).env("CALLS", &calls);
    bash.env("PLATFORM_TOKEN", PROOF);
    // What GitHub sets in a job that has the permission.
    bash.env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/idtoken?api-version=2.0");
    bash.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-runners-own-token");
    let (ended_well, said) = tools::outcome(&mut bash);
    assert!(ended_well, "{guide}: {said}");
    let noted = std::fs::read_to_string(&calls).expect("curl was called");
    let ended = noted.strip_suffix("\0\0").expect("whole calls");
    ended.split("\0\0").map(|call| call.split('\0').map(str::to_owned).collect()).collect()
}

/// The URL of a call of curl, and the form that it posts. Nothing is encoded by `-d`.
fn posted(call: &[String]) -> (String, String) {
    let (mut urls, mut fields) = (Vec::new(), Vec::new());
    let mut arguments = call.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-s" => {}
            "-d" => fields.push(arguments.next().expect("a value").clone()),
            flag if flag.starts_with('-') => panic!("the test does not know curl's `{flag}`"),
            url => urls.push(url.to_owned()),
        }
    }
    assert_eq!(urls.len(), 1, "{call:?}");
    (urls.concat(), fields.join("&"))
}

/// The audience that GitHub is asked for.
fn audience(call: &[String]) -> String {
    let url = call.last().unwrap();
    let (_, query) = url.split_once('?').expect("the URL's own query");
    parameter(query.as_bytes(), "audience").expect("an audience")
}

/// Stands for the job's token, which is signed when its audience is known.
const PROOF: &str = "the-jobs-token";
