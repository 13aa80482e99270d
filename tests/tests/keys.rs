//! Issuers' keys over time and under attack (K01 to K06): what vectors cannot say, because it takes
//! many requests or a server that changes.

use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::limits;
use writ_tests::faults::Call;
use writ_tests::forms::token_request;
use writ_tests::world::{BEGINNING, World};

fn exchange(token: &str) -> Request {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token),
        ("resource", "https://files.example/api"),
    ];
    token_request(&fields)
}

fn show(world: &World, description: Value, now: i64) -> u16 {
    let token = world.sign(description, now);
    world.send(exchange(&token), now).status
}

fn good() -> Value {
    json!({ "from": "good", "claims": { "sub": "worker" } })
}

fn fetches(world: &World) -> usize {
    world.host.web.asked().len()
}

const GOOD: &str = "https://keys.example/keys/good";

#[test]
fn k05_a_flood_of_unknown_key_ids_fetches_twice_a_minute_at_most() {
    let world = World::new("keys");
    for number in 0..10_000 {
        let kid = format!("kid-{number}");
        // One signature will do: the key is sought first.
        let token = if number % 1_000 == 0 {
            world.sign(json!({ "from": "good", "header": { "kid": kid } }), BEGINNING)
        } else {
            let header = format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}"#);
            let claims = json!({
                "iss": "https://good.example", "aud": world.places.zone, "sub": "worker",
                "iat": BEGINNING, "exp": BEGINNING + 300,
            });
            let encode = |text: &str| writ_core::encoding::base64url(text.as_bytes());
            format!("{}.{}.{}", encode(&header), encode(&claims.to_string()), "A".repeat(86))
        };
        assert_eq!(world.send(exchange(&token), BEGINNING + number / 400).status, 400);
    }
    assert!(fetches(&world) <= 2, "{} fetches", fetches(&world));
    // One of each is the bundle's.
    let made = |call| world.host.faults.made(call);
    let copies = (made(Call::Published), made(Call::Publish));
    assert!(copies.0 <= 3 && copies.1 <= 3, "copies read and written: {copies:?}");
    assert_eq!(show(&world, good(), BEGINNING + 30), 200, "the good key is still known");
}

#[test]
fn k05_a_flood_at_one_issuer_does_not_starve_another() {
    let world = World::new("keys");
    for number in 0..100 {
        let description = json!({ "from": "good", "header": { "kid": format!("{number}") } });
        assert_eq!(show(&world, description, BEGINNING), 400);
    }
    let other = json!({ "from": "same-a", "claims": { "sub": "worker" } });
    assert_eq!(show(&world, other, BEGINNING), 200);
}

#[test]
fn k06_a_rotated_key_is_found_after_the_cooldown() {
    let world = World::new("keys");
    assert_eq!(show(&world, good(), BEGINNING), 200);
    // The issuer publishes another party's key instead, under a new name.
    let rotated = json!({ "from": "good", "signer": "same-b", "header": { "kid": "rotated" },
        "claims": { "sub": "worker" } });
    let mut jwk = writ_tests::keys::jwk("same-b", writ_core::jwk::Algorithm::ES256);
    jwk.insert("kid".to_owned(), json!("rotated"));
    world.host.web.publish(GOOD, 200, json!({ "keys": [jwk] }).to_string());
    let later = BEGINNING + limits::KEY_COOLDOWN_SECS;
    assert_eq!(show(&world, rotated, later), 200, "the new key is found");
    assert_eq!(show(&world, good(), later), 400, "the old key is gone");
}

#[test]
fn k06_an_outage_is_bridged_for_a_day_and_no_longer() {
    for outage in ["down", "500", "empty", "html"] {
        let world = World::new("keys");
        assert_eq!(show(&world, good(), BEGINNING), 200);
        match outage {
            "down" => world.host.web.withdraw(GOOD),
            "500" => world.host.web.publish(GOOD, 500, "{}"),
            "empty" => world.host.web.publish(GOOD, 200, r#"{"keys":[]}"#),
            _ => world.host.web.publish(GOOD, 200, "<html>"),
        }
        for hours in [1, 12, 23] {
            assert_eq!(show(&world, good(), BEGINNING + hours * 3_600), 200, "{outage}: {hours} h");
        }
        let day = BEGINNING + limits::KEY_STALE_SECS + limits::KEY_FRESH_SECS;
        assert_eq!(show(&world, good(), day), 503, "{outage}: a day");
    }
}

#[test]
fn k06_an_outage_from_the_start_is_unavailable_and_ends() {
    let world = World::new("keys");
    let page = writ_tests::zones::Zone::load("keys", &world.places).parties["good"].page("good");
    world.host.web.withdraw(GOOD);
    for second in 0..20 {
        assert_eq!(show(&world, good(), BEGINNING + second), 503);
    }
    assert!(fetches(&world) <= 2, "{} fetches", fetches(&world));
    let written = world.host.faults.made(Call::Publish);
    assert!(written <= 3, "{written} copies written");
    world.host.web.publish(GOOD, 200, page.bytes());
    assert_eq!(show(&world, good(), BEGINNING + 70), 200);
}

#[test]
fn k04_a_key_set_may_have_100_kib_and_64_keys() {
    let edges = |bytes: usize| {
        let world = World::new("keys");
        let key = Value::Object(writ_tests::keys::jwk("good", writ_core::jwk::Algorithm::ES256));
        let mut page = json!({ "keys": [key] }).to_string();
        page.push_str(&" ".repeat(bytes - page.len()));
        world.host.web.publish(GOOD, 200, page);
        show(&world, good(), BEGINNING)
    };
    assert_eq!(edges(limits::FETCH_BYTES), 200);
    assert_eq!(edges(limits::FETCH_BYTES + 1), 503);
    let many = |count: usize| {
        let world = World::new("keys");
        let mut keys: Vec<Value> = (1..count)
            .map(|number| json!({ "kty": "oct", "kid": format!("{number}"), "k": "AA" }))
            .collect();
        keys.push(Value::Object(writ_tests::keys::jwk("good", writ_core::jwk::Algorithm::ES256)));
        world.host.web.publish(GOOD, 200, json!({ "keys": keys }).to_string());
        show(&world, good(), BEGINNING)
    };
    assert_eq!(many(limits::KEYS), 200);
    assert_eq!(many(limits::KEYS + 1), 503);
}

#[test]
fn j09_a_key_set_that_is_deep_or_doubled_is_none() {
    let key = Value::Object(writ_tests::keys::jwk("good", writ_core::jwk::Algorithm::ES256));
    let deep = format!(r#"{{"keys":[{key}],"x":{}{}}}"#, "[".repeat(40_000), "]".repeat(40_000));
    let doubled = format!(r#"{{"keys":[],"keys":[{key}]}}"#);
    for page in [deep, doubled] {
        let world = World::new("keys");
        world.host.web.publish(GOOD, 200, page);
        assert_eq!(show(&world, good(), BEGINNING), 503);
    }
}

/// What a host may connect to is the core's word, given with each fetch: never a loopback address,
/// unless the operator of a zone on loopback said so. That a name resolves to no other address is
/// the host's to keep.
#[test]
fn k03_no_fetch_of_a_public_zone_may_reach_loopback() {
    for party in ["good", "found", "redirect"] {
        let world = World::new("keys");
        show(&world, json!({ "from": party, "claims": { "sub": "worker" } }), BEGINNING);
        let asked = world.host.web.asked();
        assert!(!asked.is_empty());
        assert!(
            asked.iter().all(|request| !request.loopback && request.url.starts_with("https://"))
        );
    }
}

/// An unknown `kid` is never part of what is fetched or stored.
#[test]
fn j04_a_key_id_leads_to_no_other_fetch_and_no_record() {
    let world = World::new("keys");
    let before = world.host.store.contents();
    for kid in ["../../attacker", "https://attacker.example/keys", "good/../attacker", "%2e%2e"] {
        assert_eq!(
            show(&world, json!({ "from": "good", "header": { "kid": kid } }), BEGINNING),
            400
        );
    }
    assert!(world.host.web.asked().iter().all(|request| request.url == GOOD));
    assert_eq!(world.host.store.contents(), before);
}
