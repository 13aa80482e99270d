//! The way in: an event of the function's URL becomes a request of the core, and its answer one of
//! the function. It converts, and decides nothing.

use std::sync::Arc;

use lambda_http::ext::RequestExt;
use lambda_http::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, service_fn};
use writ_core::deployment::Deployment;
use writ_core::{active, http, limits};
use writ_process::{log, moment};

use crate::aws;
use crate::host::{Instance, Lambda};
use crate::settings::Settings;

/// Gets everything ready, and then answers until the platform ends the process.
///
/// # Errors
///
/// What is missing to start: a variable, the wrapping key.
pub async fn run(settings: Settings) -> Result<(), String> {
    let store = aws::store(&settings);
    // While the function starts it has a whole processor, and nobody waits yet: this is the time for
    // connections, the wrapping key and the zone's policies.
    let instance = Instance::new(store, aws::wrapping_key(&settings).await?);
    let deployment = settings.deployment;
    let host = Lambda::new(Arc::clone(&instance));
    if let Err(error) = active::zone(&host, &deployment, moment::now()).await {
        // A zone that is not there yet, or a store that will be asked again by the first request.
        log::warn("the zone is not ready", &[("error", error.0.into())]);
    }
    let answer = |request| async {
        let answer = answer(Arc::clone(&instance), &deployment, request).await;
        Ok::<_, Error>(answer)
    };
    lambda_http::run(service_fn(answer)).await.map_err(|error| error.to_string())
}

async fn answer(
    instance: Arc<Instance>,
    deployment: &Deployment,
    request: lambda_http::Request,
) -> Response<Body> {
    let host = Lambda::new(instance);
    match moment::draw() {
        Ok(moment) => render(writ_core::handle(&host, deployment, moment, convert(&request)).await),
        Err(error) => {
            log::error("no random bytes", &[("error", error.to_string().into())]);
            unavailable()
        }
    }
}

fn convert(request: &lambda_http::Request) -> http::Request {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers =
        request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    // One byte more than the limit tells the core that there was more.
    let body = request.body().iter().take(limits::BODY_BYTES.saturating_add(1));
    http::Request {
        method: request.method().as_str().to_owned(),
        // As it was sent: the path of the URL has been put in order.
        path: request.raw_http_path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        headers: headers.collect(),
        body: body.copied().collect(),
    }
}

fn render(answer: http::Response) -> Response<Body> {
    let body = match String::from_utf8(answer.body) {
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    let mut response = Response::new(body);
    let Ok(status) = StatusCode::from_u16(answer.status) else { return unavailable() };
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        else {
            // Half an answer may mean something else than the whole.
            log::error("an answer has a header that cannot be sent", &[("header", name.into())]);
            return unavailable();
        };
        response.headers_mut().append(name, value);
    }
    response
}

fn unavailable() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
