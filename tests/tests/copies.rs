//! Published copies (KV and its like): stale, wrong, or not there. They make things faster, and decide
//! nothing. And what an instance does that slept.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use serde_json::json;
use writ_core::active::Named;
use writ_core::http::Request;
use writ_core::limits::{KEY_COOLDOWN_SECS, KEY_FRESH_SECS};
use writ_core::publish::change;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::token_request;
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on, moment};

const GOOD: &str = "https://keys.example/keys/good";

fn exchange(world: &World, now: i64) -> Request {
    let token = world.sign(json!({ "from": "good", "claims": { "sub": "worker" } }), now);
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &token),
        ("resource", "https://files.example/api"),
    ];
    token_request(&fields)
}

fn status(world: &World, now: i64) -> u16 {
    world.send(exchange(world, now), now).status
}

fn fetches(world: &World) -> usize {
    world.host.web.asked().len()
}

/// Changes every published copy whose name begins so.
fn spoil(world: &World, prefix: &str, spoilt: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let mut copies = world.host.copies.lock().unwrap();
    let named = copies.iter_mut().filter(|((_, name), _)| name.starts_with(prefix));
    named.map(|(_, bytes)| *bytes = spoilt(bytes)).count()
}

/// An instance that lives for one request fetches no key set that another one just fetched.
#[test]
fn k05_a_fresh_instance_begins_with_the_copy_and_fetches_nothing() {
    let world = World::new("keys");
    assert_eq!(status(&world, BEGINNING), 200);
    let fetched = fetches(&world);
    for second in 1..20 {
        assert_eq!(status(&world.sibling(), BEGINNING + second), 200);
    }
    assert_eq!(fetches(&world), fetched);
    // An old copy is no reason not to ask.
    assert_eq!(status(&world.sibling(), BEGINNING + KEY_FRESH_SECS), 200);
    assert_eq!(fetches(&world), fetched + 1);
}

/// Unknown key ids shown to instances that each live for one request: the copy remembers the fetches.
#[test]
fn k05_a_flood_over_fresh_instances_fetches_twice_a_minute_at_most() {
    let world = World::new("keys");
    let mut written = 0;
    for number in 0..200 {
        let kid = format!("kid-{number}");
        let token = world.sign(json!({ "from": "good", "header": { "kid": kid } }), BEGINNING);
        let mut request = exchange(&world, BEGINNING);
        let body = String::from_utf8(request.body).unwrap();
        let fields = body.split('&').map(|field| match field.split_once('=') {
            Some(("subject_token", _)) => format!("subject_token={token}"),
            _ => field.to_owned(),
        });
        request.body = fields.collect::<Vec<_>>().join("&").into_bytes();
        let now = BEGINNING + number * KEY_COOLDOWN_SECS / 200;
        let instance = world.sibling();
        assert_eq!(instance.send(request, now).status, 400);
        written += instance.host.faults.made(Call::Publish);
    }
    assert!(fetches(&world) <= 2, "{} fetches", fetches(&world));
    // The bundle's, and one a fetch.
    assert!(written <= 3, "{written} copies written");
}

/// K06: the last good set outlives the instance that fetched it.
#[test]
fn k06_a_fresh_instance_uses_the_last_good_copy_while_the_issuer_is_down() {
    let world = World::new("keys");
    assert_eq!(status(&world, BEGINNING), 200);
    world.host.web.withdraw(GOOD);
    assert_eq!(status(&world.sibling(), BEGINNING + 3_600), 200);
    assert_eq!(status(&world.sibling(), BEGINNING + 25 * 3_600), 503, "a day later it is none");
}

/// A store of copies that knows nothing, for a minute or for ever: absence is cached there too.
#[test]
fn x13_copies_that_are_not_there_or_cannot_be_read_change_nothing() {
    for prefix in ["bundle/", "keys/"] {
        for spoilt in [Vec::new(), b"{}".to_vec(), b"nonsense".to_vec()] {
            let world = World::new("keys");
            assert_eq!(status(&world, BEGINNING), 200);
            assert!(spoil(&world, prefix, |_| spoilt.clone()) > 0, "{prefix}");
            assert_eq!(status(&world.sibling(), BEGINNING + 61), 200, "{prefix} {spoilt:?}");
        }
    }
    let world = World::new("keys");
    for second in 0..60 {
        let instance = world.sibling();
        instance.host.faults.order(Call::Published, When::Always, Effect::Unavailable);
        instance.host.faults.order(Call::Publish, When::Always, Effect::Unavailable);
        let status = instance.send(get("/readyz"), BEGINNING + second).status;
        assert_eq!(status, 200, "the bundle comes from the zone's partition");
    }
}

/// A copy of another bundle under this bundle's name is not this bundle.
#[test]
fn x13_a_bundles_copy_is_checked_by_its_name() {
    let world = World::new("keys");
    assert_eq!(status(&world, BEGINNING), 200);
    let altered = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.replace("\"token_secs\":", "\"token_secs\":1").into_bytes()
    };
    assert_eq!(spoil(&world, "bundle/", altered), 1);
    let instance = world.sibling();
    let answer = instance.send(exchange(&instance, BEGINNING + 1), BEGINNING + 1);
    assert_eq!(answer.status, 200);
    let secs = answer.json().unwrap().get("expires_in").unwrap().as_i64().unwrap();
    assert!(secs <= 300, "{secs}");
}

/// A copy that claims to be of the future would be fresh for ever.
#[test]
fn k06_a_copy_from_the_future_is_none() {
    let world = World::new("keys");
    assert_eq!(status(&world, BEGINNING + 1_000_000), 200);
    let fetched = fetches(&world);
    assert_eq!(status(&world.sibling(), BEGINNING), 200);
    assert_eq!(fetches(&world), fetched + 1);
}

/// A platform may freeze an instance between requests. The first one after that sees the zone as it
/// is, and not as it was.
#[test]
fn x11_the_first_request_after_ten_idle_minutes_sees_what_changed_meanwhile() {
    let world = World::new("keys");
    assert_eq!(status(&world, BEGINNING), 200);
    let asleep = world.sibling();
    assert_eq!(status(&asleep, BEGINNING), 200);
    let disable = block_on(change(&*world.host, "keys", &moment(BEGINNING + 60), "off", |zone| {
        zone.disabled.insert(Named::application("worker"));
        Ok(Some(Vec::new()))
    }));
    assert!(disable.is_ok());
    assert_eq!(status(&asleep, BEGINNING + 660), 400);
}
