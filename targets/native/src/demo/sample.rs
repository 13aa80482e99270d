//! The sample tokens that the loopback issuers sign: the claims of `tests/fixtures`, as the vendors
//! document them.

use serde_json::{Map, Value};
use writ_core::jwk::Algorithm;

use super::DemoError;

/// A platform's sample, and what the example's company has that the vendor's sample has not.
struct Row {
    /// The issuer's id in the example zone.
    id: &'static str,
    fixture: &'static str,
    /// Claims of Acme's: by name, as JSON.
    acme: &'static [(&'static str, &'static str)],
    /// The life that the job asks its platform for, where it chooses.
    life_secs: Option<i64>,
}

const ROWS: [Row; 6] = [
    Row {
        id: "github",
        fixture: include_str!("../../../../tests/fixtures/github-actions.json"),
        acme: &[
            ("environment", "\"production\""),
            ("sub", "\"repo:octo-org/octo-repo:environment:production\""),
        ],
        life_secs: None,
    },
    Row {
        id: "vercel",
        fixture: include_str!("../../../../tests/fixtures/vercel-team.json"),
        acme: &[],
        life_secs: None,
    },
    Row {
        id: "fly",
        fixture: include_str!("../../../../tests/fixtures/fly.json"),
        acme: &[("org_name", "\"acme\""), ("sub", "\"acme:example-app:example-machine\"")],
        life_secs: None,
    },
    Row {
        id: "aws",
        fixture: include_str!("../../../../tests/fixtures/aws-outbound.json"),
        acme: &[],
        life_secs: Some(300),
    },
    Row {
        id: "gcp",
        fixture: include_str!("../../../../tests/fixtures/gcp-cloud-run.json"),
        acme: &[],
        life_secs: None,
    },
    Row {
        id: "okta",
        fixture: include_str!("../../../../tests/fixtures/okta-user.json"),
        acme: &[],
        life_secs: None,
    },
];

/// What a platform's tokens look like.
pub(super) struct Sample {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

impl Sample {
    /// The sample for an issuer of the example zone, whose tokens say `iss`.
    pub(super) fn of(id: &str, iss: &str) -> Result<Self, DemoError> {
        let broken = |what: &str| DemoError(format!("the sample token of `{id}`: {what}"));
        let row = ROWS.iter().find(|row| row.id == id).ok_or_else(|| broken("there is none"))?;
        let document: Value =
            serde_json::from_str(row.fixture).map_err(|error| broken(&error.to_string()))?;
        let object = |name: &str| document.get(name).and_then(Value::as_object).cloned();
        let mut header = object("header").ok_or_else(|| broken("no header"))?;
        // GitHub's documentation has a placeholder there that is no thumbprint.
        header.remove("x5t");
        let mut claims = object("claims").ok_or_else(|| broken("no claims"))?;
        claims.insert("iss".into(), iss.into());
        for (name, value) in row.acme {
            let value = serde_json::from_str(value).map_err(|error| broken(&error.to_string()))?;
            claims.insert((*name).into(), value);
        }
        if let Some(life_secs) = row.life_secs {
            let issued = claims.get("iat").and_then(Value::as_i64).unwrap_or_default();
            claims.insert("exp".into(), issued.saturating_add(life_secs).into());
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").and_then(Algorithm::from_name);
        Ok(Self {
            algorithm: algorithm.ok_or_else(|| broken("no algorithm"))?,
            kid: text("kid").ok_or_else(|| broken("no key id"))?.to_owned(),
            header,
            claims,
        })
    }

    /// The claims as of `now`: every time in them moves by as much, and the token's id is `jti`.
    pub(super) fn at(&self, now: i64, jti: &str) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        let issued = claims.get("iat").and_then(Value::as_i64).unwrap_or_default();
        let shift = now.saturating_sub(issued);
        for name in ["iat", "nbf", "exp", "auth_time"] {
            if let Some(time) = claims.get_mut(name)
                && let Some(at) = time.as_i64()
            {
                *time = at.saturating_add(shift).into();
            }
        }
        if let Some(id) = claims.get_mut("jti") {
            *id = jti.into();
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_moves_and_the_rest_stays() {
        let sample = Sample::of("github", "https://issuer.example").unwrap();
        let claims = sample.at(2_000_000_000, "new");
        let time = |name: &str| claims[name].as_i64().unwrap();
        assert_eq!(time("iat"), 2_000_000_000);
        assert_eq!(time("exp") - time("iat"), 300);
        assert_eq!(time("iat") - time("nbf"), 600);
        assert_eq!(claims["jti"], "new");
        assert_eq!(claims["iss"], "https://issuer.example");
        assert_eq!(claims["repository_id"], "74");
    }

    #[test]
    fn a_sample_without_an_id_gets_none() {
        let sample = Sample::of("gcp", "https://accounts.google.com").unwrap();
        assert_eq!(sample.at(7, "new").get("jti"), None);
    }
}
