//! Status lists that cannot be had, or take their time, and more of them than are remembered.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use serde_json::json;
use writ_core::host::{Outside, Unavailable};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_core::verifier::{self, Rejected, Standing, Verified};
use writ_tests::faults::{Call, Effect, When};
use writ_tests::memory::Memory;
use writ_tests::world::{BEGINNING, block_on};

use super::lists::{entries, long_lived};
use super::scene::{LIST, Scene, listed, outcome};

/// While the list cannot be had, it is asked for every few seconds, and not by every caller.
#[test]
fn a_list_that_cannot_be_had_is_not_asked_for_by_every_caller() {
    let scene = Scene::new();
    scene.host.web.withdraw(LIST);
    let token = scene.token(listed(1));
    for call in 0..100 {
        let now = BEGINNING + call * 2 * limits::LIST_RETRY_SECS / 100;
        assert_eq!(outcome(&scene.show(&token, now)), "unknown status");
    }
    assert_eq!(scene.asked(LIST), 2);
    scene.publish_list(LIST, &entries(&[]), json!({}), BEGINNING);
    assert!(scene.show(&token, BEGINNING + 2 * limits::LIST_RETRY_SECS).is_ok());
}

#[test]
fn a_fault_while_a_list_is_fetched_lets_nobody_in() {
    for (call, nth) in [(Call::Fetch, 3), (Call::Verify, 2)] {
        let scene = Scene::new();
        scene.host.faults.order(call, When::Nth(nth), Effect::Unavailable);
        let token = scene.token(listed(1));
        assert_eq!(outcome(&scene.show(&token, BEGINNING)), "unknown status", "{call:?}");
        let now = BEGINNING + limits::LIST_RETRY_SECS;
        assert_eq!(outcome(&scene.show(&token, now)), "ok", "{call:?}: and goes on afterwards");
    }
}

/// An `exp` is compared as those of tokens are, and counts from what the list says, not from the fetch.
#[test]
fn a_list_counts_to_its_end_and_for_as_long_as_clocks_may_differ() {
    let scene = Scene::new();
    let token = scene.token(long_lived(1));
    let end = BEGINNING + limits::STATUS_STALE_SECS;
    let changes = json!({ "claims": { "exp": end } });
    scene.publish_list(LIST, &entries(&[]), changes, BEGINNING);
    assert!(scene.show(&token, BEGINNING + 40).is_ok(), "it lay in a cache");
    scene.host.web.withdraw(LIST);
    let over = end + limits::LEEWAY_SECS;
    assert_eq!(outcome(&scene.show(&token, over - 1)), "ok");
    assert_eq!(outcome(&scene.show(&token, over)), "unknown status");
}

/// A zone that takes requests and answers none: while the last list counts, one caller waits for it, and
/// there is a rest between two who do.
#[test]
fn while_a_zone_hangs_the_last_list_goes_on_and_nobody_waits_with_who_fetches() {
    let scene = Scene::new();
    let (alive, dead) = (scene.token(long_lived(1)), scene.token(long_lived(2)));
    scene.publish_list(LIST, &entries(&[2]), json!({}), BEGINNING);
    let zone = Slow::of(&scene.host);
    assert!(block_on(show(&scene, &zone, &alive, BEGINNING)).is_ok());
    scene.host.web.withdraw(LIST);
    let begun = BEGINNING + 60;
    let over = begun + i64::try_from(limits::FETCH_SECS).unwrap();
    zone.hangs.store(true, Ordering::Relaxed);
    {
        let mut fetching = pin!(show(&scene, &zone, &alive, begun));
        assert!(look(fetching.as_mut()).is_none(), "it waits for the zone");
        for now in begun..=over {
            let verified = block_on(show(&scene, &zone, &alive, now)).unwrap();
            assert_eq!(verified.standing, Standing::Alive(Timestamp(BEGINNING)), "{now}");
            assert_eq!(outcome(&block_on(show(&scene, &zone, &dead, now))), "revoked", "{now}");
        }
        assert_eq!(zone.pauses.load(Ordering::Relaxed), 0, "somebody waited");
        zone.hangs.store(false, Ordering::Relaxed);
        assert_eq!(outcome(&look(fetching.as_mut()).unwrap()), "ok");
    }
    assert_eq!(scene.asked(LIST), 2);
    for now in over..begun + limits::LIST_RETRY_SECS {
        assert_eq!(outcome(&block_on(show(&scene, &zone, &alive, now))), "ok", "{now}");
        assert_eq!(scene.asked(LIST), 2, "asked again {} s after it failed", now - over);
    }
    let rest = limits::LIST_RETRY_SECS - 3 * i64::try_from(limits::FETCH_SECS).unwrap();
    assert!(rest > 0, "an attempt that takes its time is followed by another");
    assert!(block_on(show(&scene, &zone, &alive, begun + limits::LIST_RETRY_SECS)).is_ok());
    assert_eq!(scene.asked(LIST), 3);
}

/// Where no list counts, everybody waits for the one who fetches, and then goes. So does who came before
/// it and was held up on the way.
#[test]
fn who_waited_for_a_list_that_cannot_be_had_does_not_fetch_it_too() {
    let scene = Scene::new();
    let token = scene.token(long_lived(1));
    let over = json!({ "claims": { "exp": BEGINNING + 10 } });
    scene.publish_list(LIST, &entries(&[]), over, BEGINNING);
    let zone = Slow::of(&scene.host);
    assert!(block_on(show(&scene, &zone, &token, BEGINNING)).is_ok(), "the keys are known then");
    scene.host.web.withdraw(LIST);
    zone.hangs.store(true, Ordering::Relaxed);
    let begun = BEGINNING + 100;
    let mut fetching = pin!(show(&scene, &zone, &token, begun));
    let mut waiting = pin!(show(&scene, &zone, &token, begun + 4));
    for _ in 0..3 {
        assert!(look(fetching.as_mut()).is_none() && look(waiting.as_mut()).is_none());
    }
    zone.hangs.store(false, Ordering::Relaxed);
    assert_eq!(outcome(&look(fetching.as_mut()).unwrap()), "unknown status");
    assert_eq!(outcome(&look(waiting.as_mut()).unwrap()), "unknown status");
    assert_eq!(outcome(&block_on(show(&scene, &zone, &token, begun - 2))), "unknown status");
    assert_eq!(scene.asked(LIST), 2);
}

/// What a list says of the dead outlives every failure, and one that is new takes the place of one.
#[test]
fn x11_neither_a_failure_nor_a_new_list_makes_others_be_forgotten() {
    let scene = Scene::new();
    let list = |number: usize| format!("https://auth.example/status/{number}");
    let token = |number: usize| {
        let status = json!({ "status_list": { "idx": 2, "uri": list(number) } });
        scene.token(json!({ "claims": { "status": status, "exp": BEGINNING + 3_600 } }))
    };
    let publish = |number: usize, now: i64| {
        scene.publish_list(&list(number), &entries(&[2]), json!({}), now);
    };
    for number in 0..limits::LISTS {
        // The first is the oldest.
        let now = BEGINNING + i64::from(number > 0);
        publish(number, now);
        assert_eq!(outcome(&scene.show(&token(number), now)), "revoked");
        scene.host.web.withdraw(&list(number));
    }
    for number in limits::LISTS..limits::LISTS + 3 {
        let missing = scene.show(&token(number), BEGINNING + 2);
        assert_eq!(outcome(&missing), "unknown status", "there is no such list");
    }
    let late = BEGINNING + 2 * limits::LIST_SECS;
    for number in [0, 1, limits::LISTS - 1] {
        assert_eq!(outcome(&scene.show(&token(number), late)), "revoked", "{number}");
    }
    publish(limits::LISTS, late);
    assert_eq!(outcome(&scene.show(&token(limits::LISTS), late)), "revoked");
    assert_eq!(outcome(&scene.show(&token(0), late)), "unknown status", "it made room");
    for number in [1, limits::LISTS - 1, limits::LISTS] {
        assert_eq!(outcome(&scene.show(&token(number), late)), "revoked", "{number}");
    }
}

/// Shows a token as a bearer token at a resource that sees the zone through `outside`.
async fn show(
    scene: &Scene,
    outside: &impl Outside,
    token: &str,
    now: i64,
) -> Result<Verified, Rejected> {
    let headers = [("authorization".to_owned(), format!("Bearer {token}"))];
    let call = verifier::Call { method: "GET", url: "https://files.example/", headers: &headers };
    verifier::verify(outside, &scene.verifier, &call, Timestamp(now)).await
}

/// What a future has come to, if it has.
fn look<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A host whose fetches take as long as the test wants.
struct Slow<'a> {
    host: &'a Memory,
    hangs: AtomicBool,
    pauses: AtomicUsize,
}

impl<'a> Slow<'a> {
    fn of(host: &'a Memory) -> Self {
        Self { host, hangs: AtomicBool::default(), pauses: AtomicUsize::default() }
    }
}

impl Outside for Slow<'_> {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        let answer = self.host.fetch(request).await;
        poll_fn(|_| match self.hangs.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
        answer
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        self.host.verify(algorithm, key, message, signature).await
    }

    async fn pause(&self, millis: u32) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.host.pause(millis).await;
    }

    fn memory(&self) -> &writ_core::memory::Memory {
        self.host.memory()
    }
}
