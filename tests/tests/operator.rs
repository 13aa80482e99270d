//! The operator's endpoints: what they take, from whom, and how often.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;

use serde_json::Value;
use writ_core::active;
use writ_core::bundle::{Bundle, Issuer, KeySource};
use writ_core::deployment::Deployment;
use writ_core::encoding::from_base64url;
use writ_core::host::{Partition, Record};
use writ_core::http::Request;
use writ_core::keys::Rotation;
use writ_core::limits::{BUNDLE_PART_BYTES, ZONE_KEYS};
use writ_core::operator::Step;
use writ_tests::client::Answer;
use writ_tests::operator::{publish, request};
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on};
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

/// What will never be taken is refused and said, and no reason to try again.
#[test]
fn s08_what_cannot_be_done_is_told_to_the_operator_and_is_no_fault_of_ours() {
    let world = World::new("plain");
    let told =
        |answer: &Answer| answer.json().unwrap()["error_description"].as_str().unwrap().to_owned();
    let part =
        Step { body: vec![b' '; BUNDLE_PART_BYTES + 1], ..Step::publication(b"x")[0].clone() };
    let answer = send(&world, &part, BEGINNING);
    assert_eq!((answer.status, reason(&world)), (413, Some("operator_too_large")));
    assert!(told(&answer).contains("49153 bytes"), "{}", told(&answer));
    let keys = |now| send(&world, &Step::rotation(Rotation::AtOnce), now);
    let many: Vec<Answer> = (BEGINNING..).take(ZONE_KEYS).map(keys).collect();
    let refused = many.last().unwrap();
    assert_eq!((refused.status, reason(&world)), (409, Some("operator_conflict")));
    assert!(told(refused).contains("rotate less often"), "{}", told(refused));
}

/// What makes a bundle unsound.
type Spoil = fn(&mut Bundle);

/// The row of the issuer `ci`.
fn ci(bundle: &mut Bundle) -> &mut Issuer {
    bundle.issuers.get_mut("ci").unwrap()
}

/// The compiler's refusals are no advice: what was made by anything else is held to them too.
#[test]
fn s08_a_bundle_that_the_compiler_would_refuse_is_not_activated_over_http() {
    let world = World::new("plain");
    let sound = Zone::load("plain", &Places::in_process()).compile().unwrap();
    let spoilt: [(&str, Spoil); 22] = [
        ("`session_secs`", |bundle| bundle.session_secs = i64::MAX),
        ("`token_secs`", |bundle| bundle.token_secs = 86_401),
        ("`record_secs`", |bundle| bundle.record_secs = 1),
        ("`idle_secs`", |bundle| bundle.idle_secs = Some(59)),
        ("`idle_secs`", |bundle| bundle.idle_secs = Some(3_601)),
        ("`refresh_secs`", |bundle| {
            bundle.applications.get_mut("assistant").unwrap().refresh_secs = Some(3_601);
        }),
        ("`refresh_secs`", |bundle| {
            bundle.applications.get_mut("builder").unwrap().refresh_secs = Some(60);
        }),
        ("loopback", |bundle| bundle.danger_allow_http_loopback = true),
        ("version", |bundle| bundle.version = 2),
        ("compares no claim", |bundle| {
            bundle.rules.get_mut("people").unwrap().conditions.clear();
        }),
        ("loopback", |bundle| ci(bundle).keys = KeySource::Url("http://127.0.0.1/keys".to_owned())),
        ("https://", |bundle| ci(bundle).issuer = vec!["http://ci.example".to_owned()]),
        ("the zone itself", |bundle| ci(bundle).issuer = vec!["https://writ.example".to_owned()]),
        ("no audience", |bundle| ci(bundle).audience.clear()),
        ("`lifetime_secs`", |bundle| ci(bundle).lifetime_secs = 31_536_000),
        ("no algorithm", |bundle| ci(bundle).algorithms.clear()),
        ("there is no issuer", |bundle| drop(bundle.issuers.remove("ci"))),
        ("there is no application", |bundle| drop(bundle.applications.remove("job"))),
        ("`client_claim`", |bundle| bundle.issuers.get_mut("idp").unwrap().client_claim = None),
        ("as users do", |bundle| {
            let assistant = bundle.applications["assistant"].clone();
            bundle.applications.insert("user:idp:user-1".to_owned(), assistant);
        }),
        ("reads like", |bundle| {
            let assistant = bundle.applications["assistant"].clone();
            bundle.applications.insert("ASSISTANT".to_owned(), assistant);
        }),
        ("no such scope", |bundle| {
            let task = bundle.tasks.get_mut("release").unwrap();
            let envelope = task.envelope.as_mut().unwrap();
            envelope.values_mut().for_each(|scopes| scopes.extend(["all".to_owned()]));
        }),
    ];
    assert_eq!(sound.check(), Ok(()));
    let before = block_on(active::snapshot(&*world.host, "plain")).unwrap().0;
    for (why, spoil) in spoilt {
        let mut bundle = sound.clone();
        spoil(&mut bundle);
        let steps = Step::publication(&bundle.to_bytes().unwrap());
        let sent: Vec<Answer> = steps.iter().map(|step| send(&world, step, BEGINNING)).collect();
        let last = sent.last().unwrap();
        let said = last.json().unwrap()["error_description"].as_str().unwrap_or("").to_owned();
        assert_eq!((last.status, said.contains(why)), (400, true), "{why}: {said}");
        assert_eq!(reason(&world), Some("operator_bundle"), "{why}");
    }
    assert_eq!(block_on(active::snapshot(&*world.host, "plain")).unwrap().0, before);
}

/// An active bundle is what it was when it was activated.
#[test]
fn s08_no_upload_changes_a_part_of_the_active_bundle() {
    let world = World::new("plain");
    let bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    let part = Step::publication(&bundle.to_bytes().unwrap())[0].clone();
    let before = world.host.store.contents();
    let spoilt = Step { body: b"{}".to_vec(), ..part.clone() };
    assert_eq!(send(&world, &spoilt, BEGINNING).status, 409);
    assert_eq!(reason(&world), Some("operator_conflict"));
    let bundles = |contents: &BTreeMap<_, _>| -> Vec<_> {
        let all = contents.iter();
        let parts =
            all.filter(|((_, key), _): &(&(Partition, String), _)| key.starts_with("bundle/"));
        parts.map(|(key, record): (_, &Record)| (key.clone(), record.clone())).collect()
    };
    assert_eq!(bundles(&world.host.store.contents()), bundles(&before));
    assert_eq!(send(&world, &part, BEGINNING).status, 200, "the same bytes change nothing");
    assert_eq!(bundles(&world.host.store.contents()), bundles(&before));
    // Where a part was lost, it can be brought back; and what nobody uses yet may be corrected.
    let mut other = bundle.clone();
    other.token_secs = 60;
    let other = Step::publication(&other.to_bytes().unwrap())[0].clone();
    let wrong = Step { body: b"{}".to_vec(), ..other.clone() };
    for step in [wrong, other] {
        assert_eq!(send(&world, &step, BEGINNING).status, 200);
    }
}

/// The statement says under which `seq` the bundle became active, whatever changed since.
#[test]
fn activating_what_is_active_states_when_it_became_so() {
    let world = World::new("plain");
    let bundle = Zone::load("plain", &Places::in_process()).compile().unwrap();
    let snapshot = || block_on(active::snapshot(&*world.host, "plain")).unwrap().0;
    let activated = snapshot().seq;
    assert_eq!(send(&world, &Step::rotation(Rotation::Planned), BEGINNING).status, 200);
    assert!(snapshot().seq > activated && snapshot().activated == activated);
    let statements = || -> Vec<(String, Vec<u8>)> {
        let contents = world.host.store.contents().into_iter();
        let stated = contents.filter(|((_, key), _)| key.starts_with("statement/"));
        stated.map(|((_, key), record)| (key, record.value)).collect()
    };
    let before = statements();
    for step in Step::publication(&bundle.to_bytes().unwrap()) {
        assert_eq!(send(&world, &step, BEGINNING).status, 200);
    }
    assert_eq!(statements(), before);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].0, format!("statement/{activated:020}"));
    let jwt = String::from_utf8(before[0].1.clone()).unwrap();
    let claims = from_base64url(jwt.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["seq"], activated);
}

#[test]
fn s08_the_event_of_a_rotation_says_which_and_of_what_key() {
    let world = World::new("plain");
    let answer = send(&world, &Step::rotation(Rotation::Planned), BEGINNING).json().unwrap();
    let event = world.take_events().pop().unwrap();
    let detail: Value = serde_json::from_str(&event.detail.unwrap()).unwrap();
    assert_eq!((&detail["rotation"], &detail["kid"]), (&"planned".into(), &answer["kid"]));
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
