//! Requests and answers, converted between the platform's form and the core's.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use web_sys::{Headers, Response, ResponseInit};
use worker::{Context, Env};
use writ_core::{Unread, http, limits};
use writ_isolate::http::{headers, render};
use writ_isolate::{body, moment, within};

use crate::host::Edge;

/// Answers a request.
///
/// # Errors
///
/// The platform does not take the answer.
pub(crate) async fn answer(
    request: &web_sys::Request,
    env: &Env,
    context: Rc<Context>,
) -> Result<Response, JsValue> {
    let Ok(host) = Edge::new(env, Some(context)) else { return unavailable() };
    // One byte more than the limit tells the core that there was more.
    let most = limits::BODY_BYTES.saturating_add(1);
    let millis = u32::try_from(limits::BODY_SECS.saturating_mul(1_000)).unwrap_or(u32::MAX);
    let body = match within(millis, body::whole(request, most)).await {
        Some(Ok(body)) => Ok(body),
        // The client stopped in the middle, and nothing has begun.
        Some(Err(_)) => Err(Unread::Broken),
        None => Err(Unread::Late),
    };
    let moment = match moment::draw() {
        Ok(moment) => moment,
        Err(error) => {
            worker::console_error!("{}", error.0);
            return unavailable();
        }
    };
    let answer = match body {
        Ok(body) => {
            let request = convert(request, body);
            writ_core::handle(&host, &host.deployment, moment, request).await
        }
        Err(unread) => writ_core::unread(&host, &host.deployment, &moment, unread),
    };
    render(&answer)
}

/// Asks the core whether it is ready, for the event that says so or why not.
pub(crate) async fn check(host: &Edge) {
    let Ok(moment) = moment::draw() else { return };
    let request =
        http::Request { method: "GET".into(), path: "/readyz".into(), ..http::Request::default() };
    writ_core::handle(host, &host.deployment, moment, request).await;
}

fn convert(request: &web_sys::Request, body: Vec<u8>) -> http::Request {
    // The platform's URL is absolute, of one spelling, and has no fragment.
    let url = request.url();
    let after = url.split_once("://").map_or(url.as_str(), |(_, after)| after);
    let target = after.find('/').and_then(|at| after.get(at..)).unwrap_or("/");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let headers = headers(request);
    http::Request { method: request.method(), path: path.to_owned(), query, headers, body }
}

/// The answer of the target itself, where the core cannot be asked.
fn unavailable() -> Result<Response, JsValue> {
    let init = ResponseInit::new();
    init.set_status(503);
    let headers = Headers::new()?;
    headers.append("retry-after", "1")?;
    init.set_headers(&headers);
    Response::new_with_opt_str_and_init(None, &init)
}
