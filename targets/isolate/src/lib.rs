//! What an isolate of Cloudflare Workers lends the core, whichever Worker runs in it: WebCrypto,
//! requests to other servers, the clock, and how a request waits.
//!
//! The Worker that is the service (`targets/worker`) adds its store and its way in; one that protects an
//! API ([`resource`]) adds the API.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};
use wasm_bindgen::JsValue;
use worker::Delay;

pub mod body;
pub mod crypto;
pub mod fetch;
pub mod http;
pub mod moment;
pub mod resource;

/// Comes back after so many milliseconds.
pub async fn pause(millis: u32) {
    Delay::from(Duration::from_millis(millis.into())).await;
}

/// Waits for `future`, but not for longer than `millis`.
pub async fn within<T>(millis: u32, future: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(future), std::pin::pin!(pause(millis))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// The message of something thrown.
#[must_use]
pub fn told(thrown: &JsValue) -> String {
    let message = js_sys::Reflect::get(thrown, &"message".into()).ok();
    message.and_then(|message| message.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}
