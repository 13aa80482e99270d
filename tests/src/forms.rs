//! Requests with a form: what clients send to the token endpoint, and beside it.

use writ_core::encoding::{base64url, sha256};
use writ_core::http::Request;
use writ_core::jwk::Algorithm;

use serde_json::{Value, json};

use crate::keys;
use crate::template::unique;

/// A client and its secret.
pub type Client = (&'static str, &'static str);

/// The assistant of the zone `plain`.
pub const ASSISTANT: Client = ("assistant", "assistant-secret");
/// The owner of the files there.
pub const FILES_API: Client = ("files-api", "files-secret");

/// A form for the token endpoint.
#[must_use]
pub fn token_request(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> Request {
    form("/oauth/token", fields)
}

/// An exchange of a platform's token, by its bearer, for the files of the zone `plain`.
#[must_use]
pub fn once(token: &str) -> Request {
    token_request(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("resource", "https://files.example/api"),
    ])
}

/// A form for another endpoint.
#[must_use]
pub fn form(path: &str, fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> Request {
    Request {
        method: "POST".to_owned(),
        path: path.to_owned(),
        query: None,
        headers: vec![("content-type".to_owned(), TYPE.to_owned())],
        body: encode(fields).into_bytes(),
    }
}

/// A form in which a client shows its secret.
#[must_use]
pub fn post(path: &str, (id, secret): Client, fields: &[(&str, &str)]) -> Request {
    form(path, &[&[("client_id", id), ("client_secret", secret)], fields].concat())
}

/// Encodes a form (the URL standard's serializer).
#[must_use]
pub fn encode(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let encode = |text: &str| {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                    encoded.push(char::from(byte));
                }
                b' ' => encoded.push('+'),
                other => encoded.push_str(&format!("%{other:02X}")),
            }
        }
        encoded
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name.as_ref()), encode(value.as_ref())))
        .collect();
    pairs.join("&")
}

/// A DPoP proof of a party's key (RFC 9449 §4.2), made at `now`; beside an access token, for that one.
#[must_use]
pub fn proof(party: &str, method: &str, url: &str, token: Option<&str>, now: i64) -> String {
    let mut jwk = keys::jwk(party, Algorithm::ES256);
    jwk.retain(|name, _| matches!(name.as_str(), "kty" | "crv" | "x" | "y"));
    let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": jwk });
    let mut claims = json!({ "htm": method, "htu": url, "iat": now, "jti": unique("proof") });
    if let Some(token) = token {
        claims["ath"] = base64url(&sha256(token.as_bytes())).into();
    }
    let encode = |value: &Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = keys::key(party, Algorithm::ES256).sign(message.as_bytes()).unwrap();
    format!("{message}.{}", base64url(&signature))
}

/// The media type of a form.
pub const TYPE: &str = "application/x-www-form-urlencoded";

/// Token exchange, as `grant_type` (RFC 8693).
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// An assertion as grant, as `grant_type` (RFC 7523).
pub const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A JWT that proves the client, as `client_assertion_type` (RFC 7523).
pub const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Any JWT, as a token type (RFC 8693).
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A token of ours, as a token type (RFC 8693).
pub const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
/// An ID token, as a token type (RFC 8693).
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
