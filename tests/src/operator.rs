//! The operator of a deployment that is reached over HTTP: publishes zones and rotates keys, as
//! `writ publish` and `writ keys rotate` do.

use std::sync::atomic::{AtomicU64, Ordering};

use writ_core::bundle::Bundle;
use writ_core::deployment::Deployment;
use writ_core::encoding::base64url;
use writ_core::http::Request;
use writ_core::jwk::Algorithm;
use writ_core::moment::Timestamp;
use writ_core::operator::Step;

use crate::client::Answer;
use crate::keys;

/// The party whose key is every test's operator's.
pub const OPERATOR: &str = "operator";

/// The public key of the operator, a JWK: what a deployment is told in `WRIT_OPERATOR_KEY`.
#[must_use]
pub fn public_key() -> String {
    let key = keys::key(OPERATOR, Algorithm::ES256).public(None);
    serde_json::Value::Object(key.to_jwk()).to_string()
}

/// The request of a step, signed by the operator at `now`.
///
/// # Panics
///
/// Where the key does not sign.
#[must_use]
pub fn request(deployment: &Deployment, step: &Step, now: i64) -> Request {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let jti = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let message = step
        .signing_input(deployment, Algorithm::ES256, jti, Timestamp(now))
        .expect("a token's claims");
    let key = keys::key(OPERATOR, Algorithm::ES256);
    let signature = key.sign(message.as_bytes()).expect("a key of ours signs");
    let (path, query) = match step.path.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (step.path.clone(), None),
    };
    Request {
        method: step.method.to_owned(),
        path,
        query,
        headers: vec![(
            "authorization".to_owned(),
            format!("Bearer {message}.{}", base64url(&signature)),
        )],
        body: step.body.clone(),
    }
}

/// Publishes a bundle to a deployment.
///
/// # Panics
///
/// Where it does not take it.
pub fn publish(
    send: impl Fn(&Request) -> Answer,
    deployment: &Deployment,
    bundle: &Bundle,
    now: i64,
) {
    let bytes = bundle.to_bytes().expect("a bundle has a JSON form");
    for step in Step::publication(&bytes) {
        let answer = send(&request(deployment, &step, now));
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{} {}: {body}", step.method, step.path);
    }
}
