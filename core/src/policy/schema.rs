//! The Cedar schema of a zone, generated from its bundle (design §5).
//!
//! Tags are required string attributes and declared claims are optional, so that strict validation
//! proves that no policy can err on absence.

use cedar_policy::{Schema, SchemaError};
use serde_json::{Map, Value, json};

use crate::bundle::{Bundle, ClaimKind, ClaimOf, TagOn};

/// The action that issuing a credential is.
pub(super) const ACTION: &str = "credentials:issue";

/// Generates the schema.
///
/// # Errors
///
/// A name in the bundle that Cedar does not take.
pub(super) fn generate(bundle: &Bundle) -> Result<Schema, Box<SchemaError>> {
    let string = json!({ "type": "String" });
    let strings = json!({ "type": "Set", "element": string });
    let application = json!({ "type": "Entity", "name": "Application" });
    let document = json!({ "": {
        "entityTypes": {
            "User": { "shape": record([("id", string.clone()), ("tags", tags(bundle, TagOn::User, &string))]) },
            "Application": { "shape": record([
                ("id", string.clone()),
                ("tags", tags(bundle, TagOn::Application, &string)),
            ]) },
            "Resource": { "shape": record([
                ("id", string.clone()),
                ("kind", string.clone()),
                ("scopes", strings.clone()),
                ("owner", optional(application.clone())),
                ("tags", tags(bundle, TagOn::Resource, &string)),
            ]) },
        },
        "actions": { ACTION: { "appliesTo": {
            "principalTypes": ["User", "Application"],
            "resourceTypes": ["Resource"],
            "context": record([
                ("subject", record([("id", string.clone()), ("profile", string.clone())])),
                ("actor", application.clone()),
                ("chain", json!({ "type": "Set", "element": application })),
                ("chain_tags", tags(bundle, TagOn::Application, &strings)),
                ("depth", json!({ "type": "Long" })),
                ("on_behalf", json!({ "type": "Boolean" })),
                ("scopes", strings),
                ("task", optional(record([
                    ("name", string.clone()),
                    ("id", optional(string.clone())),
                    ("source", string.clone()),
                ]))),
                ("device", optional(string.clone())),
                ("session", optional(string.clone())),
                ("time", json!({ "type": "Long" })),
                ("edge", optional(string)),
                ("claims", record([
                    ("subject", claims(bundle, ClaimOf::Subject)),
                    ("actor", claims(bundle, ClaimOf::Actor)),
                ])),
            ]),
        } } },
    } });
    Schema::from_json_value(document).map_err(Box::new)
}

fn record<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    let attributes: Map<String, Value> =
        attributes.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    json!({ "type": "Record", "attributes": attributes })
}

fn optional(mut kind: Value) -> Value {
    if let Some(kind) = kind.as_object_mut() {
        kind.insert("required".into(), false.into());
    }
    kind
}

fn tags(bundle: &Bundle, on: TagOn, kind: &Value) -> Value {
    let attributes: Map<String, Value> = bundle
        .tags
        .iter()
        .filter(|(_, tag)| tag.on.contains(&on))
        .map(|(name, _)| (name.clone(), kind.clone()))
        .collect();
    json!({ "type": "Record", "attributes": attributes })
}

fn claims(bundle: &Bundle, of: ClaimOf) -> Value {
    let attributes: Map<String, Value> = bundle
        .claims
        .iter()
        .filter(|(_, claim)| claim.of == of)
        .map(|(name, claim)| (name.clone(), optional(claim_type(claim.kind))))
        .collect();
    json!({ "type": "Record", "attributes": attributes })
}

fn claim_type(kind: ClaimKind) -> Value {
    match kind {
        ClaimKind::String => json!({ "type": "String" }),
        ClaimKind::Long => json!({ "type": "Long" }),
        ClaimKind::Bool => json!({ "type": "Boolean" }),
        ClaimKind::Strings => json!({ "type": "Set", "element": { "type": "String" } }),
    }
}
