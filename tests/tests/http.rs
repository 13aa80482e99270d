//! Every vector that needs no clock of its own, over HTTP against the target that `WRIT_TARGET` names:
//! native, where it names none.

use std::collections::BTreeMap;
use std::sync::Arc;

use writ_tests::running::{Running, target};
use writ_tests::vector::{ClockNeed, Vector};
use writ_tests::{Target, check};

/// What an emulator between us and a target does not pass on. Cargo-lambda keeps one of two headers of a
/// name; the platform joins them by a comma, which is no credential and in no proof.
const UNSENT: [(&str, &str); 3] = [
    ("lambda", "client/A16-authorization-twice"),
    ("lambda", "dpop/X10-unbound-two-headers"),
    ("lambda", "dpop/X10-bound-two-headers"),
];

#[test]
fn every_vector_holds_over_http() {
    let target = target();
    let vectors: Vec<Vector> = Vector::all()
        .into_iter()
        .filter(|vector| vector.clock == ClockNeed::Running)
        .filter(|vector| !UNSENT.contains(&(&*target, &*vector.name)))
        .collect();
    let mut services: BTreeMap<String, Running> = BTreeMap::new();
    for vector in &vectors {
        services.entry(vector.zone.clone()).or_insert_with(|| Running::start(&vector.zone));
    }
    let target = Target::Http(
        services
            .iter()
            .map(|(zone, service)| (zone.clone(), Arc::clone(&service.deployment)))
            .collect(),
    );
    let failures: Vec<String> = vectors
        .iter()
        .filter_map(|vector| {
            let problems = check(vector, &target);
            let listed = problems.join("\n    ");
            (!problems.is_empty())
                .then(|| format!("{}: {}\n    {listed}", vector.name, vector.title))
        })
        .collect();
    for service in services.values() {
        let events = service.events();
        assert!(!events.is_empty());
        for event in events {
            assert!(!event.to_string().contains("-secret"), "S01: {event}");
        }
    }
    let all = vectors.len();
    assert!(failures.is_empty(), "{} of {all} fail:\n{}", failures.len(), failures.join("\n"));
}

/// A redirect is an answer that is no key set, wherever it points.
#[test]
fn k02_no_redirect_is_followed() {
    let service = Running::start("keys");
    let server = &service.deployment.server;
    let target = Target::Http([("keys".to_owned(), Arc::clone(&service.deployment))].into());
    let set = writ_tests::zones::Zone::load("keys", &service.deployment.places).parties["good"]
        .page("good");
    server.publish("/keys/elsewhere", &set);
    // Four issuers, because each is asked twice a minute at most.
    for (party, vector, status) in [
        ("redirect", "K02-redirect", 301),
        ("html", "K04-html", 302),
        ("missing", "K04-missing", 307),
        ("broken", "K04-broken", 308),
    ] {
        let path = format!("/keys/{party}");
        server.publish_raw(&path, status, &[("location", "/keys/elsewhere")], set.bytes());
        let problems = check(&Vector::named(&format!("keys/{vector}")), &target);
        assert!(problems.is_empty(), "{status}: {problems:?}");
        assert!(server.asked().contains(&path), "{status}: it was not asked");
    }
    assert!(!server.asked().contains(&"/keys/elsewhere".to_owned()), "a redirect was followed");
}
