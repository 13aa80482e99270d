//! Whether a token is shown by whom it is bound to (RFC 9449 §7).

use std::collections::HashMap;
use std::sync::Mutex;

use super::rejected::{Check, Fault, Reason, Scheme};
use super::{Call, Verified};
use crate::dpop::{Proof, Proven, Use};
use crate::encoding::tagged_hash;
use crate::host::{Outside, Unavailable};
use crate::limits;
use crate::memory::lock;
use crate::moment::Timestamp;
use crate::refusal::Failure;

/// The proofs that this instance has seen, by key and id, and until when each could be shown.
#[derive(Default)]
pub(crate) struct Proofs(Mutex<HashMap<[u8; 32], Timestamp>>);

/// Checks the scheme, and the proof of a token that is bound to a key.
pub(super) async fn check<O: Outside>(
    outside: &O,
    verified: &Verified,
    call: &Call<'_>,
    token: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let bound = match (&verified.key, verified.scheme) {
        (None, Scheme::Bearer) => return Ok(()),
        (None, Scheme::DPoP) => return Err(Reason::Unbound.with("it is bound to no key")),
        (Some(_), Scheme::Bearer) => {
            return Err(Reason::Bound.with("it is bound to a key, and no bearer token"));
        }
        (Some(bound), Scheme::DPoP) => bound,
    };
    let shown = call.header("dpop");
    let [text] = shown.as_slice() else {
        return Err(Reason::ProofMissing.with("there is not one `DPoP` header"));
    };
    let wrong = |detail: String| Reason::ProofWrong.with(detail);
    let proof = Proof::parse(text).map_err(|refusal| wrong(refusal.detail))?;
    // Before a signature is computed for somebody who could not use the token anyway.
    if proof.thumbprint() != *bound {
        return Err(wrong("the proof is of another key than the token's".to_owned()));
    }
    let made_for = Use { method: call.method, url: call.url, access_token: Some(token) };
    let proven = proof.verify(outside, made_for, now).await.map_err(|failure| match failure {
        Failure::Refused(refusal) => {
            wrong(format!("{}: {}", refusal.reason.code(), refusal.detail))
        }
        Failure::Unavailable(unavailable) => Fault::Unknown(Check::Binding, unavailable),
    })?;
    once(&outside.memory().verifier.proofs, &proven, now)
}

/// Takes note that a proof was shown. Another instance of the resource does not know of it.
fn once(proofs: &Proofs, proven: &Proven, now: Timestamp) -> Result<(), Fault> {
    let name = tagged_hash("dpop-shown", &[proven.jkt().as_bytes(), proven.id().as_bytes()]);
    // The last instant at which it would be taken.
    let until = proven.issued().plus(limits::PROOF_SECS).plus(limits::LEEWAY_SECS);
    let mut seen = lock(&proofs.0);
    if seen.get(&name).is_some_and(|until| now <= *until) {
        return Err(Reason::ProofReplayed.with("the proof was shown before"));
    }
    if seen.len() >= limits::PROOFS {
        seen.retain(|_, until| now <= *until);
        if seen.len() >= limits::PROOFS {
            let full = "more proofs come than can be remembered".to_owned();
            return Err(Fault::Unknown(Check::Binding, Unavailable(full)));
        }
    }
    seen.insert(name, until);
    Ok(())
}
