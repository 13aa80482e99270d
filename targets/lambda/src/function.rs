//! The way in: an event of the function's URL becomes a request of the core, and its answer one of
//! the function. It converts, and decides nothing.
//!
//! The event is taken as it comes. `lambda_http` would make a URL of it first, and panics where that
//! fails: on a `<` in the query, which any caller can send.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayV2httpRequest as Event, ApiGatewayV2httpResponse as Answer,
};
use lambda_http::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use lambda_http::{Body, Error, LambdaEvent, lambda_runtime, service_fn};
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
    let answer = |event: LambdaEvent<Event>| async {
        let answer = answer(Arc::clone(&instance), &deployment, event.payload).await;
        Ok::<_, Error>(answer)
    };
    lambda_runtime::run(service_fn(answer)).await.map_err(|error| error.to_string())
}

async fn answer(instance: Arc<Instance>, deployment: &Deployment, event: Event) -> Answer {
    let host = Lambda::new(instance);
    let request = convert(event);
    match moment::draw() {
        Ok(moment) => render(writ_core::handle(&host, deployment, moment, request).await),
        Err(error) => {
            log::error("no random bytes", &[("error", error.to_string().into())]);
            unavailable()
        }
    }
}

fn convert(event: Event) -> http::Request {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = event.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = event.body.unwrap_or_default();
    let mut body = if event.is_base64_encoded {
        // The platform encodes; what does not decode never was a request of anybody's.
        Base64::decode_vec(&body).unwrap_or_default()
    } else {
        body.into_bytes()
    };
    // One byte more than the limit tells the core that there was more.
    body.truncate(limits::BODY_BYTES.saturating_add(1));
    http::Request {
        method: event.request_context.http.method.as_str().to_owned(),
        path: event.raw_path.unwrap_or_default(),
        query: event.raw_query_string.filter(|query| !query.is_empty()),
        headers,
        body,
    }
}

fn render(answer: http::Response) -> Answer {
    let mut rendered = Answer::default();
    rendered.status_code = answer.status.into();
    for (name, value) in answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        else {
            // Half an answer may mean something else than the whole.
            log::error("an answer has a header that cannot be sent", &[("header", name.into())]);
            return unavailable();
        };
        rendered.headers.append(name, value);
    }
    rendered.body = Some(match String::from_utf8(answer.body) {
        Ok(text) => Body::Text(text),
        Err(error) => {
            rendered.is_base64_encoded = true;
            Body::Binary(error.into_bytes())
        }
    });
    rendered
}

fn unavailable() -> Answer {
    let mut answer = Answer::default();
    answer.status_code = 503;
    answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event of a function's URL, as the platform documents it.
    fn event(path: &str, query: &str, body: &str, base64: bool) -> Event {
        let event = serde_json::json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": { "host": "a b", "authorization": "Basic eA==,Basic eQ==" },
            "requestContext": { "http": { "method": "POST", "path": path } },
            "body": body,
            "isBase64Encoded": base64,
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn any_event_is_a_request() {
        for (path, query) in [("/oauth/token", ""), ("/a b", "a=<>|\""), ("//..", "é"), ("", "?")]
        {
            let request = convert(event(path, query, "a=b", false));
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
            assert_eq!(request.query.as_deref().unwrap_or_default(), query);
            assert_eq!(request.body, b"a=b");
            let sent: Vec<&str> = request.header("Authorization").collect();
            assert_eq!(sent, ["Basic eA==,Basic eQ=="], "joined, they are no credential");
        }
    }

    #[test]
    fn a_body_is_what_was_sent_up_to_the_limit() {
        assert_eq!(convert(event("/", "", "AP8=", true)).body, [0, 255]);
        assert_eq!(convert(event("/", "", "?", true)).body, [0; 0]);
        let long = "a".repeat(limits::BODY_BYTES + 2);
        assert_eq!(convert(event("/", "", &long, false)).body.len(), limits::BODY_BYTES + 1);
    }
}
