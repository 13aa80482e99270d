//! What every answer of the token endpoint has, whatever it says (RFC 6749 §5, RFC 8693 §2.2,
//! design §6). Each vector checks all of it.

use serde_json::{Map, Value};
use writ_core::http::Request;

use crate::client::Answer;

/// Everything that is wrong with an answer's form.
pub fn problems(request: &Request, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{what} (status {}, headers {:?})", answer.status, answer.headers));
        }
    };
    check(answer.header("cache-control") == Some("no-store"), "`cache-control` is not `no-store`");
    let json = answer.header("content-type").is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
    });
    check(json, "the content type is not `application/json`");
    let by_header = request.header("authorization").next().is_some();
    let challenge = answer.header("www-authenticate");
    if answer.status == 401 && by_header {
        let basic = challenge.is_some_and(|value| value.starts_with("Basic "));
        check(basic, "a 401 to a header has no `Basic` challenge");
    } else {
        check(challenge.is_none(), "there is a challenge that nobody asked for");
    }
    if answer.status == 503 {
        let secs = answer.header("retry-after").and_then(|value| value.parse::<u32>().ok());
        check(secs.is_some(), "a 503 has no `retry-after` in seconds");
    }
    if answer.status == 405 {
        check(
            answer.header("allow").is_some_and(|allow| allow.contains("POST")),
            "a 405 does not allow `POST`",
        );
    }
    let credentials = answer.header("access-control-allow-credentials");
    check(credentials.is_none(), "browsers may send credentials along");
    match answer.json() {
        Some(Value::Object(body)) if answer.status == 200 => {
            found.extend(success_problems(request, &body));
        }
        Some(Value::Object(body)) => found.extend(error_problems(&body)),
        _ => found.push("the body is no JSON object".to_owned()),
    }
    found
}

fn success_problems(request: &Request, body: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("access_token").is_none_or(str::is_empty) {
        found.push("there is no access token".to_owned());
    }
    // A token asked for with a proof of a key is bound to it (RFC 9449 §5), and no other is.
    let proven = request.header("dpop").next().is_some();
    if text("token_type") != Some(if proven { "DPoP" } else { "Bearer" }) {
        found.push("the token type is not that of the request".to_owned());
    }
    if body.get("expires_in").and_then(Value::as_u64).is_none_or(|secs| secs == 0) {
        found.push("`expires_in` is no positive number".to_owned());
    }
    let exchange = request.body.windows(14).any(|window| window == b"token-exchange");
    if exchange != text("issued_token_type").is_some() {
        found.push("`issued_token_type` belongs to exchanges, and to all of them".to_owned());
    }
    let known =
        ["access_token", "token_type", "expires_in", "scope", "issued_token_type", "refresh_token"];
    for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
        found.push(format!("the answer has a member `{name}`"));
    }
    found
}

fn error_problems(body: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    if body.contains_key("access_token") {
        found.push("an error carries a token".to_owned());
    }
    for name in ["error", "error_description"] {
        let value = body.get(name).map(|value| value.as_str());
        let plain = |text: &str| {
            text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        match value {
            None if name == "error" => found.push("there is no `error`".to_owned()),
            Some(None) => found.push(format!("`{name}` is no string")),
            Some(Some(text)) if !plain(text) => {
                found.push(format!("`{name}` has characters that RFC 6749 §5.2 forbids"));
            }
            _ => {}
        }
    }
    let known = ["error", "error_description", "error_uri", "request_id"];
    for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
        found.push(format!("the error has a member `{name}`"));
    }
    found
}
