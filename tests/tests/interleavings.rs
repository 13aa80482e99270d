//! Requests that meet at the store in every order (X11, X12, J21, S09): a seeded scheduler lets several of
//! them run on two instances over one store, a call of the port at a time, and lets calls fail.
//!
//! `WRIT_SCHEDULES` sets how many schedules there are of each scenario, instead of 12,000 in all;
//! `WRIT_SCHEDULE` replays the one with that seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

use serde_json::{Value, json};
use writ_core::active::{SNAPSHOT, Snapshot, partition};
use writ_core::host::Range;
use writ_core::http::Request;
use writ_core::keys::{Rotation, key_record};
use writ_core::limits;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_tests::forms::{ASSISTANT, form, post};
use writ_tests::operator;
use writ_tests::planted::Bug;
use writ_tests::schedule::idle::Idle;
use writ_tests::schedule::invariants::{Role, issued};
use writ_tests::schedule::refreshes::Refreshes;
use writ_tests::schedule::scene::{Cast, START, Scene, exchange};
use writ_tests::schedule::{Ran, Random, Scenario, Written};
use writ_tests::trace::claims;

const FILES: (&str, &str) = ("resource", "https://files.example/api");
const ITSELF: (&str, &str) = ("audience", "assistant");
const TOKEN: &str = "/oauth/token";
const EXCHANGE: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const ASSERTION: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// What came of many schedules.
#[derive(Debug, Default)]
struct Tally {
    schedules: u64,
    issued: usize,
    refused: usize,
    unavailable: usize,
    faults: usize,
    steps: usize,
}

/// Plays `usual` schedules, or as many as the environment says, and stops at the first that is wrong.
fn explore<S: Scenario>(usual: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("WRIT_SCHEDULE") {
        Some(seed) => seed..=seed,
        None => 1..=number("WRIT_SCHEDULES").unwrap_or(usual),
    };
    let mut scene = S::scene();
    let scenario = S::begin(&mut scene);
    let mut tally = Tally::default();
    for seed in seeds {
        match scenario.play(&scene, seed, None) {
            Ok(ran) => tally.add(&ran),
            Err(what) => panic!("{what}\nreplay it with WRIT_SCHEDULE={seed}"),
        }
    }
    println!("{tally:?}");
    let one = tally.schedules < 100;
    let stopped = tally.refused + tally.unavailable;
    assert!(one || (tally.issued > 0 && stopped > 0), "nothing was raced for: {tally:?}");
}

impl Tally {
    fn add(&mut self, ran: &Ran) {
        self.schedules += 1;
        self.faults += ran.faults;
        self.steps += ran.answered.iter().max().unwrap();
        for answer in &ran.answers {
            match answer.status {
                _ if issued(answer).is_some() => self.issued += 1,
                400..500 => self.refused += 1,
                503 => self.unavailable += 1,
                _ => {}
            }
        }
    }
}

/// Plays schedules of a host with a bug until one shows it, which its seed then shows again. Returns how
/// many it took.
fn find<S: Scenario>(bug: Bug, by: &str) -> u64 {
    find_within::<S>(MOST, bug, by)
}

/// As [`find`], in so many schedules.
fn find_within<S: Scenario>(most: u64, bug: Bug, by: &str) -> u64 {
    let mut scene = S::scene();
    let scenario = S::begin(&mut scene);
    for seed in 1..=most {
        let Err(what) = scenario.play(&scene, seed, Some(bug)) else { continue };
        assert!(what.contains(by), "{bug:?} was to be found otherwise: {what}");
        println!("{bug:?} after {seed} schedules: {what}");
        // On a scene of its own too: what the seed says depends on nothing that was before.
        let mut scene = S::scene();
        let scenario = S::begin(&mut scene);
        let again = scenario.play(&scene, seed, Some(bug)).err().unwrap_or_default();
        assert!(again.contains(by), "the seed shows something else: {again}");
        return seed;
    }
    panic!("{bug:?} was not found in {most} schedules");
}

/// So many schedules find a bug, or do not look for it.
const MOST: u64 = 1_000;

fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

fn jti(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}

/// A session of three hops, each below the other, that a task's id joins.
struct Tree {
    tokens: [String; 3],
    session: String,
}

const TASK: (&str, &str) = ("task_id", "t-1");

impl Tree {
    fn grow(scene: &mut Scene) -> Self {
        let root = scene.open(&[ITSELF, TASK], START);
        let child = scene.token(exchange(&root, ITSELF), START);
        let leaf = scene.token(exchange(&child, ITSELF), START);
        scene.save();
        Self { session: sid(&root), tokens: [root, child, leaf] }
    }

    /// Exchanges of some of the tokens.
    fn exchanges(&self, random: &mut Random, cast: &mut Cast) {
        for _ in 0..1 + random.below(2) {
            let token = random.one_of(&self.tokens);
            let target = random.one_of(&[FILES, ITSELF]);
            cast.add(Role::Exchange, "", exchange(&token, target));
        }
    }

    fn revoke(&self, random: &mut Random, cast: &mut Cast) {
        let token = random.one_of(&self.tokens);
        let role = Role::Stop { session: self.session.clone(), hop: Some(jti(&token)) };
        cast.add(role, "", post("/oauth/revoke", ASSISTANT, &[("token", &token)]));
    }

    fn end(&self, scene: &Scene, random: &mut Random, cast: &mut Cast) {
        let role = Role::Stop { session: self.session.clone(), hop: None };
        cast.add(role, "", end(scene, &self.session, random));
    }

    fn join(cast: &mut Cast) {
        let fields = [("grant_type", "client_credentials"), FILES, TASK];
        cast.add(Role::Exchange, "", post(TOKEN, ASSISTANT, &fields));
    }

    /// After all of it, what was issued is alive unless it was stopped.
    fn settle(&self, scene: &Scene, ran: &Ran) -> Result<(), String> {
        for token in ran.answers.iter().filter_map(issued) {
            let claims = claims(&token);
            if claims["aud"] != FILES.1 {
                continue;
            }
            let stops = |key: &String| {
                let path = claims["path"].as_array().unwrap().iter();
                let revoked =
                    |step: &Value| *key == format!("revoked/{}", step["jti"].as_str().unwrap());
                key == "ended" || path.clone().any(revoked)
            };
            let stopped = ran.written.iter().flat_map(|written| &written.keys).any(stops);
            if scene.is_active(&token, START + 50) == stopped {
                return Err(format!("a token is told to be alive: {}", !stopped));
            }
        }
        Ok(())
    }
}

/// The end of a session, by the operator or by who opened it.
fn end(scene: &Scene, session: &str, random: &mut Random) -> Request {
    if random.once_in(2) {
        return operator::request(&scene.world.deployment, &Step::end(session), START);
    }
    post(&format!("/sessions/{session}/complete"), ASSISTANT, &[])
}

struct Revocations(Tree);

impl Scenario for Revocations {
    fn begin(scene: &mut Scene) -> Self {
        Self(Tree::grow(scene))
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        scene.restore(START);
        let mut cast = Cast::default();
        self.0.exchanges(&mut random, &mut cast);
        for _ in 0..1 + random.below(2) {
            self.0.revoke(&mut random, &mut cast);
        }
        let ran = scene.run(&cast, START, &mut random, bug)?;
        self.0.settle(scene, &ran)?;
        Ok(ran)
    }
}

#[test]
fn x12_issuance_racing_revocation() {
    explore::<Revocations>(2_500);
}

struct Ends(Tree);

impl Scenario for Ends {
    fn begin(scene: &mut Scene) -> Self {
        Self(Tree::grow(scene))
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        scene.restore(START);
        let mut cast = Cast::default();
        self.0.exchanges(&mut random, &mut cast);
        self.0.end(scene, &mut random, &mut cast);
        if random.once_in(2) {
            Tree::join(&mut cast);
        }
        if random.once_in(4) {
            self.0.revoke(&mut random, &mut cast);
        }
        let ran = scene.run(&cast, START, &mut random, bug)?;
        self.0.settle(scene, &ran)?;
        Ok(ran)
    }
}

#[test]
fn x12_x16_issuance_racing_the_end_of_its_session() {
    explore::<Ends>(2_500);
}

/// A single-use proof, and what it can be shown beside.
struct Redemptions {
    proof: String,
    user: String,
    token: String,
    session: String,
}

/// Where the proof can be shown.
const SLOTS: [&str; 6] = ["subject", "assertion", "client", "user", "session", "endpoint"];

impl Redemptions {
    fn request(&self, slot: &'static str) -> Request {
        let client = [ASSERTION, ("client_assertion", self.proof.as_str())];
        let beside = |subject, kind| {
            let shown = [EXCHANGE, ("subject_token", subject), ("subject_token_type", kind), FILES];
            form(TOKEN, &[&client[..], &shown].concat())
        };
        let jwt_bearer = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let jwt = "urn:ietf:params:oauth:token-type:jwt";
        match slot {
            "subject" => {
                let shown =
                    [EXCHANGE, ("subject_token", &self.proof), ("subject_token_type", jwt), FILES];
                post(TOKEN, ASSISTANT, &shown)
            }
            "assertion" => form(TOKEN, &[jwt_bearer, ("assertion", &self.proof), FILES]),
            "client" => {
                form(TOKEN, &[&client[..], &[("grant_type", "client_credentials"), FILES]].concat())
            }
            "user" => beside(&*self.user, "urn:ietf:params:oauth:token-type:id_token"),
            "session" => beside(&*self.token, "urn:ietf:params:oauth:token-type:access_token"),
            _ => form("/oauth/revoke", &[&client[..], &[("token", "nonsense")]].concat()),
        }
    }
}

impl Scenario for Redemptions {
    fn begin(scene: &mut Scene) -> Self {
        let proof = json!({ "from": "jobs", "claims": { "sub": "assistant" } });
        let user = json!({ "sub": "alice", "tenant": "acme", "azp": "assistant" });
        let mut this = Self {
            proof: scene.world.sign(proof, START),
            user: scene.world.sign(json!({ "from": "idp", "claims": user }), START),
            token: scene.open(&[ITSELF], START),
            session: String::new(),
        };
        scene.save();
        // Each instance fetches the issuers' keys, and the proof's session gets its name.
        for host in &scene.instances {
            for slot in ["assertion", "user"] {
                scene.restore(START);
                let answer = scene.send(host, this.request(slot), START);
                if slot == "assertion" {
                    this.session = sid(&issued(&answer).unwrap());
                }
            }
        }
        this
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        scene.restore(START);
        let mut cast = Cast::default();
        let same = random.once_in(3).then(|| random.one_of(&SLOTS));
        for _ in 0..2 + random.below(2) {
            let slot = same.unwrap_or_else(|| random.one_of(&SLOTS));
            cast.add(Role::Redeem, slot, self.request(slot));
        }
        // Its session may be ended as soon as it is opened.
        if random.once_in(4) {
            let role = Role::Stop { session: self.session.clone(), hop: None };
            cast.add(role, "", end(scene, &self.session, &mut random));
        }
        scene.run(&cast, START, &mut random, bug)
    }
}

#[test]
fn j21_x12_redemptions_of_one_proof_in_all_slots() {
    explore::<Redemptions>(3_500);
}

#[test]
fn a05_x12_uses_of_one_family_of_refresh_tokens() {
    explore::<Refreshes>(1_500);
}

#[test]
fn a05_schedules_find_a_rotation_without_its_condition() {
    find::<Refreshes>(Bug::RotateBlindly, "was given when");
    find::<Refreshes>(Bug::CheckBeforeCommit, "");
    find::<Refreshes>(Bug::DropRevoked, "");
}

#[test]
fn x16_hops_that_meet_the_end_of_an_idle_session() {
    explore::<Idle>(500);
}

#[test]
fn x16_schedules_find_a_hop_in_an_idle_session() {
    find::<Idle>(Bug::IgnoreIdle, "after the session was over");
    // The clock has to leap over the very moment, while an exchange is slower than two who ask.
    find_within::<Idle>(12_000, Bug::IdleToTheEdge, "after the session was over");
}

/// Changes to the zone racing issuance: rotations of its key, and cut-offs.
struct Changes;

impl Scenario for Changes {
    fn begin(_scene: &mut Scene) -> Self {
        Self
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        // The zone is never put back, so time goes on.
        let now = START + i64::try_from(seed).unwrap() * 100;
        scene.restore(now);
        let first = operator(scene, &Step::rotation(Rotation::Emergency), now);
        assert_eq!(scene.send(&scene.world.host, first, now).status, 200);
        let now = now + 5;
        scene.restore(now);
        let before = zone(scene);
        let root = scene.open(&[ITSELF], now);
        let mut cast = Cast::default();
        for _ in 0..1 + random.below(2) {
            cast.add(Role::Exchange, "", exchange(&root, FILES));
        }
        for _ in 0..1 + random.below(2) {
            let assistant = Whom::Application("assistant".to_owned());
            let step = random.one_of(&[
                Step::rotation(Rotation::Emergency),
                Step::rotation(Rotation::Planned),
                Step::rotation(Rotation::AtOnce),
                Step::measure(Measure::CutOff, &assistant),
            ]);
            cast.add(Role::Change, "", operator(scene, &step, now));
        }
        let ran = scene.run(&cast, now, &mut random, bug)?;
        settle(scene, &before, &ran, now + 50)?;
        Ok(ran)
    }
}

fn operator(scene: &Scene, step: &Step, now: i64) -> Request {
    operator::request(&scene.world.deployment, step, now)
}

/// The zone as the store has it.
fn zone(scene: &Scene) -> Snapshot {
    let zone = partition(&scene.world.deployment.zone);
    let records = scene.world.host.store.read(&zone, Range::of(SNAPSHOT));
    serde_json::from_slice(&records[0].value).unwrap()
}

/// No change is lost and every key in use has its private half. What was issued under the zone as it was
/// is dead once every instance knows, where a change was to kill it, and it was issued within 5 s.
fn settle(scene: &Scene, before: &Snapshot, ran: &Ran, later: i64) -> Result<(), String> {
    let after = zone(scene);
    let changes: Vec<&Written> =
        ran.written.iter().filter(|written| written.has(SNAPSHOT)).collect();
    if after.seq != before.seq + changes.len() as u64 {
        return Err(format!("`seq` went from {} to {}", before.seq, after.seq));
    }
    let place = partition(&scene.world.deployment.zone);
    let records = scene.world.host.store.read(&place, Range::of("key/"));
    let sealed: Vec<String> = records.into_iter().map(|record| record.key).collect();
    let used: Vec<String> = after.keys.keys().map(|kid| key_record(kid)).collect();
    if sealed != used {
        return Err(format!("keys {used:?} are in use, {sealed:?} are there"));
    }
    let cut_off = after.cut_offs.values().map(|cut_off| cut_off.seq).max().unwrap_or(0);
    let kills = after.floor.max(cut_off);
    let killed = (1..).zip(&changes).find(|(number, _)| before.seq + number == kills);
    for token in ran.answers.iter().filter_map(issued) {
        let path = claims(&token)["path"].as_array().unwrap().clone();
        let oldest = path.iter().filter_map(|step| step["seq"].as_u64()).min().unwrap();
        let newest = path.iter().filter_map(|step| step["seq"].as_u64()).max().unwrap();
        let dead = oldest < kills;
        if scene.is_active(&token, later) == dead {
            return Err(format!("a token of `seq` {oldest} is told to be alive: {dead}"));
        }
        let hop = format!("hop/{}", jti(&token));
        let written = ran.written.iter().find(|written| written.has(&hop)).unwrap();
        if let Some((_, change)) = killed.filter(|_| newest < kills)
            && written.at > change.at + limits::SNAPSHOT_STALE_SECS
        {
            let late = written.at - change.at;
            return Err(format!("a token was issued {late} s after a change that kills it"));
        }
    }
    Ok(())
}

#[test]
fn s09_x11_issuance_racing_rotations_and_cut_offs() {
    explore::<Changes>(1_500);
}

#[test]
fn x12_schedules_find_a_check_before_the_commit() {
    find::<Ends>(Bug::CheckBeforeCommit, "was recorded at step");
    find::<Revocations>(Bug::CheckBeforeCommit, "was recorded at step");
    find::<Redemptions>(Bug::CheckBeforeCommit, "of the uses of one proof");
    find::<Changes>(Bug::CheckBeforeCommit, "`seq` went");
}

#[test]
fn x12_schedules_find_a_check_of_the_parent_only() {
    find::<Revocations>(Bug::CheckOnlyParent, "was recorded at step");
}

#[test]
fn j21_schedules_find_a_claim_per_slot() {
    find::<Redemptions>(Bug::ClaimPerSlot, "of the uses of one proof");
}

/// The rest of the bugs at hand: each is found by one scenario or another.
#[test]
fn x12_schedules_find_what_is_not_kept() {
    find::<Ends>(Bug::IgnoreEnded, "was recorded at step");
    find::<Revocations>(Bug::DropRevoked, "");
    find::<Redemptions>(Bug::IgnoreSpent, "of the uses of one proof");
    find::<Revocations>(Bug::DropHop, "without its record");
    find::<Changes>(Bug::IgnoreVersion, "`seq` went");
    find::<Changes>(Bug::IgnoreUntil, "after a change that kills it");
}
