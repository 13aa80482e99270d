//! Requests to other servers: issuers' metadata and keys, and nothing else.
//!
//! The platform resolves names and connects, and the flag `global_fetch_strictly_public` keeps it to
//! the public internet (K01, K03). URLs with an address for a host are refused here, no redirect is
//! followed (K02), time and size are capped (K04).

use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, RequestInit, RequestRedirect, Response, WorkerGlobalScope};
use writ_core::host::Unavailable;
use writ_core::http::{Inbound, Outbound};
use writ_core::limits;
use writ_core::place::place;

use crate::{body, told, within};

/// Fetches a document, as [`writ_core::host::Outside::fetch`] says.
///
/// # Errors
///
/// The URL is not one that may be asked, or the server did not answer in time.
pub async fn fetch(request: &Outbound) -> Result<Inbound, Unavailable> {
    let failed = |reason: &str| Unavailable(format!("fetching `{}`: {reason}", request.url));
    place(&request.url, request.loopback).map_err(failed)?;
    let abort = AbortController::new().map_err(|error| failed(&told(&error)))?;
    let millis = u32::try_from(limits::FETCH_SECS.saturating_mul(1_000)).unwrap_or(u32::MAX);
    match within(millis, get(&request.url, &abort)).await {
        Some(answer) => answer.map_err(|error| failed(&told(&error))),
        None => {
            abort.abort();
            Err(failed("no full answer in time"))
        }
    }
}

async fn get(url: &str, abort: &AbortController) -> Result<Inbound, JsValue> {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    let headers = web_sys::Headers::new()?;
    headers.set("accept", "application/json")?;
    headers.set("user-agent", concat!("writ/", env!("CARGO_PKG_VERSION")))?;
    init.set_headers(&headers);
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(url, &init)).await?;
    let response: Response = response.unchecked_into();
    // One byte more than the limit tells the core that there was more.
    let body = body::read(response.body(), limits::FETCH_BYTES.saturating_add(1)).await?;
    Ok(Inbound { status: response.status(), body })
}
