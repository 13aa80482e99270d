//! The clouds' own workload identities.

use super::{CUSTOM, Demand, Form, Keys, Preset, Refused, Require, var};
use crate::bundle::{SingleUse, TokenType};
use crate::jwk::Algorithm;

pub(super) const AWS_OUTBOUND: Preset = Preset {
    name: "aws-outbound",
    platform: "AWS outbound identity federation",
    issuer: &["https://{account}.tokens.sts.global.api.aws"],
    hosts: &["*.tokens.sts.global.api.aws"],
    vars: &[var("account", Form::Uuid)],
    keys: Keys::Url("{issuer}/.well-known/jwks.json"),
    // The caller picks one of the two.
    algorithms: &[Algorithm::RS256, Algorithm::ES384],
    lifetime_secs: 3_600,
    single_use: SingleUse::Always,
    pins: &[&["/sub", "/https:~1~1sts.amazonaws.com~1/principal_tags/"]],
    refused_claims: &[Refused {
        what: "/https:~1~1sts.amazonaws.com~1/request_tags",
        why: "the caller chooses them",
    }],
    ..CUSTOM
};

/// Every Google account has this issuer and picks its audience: `sub` is the whole boundary.
pub(super) const GOOGLE_SA: Preset = Preset {
    name: "google-sa",
    platform: "Google Cloud service accounts",
    issuer: &["https://accounts.google.com"],
    hosts: &["accounts.google.com"],
    keys: Keys::Url("https://www.googleapis.com/oauth2/v3/certs"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 3_600,
    single_use: SingleUse::Never,
    tenant: &["/sub"],
    pins: &[&["/sub"]],
    ..CUSTOM
};

/// The API's registration decides the version of its tokens; the first is the default.
pub(super) const AZURE_V1: Preset = Preset {
    name: "azure-v1",
    platform: "Azure managed identities and apps, v1.0 tokens",
    issuer: &["https://sts.windows.net/{tenant}/"],
    hosts: &["sts.windows.net"],
    vars: &[var("tenant", Form::Uuid)],
    keys: Keys::Url("https://login.microsoftonline.com/{tenant}/discovery/keys"),
    algorithms: &[Algorithm::RS256],
    // A managed identity's token lives ten minutes more than a day.
    lifetime_secs: 90_000,
    // The platform hands out the same token until it is nearly spent.
    single_use: SingleUse::Never,
    token_id: "/uti",
    token_types: &[TokenType::AccessToken, TokenType::Jwt],
    pins: &[&["/tid"], &["/oid"]],
    require: &[Require { pointer: "/idtyp", demand: Demand::AbsentOr("app") }],
    subject_claim: "/oid",
    ..CUSTOM
};

/// All tenants share the signing keys, so the exact `iss` is the boundary.
pub(super) const AZURE_V2: Preset = Preset {
    name: "azure-v2",
    platform: "Azure managed identities and apps, v2.0 tokens",
    issuer: &["https://login.microsoftonline.com/{tenant}/v2.0"],
    hosts: &["login.microsoftonline.com"],
    keys: Keys::Url("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"),
    ..AZURE_V1
};
