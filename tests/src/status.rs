//! What a verifier makes of a status list: its signature, its claims, and its bits, inflated by a library
//! that is not ours (Python's `zlib`).

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use writ_core::jwk::PublicKey;
use writ_core::operator::Step;

use crate::client::Answer;
use crate::forms::{ASSISTANT, post};
use crate::target::{get, published};
use crate::trace::claims;
use crate::world::World;
use crate::{operator, run};

/// A status list that was read.
#[derive(Clone, Debug)]
pub struct List {
    /// Its claims.
    pub claims: Value,
    /// Its bytes.
    pub bits: Vec<u8>,
}

impl List {
    /// Reads the list that an answer bears, as draft-ietf-oauth-status-list §8.3 says.
    ///
    /// # Panics
    ///
    /// Where it is none, or none of these keys signed it.
    #[must_use]
    pub fn read(answer: &Answer, keys: &[PublicKey]) -> Self {
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{text}");
        assert_eq!(answer.header("content-type"), Some("application/statuslist+jwt"));
        let (header, claims) = run::read(&text, keys).expect("a list that the zone signed");
        assert_eq!(header["typ"], "statuslist+jwt");
        assert_eq!(claims["status_list"]["bits"], 1);
        let bits = inflate(claims["status_list"]["lst"].as_str().expect("a list"));
        Self { claims, bits }
    }

    /// Whether the bit with this index is set.
    ///
    /// # Panics
    ///
    /// Where the list has no such index.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.bits[index / 8] >> (index % 8) & 1 == 1
    }

    /// Whether the list is the one that a token names, and has its bit set.
    ///
    /// # Panics
    ///
    /// Where it is another token's.
    #[must_use]
    pub fn shows(&self, token: &str) -> bool {
        let claims = claims(token);
        let status = &claims["status"]["status_list"];
        assert_eq!(self.claims["sub"], status["uri"], "it is another list");
        self.has(usize::try_from(status["idx"].as_u64().expect("an index")).expect("an index"))
    }

    /// How many bits are set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.bits.iter().map(|byte| byte.count_ones()).sum()
    }
}

/// The path of the list that a token names, and that of the feed beside it.
///
/// # Panics
///
/// Where it names none.
#[must_use]
pub fn paths(token: &str) -> (String, String) {
    let claims = claims(token);
    let uri = claims["status"]["status_list"]["uri"].as_str().expect("a status").to_owned();
    let path = uri.strip_prefix(claims["iss"].as_str().expect("an issuer")).expect("our list");
    (path.to_owned(), path.replace("/status/", "/revocations/"))
}

/// A token's session.
///
/// # Panics
///
/// Where it names none.
#[must_use]
pub fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().expect("a session").to_owned()
}

/// Has the operator of a zone in process take a step.
///
/// # Panics
///
/// Where it is refused.
pub fn by_operator(world: &World, step: &Step, now: i64) {
    let answer = world.send(operator::request(&world.deployment, step, now), now);
    assert_eq!(answer.status / 100, 2, "{:?}", answer.json());
}

/// Has the operator end a token's session.
pub fn end(world: &World, token: &str, now: i64) {
    by_operator(world, &Step::end(&sid(token)), now);
}

/// Has the assistant revoke a token.
///
/// # Panics
///
/// Where it is refused.
pub fn revoke(world: &World, token: &str, now: i64) {
    let request = post("/oauth/revoke", ASSISTANT, &[("token", token)]);
    assert_eq!(world.send(request, now).status, 200);
}

/// The list that a token names, as an instance in process has it.
#[must_use]
pub fn list(world: &World, token: &str, now: i64) -> List {
    let keys = published(&|path| world.send(get(path), now));
    List::read(&world.send(get(&paths(token).0), now), &keys)
}

/// Inflates `lst`.
///
/// # Panics
///
/// Where it is not in zlib's form, as base64url.
#[must_use]
pub fn inflate(lst: &str) -> Vec<u8> {
    let script = "import sys, base64, zlib; text = sys.stdin.read(); \
        raw = base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)); \
        sys.stdout.buffer.write(zlib.decompress(raw))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    python.stdin.take().expect("stdin").write_all(lst.as_bytes()).expect("a list to inflate");
    let output = python.wait_with_output().expect("Python");
    assert!(output.status.success(), "it is not in zlib's form");
    output.stdout
}
