//! Requests to other servers: issuers' metadata and keys, and nothing else.
//!
//! The platform resolves names and connects, and the flag `global_fetch_strictly_public` keeps it to
//! the public internet (K01, K03). URLs with an address for a host are refused here, no redirect is
//! followed (K02), time and size are capped (K04).

use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, RequestInit, RequestRedirect, Response, WorkerGlobalScope};
use worker::Url;
use writ_core::host::Unavailable;
use writ_core::http::{Inbound, Outbound};
use writ_core::limits;

use crate::{body, told, within};

/// Fetches a document, as [`writ_core::host::Outside::fetch`] says.
///
/// # Errors
///
/// The URL is not one that may be asked, or the server did not answer in time.
pub async fn fetch(request: &Outbound) -> Result<Inbound, Unavailable> {
    let failed = |reason: &str| Unavailable(format!("fetching `{}`: {reason}", request.url));
    let url = allowed(request).map_err(failed)?;
    let abort = AbortController::new().map_err(|error| failed(&told(&error)))?;
    let millis = u32::try_from(limits::FETCH_SECS.saturating_mul(1_000)).unwrap_or(u32::MAX);
    match within(millis, get(&url, &abort)).await {
        Some(answer) => answer.map_err(|error| failed(&told(&error))),
        None => {
            abort.abort();
            Err(failed("no full answer in time"))
        }
    }
}

async fn get(url: &Url, abort: &AbortController) -> Result<Inbound, JsValue> {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    let headers = web_sys::Headers::new()?;
    headers.set("accept", "application/json")?;
    headers.set("user-agent", concat!("writ/", env!("CARGO_PKG_VERSION")))?;
    init.set_headers(&headers);
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(url.as_str(), &init)).await?;
    let response: Response = response.unchecked_into();
    // One byte more than the limit tells the core that there was more.
    let body = body::read(response.body(), limits::FETCH_BYTES.saturating_add(1)).await?;
    Ok(Inbound { status: response.status(), body })
}

fn allowed(request: &Outbound) -> Result<Url, &'static str> {
    let url = Url::parse(&request.url).map_err(|_| "it is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it carries a user name or a password");
    }
    if request.loopback {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("it is neither http nor https");
        }
        if !matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")) {
            return Err("its host is none of `127.0.0.1`, `[::1]` and `localhost`");
        }
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err("it is not https");
    }
    if url.port_or_known_default() != Some(443) {
        return Err("its port is not 443");
    }
    // The parser has turned every spelling of an IPv4 address (decimal, octal, hexadecimal,
    // shortened) into an address, which is not a domain; and capitals into small letters.
    match url.domain() {
        None => Err("its host is an address and not a name"),
        Some(name) if is_here(name) => Err("its host is this machine"),
        Some(_) => Ok(url),
    }
}

/// Whether a name leads to the machine that asks, wherever it is asked (RFC 6761 §6.3), or is of those
/// that systems give it. A name may end with the dot of the root.
fn is_here(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let mut labels = name.rsplit('.');
    let last = labels.next().unwrap_or_default();
    last.is_empty() || HERE.contains(&last)
}

/// Last labels of such names. Some systems call themselves `localhost.localdomain`, or `ip6-localhost`.
const HERE: [&str; 5] = ["localhost", "localdomain", "localhost6", "ip6-localhost", "ip6-loopback"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k01_no_spelling_of_this_machine_is_fetched() {
        for host in [
            "localhost",
            "localhost.",
            "LOCALHOST.",
            "localhost..",
            "a.localhost",
            "a.localhost.",
            "localhost.localdomain",
            "localhost.localdomain.",
            "ip6-localhost",
            "ip6-localhost.",
            "l%6fcalhost.",
            "localhost%2e",
            "localhost\u{3002}",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "[::1]",
            ".",
        ] {
            let url = format!("https://{host}/keys");
            let request = Outbound { url: url.clone(), loopback: false };
            assert!(allowed(&request).is_err(), "{url}");
        }
        for host in ["keys.example", "keys.example.", "localhost.example", "notlocalhost.example"] {
            let url = format!("https://{host}/keys");
            let request = Outbound { url: url.clone(), loopback: false };
            assert!(allowed(&request).is_ok(), "{url}");
        }
    }
}
