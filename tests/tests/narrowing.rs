//! Narrowing, as properties (X01, X03, X05, X06): over random zones, envelopes and walks of up to
//! twelve hops, nothing issued exceeds any ancestor, the envelope or a lifetime, and nothing that
//! lies within them is refused.
//!
//! `WRIT_WALKS` sets the number of walks; the release run of the suite makes a million hops.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use writ_core::active::{Active, Snapshot};
use writ_core::ask::{Ask, GrantType, Shown};
use writ_core::bundle::{Application, Bundle, Resource, Task, TokenType};
use writ_core::client::{Client, Proof};
use writ_core::grant::{self, Grant, Standing};
use writ_core::identity::{Identity, Principal, Source};
use writ_core::jwk::Algorithm;
use writ_core::moment::{Moment, Timestamp};
use writ_core::own::{Act, OwnToken, Profile, Step, TaskSource, TokenTask};
use writ_core::parties::{Parties, Proofs};
use writ_core::refusal::{Reason, Slot};
use writ_core::secret::Secret;
use writ_core::status::Status;
use writ_core::task::{self, Envelope};
use writ_core::{limits, token};

const APPLICATIONS: usize = 6;
const RESOURCES: usize = 6;
const SCOPES: [&str; 4] = ["read", "write", "admin", "delete"];
const NOW: Timestamp = Timestamp(1_800_000_000);

fn application(number: usize) -> String {
    format!("app{number}")
}

fn resource(number: usize) -> String {
    format!("https://r{number}.example")
}

/// A set of scopes by its bits.
fn scopes(bits: u8) -> BTreeSet<String> {
    SCOPES
        .iter()
        .enumerate()
        .filter(|(index, _)| bits & (1 << index) != 0)
        .map(|(_, scope)| (*scope).to_owned())
        .collect()
}

/// Resource `n` is served by application `n`; tokens live `secs[n]` seconds.
fn zone(defaults: &[u8], secs: &[i64], envelope: Option<Envelope>) -> Active {
    let applications = (0..APPLICATIONS).map(|n| (application(n), Application::default()));
    let resources = (0..RESOURCES).map(|n| {
        let resource_row = Resource {
            scopes: scopes(0b1111),
            default_scopes: scopes(defaults[n]),
            owner: Some(application(n)),
            token_secs: Some(secs[n]),
            ..Resource::default()
        };
        (resource(n), resource_row)
    });
    let task = Task { envelope, claimants: (0..APPLICATIONS).map(application).collect() };
    let bundle = Bundle {
        version: 1,
        zone: "z".into(),
        issuer: "https://writ.example".into(),
        algorithm: Algorithm::ES256,
        token_secs: 300,
        session_secs: 3_600,
        idle_secs: None,
        record_secs: 3_600,
        danger_allow_http_loopback: false,
        issuers: BTreeMap::new(),
        rules: BTreeMap::new(),
        applications: applications.collect(),
        resources: resources.collect(),
        tasks: BTreeMap::from([("task".to_owned(), task)]),
        tags: BTreeMap::new(),
        claims: BTreeMap::new(),
        policies: BTreeMap::new(),
    };
    let snapshot = Snapshot { seq: 1, ..Snapshot::default() };
    Active::new(snapshot, NOW, "bundle".into(), bundle).unwrap()
}

fn moment(step: usize, now: Timestamp) -> Moment {
    let mut entropy = [0; 32];
    entropy[..8].copy_from_slice(&(step as u64).to_be_bytes());
    Moment { now, entropy }
}

/// The token that opens a session: a user's, made for application 0 and addressed to resource 1.
fn root(zone: &Active, root_scopes: u8, life: i64, envelope: Option<&Envelope>) -> OwnToken {
    let task = TokenTask {
        name: "task".into(),
        id: None,
        source: TaskSource::Envelope,
        envelope: envelope.map(task::envelope_name),
    };
    let scope = grant::joined(&scopes(root_scopes));
    let step = Step {
        jti: "root".into(),
        client_id: application(0),
        aud: resource(1),
        scope: scope.clone(),
        rules: vec![],
        seq: 1,
    };
    OwnToken {
        iss: zone.bundle.issuer.clone(),
        sub: "user:idp:alice".into(),
        sub_profile: Profile::User,
        aud: resource(1),
        client_id: application(0),
        scope,
        iat: NOW,
        exp: NOW.plus(life),
        jti: "root".into(),
        sid: "session".into(),
        act: Act::nest(&[application(0)]),
        task: Some(task),
        device: None,
        cnf: None,
        path: vec![step],
        seq: 1,
        status: Status::new(&zone.bundle, "session", NOW.plus(life)),
        idle: None,
        refresh: None,
    }
}

/// One request: who presents, for which resource (or itself), with which scopes, how much later.
#[derive(Clone, Debug)]
struct Request {
    presenter: usize,
    target: usize,
    asked: Option<u8>,
    later: i64,
    actor_life: Option<i64>,
}

fn steps() -> impl Strategy<Value = Vec<Request>> {
    let step = (
        0..APPLICATIONS,
        0..=RESOURCES,
        prop::option::weighted(0.8, 1..16_u8),
        0..40_i64,
        prop::option::weighted(0.2, -5..900_i64),
    );
    let step = step.prop_map(|(presenter, target, asked, later, actor_life)| Request {
        presenter,
        target,
        asked,
        later,
        actor_life,
    });
    prop::collection::vec(step, 1..12)
}

fn identity(own: OwnToken) -> Identity {
    Identity {
        principal: own.subject(),
        expires: own.exp,
        proof: [0; 32],
        source: Source::Own(Box::new(own)),
    }
}

fn ask(target: String, asked: Option<u8>) -> Ask {
    let shown = Shown { token: Secret::new(""), token_type: TokenType::AccessToken };
    Ask {
        grant: GrantType::TokenExchange {
            subject: shown,
            actor: None,
            requested: TokenType::AccessToken,
        },
        client: None,
        client_id: None,
        target: Some(target),
        scopes: asked.map(scopes),
        task: None,
        task_id: None,
        dpop: None,
    }
}

fn narrow(
    zone: &Active,
    subject: &OwnToken,
    step: &Request,
    envelope: Option<&Envelope>,
    moment: &Moment,
) -> Result<Grant, Reason> {
    let client = Client { application: application(step.presenter), proof: Proof::Secret };
    let actor = step.actor_life.map(|life| {
        let mut held = subject.clone();
        held.act = Act::nest(&[application(step.presenter)]);
        held.exp = moment.now.plus(life);
        Identity { proof: [1; 32], ..identity(held) }
    });
    let subject = Some(identity(subject.clone()));
    let proofs = Proofs { client: Some(client), subject, actor, slot: Slot::Subject, key: None };
    let target = match step.target {
        RESOURCES => application(step.presenter),
        number => resource(number),
    };
    let ask = ask(target, step.asked);
    let standing = Standing { envelope: envelope.cloned(), ..Standing::default() };
    let parties = Parties::join(zone, application(step.presenter), proofs)
        .map_err(|refusal| refusal.reason)?;
    let task = task::of(zone, &ask, &parties).map_err(|refusal| refusal.reason)?;
    Grant::narrow(zone, &ask, &parties, task, &standing, moment).map_err(|refusal| refusal.reason)
}

/// Scopes of a token.
fn held(token: &OwnToken) -> BTreeSet<String> {
    token.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect()
}

/// Scopes of a hop.
fn had(step: &Step) -> BTreeSet<String> {
    step.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect()
}

/// What a grant must never be.
fn check(
    parent: &OwnToken,
    step: &Request,
    grant: &Grant,
    minted: &OwnToken,
    envelope: Option<&Envelope>,
    now: Timestamp,
) {
    let audience = grant.target.audience();
    for ancestor in parent.path.iter().filter(|step| step.aud == audience) {
        assert!(held(minted).is_subset(&had(ancestor)), "X01: beyond an ancestor on one resource");
    }
    if let Some(envelope) = envelope
        && minted.aud != minted.client_id
    {
        let allowed = envelope.get(audience).expect("X01: a resource outside the envelope");
        assert!(held(minted).is_subset(allowed), "X01: a scope outside the envelope");
    }
    assert!(minted.exp <= parent.exp, "X03: longer than the parent");
    assert!(minted.exp > now, "X03: born dead");
    if let Some(life) = step.actor_life {
        assert!(minted.exp <= now.plus(life), "X03: longer than the actor's token");
    }
    assert!(minted.path.len() <= limits::PATH, "X06: too deep");
    assert_eq!(minted.path.len(), parent.path.len() + 1);
    assert!(minted.path.starts_with(&parent.path), "X04: the path was rewritten");
    assert_eq!((&minted.sub, &minted.sid), (&parent.sub, &parent.sid));
    let actors = minted.actors();
    let distinct: BTreeSet<&String> = actors.iter().collect();
    assert_eq!(distinct.len(), actors.len(), "X05: an actor twice on the chain");
    assert!(actors.ends_with(&parent.actors()), "X04: a prior actor was dropped");
    assert_eq!(actors.first(), Some(&application(step.presenter)));
}

/// Whether a request lies within everything above it, said once more and otherwise than the core
/// says it: from the numbers of the walk alone.
fn within(
    zone: &Active,
    parent: &OwnToken,
    step: &Request,
    envelope: Option<&Envelope>,
    now: Timestamp,
) -> bool {
    let me = application(step.presenter);
    let mine = parent.aud == me && parent.actors().first() == Some(&me);
    let addressed = parent.aud == resource(step.presenter) && !parent.actors().contains(&me);
    let alive = parent.exp > now && step.actor_life.is_none_or(|life| life > 0);
    let itself = step.target == RESOURCES;
    let asked = match step.asked {
        Some(bits) => scopes(bits),
        None if itself => BTreeSet::new(),
        None => {
            let target = resource(step.target);
            let above: Vec<_> = parent.path.iter().filter(|hop| hop.aud == target).collect();
            match above.split_first() {
                None => zone.bundle.resources[&target].default_scopes.clone(),
                Some((first, rest)) => rest.iter().fold(had(first), |all, hop| &all & &had(hop)),
            }
        }
    };
    let fits = if itself {
        mine && asked.is_empty()
    } else {
        let target = resource(step.target);
        let above = parent.path.iter().filter(|hop| hop.aud == target);
        let by_parent = above.into_iter().all(|hop| asked.is_subset(&had(hop)));
        let by_envelope = envelope.is_none_or(|envelope| {
            envelope.get(&target).is_some_and(|allowed| asked.is_subset(allowed))
        });
        !asked.is_empty() && by_parent && by_envelope
    };
    (mine || addressed) && alive && fits && parent.path.len() < limits::PATH
}

#[derive(Clone, Debug)]
struct Walk {
    defaults: Vec<u8>,
    secs: Vec<i64>,
    envelope: Option<Vec<Option<u8>>>,
    root_scopes: u8,
    life: i64,
    steps: Vec<Request>,
}

fn walks() -> impl Strategy<Value = Walk> {
    (
        prop::collection::vec(0..16_u8, RESOURCES),
        prop::collection::vec(10..900_i64, RESOURCES),
        prop::option::weighted(
            0.7,
            prop::collection::vec(prop::option::weighted(0.8, 1..16_u8), RESOURCES),
        ),
        0..16_u8,
        1..900_i64,
        steps(),
    )
        .prop_map(|(defaults, secs, envelope, root_scopes, life, steps)| Walk {
            defaults,
            secs,
            envelope,
            root_scopes,
            life,
            steps,
        })
}

fn walk(walk: &Walk) -> usize {
    let envelope: Option<Envelope> = walk.envelope.as_ref().map(|bits| {
        let pairs = bits.iter().enumerate();
        pairs.filter_map(|(n, bits)| Some((resource(n), scopes((*bits)?)))).collect()
    });
    let zone = zone(&walk.defaults, &walk.secs, envelope.clone());
    let mut parent = root(&zone, walk.root_scopes, walk.life, envelope.as_ref());
    let mut now = NOW;
    let mut hops = 0;
    for (number, step) in walk.steps.iter().enumerate() {
        now = now.plus(step.later);
        let moment = moment(number, now);
        let narrowed = narrow(&zone, &parent, step, envelope.as_ref(), &moment);
        hops += 1;
        match narrowed {
            Ok(grant) => {
                assert!(within(&zone, &parent, step, envelope.as_ref(), now), "issued: {step:?}");
                let minted = token::mint(&zone, &grant, now);
                check(&parent, step, &grant, &minted, envelope.as_ref(), now);
                parent = minted;
            }
            Err(reason) => {
                let allowed = within(&zone, &parent, step, envelope.as_ref(), now);
                assert!(!allowed, "refused with {reason:?}: {step:?} of {parent:?}");
            }
        }
    }
    hops
}

#[test]
fn x01_x03_x05_x06_nothing_exceeds_what_stands_above_it_and_the_rest_is_granted() {
    let cases =
        std::env::var("WRIT_WALKS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let hops = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&hops);
    runner
        .run(&walks(), move |case| {
            counted.fetch_add(walk(&case), std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    println!("{} hops in {cases} walks", hops.load(std::sync::atomic::Ordering::Relaxed));
}

/// The positive twin: two resources in one envelope, each reached from the other.
#[test]
fn x01_two_resources_of_one_envelope_are_both_reached() {
    let envelope = Envelope::from([(resource(1), scopes(0b1)), (resource(2), scopes(0b11))]);
    let zone = zone(&[1; RESOURCES], &[300; RESOURCES], Some(envelope.clone()));
    let parent = root(&zone, 0b1, 600, Some(&envelope));
    let step = |presenter, target, asked| Request {
        presenter,
        target,
        asked: Some(asked),
        later: 0,
        actor_life: None,
    };
    let go = |parent: &OwnToken, step: &Request| {
        let moment = moment(parent.path.len(), NOW);
        narrow(&zone, parent, step, Some(&envelope), &moment)
            .map(|grant| token::mint(&zone, &grant, NOW))
    };
    let second = go(&parent, &step(1, 2, 0b11)).unwrap();
    assert_eq!(held(&second), scopes(0b11));
    let third = go(&second, &step(2, 1, 0b1)).unwrap();
    assert_eq!(third.aud, resource(1));
    assert_eq!(third.actors(), [application(2), application(1), application(0)]);
    assert_eq!(go(&second, &step(2, 1, 0b11)), Err(Reason::ScopeBeyondParent));
    assert_eq!(go(&second, &step(2, 3, 0b1)), Err(Reason::TargetOutsideEnvelope));
    assert_eq!(go(&third, &step(1, 2, 0b1)), Err(Reason::ChainCircular));
    assert_eq!(go(&second, &step(1, 2, 0b1)), Err(Reason::PresenterRefused));
    assert_eq!(third.subject(), Principal::User("user:idp:alice".into()));
}
