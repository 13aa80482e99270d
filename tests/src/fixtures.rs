//! The platforms' sample tokens: `fixtures/*.json`, as documentation and source code show them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use writ_core::jwk::Algorithm;

use crate::issuer::{Parties, Party, Token};
use crate::zones::{self, Places, Zone};

/// A platform's sample token.
#[derive(Clone, Debug, Deserialize)]
pub struct Fixture {
    /// The file's name without `.json`, and the party's too.
    #[serde(skip)]
    pub name: String,
    /// What its `iss` says.
    pub issuer: String,
    /// Where its discovery document is.
    pub discovery: Option<String>,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
    /// The algorithm's name; one is none of ours.
    pub alg: String,
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Fixtures whose platform, or whose relying party's registration, fixes the audience: it stays as
/// it is. All the others are asked for with ours.
const OWN_AUDIENCE: &[&str] = &[
    "auth0-m2m",
    "azure-app-v2",
    "azure-devops",
    "azure-mi-v1",
    "cloudflare-access",
    "cloudflare-access-service-token",
    "cognito-id",
    "entra-user",
    "google-user",
    "modal",
    "okta-user",
    "spacelift",
];

impl Fixture {
    /// Every fixture, in order of their names.
    ///
    /// # Panics
    ///
    /// On a file that is none.
    pub fn all() -> Vec<Self> {
        let listing = std::fs::read_dir(directory()).expect("the fixtures");
        let mut names: Vec<String> = listing
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.iter().map(|name| Self::load(name)).collect()
    }

    /// The fixture of this name.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn load(name: &str) -> Self {
        let text = std::fs::read_to_string(directory().join(format!("{name}.json")))
            .unwrap_or_else(|error| panic!("fixture `{name}`: {error}"));
        let fixture: Self =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("fixture `{name}`: {error}"));
        Self { name: name.to_owned(), ..fixture }
    }

    /// The claims as they would be in a token issued at `now` for us: `iat`, `nbf` and `exp` are
    /// moved together, so that `iat` is now and the differences stay; `aud` is `audience`, in its
    /// form, where the platform lets a caller choose.
    pub fn claims_at(&self, now: i64, audience: &str) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        let issued = claims.get("iat").and_then(Value::as_i64).expect("an `iat`");
        for name in ["iat", "nbf", "exp"] {
            if let Some(time) = claims.get(name).and_then(Value::as_i64) {
                claims.insert(name.to_owned(), (time - issued + now).into());
            }
        }
        if !OWN_AUDIENCE.contains(&self.name.as_str()) {
            let several = claims.get("aud").is_some_and(Value::is_array);
            let ours = if several { json!([audience]) } else { json!(audience) };
            claims.insert("aud".to_owned(), ours);
        }
        claims
    }

    /// The audience that a zone must expect, where it is not our own.
    pub fn own_audience(&self) -> Option<String> {
        let aud = self.claims.get("aud").filter(|_| OWN_AUDIENCE.contains(&self.name.as_str()))?;
        aud.as_str().or_else(|| aud.get(0)?.as_str()).map(str::to_owned)
    }

    /// The algorithm, unless it is none of JOSE's.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(&self.alg)
    }

    /// The fixture's platform as a party that signs, and an attacker beside it.
    pub fn parties(&self) -> Parties {
        let algorithms: Vec<Algorithm> = self.algorithm().into_iter().collect();
        let mut jwk = Map::new();
        if let Some(kid) = self.header.get("kid") {
            jwk.insert("kid".to_owned(), kid.clone());
        }
        let platform = Party {
            issuer: self.issuer.clone(),
            algorithms: algorithms.clone(),
            jwk,
            ..Party::default()
        };
        let attacker =
            Party { issuer: "https://attacker.example".to_owned(), algorithms, ..Party::default() };
        [(self.name.clone(), platform), ("attacker".to_owned(), attacker)].into()
    }

    /// A zone that trusts the platform: `fixtures/zones/NAME.toml`, with what all of them have.
    pub fn zone(&self, places: &Places, parties: Parties) -> Zone {
        let directory = directory().join("zones");
        let part = |file: &str| zones::filled(&directory.join(file), places);
        let document = part("base.toml") + &part(&format!("{}.toml", self.name));
        let permit = "@id(\"anyone\")\npermit (principal, action, resource);\n";
        let policies = [("main.cedar".to_owned(), permit.to_owned())].into();
        Zone::new(document, policies, parties)
    }

    /// A description of the platform's token, to be spoilt.
    #[must_use]
    pub fn token(&self) -> Token {
        Token { from: self.name.clone(), fixture: Some(self.name.clone()), ..Token::default() }
    }
}

fn directory() -> PathBuf {
    crate::vector::package().join("fixtures")
}
