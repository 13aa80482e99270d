//! An issuer on the web that is a map, and a resource that trusts it.

use serde_json::{Map, Value, json};
use writ_core::encoding::base64url;
use writ_core::jwk::Algorithm;
use writ_core::moment::Timestamp;
use writ_core::verifier::{Call, Rejected, Status, Verified, Verifier, verify};
use writ_tests::issuer::{Parties, Party, Token, Usual};
use writ_tests::memory::Memory;
use writ_tests::world::{BEGINNING, block_on};

pub(crate) const ISSUER: &str = "https://auth.example";
pub(crate) const METADATA: &str = "https://auth.example/.well-known/oauth-authorization-server";
pub(crate) const KEYS: &str = "https://auth.example/.well-known/jwks.json";
pub(crate) const API: &str = "https://files.example/api";
pub(crate) const LIST: &str = "https://auth.example/status/500000";

/// The resource, and all that it sees of the world.
pub(crate) struct Scene {
    pub(crate) host: Memory,
    pub(crate) verifier: Verifier,
    pub(crate) parties: Parties,
}

impl Scene {
    /// The zone is up, with one key and a list of 64 entries of which none is set; another issuer exists.
    pub(crate) fn new() -> Self {
        let party = |issuer: &str, algorithms: &[Algorithm]| Party {
            issuer: issuer.to_owned(),
            algorithms: algorithms.to_vec(),
            ..Party::default()
        };
        let parties: Parties = [
            ("zone".to_owned(), party(ISSUER, &[Algorithm::ES256])),
            ("other".to_owned(), party("https://other.example", &[Algorithm::ES256])),
            ("holder".to_owned(), party("", &[Algorithm::ES256])),
            ("thief".to_owned(), party("", &[Algorithm::ES256])),
        ]
        .into();
        let scene = Self { host: Memory::default(), verifier: Verifier::new(ISSUER, API), parties };
        scene.publish(METADATA, &json!({ "issuer": ISSUER, "jwks_uri": KEYS }));
        scene.publish(KEYS, &scene.parties["zone"].key_set("zone"));
        scene.publish_list(LIST, &[0; 8], json!({}), BEGINNING);
        scene
    }

    pub(crate) fn publish(&self, url: &str, document: &Value) {
        self.host.web.publish(url, 200, document.to_string());
    }

    /// Publishes a status list, described by what differs from a good one.
    pub(crate) fn publish_list(&self, url: &str, entries: &[u8], changes: Value, now: i64) {
        self.host.web.publish(url, 200, self.list(url, entries, changes, now));
    }

    /// Signs a status list. `changes` has `header`, `claims`, `from` and the like, over a good one's.
    pub(crate) fn list(&self, url: &str, entries: &[u8], changes: Value, now: i64) -> String {
        let packed = packed(entries);
        let good = json!({
            "from": "zone",
            "header": { "typ": "statuslist+jwt" },
            "claims": { "sub": url, "iat": now, "exp": now + 600, "ttl": 60,
                "status_list": { "bits": 1, "lst": packed } },
            "without": ["aud", "jti"],
        });
        self.sign(merge(good, changes), now)
    }

    /// Signs a token of the issuer's, described by what differs from a good one.
    pub(crate) fn token(&self, changes: Value) -> String {
        self.sign(merge(good(), changes), BEGINNING)
    }

    fn sign(&self, description: Value, now: i64) -> String {
        let token: Token = serde_json::from_value(description).expect("a token's description");
        token.sign(&self.parties, &Usual::at(now, API))
    }

    /// The same, with another policy for lists.
    pub(crate) fn with(self, status: Status) -> Self {
        Self { verifier: Verifier { status, ..self.verifier }, ..self }
    }

    /// Shows a token as a bearer token.
    pub(crate) fn show(&self, token: &str, now: i64) -> Result<Verified, Rejected> {
        self.call(&[("Authorization", &format!("Bearer {token}"))], now)
    }

    /// Makes a `GET` of the resource with these headers.
    pub(crate) fn call(&self, headers: &[(&str, &str)], now: i64) -> Result<Verified, Rejected> {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let call =
            Call { method: "GET", url: "https://files.example/api/1?a=b", headers: &headers };
        block_on(verify(&self.host, &self.verifier, &call, Timestamp(now)))
    }

    pub(crate) fn fetches(&self) -> usize {
        self.host.web.asked().len()
    }

    /// How often a URL was asked for.
    pub(crate) fn asked(&self, url: &str) -> usize {
        self.host.web.asked().iter().filter(|asked| asked.url == url).count()
    }
}

/// A good token, whose entry of [`LIST`] is the first.
fn good() -> Value {
    json!({
        "from": "zone",
        "header": { "typ": "at+jwt" },
        "claims": {
            "sub": "user:idp:alice", "sub_profile": "user", "client_id": "assistant",
            "scope": "files:read files:list", "sid": "session-1",
            "act": { "sub": "assistant", "act": { "sub": "planner" } },
            "task": { "name": "report", "id": "r-1", "source": "claimed" },
            "path": [], "seq": 7, "new": "a claim that nobody knows yet",
            "status": { "status_list": { "idx": 0, "uri": LIST } },
        },
    })
}

/// A token of another entry of [`LIST`], described by what differs from a good one.
pub(crate) fn listed(index: u64) -> Value {
    json!({ "claims": { "status": { "status_list": { "idx": index, "uri": LIST } } } })
}

/// Entries as a list holds them: ZLIB (RFC 1950) in blocks that are as they are (RFC 1951 §3.2.4).
pub(crate) fn packed(entries: &[u8]) -> String {
    let mut packed = vec![0x78, 0x01];
    let mut blocks = entries.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    if entries.is_empty() {
        packed.extend([1, 0, 0, 0xff, 0xff]);
    }
    let sums = entries.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    packed.extend((sums.1 << 16 | sums.0).to_be_bytes());
    base64url(&packed)
}

/// Puts `changes` over a description, member by member.
fn merge(description: Value, changes: Value) -> Value {
    match (description, changes) {
        (Value::Object(mut own), Value::Object(changes)) => {
            for (name, change) in changes {
                let old = own.remove(&name).unwrap_or_default();
                // The claims of a status, a list or an actor are replaced as a whole.
                let deep = matches!(name.as_str(), "header" | "claims");
                own.insert(name, if deep { merge(old, change) } else { change });
            }
            Value::Object(own)
        }
        (Value::Null, changes @ Value::Object(_)) => merge(Value::Object(Map::new()), changes),
        (_, changes) => changes,
    }
}

/// The code of a refusal, `unknown CHECK`, or `ok`.
pub(crate) fn outcome(result: &Result<Verified, Rejected>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(Rejected::Refused(refused)) => refused.reason.code().to_owned(),
        Err(Rejected::Unknown(check, _)) => format!("unknown {}", check.name()),
    }
}
