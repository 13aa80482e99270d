//! Identity providers of people, and what the same ones issue to machines.

use super::{Audience, CUSTOM, Demand, Form, Keys, Preset, Require, Var, var};
use crate::bundle::{SingleUse, SubjectKind, TokenType};
use crate::jwk::Algorithm;

/// What every provider of people's identities has in common. An application shows a person's
/// token more than once, and nothing but `sub` (or its like) stays the same for a person.
const PERSON: Preset = Preset {
    algorithms: &[Algorithm::RS256],
    audience: Audience::Stated("the client id that people sign in to"),
    lifetime_secs: 90_000,
    single_use: SingleUse::Never,
    subject: SubjectKind::User,
    client_claim: Some("/aud"),
    ..CUSTOM
};

/// A Workspace domain (`hd`), a person or a client: without one of them, all of Google signs in.
pub(super) const GOOGLE: Preset = Preset {
    name: "google",
    platform: "Google, people",
    issuer: &["https://accounts.google.com", "accounts.google.com"],
    hosts: &["accounts.google.com"],
    keys: Keys::Url("https://www.googleapis.com/oauth2/v3/certs"),
    tenant: &["/hd", "/sub", "/azp", "/aud"],
    client_claim: Some("/azp"),
    ..PERSON
};

pub(super) const OKTA: Preset = Preset {
    name: "okta",
    platform: "Okta, people, a custom authorization server",
    issuer: &["https://{domain}/oauth2/{server}"],
    hosts: &["*.okta.com", "*.oktapreview.com", "*.okta-emea.com"],
    vars: &[
        var("domain", Form::Host),
        Var { name: "server", form: Form::Name, default: Some("default") },
    ],
    keys: Keys::Url("{issuer}/v1/keys"),
    ..PERSON
};

/// The organization's own server, whose access tokens are for Okta alone: ID tokens only.
pub(super) const OKTA_ORG: Preset = Preset {
    name: "okta-org",
    platform: "Okta, people, the organization's authorization server",
    issuer: &["https://{domain}"],
    vars: &[var("domain", Form::Host)],
    keys: Keys::Discovery,
    token_types: &[TokenType::IdToken],
    ..OKTA
};

/// A person's `sub` differs from application to application; `oid` within `tid` does not. ID tokens
/// only: an access token may be an application's own, with an `oid` like a person's and nothing that
/// must say so, but every access token tells how its client proved itself (`azpacr`).
pub(super) const ENTRA: Preset = Preset {
    name: "entra",
    platform: "Microsoft Entra, people",
    issuer: &["https://login.microsoftonline.com/{tenant}/v2.0"],
    hosts: &["login.microsoftonline.com"],
    vars: &[var("tenant", Form::Uuid)],
    keys: Keys::Url("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"),
    token_id: "/uti",
    pins: &[&["/tid"]],
    token_types: &[TokenType::IdToken, TokenType::Jwt],
    require: &[
        Require { pointer: "/idtyp", demand: Demand::AbsentOr("user") },
        Require { pointer: "/azpacr", demand: Demand::Absent },
        Require { pointer: "/appidacr", demand: Demand::Absent },
    ],
    subject_claim: "/oid",
    ..PERSON
};

pub(super) const AUTH0: Preset = Preset {
    name: "auth0",
    platform: "Auth0, people",
    issuer: &["https://{domain}/"],
    hosts: &["*.auth0.com"],
    vars: &[var("domain", Form::Host)],
    keys: Keys::Url("{issuer}.well-known/jwks.json"),
    audience: Audience::Ours,
    typ: &["", "jwt", "at+jwt"],
    token_types: &[TokenType::AccessToken, TokenType::IdToken, TokenType::Jwt],
    require: &[Require { pointer: "/gty", demand: Demand::NoneOf(&["client-credentials"]) }],
    client_claim: Some("/azp"),
    ..PERSON
};

pub(super) const AUTH0_M2M: Preset = Preset {
    name: "auth0-m2m",
    platform: "Auth0, machines",
    pins: &[&["/sub", "/azp"]],
    require: &[Require { pointer: "/gty", demand: Demand::Text("client-credentials") }],
    subject: SubjectKind::Workload,
    client_claim: None,
    ..AUTH0
};

/// Access tokens have no `aud`: ID tokens only.
pub(super) const COGNITO: Preset = Preset {
    name: "cognito",
    platform: "Amazon Cognito user pools",
    issuer: &["https://cognito-idp.{region}.amazonaws.com/{pool}"],
    hosts: &["cognito-idp.*.amazonaws.com"],
    vars: &[var("region", Form::Name), var("pool", Form::Name)],
    keys: Keys::Url("{issuer}/.well-known/jwks.json"),
    require: &[Require { pointer: "/token_use", demand: Demand::Text("id") }],
    ..PERSON
};

/// One issuer and one key set for all of a team's applications: the audience alone tells them
/// apart.
pub(super) const CLOUDFLARE_ACCESS: Preset = Preset {
    name: "cloudflare-access",
    platform: "Cloudflare Access, people",
    issuer: &["https://{team}.cloudflareaccess.com"],
    hosts: &["*.cloudflareaccess.com"],
    vars: &[var("team", Form::Name)],
    keys: Keys::Url("{issuer}/cdn-cgi/access/certs"),
    audience: Audience::Stated("the AUD tag of the Access application"),
    lifetime_secs: 86_400,
    token_types: &[TokenType::Jwt],
    ..PERSON
};

/// The bearer's `sub` is the empty string, and `common_name` is who it is.
pub(super) const CLOUDFLARE_ACCESS_SERVICE: Preset = Preset {
    name: "cloudflare-access-service",
    platform: "Cloudflare Access, service tokens",
    pins: &[&["/common_name"]],
    require: &[Require { pointer: "/sub", demand: Demand::Text("") }],
    subject: SubjectKind::Workload,
    subject_claim: "/common_name",
    client_claim: None,
    ..CLOUDFLARE_ACCESS
};
