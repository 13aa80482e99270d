//! Requests to other servers over `wasi:http`: one `GET`, no redirect, time and size capped.

use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, Method, OutgoingRequest, RequestOptions, Scheme};
use writ_core::Unread;
use writ_core::host::Unavailable;
use writ_core::http::{Inbound, Outbound};
use writ_core::limits;
use writ_core::place::{Place, place};

use crate::body;

/// Fetches a document, as [`writ_core::host::Outside::fetch`] says. An instance has one request, so it
/// simply waits.
///
/// # Errors
///
/// The URL is not one that may be asked, or the server did not answer in time.
pub(crate) fn fetch(request: &Outbound) -> Result<Inbound, Unavailable> {
    let failed = |reason: &str| Unavailable(format!("fetching `{}`: {reason}", request.url));
    let place = place(&request.url, request.loopback).map_err(failed)?;
    get(place).map_err(|reason| failed(&reason))
}

fn get(place: Place<'_>) -> Result<Inbound, String> {
    let strange = |()| "it is not a URL".to_owned();
    let headers = [("accept", "application/json"), ("user-agent", USER_AGENT)];
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into();
    let request = OutgoingRequest::new(Fields::from_list(&headers).map_err(|e| e.to_string())?);
    let scheme = if place.secure { Scheme::Https } else { Scheme::Http };
    request.set_method(&Method::Get).map_err(strange)?;
    request.set_scheme(Some(&scheme)).map_err(strange)?;
    request.set_authority(Some(place.authority)).map_err(strange)?;
    request.set_path_with_query(Some(place.path)).map_err(strange)?;
    let options = RequestOptions::new();
    // Not every host knows these; the clock below is what counts.
    let _ = options.set_connect_timeout(Some(NANOS));
    let _ = options.set_first_byte_timeout(Some(NANOS));

    let late = || format!("no full answer within {} s", limits::FETCH_SECS);
    let clock = body::clock(limits::FETCH_SECS);
    let sent = outgoing_handler::handle(request, Some(options)).map_err(|e| e.to_string())?;
    if !body::first(&sent.subscribe(), &clock) {
        return Err(late());
    }
    let response = match sent.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(error.to_string()),
        _ => return Err("the platform gave no answer".to_owned()),
    };
    let status = response.status();
    let incoming = response.consume().map_err(|()| "the answer has no body".to_owned())?;
    let body =
        body::read(&incoming, limits::FETCH_BYTES, &clock).map_err(|unread| match unread {
            Unread::Broken => "the answer broke off".to_owned(),
            Unread::Late => late(),
        })?;
    Ok(Inbound { status, body })
}

const USER_AGENT: &str = concat!("writ/", env!("CARGO_PKG_VERSION"));

/// The time of one fetch.
const NANOS: u64 = limits::FETCH_SECS.saturating_mul(1_000_000_000);
