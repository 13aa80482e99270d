//! The documents by which clients find us: RFC 8414, OpenID Connect Discovery, RFC 7517.

use serde_json::{Value, json};

use crate::active::Active;
use crate::handle::{INTROSPECT, JWKS, REVOKE, TOKEN};
use crate::jwk::Algorithm;
use crate::moment::Timestamp;

/// The authorization server's metadata (RFC 8414 §2). OpenID Connect Discovery gets the same.
///
/// `authorization_endpoint` is absent: no grant here needs one.
#[must_use]
pub fn document(zone: &Active) -> Value {
    let issuer = &zone.bundle.issuer;
    let algorithms: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let mut grants = vec![
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ];
    if zone.bundle.applications.values().any(|application| application.refresh_secs.is_some()) {
        grants.push("refresh_token");
    }
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{TOKEN}"),
        "jwks_uri": format!("{issuer}{JWKS}"),
        "response_types_supported": ["none"],
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        "introspection_endpoint": format!("{issuer}{INTROSPECT}"),
        "introspection_endpoint_auth_methods_supported": PROVEN,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": [zone.bundle.algorithm.name()],
        "revocation_endpoint": format!("{issuer}{REVOKE}"),
        "revocation_endpoint_auth_methods_supported": PROVEN,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [zone.bundle.algorithm.name()],
        "scopes_supported": scopes(zone),
    })
}

/// How a client proves itself where it must.
const PROVEN: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

fn scopes(zone: &Active) -> Vec<&String> {
    let mut scopes: Vec<&String> =
        zone.bundle.resources.values().flat_map(|resource| &resource.scopes).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// The key set at `now` (RFC 7517 §5): the keys that sign, signed, or will sign soon. Public members
/// only, a `kid` on every key.
#[must_use]
pub fn keys(zone: &Active, now: Timestamp) -> Value {
    let keys: Vec<Value> = zone
        .snapshot
        .keys
        .iter()
        // Published clients refuse a whole set for one key of a kind they do not know.
        .filter(|(_, key)| key.algorithm == zone.bundle.algorithm && key.verifies(now))
        .map(|(kid, key)| {
            let mut public = key.public.clone();
            public.kid = Some(kid.clone());
            public.algorithm = Some(key.algorithm);
            Value::Object(public.to_jwk())
        })
        .collect();
    json!({ "keys": keys })
}
