//! Many exchanges at once, and what a client knows of each: the answer that it has read to its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use writ_core::encoding::{from_base64url, hex, tagged_hash};
use writ_core::http::Request;

use crate::client::{Answer, send};
use crate::deployment::Site;
use crate::forms::token_request;

/// A token request of the zone `plain`, and the single-use token that it spends.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The request.
    pub request: Request,
    /// The digest by which the record names the token that may be used once, where there is one.
    pub proof: Option<String>,
    /// Whether that token is spent beside the session, in a commit of its own: it stays spent where
    /// the rest comes to nothing.
    pub beside: bool,
}

/// What a client heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it had asked.
    pub ask: Ask,
    /// What came back, whole; nothing where the connection broke.
    pub answer: Option<Answer>,
}

impl Heard {
    /// The session and the id of the token that was issued.
    pub fn issued(&self) -> Option<(String, String)> {
        issued(self.answer.as_ref()?)
    }
}

/// The session and the id of the token in an answer.
pub fn issued(answer: &Answer) -> Option<(String, String)> {
    let body = answer.json()?;
    let payload = body.get("access_token")?.as_str()?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&from_base64url(payload)?).ok()?;
    Some((claims["sid"].as_str()?.to_owned(), claims["jti"].as_str()?.to_owned()))
}

/// A request that a token which may be used once is spent by.
pub fn once(site: &Site, now: i64) -> Ask {
    ask(site, 0, now)
}

/// A request of one of [`KINDS`] kinds, with tokens of its own.
pub fn ask(site: &Site, kind: usize, now: i64) -> Ask {
    let sign = |from: &str, sub: &str| {
        let claims = json!({ "sub": sub, "tenant": "acme", "azp": "assistant" });
        site.sign(json!({ "from": from, "claims": claims }), now)
    };
    let exchange = |subject: &str| {
        vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt".to_owned()),
            ("subject_token", subject.to_owned()),
        ]
    };
    let alone = || vec![("grant_type", "client_credentials".to_owned())];
    let (fields, client, token) = match kind % KINDS {
        // A workload's, a person's, a client's and an actor's token that may be used once.
        0 => {
            let token = sign("jobs", "job");
            (exchange(&token), false, Some(token))
        }
        1 => {
            let token = sign("once", "alice");
            (exchange(&token), true, Some(token))
        }
        2 => {
            let token = sign("signer", "signer");
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
            let own = [("client_assertion_type", kind), ("client_assertion", token.clone())];
            (alone().into_iter().chain(own).collect(), false, Some(token))
        }
        3 => {
            let token = sign("jobs", "assistant");
            let kind = "urn:ietf:params:oauth:token-type:jwt".to_owned();
            let actor = [("actor_token_type", kind), ("actor_token", token.clone())];
            let fields = exchange(&sign("idp", "alice")).into_iter().chain(actor).collect();
            (fields, true, Some(token))
        }
        // What may be shown again.
        4 => (exchange(&sign("idp", "alice")), true, None),
        5 => (exchange(&sign("ci", "cron")), false, None),
        _ => (alone(), true, None),
    };
    let resource = ("resource", "https://files.example/api".to_owned());
    let fields: Vec<_> = fields.into_iter().chain([resource]).collect();
    let mut request = token_request(&fields);
    if client {
        let pair = Base64::encode_string(b"assistant:assistant-secret");
        request.headers.push(("authorization".to_owned(), format!("Basic {pair}")));
    }
    let beside = matches!(kind % KINDS, 2 | 3);
    Ask { request, proof: token.as_deref().map(digest), beside }
}

/// The kinds of request.
pub const KINDS: usize = 7;

/// The digest by which the record names a token.
fn digest(token: &str) -> String {
    let signed = token.rsplit_once('.').expect("a token").0;
    hex(&tagged_hash("proof", &[signed.as_bytes()]))[..16].to_owned()
}

/// Clients at work.
pub struct Load {
    clients: Vec<JoinHandle<Vec<Heard>>>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    /// Has several clients make these requests, each once, as fast as they are answered. A client
    /// whose connection breaks makes no further one.
    pub fn start(authority: &str, asks: Vec<Ask>, clients: usize) -> Self {
        let waiting = Arc::new(Mutex::new(VecDeque::from(asks)));
        let answered = Arc::new(AtomicUsize::new(0));
        let client = || {
            let (waiting, answered) = (Arc::clone(&waiting), Arc::clone(&answered));
            let authority = authority.to_owned();
            spawn(move || {
                let mut heard = Vec::new();
                loop {
                    let next = waiting.lock().unwrap().pop_front();
                    let Some(ask) = next else { return heard };
                    let answer = send(&authority, &ask.request).ok();
                    // Cut off in its middle, it is no answer.
                    let answer = answer.filter(|answer| answer.json().is_some());
                    let over = answer.is_none();
                    answered.fetch_add(usize::from(!over), Ordering::Relaxed);
                    heard.push(Heard { ask, answer });
                    if over {
                        return heard;
                    }
                }
            })
        };
        Self { clients: (0..clients).map(|_| client()).collect(), answered }
    }

    /// Waits for so many answers.
    ///
    /// # Panics
    ///
    /// Where the clients end before.
    pub fn wait_for(&self, answers: usize) {
        while self.answered.load(Ordering::Relaxed) < answers {
            assert!(
                !self.clients.iter().all(JoinHandle::is_finished),
                "the clients ended after {} answers",
                self.answered.load(Ordering::Relaxed)
            );
            std::thread::yield_now();
        }
    }

    /// Waits for the clients' end. What was never asked is not there.
    ///
    /// # Panics
    ///
    /// Where a client did.
    pub fn end(self) -> Vec<Heard> {
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

/// A number below `end` that no two runs share.
pub fn chance(end: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};
    let drawn = RandomState::new().hash_one(0) % u64::try_from(end).unwrap();
    usize::try_from(drawn).unwrap()
}
