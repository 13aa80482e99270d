//! What is measured: the zone in `bench/zone`, and the requests made in it.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::PathBuf;

use serde_json::json;
use writ_core::encoding::{hex, sha256};
use writ_core::jwk::Algorithm;
use writ_tests::forms::{encode, token_request};
use writ_tests::issuer::{Parties, Party, Token, Usual};
use writ_tests::running::Running;
use writ_tests::target::clock;
use writ_tests::zones::{Places, Zone, filled};

use crate::load::Requests;

/// How large a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its policies, ten or more.
    pub(crate) policies: usize,
    /// Its applications, one or more.
    pub(crate) applications: usize,
}

impl Size {
    /// The zone as it is in `bench/zone`.
    pub(crate) const BASE: Self = Self { policies: 10, applications: 1 };
}

/// The zone, so large.
///
/// # Panics
///
/// Where its files cannot be read.
#[must_use]
pub(crate) fn zone(size: Size, places: &Places) -> Zone {
    let directory = directory();
    let mut document = filled(&directory.join("zone.toml"), places);
    for number in 1..size.applications {
        let secret = hex(&sha256(format!("the secret of application {number}").as_bytes()));
        write!(
            document,
            "\n[applications.a{number}]\ncredentials = [{{ kind = \"secret\", sha256 = \"{secret}\" }}]\n"
        )
        .expect("text");
    }
    let mut policies = filled(&directory.join("policies/bench.cedar"), places);
    // As most of an operator's policies do, these name a principal and a resource: not these two.
    for number in Size::BASE.policies..size.policies {
        write!(
            policies,
            "\n@id(\"r{number}\")\npermit (principal == Application::\"a{number}\", action, \
             resource == Resource::\"https://r{number}.example.com\") when {{ context.depth < 3 }};\n"
        )
        .expect("text");
    }
    Zone::new(document, [("bench.cedar".to_owned(), policies)].into(), parties())
}

/// The parties around it.
#[must_use]
pub(crate) fn parties() -> Parties {
    let party = Party {
        issuer: "https://idp.example".to_owned(),
        algorithms: vec![Algorithm::ES256],
        ..Party::default()
    };
    [("idp".to_owned(), party)].into()
}

/// Exchanges of so many persons' tokens, signed now, posted to `path`.
///
/// # Panics
///
/// Where the key does not sign.
#[must_use]
pub(crate) fn requests(path: &'static str, persons: usize) -> Requests {
    let now = clock();
    Requests::new(path, (0..persons).map(|person| form(person, now)).collect())
}

/// Further exchanges in so many persons' sessions, which are opened for it.
///
/// # Errors
///
/// What came instead of a session's token.
pub(crate) fn further(
    path: &'static str,
    running: &Running,
    persons: usize,
) -> Result<Requests, String> {
    let now = clock();
    let forms = (0..persons).map(|person| {
        let subject = token(person, now);
        let answer = running.send(&token_request(&ask(&subject, "id_token", &[ITSELF])));
        let body = answer.json().unwrap_or_default();
        let session = body["access_token"].as_str().ok_or_else(|| body.to_string())?;
        Ok(encode(&ask(session, "access_token", &READ)))
    });
    Ok(Requests::new(path, forms.collect::<Result<_, String>>()?))
}

/// The form of one exchange, with a person's token of `now`.
///
/// # Panics
///
/// Where the key does not sign.
#[must_use]
pub(crate) fn form(person: usize, now: i64) -> String {
    encode(&ask(&token(person, now), "id_token", &READ))
}

fn ask<'a>(
    subject: &'a str,
    kind: &str,
    target: &[(&'static str, &'a str)],
) -> Vec<(&'static str, Cow<'a, str>)> {
    let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".into()),
        ("subject_token", subject.into()),
        ("subject_token_type", kind.into()),
        ("client_id", "agent".into()),
        ("client_secret", SECRET.into()),
    ];
    fields.extend(target.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))));
    fields
}

fn token(person: usize, now: i64) -> String {
    let claims = json!({
        "sub": format!("00uid4BxXw6I6TV4m{person:05}"), "aud": "agent", "azp": "agent",
        "iat": now, "exp": now + TOKEN_SECS, "email": "user@example.com", "name": "A User",
        "auth_time": now, "amr": ["pwd", "mfa"], "nonce": "n-0S6_WzA2Mj",
    });
    let claims = claims.as_object().expect("claims").clone();
    let token = Token { from: "idp".to_owned(), claims, ..Token::default() };
    token.sign(&parties(), &Usual::at(now, "agent"))
}

/// The directory of the benchmark.
#[must_use]
pub(crate) fn package() -> PathBuf {
    writ_tests::tools::root().join("bench")
}

fn directory() -> PathBuf {
    package().join("zone")
}

/// The client's secret.
pub(crate) const SECRET: &str = "a-generated-secret-of-some-length";

/// What an exchange asks for.
const READ: [(&str, &str); 2] = [("resource", "https://api.example.com"), ("scope", "read")];

/// What opens a session to go on in.
const ITSELF: (&str, &str) = ("audience", "agent");

/// Longer than any run, and no longer than the zone's issuer may say.
const TOKEN_SECS: i64 = 4 * 3_600;
