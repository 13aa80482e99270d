//! Grants that are made for an authorization server to read: ID-JAG and WAG. Their profiles demand
//! a token id and that it is used once.

use super::{CUSTOM, Form, Keys, Preset, var};
use crate::bundle::{SingleUse, SubjectKind, TokenType};
use crate::jwk::Algorithm;

/// The assertion grant of draft-ietf-oauth-identity-assertion-authz-grant: a person, vouched for
/// by the enterprise's identity provider, at the client that it names.
pub(super) const ID_JAG: Preset = Preset {
    name: "id-jag",
    platform: "Identity Assertion JWT Authorization Grant (ID-JAG)",
    issuer: &["{url}"],
    vars: &[var("url", Form::Url)],
    algorithms: &[Algorithm::ES256, Algorithm::RS256],
    lifetime_secs: 600,
    single_use: SingleUse::Always,
    single_use_mandatory: true,
    typ: &["oauth-id-jag+jwt"],
    token_types: &[TokenType::Jwt],
    pins: &[&["/client_id", "/sub", "/tenant"]],
    subject: SubjectKind::User,
    client_claim: Some("/client_id"),
    ..CUSTOM
};

/// The grant of draft-carleton-workload-authz-grant: an agent, vouched for by its platform, whose
/// keys are only those that were registered.
pub(super) const WAG: Preset = Preset {
    name: "wag",
    platform: "Workload Authorization Grant (WAG)",
    keys: Keys::Stated,
    typ: &["", "jwt"],
    pins: &[&["/sub", "/tenant"]],
    subject: SubjectKind::Workload,
    client_claim: None,
    ..ID_JAG
};
