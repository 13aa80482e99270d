//! The platforms on loopback: a server that hands out their key sets and, to whoever asks, fresh
//! tokens. That is what makes this a play: no real platform signs for just anybody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;
use writ_core::form;
use writ_process::moment;

use super::{Cast, DemoError};

/// Answers for every issuer and every application with a key, for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, cast: Arc<Cast>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let cast = Arc::clone(&cast);
        let service = service_fn(move |request| {
            let cast = Arc::clone(&cast);
            async move { Ok::<_, Infallible>(answer(&cast, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service);
        // Clients break connections off as they please; that is nobody's error.
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn answer(cast: &Cast, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let parameters = parameters(request.uri().query().unwrap_or_default());
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (id, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let get = request.method() == Method::GET;
    match (id, rest) {
        ("", "") if get => text(guide(cast)),
        // Where machines of Google Cloud ask for theirs.
        ("computeMetadata", "v1/instance/service-accounts/default/identity") if get => {
            if request.headers().get("metadata-flavor").is_none_or(|value| value != "Google") {
                return plain(
                    StatusCode::FORBIDDEN,
                    "the header `Metadata-Flavor: Google` is missing",
                );
            }
            token(cast, "gcp", parameters, Form::Text)
        }
        // Where machines of Fly.io ask for theirs, on a socket there.
        ("v1", "tokens/oidc") if request.method() == Method::POST => {
            let body = Limited::new(request.into_body(), BODY_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let audience = asked.get("aud").and_then(Value::as_str).map(str::to_owned);
            let parameters = audience.map(|audience| ("audience".to_owned(), audience));
            token(cast, "fly", parameters.into_iter().collect(), Form::Text)
        }
        (id, "jwks") if get => match cast.key_set(id) {
            Some(keys) => document(&keys),
            None => nothing(),
        },
        (id, ".well-known/openid-configuration") if get && cast.platform(id) == Some(true) => {
            document(&json!({
                "issuer": cast.issuer(id),
                "jwks_uri": format!("{}/{id}/jwks", cast.issuers),
            }))
        }
        (id, "token") if get => {
            // GitHub's runner answers jobs in JSON, and so does this one where it is asked to.
            let wanted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let json = wanted.is_some_and(|wanted| wanted.contains("application/json"));
            token(cast, id, parameters, if json { Form::Json } else { Form::Text })
        }
        (id, "assertion") if get => said(cast.assertion(id, moment::now()), Form::Text),
        _ => nothing(),
    }
}

/// How a platform's token is handed out.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
}

/// A token for `audience`, in which every other parameter replaces a claim.
fn token(
    cast: &Cast,
    id: &str,
    parameters: Vec<(String, String)>,
    form: Form,
) -> Response<Full<Bytes>> {
    let (audience, changes): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .filter(|(name, _)| !IGNORED.contains(&name.as_str()))
        .partition(|(name, _)| name == "audience");
    let audience = audience.first().map(|(_, value)| value.as_str());
    said(cast.token(id, audience, changes, moment::now()), form)
}

fn said(token: Option<Result<String, DemoError>>, form: Form) -> Response<Full<Bytes>> {
    match (token, form) {
        (Some(Ok(token)), Form::Text) => text(token),
        (Some(Ok(token)), Form::Json) => document(&json!({ "value": token })),
        (Some(Err(DemoError(what))), _) => plain(StatusCode::INTERNAL_SERVER_ERROR, &what),
        (None, _) => nothing(),
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| form::decode(text.as_bytes());
    query
        .split('&')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn guide(cast: &Cast) -> String {
    let mut lines = vec![
        "The issuers of `writ demo`. They sign for whoever asks, and nobody else trusts them."
            .to_owned(),
        String::new(),
    ];
    let base = &cast.issuers;
    for id in cast.bundle.issuers.keys() {
        let url = format!("{base}/{id}/token?audience=…");
        lines.push(format!("{url:<50} {}", cast.issuer(id)));
    }
    lines.push(String::new());
    lines.push("Any other parameter replaces a claim: …/github/token?ref=refs/heads/other".into());
    lines.push("Keys are at /ID/jwks, metadata at /ID/.well-known/openid-configuration.".into());
    lines.push("Applications with a key have /ID/assertion, to authenticate with.".into());
    lines.push(String::new());
    lines.join("\n")
}

fn text(body: String) -> Response<Full<Bytes>> {
    response(StatusCode::OK, "text/plain; charset=utf-8", body)
}

fn plain(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", format!("{body}\n"))
}

fn nothing() -> Response<Full<Bytes>> {
    plain(StatusCode::NOT_FOUND, "there is nothing here; `/` says what there is")
}

fn document(body: &Value) -> Response<Full<Bytes>> {
    response(StatusCode::OK, "application/json", body.to_string())
}

fn response(status: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// What GitHub's runner is asked with besides, and means no claim.
const IGNORED: [&str; 2] = ["api-version", "format"];
/// How long a head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Bytes of a body.
const BODY_BYTES: usize = 16 * 1024;
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
