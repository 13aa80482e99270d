//! The operator's endpoints: what they take, from whom, and how often.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::Value;
use writ_core::deployment::Deployment;
use writ_core::http::Request;
use writ_core::keys::Rotation;
use writ_core::operator::Step;
use writ_tests::client::Answer;
use writ_tests::operator::{publish, request};
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World};
use writ_tests::zones::{Places, Zone};

fn send(world: &World, step: &Step, now: i64) -> Answer {
    world.send(request(&world.deployment, step, now), now)
}

fn status(world: &World, request: Request) -> u16 {
    world.send(request, BEGINNING).status
}

fn reason(world: &World) -> Option<&'static str> {
    world.take_events().pop().unwrap().reason
}

fn keys(world: &World, now: i64) -> usize {
    let set = world.send(get("/.well-known/jwks.json"), now).json().unwrap();
    set["keys"].as_array().unwrap().len()
}

/// A deployment that nobody published to yet, and then somebody did.
#[test]
fn a_zone_is_published_over_http_and_serves() {
    let world = World::new("plain");
    let zone = Zone::load("plain", &Places::in_process());
    let mut bundle = zone.compile().unwrap();
    bundle.zone = "fresh".to_owned();
    let fresh = Deployment { zone: "fresh".to_owned(), ..world.deployment.clone() };
    let fresh = World { deployment: fresh, ..world };
    assert_eq!(status(&fresh, get("/readyz")), 503);
    publish(
        |request| fresh.send(request.clone(), BEGINNING),
        &fresh.deployment,
        &bundle,
        BEGINNING,
    );
    assert_eq!(status(&fresh, get("/readyz")), 200);
    assert_eq!(keys(&fresh, BEGINNING), 1, "its first key was made for it");
    let told = send(&fresh, &Step::zone(), BEGINNING).json().unwrap();
    assert_eq!(told["zone"], "fresh");
    assert!(told["snapshot"]["bundle"].is_string());
}

#[test]
fn keys_are_rotated_over_http() {
    let world = World::new("plain");
    let answer = send(&world, &Step::rotation(Rotation::Planned), BEGINNING);
    assert_eq!(answer.status, 200);
    let told = answer.json().unwrap();
    assert_eq!(told["from"], BEGINNING + 600);
    assert_eq!(keys(&world, BEGINNING + 5), 2);
    assert_eq!(send(&world, &Step::rotation(Rotation::Emergency), BEGINNING).status, 200);
    assert_eq!(keys(&world, BEGINNING + 5), 1);
}

#[test]
fn s08_an_operators_request_counts_once_and_for_itself_alone() {
    let world = World::new("plain");
    let step = Step::rotation(Rotation::Planned);
    let good = request(&world.deployment, &step, BEGINNING);
    assert_eq!(status(&world, good.clone()), 200);
    assert_eq!((status(&world, good.clone()), reason(&world)), (401, Some("operator_refused")));
    let fresh = || request(&world.deployment, &step, BEGINNING);
    let elsewhere = |change: fn(&mut Deployment)| {
        let mut deployment = world.deployment.clone();
        change(&mut deployment);
        request(&deployment, &step, BEGINNING)
    };
    let refused: [(&str, Request); 8] = [
        ("another body", Request { body: br#"{"rotation":"emergency"}"#.to_vec(), ..fresh() }),
        ("another path", Request { path: "/operator/activate".to_owned(), ..fresh() }),
        ("no token", Request { headers: Vec::new(), ..fresh() }),
        ("two tokens", Request { headers: [fresh().headers, fresh().headers].concat(), ..fresh() }),
        ("another issuer's", elsewhere(|other| other.issuer = "https://other.example".to_owned())),
        ("another zone's", elsewhere(|other| other.zone = "other".to_owned())),
        ("too old", request(&world.deployment, &step, BEGINNING - 151)),
        ("from the future", request(&world.deployment, &step, BEGINNING + 31)),
    ];
    let before = world.host.store.contents();
    for (what, request) in refused {
        assert_eq!(status(&world, request), 401, "{what}");
        assert_eq!(reason(&world), Some("operator_refused"), "{what}");
    }
    assert_eq!(before, world.host.store.contents());
}

/// What others sign is not the operator's, and our own tokens are not either.
#[test]
fn s08_only_the_operators_key_opens_the_endpoints() {
    let world = World::new("plain");
    let step = Step::rotation(Rotation::Planned);
    let token = |description: Value| {
        let token = world.sign(description, BEGINNING);
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        Request { headers, ..request(&world.deployment, &step, BEGINNING) }
    };
    let github = token(serde_json::json!({ "from": "ci" }));
    assert_eq!(status(&world, github), 401);
    let stranger = Deployment { operator: None, ..world.deployment.clone() };
    let closed = World { deployment: stranger, ..world };
    assert_eq!(status(&closed, request(&closed.deployment, &step, BEGINNING)), 404);
}

#[test]
fn a_bundle_of_another_deployment_is_not_activated() {
    let world = World::new("plain");
    let zone = Zone::load("plain", &Places::in_process());
    let mut bundle = zone.compile().unwrap();
    bundle.issuer = "https://other.example".to_owned();
    let mut last = None;
    for step in Step::publication(&bundle.to_bytes().unwrap()) {
        last = Some(send(&world, &step, BEGINNING));
    }
    let last = last.unwrap();
    assert_eq!(last.status, 400);
    let said = last.json().unwrap()["error_description"].as_str().unwrap().to_owned();
    assert!(said.contains("not of this deployment"), "{said}");
    let missing =
        Step { body: br#"{"bundle":"abc"}"#.to_vec(), ..Step::publication(b"x")[1].clone() };
    assert_eq!(send(&world, &missing, BEGINNING).status, 400);
}

#[test]
fn operators_paths_take_one_method_each_and_no_browser() {
    let world = World::new("plain");
    for (method, path) in [
        ("GET", "/operator/keys"),
        ("OPTIONS", "/operator/keys"),
        ("POST", "/operator/zone"),
        ("GET", "/operator/activate"),
    ] {
        let request = Request { method: method.to_owned(), ..get(path) };
        assert_eq!(status(&world, request), 405, "{method} {path}");
    }
    for path in ["/operator", "/operator/", "/operator/bundles/x/0", "/operator/other"] {
        assert_eq!(status(&world, get(path)), 404, "{path}");
    }
}
