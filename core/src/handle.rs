//! Writ's HTTP: every path, method, header and error body of every target is here, so that no
//! target can drift.

use serde::Serialize;
use serde_json::json;

use crate::active::{self, Active};
use crate::ask::Ask;
use crate::deployment::Deployment;
use crate::event::{Event, Outcome};
use crate::exchange::{self, Issued, Stopped};
use crate::form::Form;
use crate::host::{Host, Unavailable};
use crate::http::{Request, Response};
use crate::introspect::{SIGNED, Told, introspect};
use crate::limits;
use crate::metadata;
use crate::moment::Moment;
use crate::operator::{self, Command};
use crate::refusal::{Failure, Reason, Refusal};
use crate::revoke;
use crate::sessions;
use crate::status;

/// The token endpoint.
pub const TOKEN: &str = "/oauth/token";
/// The revocation endpoint.
pub const REVOKE: &str = "/oauth/revoke";
/// The introspection endpoint.
pub const INTROSPECT: &str = "/oauth/introspect";
/// The key set.
pub const JWKS: &str = "/.well-known/jwks.json";

/// The endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Token,
    Revoke,
    Introspect,
    Metadata,
    Keys,
    Alive,
    Ready,
    Operator(Command),
    Sessions(sessions::Place),
    Status(status::Document),
}

impl Endpoint {
    /// The endpoint of a path. Leading slashes are collapsed: published clients join an issuer
    /// that ends with one (clients.md §1.1).
    fn find(path: &str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        match path {
            "oauth/token" => Some(Self::Token),
            "oauth/revoke" => Some(Self::Revoke),
            "oauth/introspect" => Some(Self::Introspect),
            ".well-known/oauth-authorization-server" | ".well-known/openid-configuration" => {
                Some(Self::Metadata)
            }
            ".well-known/jwks.json" => Some(Self::Keys),
            "healthz" => Some(Self::Alive),
            "readyz" => Some(Self::Ready),
            other => Command::find(other)
                .map(Self::Operator)
                .or_else(|| sessions::Place::find(other).map(Self::Sessions))
                .or_else(|| status::Document::find(other).map(Self::Status)),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Metadata => "metadata",
            Self::Keys => "jwks",
            Self::Alive => "healthz",
            Self::Ready => "readyz",
            Self::Operator(command) => command.name(),
            Self::Sessions(place) => place.name(),
            Self::Status(document) => document.name(),
        }
    }

    fn takes(&self, method: &str) -> bool {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => method == "POST",
            Self::Operator(command) => method == command.method(),
            Self::Sessions(place) => place.methods().split(", ").any(|other| other == method),
            Self::Metadata | Self::Keys | Self::Alive | Self::Ready | Self::Status(_) => {
                matches!(method, "GET" | "HEAD")
            }
        }
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => "POST, OPTIONS",
            Self::Operator(command) => command.method(),
            Self::Sessions(place) => place.methods(),
            Self::Metadata | Self::Keys | Self::Alive | Self::Ready | Self::Status(_) => {
                "GET, HEAD, OPTIONS"
            }
        }
    }
}

/// Answers a request to a deployment's zone, and has the host record its one event.
///
/// A target runs this to its end even if the client hangs up.
pub async fn handle<H: Host>(
    host: &H,
    deployment: &Deployment,
    moment: Moment,
    request: Request,
) -> Response {
    let mut event = begin(deployment, &moment);
    let answered = route(host, deployment, &moment, &request, &mut event).await;
    let mut response = answered.unwrap_or_else(|stopped| stop(&request, stopped, &mut event));
    if request.method == "HEAD" {
        response.body.clear();
    }
    finish(host, event, response)
}

/// Why a request did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its body broke off, or was shorter than its head had said.
    Broken,
    /// Its body took longer than [`limits::BODY_SECS`].
    Late,
}

/// Answers a request that never came whole, and has the host record its one event. Nothing of it was
/// begun: half a form must spend no proof. Its endpoint and its parameters are taken as unknown.
pub fn unread<H: Host>(
    host: &H,
    deployment: &Deployment,
    moment: &Moment,
    unread: Unread,
) -> Response {
    let status = match unread {
        Unread::Broken => 400,
        Unread::Late => 408,
    };
    let mut event = begin(deployment, moment);
    event.outcome = Outcome::Refuse;
    event.error = Some("invalid_request");
    event.reason = Some("body_incomplete");
    let description = format!("the body did not come whole (request {})", event.request);
    finish(host, event, failure(status, "invalid_request", &description))
}

/// The event of a request of which nothing is known yet.
fn begin(deployment: &Deployment, moment: &Moment) -> Event {
    Event {
        time: moment.now,
        request: moment.id("request"),
        zone: deployment.zone.clone(),
        endpoint: "unknown",
        ..Event::default()
    }
}

/// Records the event of an answer, and gives the answer what every answer has.
fn finish<H: Host>(host: &H, mut event: Event, mut response: Response) -> Response {
    event.status = response.status;
    response.headers.push(("x-request-id", event.request.clone()));
    response.headers.push(("x-content-type-options", "nosniff".to_owned()));
    response.headers.push(("access-control-allow-origin", "*".to_owned()));
    response.headers.push((
        "access-control-expose-headers",
        "etag, www-authenticate, x-request-id, retry-after".to_owned(),
    ));
    host.record(&event);
    response
}

async fn route<H: Host>(
    host: &H,
    deployment: &Deployment,
    moment: &Moment,
    request: &Request,
    event: &mut Event,
) -> Result<Response, Stopped> {
    let endpoint = Endpoint::find(&request.path);
    let endpoint =
        endpoint.ok_or_else(|| Refusal::request(Reason::NotFound, "there is no such path"))?;
    event.endpoint = endpoint.name();
    let method = request.method.as_str();
    if method == "OPTIONS" && !matches!(endpoint, Endpoint::Operator(_)) {
        return Ok(preflight(&endpoint));
    }
    if !endpoint.takes(method) {
        let method = crate::form::printable(method);
        return Err(Refusal::request(Reason::Method, format!("`{method}`")).into());
    }
    if let Endpoint::Operator(command) = &endpoint {
        if request.body.len() > limits::BODY_BYTES {
            return Err(Refusal::request(Reason::BodyTooLarge, "").into());
        }
        let answer = operator::answer(host, deployment, command, request, moment, event).await?;
        return Ok(document(200, &answer, "no-store"));
    }
    if endpoint == Endpoint::Alive {
        return Ok(document(200, &json!({ "status": "ok" }), "no-store"));
    }
    let zone = active::zone(host, deployment, moment.now).await?;
    event.bundle = Some(zone.name.clone());
    event.seq = Some(zone.snapshot.seq);
    match endpoint {
        Endpoint::Alive | Endpoint::Ready | Endpoint::Operator(_) => {
            Ok(document(200, &json!({ "status": "ready" }), "no-store"))
        }
        Endpoint::Metadata => Ok(document(200, &metadata::document(&zone), CACHED)),
        Endpoint::Keys => Ok(document(200, &metadata::keys(&zone, moment.now), CACHED)),
        Endpoint::Status(document) => {
            Ok(status::answer(host, &zone, document, request, moment.now).await?)
        }
        Endpoint::Sessions(place) => {
            let answer =
                sessions::answer(host, deployment, &zone, &place, request, moment, event).await?;
            Ok(match answer {
                Some(document) => self::document(200, &document, "no-store"),
                None => Response {
                    status: 204,
                    headers: vec![("cache-control", "no-store".to_owned())],
                    body: Vec::new(),
                },
            })
        }
        Endpoint::Revoke => {
            let form = read_form(request)?;
            revoke::revoke(host, deployment, &zone, request, &form, moment, event).await?;
            Ok(Response {
                status: 200,
                headers: vec![("cache-control", "no-store".to_owned())],
                body: Vec::new(),
            })
        }
        Endpoint::Introspect => {
            let form = read_form(request)?;
            let told = introspect(host, deployment, &zone, request, &form, moment, event).await?;
            Ok(match told {
                Told::Plain(told) => document(200, &told, "no-store"),
                Told::Signed(jwt) => Response {
                    status: 200,
                    headers: vec![
                        ("content-type", SIGNED.to_owned()),
                        ("cache-control", "no-store".to_owned()),
                    ],
                    body: jwt.into_bytes(),
                },
            })
        }
        Endpoint::Token => {
            let issued = token(host, deployment, &zone, moment, request, event).await?;
            Ok(success(&issued))
        }
    }
}

/// What published clients cache keys for (design §7).
const CACHED: &str = "public, max-age=300";

async fn token<H: Host>(
    host: &H,
    deployment: &Deployment,
    zone: &Active,
    moment: &Moment,
    request: &Request,
    event: &mut Event,
) -> Result<Issued, Stopped> {
    let form = read_form(request)?;
    let ask = Ask::parse(request, &form)?;
    event.grant_type = Some(ask.grant.name());
    event.resource = ask.target.as_deref().map(crate::form::printable);
    let stopped = match exchange::exchange(host, zone, &ask, moment, event).await {
        Ok(issued) => return Ok(issued),
        Err(stopped) => stopped,
    };
    // What is refused for this reason was refused before anything was spent or written.
    match active::newer(host, deployment, &stopped.failure, event, moment.now).await? {
        Some(newer) => exchange::exchange(host, &newer, &ask, moment, event).await,
        None => Err(stopped),
    }
}

/// The form that a request posts.
///
/// # Errors
///
/// Its body is no form, or there are parameters in the query.
pub(crate) fn read_form(request: &Request) -> Result<Form, Refusal> {
    if request.body.len() > limits::BODY_BYTES {
        return Err(Refusal::request(Reason::BodyTooLarge, ""));
    }
    if request.query.as_ref().is_some_and(|query| !query.is_empty()) {
        let what = "parameters belong in the body, never in the query";
        return Err(Refusal::request(Reason::ParameterBad, what));
    }
    let mut types = request.header("content-type");
    let media = types.next().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if types.next().is_some() || !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::request(Reason::ContentType, crate::form::printable(media)));
    }
    Form::parse(&request.body)
}

fn document(status: u16, body: &impl Serialize, cache: &str) -> Response {
    Response {
        status,
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", cache.to_owned()),
        ],
        // Strings, numbers and their maps always have a JSON form.
        body: serde_json::to_vec(body).unwrap_or_default(),
    }
}

fn success(issued: &Issued) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        access_token: &'a str,
        expires_in: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        issued_token_type: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
        token_type: &'static str,
    }
    let body = Body {
        access_token: &issued.token,
        expires_in: issued.expires_in,
        issued_token_type: issued.issued_token_type.map(|token_type| token_type.urn()),
        refresh_token: issued.refresh_token.as_deref(),
        scope: issued.scope.as_deref(),
        token_type: issued.token_type,
    };
    document(200, &body, "no-store")
}

fn preflight(endpoint: &Endpoint) -> Response {
    Response {
        status: 204,
        headers: vec![
            ("access-control-allow-methods", endpoint.methods().to_owned()),
            (
                "access-control-allow-headers",
                "authorization, content-type, dpop, if-none-match".to_owned(),
            ),
            ("access-control-max-age", "86400".to_owned()),
        ],
        body: Vec::new(),
    }
}

/// The answer to a request that came to nothing.
fn stop(request: &Request, stopped: Stopped, event: &mut Event) -> Response {
    match stopped.failure {
        Failure::Refused(refusal) => {
            event.refuse(&refusal, &stopped.policies);
            refused(request, &refusal, &stopped.policies, event)
        }
        Failure::Unavailable(Unavailable(what)) => {
            event.withdraw();
            event.outcome = Outcome::Error;
            event.error = Some("temporarily_unavailable");
            event.reason = Some("unavailable");
            event.detail = Some(what);
            let description = format!("try again shortly (request {})", event.request);
            let mut response = failure(503, "temporarily_unavailable", &description);
            response.headers.push(("retry-after", "1".to_owned()));
            response
        }
    }
}

fn refused(request: &Request, refusal: &Refusal, policies: &[String], event: &Event) -> Response {
    let wire = refusal.wire();
    let mut description = wire.sentence.to_owned();
    if wire.error == "access_denied" {
        let bundle = event.bundle.as_deref().unwrap_or_default();
        let which = match refusal.reason {
            Reason::NoPermitSubject => "no policy permits it to the subject".to_owned(),
            Reason::NoPermitActor => "no policy permits it to the actor".to_owned(),
            Reason::PolicyError => format!("policy error in {}", policies.join(", ")),
            _ => format!("forbidden by {}", policies.join(", ")),
        };
        description = format!("{description}: {which}; bundle {bundle}");
    }
    if refusal.reason.is_told() {
        description = format!("{description}: {}", refusal.detail);
    }
    description = format!("{description} (request {})", event.request);
    let mut response = failure(wire.status, wire.error, &description);
    let bare = matches!(request.method.as_str(), "GET" | "DELETE");
    if wire.status == 401 && (bare || request.header("authorization").next().is_some()) {
        let scheme = if wire.error == "invalid_client" { "Basic" } else { "Bearer" };
        response.headers.push(("www-authenticate", format!("{scheme} realm=\"writ\"")));
    }
    if wire.status == 405 {
        let endpoint = Endpoint::find(&request.path);
        let methods = endpoint.as_ref().map_or("", Endpoint::methods);
        response.headers.push(("allow", methods.to_owned()));
    }
    response
}

fn failure(status: u16, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": plain(description) });
    document(status, &body, "no-store")
}

/// The characters that RFC 6749 §5.2 allows in a description.
fn plain(text: &str) -> String {
    let allowed =
        |letter: &char| matches!(letter, '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    text.chars().map(|letter| if allowed(&letter) { letter } else { '?' }).collect()
}
