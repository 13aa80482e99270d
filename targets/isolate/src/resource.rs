//! A Worker that protects an API with a zone's tokens ([`writ_core::verifier`]).

use std::sync::OnceLock;

use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use writ_core::host::{Outside, Unavailable};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::memory::Memory;
use writ_core::verifier::{self, Call, Rejected, Verified, Verifier};

use crate::http::{headers, render};
use crate::{crypto, fetch, moment, pause};

/// Verifies who calls. The URL is the request's own: it is the one that the caller sees, unless a proxy
/// of another name stands before the Worker.
///
/// # Errors
///
/// The caller is not to be let in: [`reject`] answers it.
pub async fn verify(verifier: &Verifier, request: &Request) -> Result<Verified, Rejected> {
    let headers = headers(request);
    let (method, url) = (request.method(), request.url());
    let call = Call { method: &method, url: &url, headers: &headers };
    verifier::verify(&Isolate, verifier, &call, moment::now()).await
}

/// The answer to a caller that is not let in. Why it is not goes to the Worker's log.
///
/// # Errors
///
/// The platform does not take the answer.
pub fn reject(rejected: &Rejected) -> Result<Response, JsValue> {
    worker::console_warn!("{}", rejected.line());
    render(&rejected.response())
}

/// What an isolate lends the verifier.
struct Isolate;

impl Outside for Isolate {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        fetch::fetch(&request).await
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        crypto::verify(algorithm, key, message, signature).await
    }

    async fn pause(&self, millis: u32) {
        pause(millis).await;
    }

    fn memory(&self) -> &Memory {
        static MEMORY: OnceLock<Memory> = OnceLock::new();
        MEMORY.get_or_init(Memory::default)
    }
}
