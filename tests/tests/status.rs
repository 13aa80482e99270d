//! Status lists and the feed of what ended, as verifiers read them (X11, X13): nothing that ended is missing
//! for longer than is said, and nothing is younger than it says.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Value, json};
use writ_core::host::{Batch, Entry, Kind, Partition};
use writ_core::http::Request;
use writ_core::keys::Rotation;
use writ_core::limits::{
    STATUS_BITS, STATUS_CUT_PAGES, STATUS_ENTRIES, STATUS_FRESH_SECS, STATUS_PAGES,
    STATUS_PAGES_CUT_OFF, STATUS_STALE_SECS, STATUS_TTL_SECS,
};
use writ_core::moment::Timestamp;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_core::status;
use writ_tests::faults::{Call, Effect, When};
use writ_tests::forms::{ASSISTANT, post};
use writ_tests::schedule::invariants::issued;
use writ_tests::schedule::scene::exchange;
use writ_tests::schedule::{Racer, Random, Trouble, run};
use writ_tests::status::{List, by_operator, end, list, paths, revoke, sid};
use writ_tests::target::{get, published};
use writ_tests::trace::claims;
use writ_tests::world::{BEGINNING, World};

const ITSELF: (&str, &str) = ("audience", "assistant");
const FILES: (&str, &str) = ("resource", "https://files.example/api");
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn open(world: &World, now: i64) -> String {
    issued(&world.send(post("/oauth/token", ASSISTANT, &[GRANT, ITSELF]), now)).unwrap()
}

fn feed(world: &World, token: &str, now: i64) -> Value {
    let answer = world.send(get(&paths(token).1), now);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json().unwrap()
}

#[test]
fn x11_a_list_and_a_feed_show_who_ended_and_what_was_revoked() {
    let world = World::new("plain");
    let [ended, revoked, alive] = [0, 1, 2].map(|_| open(&world, BEGINNING));
    let leaf = issued(&world.send(exchange(&revoked, FILES), BEGINNING)).unwrap();
    assert_eq!(claims(&leaf)["status"], claims(&revoked)["status"], "one status a session");
    let before = list(&world, &ended, BEGINNING);
    assert_eq!((before.bits.len(), before.count()), (STATUS_BITS as usize / 8, 0));
    assert_eq!(before.claims["iat"], BEGINNING);
    assert_eq!(before.claims["ttl"], STATUS_TTL_SECS);
    assert_eq!(before.claims["exp"], BEGINNING + STATUS_STALE_SECS);
    assert_eq!(feed(&world, &ended, BEGINNING)["sessions"], json!([]));

    end(&world, &ended, BEGINNING + 1);
    revoke(&world, &leaf, BEGINNING + 1);
    assert_eq!(list(&world, &ended, BEGINNING + 2).count(), 0, "what is remembered is that old");
    let now = BEGINNING + STATUS_FRESH_SECS;
    let after = list(&world, &ended, now);
    assert_eq!(after.claims["iat"], now);
    assert!(after.shows(&ended) && after.shows(&leaf) && !after.shows(&alive));
    assert_eq!(after.count(), 2);
    let hop = json!([sid(&revoked), claims(&leaf)["jti"]]);
    let told =
        json!({ "ttl": STATUS_TTL_SECS, "all": false, "sessions": [sid(&ended)], "hops": [hop] });
    assert_eq!(feed(&world, &ended, now), told);
    // Another instance that remembers nothing begins with the copy.
    let sibling = world.sibling();
    assert_eq!(list(&sibling, &ended, now).count(), 2);
    assert_eq!(sibling.host.faults.made(Call::List), 0);
}

#[test]
fn a_feed_that_says_nothing_new_is_not_sent_again() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING);
    let ask = |tag: Option<&str>, method: &str, now| {
        let headers = tag.map(|tag| ("If-None-Match".to_owned(), tag.to_owned()));
        let headers = headers.into_iter().collect();
        let method = method.to_owned();
        world.send(Request { method, headers, ..get(&paths(&token).1) }, now)
    };
    let first = ask(None, "GET", BEGINNING);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let later = BEGINNING + 30;
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = ask(Some(&known), "GET", later);
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(&*tag));
        assert_eq!(again.header("cache-control"), Some("public, max-age=60"));
        assert_eq!(again.header("content-type"), None);
    }
    // By the age of what is remembered, caches give it up earlier.
    let aged = ask(None, "GET", later + 4);
    assert_eq!(aged.header("cache-control"), Some("public, max-age=56"));
    end(&world, &token, later);
    let changed = ask(Some(&tag), "GET", later + STATUS_FRESH_SECS);
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(&*tag));
    let head = ask(None, "HEAD", later + STATUS_FRESH_SECS);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("etag"), changed.header("etag"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert!(head.header("access-control-expose-headers").unwrap().contains("etag"));
    let preflight = ask(None, "OPTIONS", later);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("if-none-match"));
    assert_eq!(ask(None, "POST", later).status, 405);
    let event = world.take_events().into_iter().find(|event| event.status == 304).unwrap();
    assert_eq!(event.endpoint, "revocations");
}

/// Sessions that end at random: whatever ended has its bit set, and nobody else but by collision.
#[test]
fn x11_who_ended_is_in_the_list_of_its_hour_and_others_only_as_often_as_two_share_an_index() {
    let world = World::new("plain");
    let mut random = Random::of(19);
    let (mut ended, mut alive) = (Vec::new(), Vec::new());
    for number in 0..600 {
        // Their ends are in two hours.
        let now = BEGINNING + number * 12;
        let token = open(&world, now);
        if random.once_in(3) {
            end(&world, &token, now + 1);
            ended.push(token);
        } else if random.once_in(5) {
            revoke(&world, &token, now + 1);
            ended.push(token);
        } else {
            alive.push(token);
        }
    }
    let now = BEGINNING + 600 * 12;
    let lists: BTreeSet<String> = ended.iter().chain(&alive).map(|token| paths(token).0).collect();
    assert_eq!(lists.len(), 2);
    let mut shared = 0;
    for path in lists {
        // Pages that one request does not list are listed by the next.
        let read = || {
            List::read(&world.send(get(&path), now), &published(&|path| world.send(get(path), now)))
        };
        let list = std::iter::repeat_with(read).take(10).last().unwrap();
        let of = |tokens: &[String]| -> Vec<String> {
            tokens.iter().filter(|token| paths(token).0 == path).cloned().collect()
        };
        assert!(of(&ended).iter().all(|token| list.shows(token)), "{path}");
        assert!(list.count() as usize <= of(&ended).len());
        shared += of(&alive).iter().filter(|token| list.shows(token)).count();
    }
    // Some 70 of a million bits a list for some 300 sessions: 0.02 in all, and more than three once in 10^8 runs.
    assert!(shared <= 3, "{shared} share a bit");
}

/// More than one request lists: until all of it was gone through, every token has to be asked about.
#[test]
fn x13_a_list_that_is_not_known_whole_has_every_bit_set() {
    let world = World::new("plain");
    // One in 265 shares its bit with an entry below.
    let tokens = [0, 1, 2, 3].map(|_| open(&world, BEGINNING));
    let token = &tokens[0];
    let hour = BEGINNING / 3_600 + 1;
    let pages = 2 * STATUS_PAGES;
    enter(&world, hour, 0..pages * 100 - 50, BEGINNING - 600);
    assert_eq!(list(&world, token, BEGINNING).count(), STATUS_BITS);
    // A platform that allows no more calls ends a build, and loses nothing of it.
    world.host.faults.order(Call::List, When::Nth(7), Effect::Unavailable);
    assert_eq!(feed(&world, token, BEGINNING)["all"], true);
    assert_eq!(world.host.faults.made(Call::List), 7);
    world.host.faults.clear();
    assert_eq!(feed(&world, token, BEGINNING)["all"], false, "{pages} pages were gone through");
    let known = list(&world, token, BEGINNING);
    let token = tokens.iter().find(|token| !known.shows(token)).expect("one with a bit of its own");
    assert!(known.count() as usize > pages * 100 - 60);
    // From then on only what is new is listed.
    end(&world, token, BEGINNING + 1);
    world.host.faults.clear();
    assert!(list(&world, token, BEGINNING + STATUS_FRESH_SECS).shows(token));
    assert_eq!(world.host.faults.made(Call::List), 2);
    // As many as can be kept by name, and one more.
    let other = World::new("plain");
    let token = open(&other, BEGINNING);
    enter(&other, hour, 0..STATUS_ENTRIES, BEGINNING - 600);
    for _ in 0..=(STATUS_ENTRIES / 100 / STATUS_PAGES) {
        feed(&other, &token, BEGINNING);
    }
    assert_eq!(
        feed(&other, &token, BEGINNING)["sessions"].as_array().unwrap().len(),
        STATUS_ENTRIES
    );
    assert!(list(&other, &token, BEGINNING).count() < STATUS_BITS / 50);
    let now = BEGINNING + STATUS_FRESH_SECS;
    enter(&other, hour, STATUS_ENTRIES..STATUS_ENTRIES + 1, now);
    assert_eq!(feed(&other, &token, now)["all"], true);
    assert_eq!(list(&other, &token, now).count(), STATUS_BITS);
}

/// An entry that the index takes minutes later than others is found all the same.
#[test]
fn x13_what_comes_late_into_the_index_is_found() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING);
    let hour = BEGINNING / 3_600 + 1;
    enter(&world, hour, 0..250, BEGINNING + 600);
    let mut now = BEGINNING + 900;
    assert!(!list(&world, &token, now).shows(&token));
    // It happened at the beginning, and was handed over only now.
    let place = Partition { zone: "plain".into(), kind: Kind::Session, id: sid(&token) };
    world
        .host
        .store
        .commit(&place, batch("late", vec![status::entry(hour, "ended", Timestamp(BEGINNING))]))
        .unwrap();
    for _ in 0..3 {
        now += STATUS_FRESH_SECS;
        feed(&world, &token, now);
    }
    assert!(list(&world, &token, now).shows(&token));
}

fn batch(id: &str, index: Vec<Entry>) -> Batch {
    Batch {
        id: id.into(),
        now: Timestamp(BEGINNING),
        until: None,
        expect: vec![],
        write: vec![],
        index,
    }
}

/// Enters the ends of sessions with these numbers.
fn enter(world: &World, hour: i64, numbers: Range<usize>, at: i64) {
    for number in numbers {
        let place = Partition {
            zone: "plain".into(),
            kind: Kind::Session,
            id: format!("session-{number:06}"),
        };
        let entry = status::entry(hour, "ended", Timestamp(at));
        world.host.store.commit(&place, batch(&format!("{number}"), vec![entry])).unwrap();
    }
}

/// The store refuses, or the copies are not there: what is served is as old as it says, for so long as it
/// says, and then nothing is.
#[test]
fn x13_a_list_is_never_younger_than_it_says_and_no_list_is_served_for_ever() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING);
    let built = list(&world, &token, BEGINNING);
    end(&world, &token, BEGINNING + 1);
    // Copies that are not there, or are nonsense, cost a listing.
    for spoilt in [None, Some(b"{}".to_vec()), Some(Vec::new())] {
        let fresh = world.sibling();
        let mut copies = fresh.host.copies.lock().unwrap();
        let name = ("plain".to_owned(), format!("status/{}", BEGINNING / 3_600 + 1));
        match spoilt {
            None => drop(copies.remove(&name)),
            Some(bytes) => drop(copies.insert(name, bytes)),
        }
        drop(copies);
        assert!(list(&fresh, &token, BEGINNING + 2).shows(&token));
    }
    world.host.copies.lock().unwrap().clear();
    // The index refuses.
    for call in [Call::List, Call::Sign] {
        world.host.faults.order(call, When::Always, Effect::Unavailable);
        for now in [10, 11, 200, STATUS_STALE_SECS - 1] {
            let old = list(&world, &token, BEGINNING + now);
            assert_eq!(old.claims, built.claims, "{call:?} {now}");
        }
        let answer = world.send(get(&paths(&token).0), BEGINNING + 100);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=5"));
        for path in [paths(&token).0, paths(&token).1] {
            let answer = world.send(get(&path), BEGINNING + STATUS_STALE_SECS);
            assert_eq!(answer.status, 503, "{call:?}");
            assert!(answer.header("retry-after").is_some());
        }
        let fresh = world.sibling();
        fresh.host.faults.order(call, When::Always, Effect::Unavailable);
        assert_eq!(fresh.send(get(&paths(&token).0), BEGINNING + 2).status, 503, "{call:?}");
        world.host.faults.clear();
    }
    assert!(list(&world, &token, BEGINNING + STATUS_STALE_SECS).shows(&token));
}

/// A session of a person with the assistant.
fn user(world: &World, name: &str, now: i64) -> String {
    let subject = json!({ "sub": name, "tenant": "acme", "azp": "assistant" });
    let proof = world.sign(json!({ "from": "idp", "claims": subject }), now);
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*proof),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ITSELF,
    ];
    issued(&world.send(post("/oauth/token", ASSISTANT, &fields), now)).unwrap()
}

fn measure(world: &World, whom: Whom, now: i64) {
    by_operator(world, &Step::measure(Measure::CutOff, &whom), now);
}

/// However many are cut off at once: builds take turns with them, so that each is shown and nobody else is
/// asked about for as long as something may still come; and what came is found as soon as nothing can.
#[test]
fn x11_more_may_be_cut_off_at_once_than_one_build_follows() {
    let world = World::new("plain");
    let names: Vec<String> =
        (0..3 * STATUS_PAGES_CUT_OFF).map(|number| format!("user-{number:02}")).collect();
    let sessions =
        |now| -> Vec<String> { names.iter().map(|name| user(&world, name, now)).collect() };
    let early = sessions(BEGINNING);
    let other = user(&world, "somebody-else", BEGINNING);
    for name in &names {
        measure(&world, Whom::User(format!("user:idp:{name}")), BEGINNING + 1);
    }
    // They end in one hour, so one list is for all of them.
    let read = |now| std::iter::repeat_with(|| list(&world, &other, now)).take(4).last().unwrap();
    for now in [BEGINNING + 3, BEGINNING + 4, BEGINNING + 20] {
        let shown = read(now);
        assert!(early.iter().all(|token| shown.shows(token)), "{now}");
        assert!(shown.count() < 50, "nobody else");
    }
    // Instances that had not heard of it went on for a moment. One who may go on and does so later is not shown.
    let late = sessions(BEGINNING + 5);
    let again = user(&world, &names[0], BEGINNING + 40);
    let now = BEGINNING + 62;
    let shown = read(now);
    assert!(late.iter().all(|token| shown.shows(token)));
    assert!(!shown.shows(&again), "it goes on with a new session");
    world.host.faults.clear();
    read(now + 1);
    assert_eq!(world.host.faults.made(Call::List), 0, "all were gone through");
}

/// Whoever is cut off: the sessions found by the index are shown, and where there is none to find them by,
/// or too many, every token has to be asked about.
#[test]
fn x11_who_is_cut_off_is_shown_and_where_nobody_can_say_everybody_is() {
    let world = World::new("plain");
    let [one, two] = ["one", "two"].map(|name| user(&world, name, BEGINNING));
    assert_eq!(list(&world, &one, BEGINNING).count(), 0);
    measure(&world, Whom::User("user:idp:one".into()), BEGINNING + 1);
    // No older than the snapshot: a change of the zone is not waited for.
    let shown = list(&world, &one, BEGINNING + 3);
    assert!(shown.shows(&one) && !shown.shows(&two));
    // What an instance decided a moment later, from an older snapshot, is found as well.
    let late = user(&world, "one", BEGINNING + 5);
    assert!(list(&world, &late, BEGINNING + 15).shows(&late));
    let again = user(&world, "one", BEGINNING + 37);
    assert!(!list(&world, &again, BEGINNING + 80).shows(&again), "it goes on with a new session");
    measure(&world, Whom::Application("assistant".into()), BEGINNING + 81);
    assert!(list(&world, &two, BEGINNING + 84).shows(&two));
    assert!(list(&world, &two, BEGINNING + 84).count() < 10);

    let world = World::new("plain");
    let token = user(&world, "one", BEGINNING);
    measure(&world, Whom::Rule("people".into()), BEGINNING + 1);
    assert_eq!(list(&world, &token, BEGINNING + 3).count(), STATUS_BITS);
    let later = BEGINNING + 3_800;
    let token = user(&world, "one", later);
    assert_eq!(list(&world, &token, later).count(), 0, "nothing of that time is alive");

    let world = World::new("plain");
    let token = user(&world, "one", BEGINNING);
    let application = |number: usize| Entry {
        index: "application",
        name: "files-api".into(),
        at: Timestamp(BEGINNING),
        key: format!("hop/{number}"),
        expires: Timestamp(BEGINNING + 9_999),
    };
    let place = Partition { zone: "plain".into(), kind: Kind::Session, id: "busy".into() };
    for number in 0..=STATUS_CUT_PAGES * 100 {
        let entry = batch(&format!("busy-{number}"), vec![application(number)]);
        world.host.store.commit(&place, entry).unwrap();
    }
    measure(&world, Whom::Application("files-api".into()), BEGINNING + 1);
    for _ in 0..STATUS_CUT_PAGES / STATUS_PAGES_CUT_OFF + 1 {
        assert_eq!(feed(&world, &token, BEGINNING + 3)["all"], true);
    }
    world.host.faults.clear();
    assert_eq!(feed(&world, &token, BEGINNING + 12)["all"], true);
    assert_eq!(world.host.faults.made(Call::List), 0, "it is not tried for ever");

    let world = World::new("plain");
    let token = user(&world, "one", BEGINNING);
    by_operator(&world, &Step::rotation(Rotation::Emergency), BEGINNING + 1);
    assert_eq!(list(&world, &token, BEGINNING + 3).count(), STATUS_BITS);
    assert_eq!(list(&world, &token, BEGINNING + 400).count(), 0);
}

/// Cut-offs of many sessions at once: everybody is asked about for as long as they matter, and not beyond.
#[test]
fn x11_a_list_recovers_from_more_sessions_cut_off_than_it_has_room_for() {
    let world = World::new("plain");
    // It ends days from now, so one list is there before the cut-offs and after.
    let hour = BEGINNING / 3_600 + 30;
    let busy = |user: usize, number: usize| {
        let place = Partition {
            zone: "plain".into(),
            kind: Kind::Session,
            id: format!("session-{user}-{number:04}"),
        };
        let entry = Entry {
            index: "user",
            name: format!("user:idp:busy-{user}"),
            at: Timestamp(BEGINNING),
            key: "hop/1".into(),
            expires: Timestamp(BEGINNING + 99_999),
        };
        world.host.store.commit(&place, batch(&place.id, vec![entry])).unwrap();
    };
    let many = STATUS_CUT_PAGES * 100 - 50;
    let users = STATUS_ENTRIES / many + 1;
    assert!((users - 1) * many < STATUS_ENTRIES && users * many > STATUS_ENTRIES);
    enter(&world, hour, 0..10, BEGINNING);
    let read = |now| {
        let ask = |path: &str| world.send(get(&format!("/{path}/{hour}")), now);
        let feed = || ask("revocations").json().unwrap();
        let feed = std::iter::repeat_with(feed).take(users * 4).last().unwrap();
        let count = List::read(&ask("status"), &published(&|path| world.send(get(path), now)));
        (feed["all"] == true, feed["sessions"].as_array().unwrap().len(), count.count())
    };
    for user in 0..users {
        (0..many).for_each(|number| busy(user, number));
    }
    for user in 0..users - 1 {
        measure(&world, Whom::User(format!("user:idp:busy-{user}")), BEGINNING + 1);
    }
    let (all, sessions, _) = read(BEGINNING + 3);
    assert_eq!((all, sessions), (false, (users - 1) * many + 10), "all of them by name");
    measure(&world, Whom::User(format!("user:idp:busy-{}", users - 1)), BEGINNING + 4);
    for now in [6, 100, 3_600] {
        let (all, sessions, count) = read(BEGINNING + now);
        assert_eq!((all, sessions, count), (true, 0, STATUS_BITS), "{now}");
    }
    world.host.faults.clear();
    read(BEGINNING + 3_601);
    assert_eq!(
        world.host.faults.made(Call::List),
        0,
        "what there is no room for is not read again"
    );
    // Nothing of that time is alive.
    let later = BEGINNING + 3_600 + 200;
    assert_eq!(read(later), (false, 10, 10));
    assert_eq!(read(later + STATUS_FRESH_SECS), (false, 10, 10));
}

/// Whoever comes while an instance lists waits for that, and lists nothing.
#[test]
fn of_requests_at_one_moment_one_lists() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING);
    let (list, feed) = paths(&token);
    for seed in 0..200 {
        let host = world.host.sibling();
        world.host.copies.lock().unwrap().clear();
        let racers: Vec<Racer<'_>> = [&list, &feed, &list]
            .into_iter()
            .map(|path| Racer { request: get(path), host: &host, slot: "" })
            .collect();
        let ran = run(&world.deployment, &racers, BEGINNING, Random::of(seed), Trouble::default());
        assert!(ran.answers.iter().all(|answer| answer.status == 200), "seed {seed}");
        assert_eq!(host.faults.made(Call::List), 1, "seed {seed}");
        assert_eq!(host.faults.made(Call::Sign), 1, "seed {seed}");
        assert_eq!(ran.answers[0].body, ran.answers[2].body, "seed {seed}");
    }
}

/// A list is signed by the key that signs tokens, and is none.
#[test]
fn j19_a_status_list_is_no_token() {
    let world = World::new("plain");
    let token = open(&world, BEGINNING);
    let list = world.send(get(&paths(&token).0), BEGINNING);
    let list = String::from_utf8(list.body).unwrap();
    world.take_events();
    assert_eq!(world.send(exchange(&list, FILES), BEGINNING).status, 400);
    assert_eq!(world.take_events().pop().unwrap().reason, Some("type_wrong"));
    let asked = post("/oauth/introspect", ASSISTANT, &[("token", &list)]);
    assert_eq!(world.send(asked, BEGINNING).json().unwrap(), json!({ "active": false }));
    assert_eq!(world.send(exchange(&token, FILES), BEGINNING).status, 200, "its twin");
}
