//! Requests to other servers over `wasi:http`: one `GET`, no redirect, time and size capped.

use wasi::clocks::monotonic_clock::subscribe_duration;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingResponse, Method, OutgoingRequest, RequestOptions, Scheme,
};
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::StreamError;
use writ_core::host::Unavailable;
use writ_core::http::{Inbound, Outbound};
use writ_core::limits;
use writ_core::place::{Place, place};

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

    let clock = subscribe_duration(NANOS);
    let sent = outgoing_handler::handle(request, Some(options)).map_err(|e| e.to_string())?;
    wait(&sent.subscribe(), &clock)?;
    let response = match sent.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(error.to_string()),
        _ => return Err("the platform gave no answer".to_owned()),
    };
    let status = response.status();
    Ok(Inbound { status, body: body(&response, &clock)? })
}

/// One byte more than the limit tells the core that there was more.
fn body(response: &IncomingResponse, clock: &Pollable) -> Result<Vec<u8>, String> {
    let gone = |()| "the answer has no body".to_owned();
    let incoming = response.consume().map_err(gone)?;
    let stream = incoming.stream().map_err(gone)?;
    let most = limits::FETCH_BYTES.saturating_add(1);
    let mut body = Vec::new();
    while body.len() < most {
        let room = most.saturating_sub(body.len());
        wait(&stream.subscribe(), clock)?;
        match stream.read(u64::try_from(room).unwrap_or(u64::MAX)) {
            Ok(bytes) => body.extend(bytes.into_iter().take(room)),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    Ok(body)
}

/// Waits until `ready`, unless the clock is first.
fn wait(ready: &Pollable, clock: &Pollable) -> Result<(), String> {
    if poll(&[ready, clock]).contains(&0) {
        return Ok(());
    }
    Err(format!("no full answer within {} s", limits::FETCH_SECS))
}

const USER_AGENT: &str = concat!("writ/", env!("CARGO_PKG_VERSION"));

/// The time of one fetch.
const NANOS: u64 = limits::FETCH_SECS.saturating_mul(1_000_000_000);
