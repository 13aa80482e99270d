//! The requests whose every call fails in turn, and what each makes and leaves.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use writ_core::http::Request;
use writ_core::introspect::SIGNED;
use writ_core::keys::Rotation;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};
use writ_core::publish;
use writ_tests::forms::{
    ACCESS, ASSERTION, ASSISTANT, BEARER, EXCHANGE, FILES_API, ID_TOKEN, JWT, form, post,
    token_request,
};
use writ_tests::operator;
use writ_tests::schedule::invariants;
use writ_tests::schedule::scene::exchange;
use writ_tests::status::{by_operator, sid};
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World, block_on, moment};

/// A request, on an instance that just started.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) world: fn() -> World,
    /// Makes what the request needs, and then the request.
    pub(super) request: fn(&World) -> Request,
    /// How often it fetches, commits, reads, verifies, signs, lists and generates at the least, in the
    /// order of `Call::NEEDED`.
    pub(super) makes: [usize; 7],
    /// The records, by the first part of their keys, that may be there without the rest: what is spent
    /// or stored before the one commit that counts.
    pub(super) first: &'static [&'static str],
}

const fn row(
    what: &'static str,
    world: fn() -> World,
    request: fn(&World) -> Request,
    makes: [usize; 7],
    first: &'static [&'static str],
) -> Row {
    Row { what, world, request, makes, first }
}

/// Each reads the snapshot and the bundle.
pub(super) const EXCHANGES: [Row; 18] = [
    row("a single-use job's", plain, job, [1, 1, 2, 1, 1, 0, 0], &[]),
    row("a person's, with a job's proof", plain, with_proof, [2, 2, 2, 2, 1, 0, 0], &[SPENT]),
    row("a person's, with a secret", plain, with_secret, [1, 1, 2, 1, 2, 0, 0], &[]),
    row("a person's, with a key", plain, with_key, [2, 2, 2, 2, 2, 0, 0], &[SPENT]),
    row("a job's assertion", plain, assertion, [1, 1, 2, 1, 1, 0, 0], &[]),
    row("by a secret alone", plain, secret_alone, [0, 1, 2, 0, 1, 0, 0], &[]),
    row("by a key alone", plain, key_alone, [1, 1, 2, 1, 1, 0, 0], &[]),
    row("of a token of ours", plain, of_ours, [0, 1, 2, 1, 1, 0, 0], &[]),
    row("of a token of ours, with a key", plain, of_ours_keyed, [1, 2, 2, 2, 1, 0, 0], &[SPENT]),
    row("with an actor's token of ours", plain, with_actor, [0, 1, 2, 2, 1, 0, 0], &[]),
    row("with a DPoP proof", plain, bound, [0, 1, 2, 2, 1, 0, 0], &[]),
    row("begins a task's session", plain, by_task, [0, 1, 3, 0, 1, 0, 0], &[]),
    row("joins a task's session", plain, join, [0, 1, 3, 0, 1, 0, 0], &[]),
    row("of a changed envelope", plain, changed_envelope, [0, 1, 3, 1, 1, 0, 0], &[]),
    row("joins what may be idle", idle, join, [0, 1, 3, 0, 1, 0, 0], &[]),
    row("joins by a proof what may be idle", idle, join_by_proof, [1, 1, 3, 1, 1, 0, 0], &[]),
    row("a refresh", plain, refresh, [0, 1, 2, 1, 2, 0, 0], &[]),
    row("a refresh whose answer got lost", plain, refresh_again, [0, 2, 3, 1, 3, 0, 0], &[]),
];

pub(super) const SESSIONS: [Row; 14] = [
    row("revokes by a secret", plain, revoke, [0, 1, 2, 1, 0, 0, 0], &[]),
    row("revokes by a key", plain, revoke_keyed, [1, 2, 2, 2, 0, 0, 0], &[SPENT]),
    row("introspects by a secret", plain, introspect, [0, 1, 2, 1, 0, 0, 0], &[]),
    row("introspects by a key, signed", plain, introspect_keyed, [1, 2, 2, 2, 1, 0, 0], &[SPENT]),
    row("completes by a secret", plain, complete, [0, 1, 3, 0, 0, 0, 0], &[]),
    row("completes by a key", plain, complete_keyed, [1, 2, 3, 1, 0, 0, 0], &[SPENT]),
    row("ends by a secret", plain, end, [0, 1, 3, 0, 0, 0, 0], &[]),
    row("lists by a secret", plain, list, [0, 0, 4, 0, 0, 1, 0], &[]),
    row("lists by a key", plain, list_keyed, [1, 1, 4, 1, 0, 1, 0], &[SPENT]),
    row("shows by a secret", plain, show, [0, 0, 5, 0, 0, 0, 0], &[]),
    row("shows by a key", plain, show_keyed, [1, 1, 5, 1, 0, 0, 0], &[SPENT]),
    row("the operator lists", plain, operator_lists, [0, 1, 4, 1, 0, 1, 0], &[ASKED]),
    row("the operator shows", plain, operator_shows, [0, 1, 5, 1, 0, 0, 0], &[ASKED]),
    row("the operator ends", plain, operator_ends, [0, 2, 3, 1, 0, 0, 0], &[ASKED]),
];

/// Who looks at the zone reads the snapshot alone. What asks for a name or an algorithm reads the bundle.
pub(super) const OPERATORS: [Row; 9] = [
    row("looks at the zone", plain, look, [0, 1, 1, 1, 0, 0, 0], &[ASKED]),
    row("disables", plain, disable, [0, 2, 4, 1, 0, 0, 0], &[ASKED]),
    row("cuts off", plain, cut_off, [0, 2, 4, 1, 0, 0, 0], &[ASKED]),
    row("enables again", plain, enable, [0, 2, 2, 1, 0, 0, 0], &[ASKED]),
    row("stores a part of a bundle", plain, store, [0, 2, 1, 1, 0, 0, 0], &[ASKED]),
    row("activates a bundle", plain, activate, [0, 3, 3, 1, 1, 0, 0], &[ASKED, "bundle"]),
    row("rotates the key as planned", plain, rotate, [0, 2, 4, 1, 0, 0, 1], &[ASKED]),
    row("rotates the key at once", plain, rotate_at_once, [0, 2, 4, 1, 0, 0, 1], &[ASKED]),
    row("rotates in an emergency", plain, rotate_all, [0, 2, 4, 1, 0, 0, 1], &[ASKED]),
];

/// A proof that may be used once is spent before what it is shown for.
const SPENT: &str = "spent";
/// An operator's request is spent before it is done.
const ASKED: &str = "operator";

fn plain() -> World {
    World::new("plain")
}

fn idle() -> World {
    World::idle(600)
}

type Field<'a> = (&'a str, &'a str);

/// A token that a platform or an identity provider signed.
pub(super) fn token(world: &World, from: &str, claims: &Value) -> String {
    world.sign(json!({ "from": from, "claims": claims }), BEGINNING)
}

fn person(world: &World, client: &str) -> String {
    let claims =
        json!({ "sub": "alice", "tenant": "acme", "azp": client, "exp": BEGINNING + 1_000 });
    token(world, "idp", &claims)
}

fn shown<'a>(token: &'a str, kind: &'a str, target: Field<'a>) -> Vec<Field<'a>> {
    let grant = ("grant_type", EXCHANGE);
    vec![grant, ("subject_token_type", kind), ("subject_token", token), target]
}

/// A form of an application whose proof is a token.
fn proven(proof: &str, path: &str, fields: &[Field<'_>]) -> Request {
    let own = [("client_assertion_type", ASSERTION), ("client_assertion", proof)];
    form(path, &[&own[..], fields].concat())
}

/// A form of the application that has a key, and never the same proof twice.
fn keyed(world: &World, path: &str, fields: &[Field<'_>]) -> Request {
    proven(&token(world, "signer", &json!({ "sub": "signer" })), path, fields)
}

fn assistant(fields: &[Field<'_>]) -> Request {
    post("/oauth/token", ASSISTANT, fields)
}

fn issued(world: &World, request: Request) -> String {
    invariants::issued(&world.send(request, BEGINNING)).unwrap()
}

/// A session token of the assistant's.
fn session(world: &World) -> String {
    issued(world, secret_alone(world))
}

/// A session token of the application's that has a key.
fn key_session(world: &World) -> String {
    issued(world, key_alone(world))
}

/// A single-use job's exchange: it fetches, verifies, signs and commits.
pub(super) fn job(world: &World) -> Request {
    token_request(&shown(&token(world, "jobs", &json!({ "sub": "job" })), JWT, FILES))
}

/// A user's exchange with a single-use proof of the actor: it commits twice.
pub(super) fn with_proof(world: &World) -> Request {
    let proof = token(world, "jobs", &json!({ "sub": "assistant" }));
    proven(&proof, "/oauth/token", &shown(&person(world, "assistant"), ID_TOKEN, FILES))
}

fn with_secret(world: &World) -> Request {
    assistant(&shown(&person(world, "assistant"), ID_TOKEN, FILES))
}

fn with_key(world: &World) -> Request {
    keyed(world, "/oauth/token", &shown(&person(world, "signer"), ID_TOKEN, FILES))
}

fn assertion(world: &World) -> Request {
    let proof = token(world, "ci", &json!({ "sub": "builder" }));
    token_request(&[("grant_type", BEARER), ("assertion", &*proof), FILES])
}

fn secret_alone(_: &World) -> Request {
    assistant(&[GRANT, ITSELF])
}

fn key_alone(world: &World) -> Request {
    keyed(world, "/oauth/token", &[GRANT, ("audience", "signer")])
}

fn of_ours(world: &World) -> Request {
    exchange(&session(world), FILES)
}

fn of_ours_keyed(world: &World) -> Request {
    keyed(world, "/oauth/token", &shown(&key_session(world), ACCESS, FILES))
}

fn with_actor(world: &World) -> Request {
    let root = session(world);
    let actor = issued(world, exchange(&root, ITSELF));
    let beside = [("actor_token", &*actor), ("actor_token_type", ACCESS)];
    assistant(&[&shown(&root, ACCESS, FILES)[..], &beside].concat())
}

fn bound(world: &World) -> Request {
    let mut request = of_ours(world);
    let proof = world.sign(json!({ "dpop": true, "from": "phone" }), BEGINNING);
    request.headers.push(("dpop".to_owned(), proof));
    request
}

fn by_task(_: &World) -> Request {
    assistant(&[GRANT, ITSELF, TASK_ID])
}

fn join(world: &World) -> Request {
    issued(world, by_task(world));
    by_task(world)
}

fn join_by_proof(world: &World) -> Request {
    let proof = token(world, "ci", &json!({ "sub": "builder" }));
    let fields = [("grant_type", BEARER), ("assertion", &*proof), ("audience", "builder"), TASK_ID];
    issued(world, token_request(&fields));
    token_request(&fields)
}

/// The session's task allows less by now than when it was opened.
fn changed_envelope(world: &World) -> Request {
    let root = issued(world, assistant(&[GRANT, ITSELF, ("task", "release")]));
    let mut bundle = world.zone.compile().unwrap();
    let envelope = bundle.tasks.get_mut("release").unwrap().envelope.as_mut().unwrap();
    envelope.values_mut().for_each(|scopes| scopes.retain(|scope| scope != "write"));
    block_on(publish::activate(&*world.host, &bundle, &moment(BEGINNING))).unwrap();
    exchange(&root, FILES)
}

fn refresh(world: &World) -> Request {
    let answer = world.send(with_secret(world), BEGINNING).json().unwrap();
    let token = answer["refresh_token"].as_str().unwrap();
    assistant(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

fn refresh_again(world: &World) -> Request {
    let request = refresh(world);
    issued(world, request.clone());
    request
}

fn revoke(world: &World) -> Request {
    post("/oauth/revoke", ASSISTANT, &[("token", &session(world))])
}

fn revoke_keyed(world: &World) -> Request {
    keyed(world, "/oauth/revoke", &[("token", &key_session(world))])
}

fn introspect(world: &World) -> Request {
    let token = issued(world, of_ours(world));
    post("/oauth/introspect", FILES_API, &[("token", &token)])
}

fn introspect_keyed(world: &World) -> Request {
    let mut request = keyed(world, "/oauth/introspect", &[("token", &key_session(world))]);
    request.headers.push(("accept".to_owned(), SIGNED.to_owned()));
    request
}

fn one(token: &str) -> String {
    format!("/sessions/{}", sid(token))
}

fn complete(world: &World) -> Request {
    post(&format!("{}/complete", one(&session(world))), ASSISTANT, &[])
}

fn complete_keyed(world: &World) -> Request {
    keyed(world, &format!("{}/complete", one(&key_session(world))), &[])
}

fn end(world: &World) -> Request {
    let (id, secret) = ASSISTANT;
    let pair = Base64::encode_string(format!("{id}:{secret}").as_bytes());
    let headers = vec![("authorization".to_owned(), format!("Basic {pair}"))];
    Request { method: "DELETE".to_owned(), headers, ..get(&one(&session(world))) }
}

fn list(world: &World) -> Request {
    session(world);
    post("/sessions", ASSISTANT, &[])
}

fn list_keyed(world: &World) -> Request {
    key_session(world);
    keyed(world, "/sessions", &[])
}

fn show(world: &World) -> Request {
    post(&one(&session(world)), ASSISTANT, &[])
}

fn show_keyed(world: &World) -> Request {
    keyed(world, &one(&key_session(world)), &[])
}

fn by(world: &World, step: &Step) -> Request {
    operator::request(&world.deployment, step, BEGINNING)
}

fn operator_lists(world: &World) -> Request {
    session(world);
    by(world, &Step::sessions(""))
}

fn operator_shows(world: &World) -> Request {
    by(world, &Step::session(&sid(&session(world)), ""))
}

fn operator_ends(world: &World) -> Request {
    by(world, &Step::end(&sid(&session(world))))
}

fn measure(measure: Measure) -> Step {
    Step::measure(measure, &Whom::Application("assistant".to_owned()))
}

fn look(world: &World) -> Request {
    by(world, &Step::zone())
}

fn disable(world: &World) -> Request {
    by(world, &measure(Measure::Disable))
}

fn cut_off(world: &World) -> Request {
    by(world, &measure(Measure::CutOff))
}

fn enable(world: &World) -> Request {
    by_operator(world, &measure(Measure::Disable), BEGINNING);
    by(world, &measure(Measure::Enable))
}

/// The steps to a bundle that is not active.
fn publication(world: &World) -> Vec<Step> {
    let mut bundle = world.zone.compile().unwrap();
    bundle.token_secs = 60;
    Step::publication(&bundle.to_bytes().unwrap())
}

fn store(world: &World) -> Request {
    by(world, &publication(world)[0])
}

fn activate(world: &World) -> Request {
    let mut steps = publication(world);
    let last = steps.pop().unwrap();
    steps.iter().for_each(|step| by_operator(world, step, BEGINNING));
    by(world, &last)
}

fn rotate(world: &World) -> Request {
    by(world, &Step::rotation(Rotation::Planned))
}

fn rotate_at_once(world: &World) -> Request {
    by(world, &Step::rotation(Rotation::AtOnce))
}

fn rotate_all(world: &World) -> Request {
    by(world, &Step::rotation(Rotation::Emergency))
}

const GRANT: Field<'static> = ("grant_type", "client_credentials");
const ITSELF: Field<'static> = ("audience", "assistant");
const FILES: Field<'static> = ("resource", "https://files.example/api");
const TASK_ID: Field<'static> = ("task_id", "t-1");
