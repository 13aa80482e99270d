//! What a deployment is told of itself: the zone that it serves, and who may change it.
//!
//! A target reads the same variables everywhere, whatever it calls them.

use crate::jwk::PublicKey;
use crate::zone;

/// A deployment of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The zone's name.
    pub zone: String,
    /// The zone's issuer. A bundle that names another one is not used: it is another deployment's.
    pub issuer: String,
    /// The public key of the operator who may change the zone over HTTP. Without one, nobody may.
    pub operator: Option<PublicKey>,
}

/// The variable with the zone's name.
pub const ZONE: &str = "WRIT_ZONE";
/// The variable with the zone's issuer, a bare origin.
pub const ISSUER: &str = "WRIT_ISSUER";
/// The variable with the operator's public key, a JWK (RFC 7517). It may be empty.
pub const OPERATOR_KEY: &str = "WRIT_OPERATOR_KEY";
/// The secret with the wrapping key: 32 bytes, base64url.
pub const WRAPPING_KEY: &str = "WRIT_WRAPPING_KEY";

impl Deployment {
    /// Reads a deployment's variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, a sentence each.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut needed = |name: &str, check: fn(&str) -> Result<(), &'static str>| {
            let text = variable(name).unwrap_or_default();
            if let Err(what) = check(&text) {
                wrong.push(format!("`{name}` {what}"));
            }
            text
        };
        let zone = needed(ZONE, zone::check_name);
        let issuer = needed(ISSUER, zone::check_issuer);
        let operator = variable(OPERATOR_KEY).filter(|text| !text.trim().is_empty());
        let operator = operator.and_then(|text| match serde_json::from_str::<PublicKey>(&text) {
            Ok(key) => Some(key),
            Err(error) => {
                wrong.push(format!("`{OPERATOR_KEY}` is no public JWK: {error}"));
                None
            }
        });
        if wrong.is_empty() { Ok(Self { zone, issuer, operator }) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn read(zone: &str, issuer: &str, key: &str) -> Result<Deployment, Vec<String>> {
        Deployment::read(|name| match name {
            ZONE => Some(zone.to_owned()),
            ISSUER => Some(issuer.to_owned()),
            OPERATOR_KEY => Some(key.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn reads_what_an_operator_sets() {
        let deployment = read("acme", "https://auth.acme.example", KEY).unwrap();
        assert_eq!(deployment.zone, "acme");
        assert!(deployment.operator.is_some());
        assert_eq!(read("acme", "http://127.0.0.1:8787", " ").unwrap().operator, None);
    }

    #[test]
    fn says_everything_that_is_wrong_at_once() {
        let wrong = Deployment::read(|_| None).unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let private = KEY.replace('}', r#","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#);
        let wrong = read("Acme", "http://acme.example/", &private).unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong.iter().all(|what| !what.contains("nWGx")), "a private key is not repeated");
        for issuer in ["https://acme.example/", "https://acme.example/x", "http://acme.example", ""]
        {
            assert!(read("acme", issuer, "").is_err(), "{issuer}");
        }
    }
}
