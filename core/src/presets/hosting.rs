//! Where functions, machines and agents run.

use super::{Audience, CUSTOM, Form, Keys, Preset, Refused, var};
use crate::bundle::SingleUse;
use crate::jwk::Algorithm;

/// A team's own issuer. The SDK keeps a token in memory and shows it again, so it is reusable.
pub(super) const VERCEL: Preset = Preset {
    name: "vercel",
    platform: "Vercel, a team's issuer",
    issuer: &["https://oidc.vercel.com/{team}"],
    hosts: &["oidc.vercel.com"],
    vars: &[var("team", Form::Name)],
    keys: Keys::Url("{issuer}/.well-known/jwks"),
    algorithms: &[Algorithm::RS256],
    refused_audiences: &[Refused {
        what: "https://vercel.com/*",
        why: "it is what functions get without asking, so every relying party accepts it; \
              ask for another one",
    }],
    // A development token lives twelve hours.
    lifetime_secs: 43_200,
    single_use: SingleUse::Never,
    pins: &[&["/owner_id"], &["/project_id"], &["/environment"]],
    ..CUSTOM
};

pub(super) const VERCEL_GLOBAL: Preset = Preset {
    name: "vercel-global",
    platform: "Vercel, the issuer shared by all teams",
    issuer: &["https://oidc.vercel.com"],
    vars: &[],
    tenant: &["/owner_id"],
    ..VERCEL
};

/// Names of apps and organisations can be deleted and taken again; the issuer holds one.
pub(super) const FLY: Preset = Preset {
    name: "fly",
    platform: "Fly.io",
    issuer: &["https://oidc.fly.io/{org}"],
    hosts: &["oidc.fly.io"],
    vars: &[var("org", Form::Name)],
    algorithms: &[Algorithm::RS256],
    refused_audiences: &[Refused {
        what: "https://fly.io/*",
        why: "it is what machines get without asking, so every relying party accepts it",
    }],
    lifetime_secs: 600,
    single_use: SingleUse::Always,
    pins: &[&["/org_id"], &["/app_id"]],
    ..CUSTOM
};

/// One token lies in the container's environment for its whole life, the same for everybody.
pub(super) const MODAL: Preset = Preset {
    name: "modal",
    platform: "Modal",
    issuer: &["https://oidc.modal.com"],
    hosts: &["oidc.modal.com"],
    algorithms: &[Algorithm::RS256],
    audience: Audience::Fixed("oidc.modal.com"),
    lifetime_secs: 172_800,
    single_use: SingleUse::Never,
    tenant: &["/workspace_id"],
    pins: &[&["/workspace_id"], &["/environment_id"], &["/function_id", "/app_id"]],
    refused_claims: &[Refused {
        what: "/sub",
        why: "it holds the container and differs from one to the next",
    }],
    ..CUSTOM
};

pub(super) const DENO_DEPLOY: Preset = Preset {
    name: "deno-deploy",
    platform: "Deno Deploy",
    issuer: &["https://oidc.deno.com"],
    hosts: &["oidc.deno.com"],
    keys: Keys::Url("{issuer}/.well-known/jwks.json"),
    // The documentation says one in one place and the other in another.
    algorithms: &[Algorithm::ES256, Algorithm::RS256],
    lifetime_secs: 600,
    single_use: SingleUse::Never,
    tenant: &["/org_id"],
    pins: &[&["/org_id"], &["/app_id"], &["/context_id"]],
    ..CUSTOM
};

pub(super) const CURSOR: Preset = Preset {
    name: "cursor",
    platform: "Cursor cloud agents",
    issuer: &["https://api.cursor.com"],
    hosts: &["api.cursor.com"],
    keys: Keys::Url("{issuer}/keys"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 600,
    single_use: SingleUse::Always,
    tenant: &["/team_id"],
    pins: &[&["/team_id"], &["/sub"]],
    refused_claims: &[
        Refused { what: "/owner_email", why: "addresses change hands" },
        Refused {
            what: "/repo_url",
            why: "it is only the first of the repositories; compare the whole `/repo_urls`",
        },
    ],
    ..CUSTOM
};
