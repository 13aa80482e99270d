//! The example `examples/protected-worker` in workerd, beside a service that runs: who gets in and who does
//! not, and how long an ended session's token is still taken.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use writ_core::encoding::base64url;
use writ_core::http::Request;
use writ_core::jwt::Unverified;
use writ_core::limits;
use writ_core::operator::Step;
use writ_tests::client::{Answer, send};
use writ_tests::forms::{proof, token_request};
use writ_tests::front::Front;
use writ_tests::running::{Running, target};
use writ_tests::server::Server;
use writ_tests::target::clock;
use writ_tests::zones::{Places, Zone};
use writ_tests::{operator, tools};

const NOTES: &str = "https://notes.example.com";

/// The Worker, in two isolates that know nothing of each other, and what goes with it when it is dropped.
struct Api {
    instances: Vec<String>,
    child: Child,
    stdin: Option<ChildStdin>,
    state: TempDir,
}

impl Api {
    fn start(issuer: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new(tools::root().join("examples/protected-worker/tests/serve"))
            .env("ISSUER", issuer)
            .env("RESOURCE", NOTES)
            .env("WRIT_LOG", state.path().join("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let found =
            lines.filter_map(|line| line.strip_prefix("listening on http://").map(str::to_owned));
        let instances: Vec<String> = found.take(2).collect();
        assert_eq!(instances.len(), 2, "it says on stderr why it does not start");
        Self { instances, child, stdin, state }
    }

    fn get(&self, instance: usize, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let request = Request {
            method: "GET".to_owned(),
            path: "/notes".to_owned(),
            headers: headers.collect(),
            ..Request::default()
        };
        send(&self.instances[instance], &request).unwrap()
    }

    fn bearer(&self, instance: usize, token: &str) -> Answer {
        self.get(instance, &[("authorization", &format!("Bearer {token}"))])
    }

    /// The Worker's log, once this is in it: lines come after the answers that they are about.
    fn log_with(&self, words: &str) -> String {
        let read = || std::fs::read_to_string(self.state.path().join("log")).unwrap_or_default();
        let mut log = read();
        for _ in 0..100 {
            if log.contains(words) {
                return log;
            }
            std::thread::sleep(Duration::from_millis(100));
            log = read();
        }
        panic!("there is no `{words}` in the log: {log}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It stops when nobody holds its stdin any more; killed, it would leave workerd behind.
        self.stdin.take();
        let _ = self.child.wait();
    }
}

/// The service, at the address that its zone names; with the API of the example as a resource.
fn service() -> Running {
    let front = Front::open();
    let server = Server::start();
    let places = Places { zone: front.url().to_owned(), keys: server.keys() };
    let mut zone = Zone::load("plain", &places);
    zone.document.push_str(&format!(
        "\n[resources.\"{NOTES}\"]\nscopes = [\"notes:read\", \"notes:list\"]\n\
         default_scopes = [\"notes:read\"]\n"
    ));
    let running = Running::of(&target(), zone, places, server, &[]);
    front.lead_to(&running.instances[0]);
    running
}

/// A token for the notes, and its session.
fn token(running: &Running, scope: &str, proof: Option<String>) -> (String, String) {
    let fields = [
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
        ("grant_type", "client_credentials"),
        ("resource", NOTES),
        ("scope", scope),
    ];
    let mut request = token_request(&fields);
    request.headers.extend(proof.map(|proof| ("dpop".to_owned(), proof)));
    let answer = running.send(&request);
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    let token = body["access_token"].as_str().unwrap().to_owned();
    let parsed = Unverified::parse(&token).unwrap();
    let session = parsed.unverified_claim("sid").and_then(Value::as_str).unwrap().to_owned();
    (token, session)
}

#[test]
fn the_example_lets_in_whom_it_should() {
    let running = service();
    let api = Api::start(&running.told.issuer);
    let (good, _) = token(&running, "notes:read", None);
    let answer = api.bearer(0, &good);
    assert_eq!(
        (answer.status, &*answer.body),
        (200, &b"notes of assistant, read by assistant\n"[..])
    );

    let challenge =
        |answer: &Answer| answer.header("www-authenticate").unwrap_or_default().to_owned();
    let nobody = api.get(0, &[]);
    assert_eq!(nobody.status, 401);
    assert!(challenge(&nobody).starts_with(&format!("Bearer realm=\"{NOTES}\", DPoP ")));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let refused = api.bearer(0, &format!("{signed}.{}", base64url(&[1; 64])));
    assert_eq!(refused.status, 401);
    assert_eq!(challenge(&refused), format!("Bearer realm=\"{NOTES}\", error=\"invalid_token\""));
    let (narrow, _) = token(&running, "notes:list", None);
    let refused = api.bearer(0, &narrow);
    assert_eq!(refused.status, 403);
    assert!(challenge(&refused).ends_with("error=\"insufficient_scope\", scope=\"notes:read\""));

    let log = api.log_with("scope_missing: the token has no scope `notes:read`");
    assert!(!log.contains(".eyJ"), "{log}");
}

#[test]
fn x10_the_example_takes_a_bound_token_from_its_key_alone() {
    let running = service();
    let api = Api::start(&running.told.issuer);
    let endpoint = format!("{}/oauth/token", running.told.issuer);
    let (bound, _) =
        token(&running, "notes:read", Some(proof("phone", "POST", &endpoint, None, clock())));
    let url = format!("http://{}/notes", api.instances[0]);
    let dpop = format!("DPoP {bound}");
    let show = |proof: &str| api.get(0, &[("authorization", &dpop), ("dpop", proof)]);
    let good = proof("phone", "GET", &url, Some(&bound), clock());
    assert_eq!(show(&good).status, 200);
    assert_eq!(show(&good).status, 401, "the same proof again");
    assert_eq!(show(&proof("thief", "GET", &url, Some(&bound), clock())).status, 401);
    assert_eq!(show(&proof("phone", "POST", &url, Some(&bound), clock())).status, 401);
    let refused = api.bearer(0, &bound);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("DPoP "));
}

/// Both isolates have the list already when the session is ended, which is as late as it can be.
#[test]
fn x11_the_example_learns_of_an_ended_session_in_the_stated_time() {
    let running = service();
    let api = Api::start(&running.told.issuer);
    let (token, session) = token(&running, "notes:read", None);
    for instance in 0..2 {
        assert_eq!(api.bearer(instance, &token).status, 200);
    }
    let ended = running.send(&operator::request(&running.told, &Step::end(&session), clock()));
    assert_eq!(ended.status, 204);
    #[expect(clippy::disallowed_methods, reason = "a test of what runs by the clock")]
    let at = Instant::now();
    // What docs/verifying.md states: a list's `ttl`, and how long the service goes on with what it made.
    let bound = limits::STATUS_TTL_SECS + limits::STATUS_FRESH_SECS + 5;
    let bound = Duration::from_secs(bound.unsigned_abs());
    for instance in 0..2 {
        while api.bearer(instance, &token).status == 200 {
            assert!(at.elapsed() < bound, "instance {instance} takes it after {bound:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
        let refused = api.bearer(instance, &token);
        assert_eq!(refused.status, 401);
        println!("instance {instance}: refused after {:?}", at.elapsed());
    }
    api.log_with("revoked: entry ");
}
