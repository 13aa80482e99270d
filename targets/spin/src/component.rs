//! The component: a request in, the core's answer out.
//!
//! It exports `wasi:http` by the `wasi` crate's own macro: the SDK's would put `unsafe` into this crate.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use spin_sdk::variables;
use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use writ_core::http::{Request, Response};
use writ_core::moment::{Moment, Timestamp};
use writ_core::{Unread, limits};

use crate::body;
use crate::host::Spin;
use crate::settings::Settings;

wasi::http::proxy::export!(Component);

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = answer(request);
        let sent = send(answer, out);
        if sent.is_none() {
            eprintln!("the answer could not be sent");
        }
    }
}

fn answer(request: IncomingRequest) -> Response {
    let began = instant();
    let settings = match Settings::read(|name| variables::get(name).ok()) {
        Ok(settings) => settings,
        Err(wrong) => return refuse(&wrong),
    };
    let deployment = settings.deployment.clone();
    let host = Spin::new(settings, began);
    let request = convert(request);
    let mut entropy = [0; 32];
    if getrandom::fill(&mut entropy).is_err() {
        // Ids would be guessable.
        return refuse(&["the platform gave no random bytes".to_owned()]);
    }
    let moment = Moment { now: now(), entropy };
    let request = match request {
        Ok(request) => request,
        Err(unread) => return writ_core::unread(&host, &deployment, &moment, unread),
    };
    let answered = pin!(writ_core::handle(&host, &deployment, moment, request));
    // Everything that this host does it does while it is asked, so nothing is ever pending.
    match answered.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response,
        Poll::Pending => refuse(&["the host waits for nobody".to_owned()]),
    }
}

/// A deployment that is set up wrongly serves nothing. Its log says what to set, its answers do not.
fn refuse(wrong: &[String]) -> Response {
    for what in wrong {
        eprintln!("writ does not serve: {what}");
    }
    let body = r#"{"error":"temporarily_unavailable","error_description":"see the log"}"#;
    Response {
        status: 503,
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("retry-after", "60".to_owned()),
        ],
        body: body.into(),
    }
}

/// The request as the core takes it, once all of it is there.
fn convert(request: IncomingRequest) -> Result<Request, Unread> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target, None),
    };
    let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e)) => text,
        _ => String::new(),
    };
    let headers = request.headers().entries();
    let headers = headers.into_iter().map(|(name, value)| (name, text(value))).collect();
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(name) => name,
    };
    let incoming = request.consume().map_err(|()| Unread::Broken)?;
    let body = body::read(&incoming, limits::BODY_BYTES, &body::clock(limits::BODY_SECS))?;
    let request = Request { method, path, query, headers, body };
    // A platform may take a connection that ends for the end of a body.
    let whole = |length: &str| {
        length
            .parse::<usize>()
            .is_ok_and(|length| request.body.len() >= length.min(limits::BODY_BYTES))
    };
    if request.header("content-length").all(whole) { Ok(request) } else { Err(Unread::Broken) }
}

fn send(answer: Response, out: ResponseOutparam) -> Option<()> {
    let headers = answer.headers.into_iter();
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let length = answer.body.len().to_string();
    headers.push(("content-length".to_owned(), length.into_bytes()));
    let response = OutgoingResponse::new(Fields::from_list(&headers).ok()?);
    response.set_status_code(answer.status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().ok()?;
    // No call takes more than 4 KiB.
    for part in answer.body.chunks(4_096) {
        stream.blocking_write_and_flush(part).ok()?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

/// The platform's time. A clock before 1970 reads as 1970, and every token as not yet valid.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a target is where the clock is read")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A clock for durations.
pub(crate) fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a target is where the clock is read")]
    Instant::now()
}
