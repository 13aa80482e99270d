//! Build and delivery pipelines.

use super::{Audience, CUSTOM, Demand, Form, Keys, Preset, Refused, Require, Var, var};
use crate::bundle::SingleUse;
use crate::jwk::Algorithm;

const GITHUB_HOST: &str = "token.actions.githubusercontent.com";

/// Names of users and organisations can be registered again after their owner is gone, and the
/// form of `sub` differs from repository to repository: the numbers do neither.
pub(super) const GITHUB_ACTIONS: Preset = Preset {
    name: "github-actions",
    platform: "GitHub Actions",
    issuer: &["https://token.actions.githubusercontent.com"],
    hosts: &[GITHUB_HOST],
    keys: Keys::Url("{issuer}/.well-known/jwks"),
    algorithms: &[Algorithm::RS256],
    refused_audiences: &[Refused {
        what: "https://github.com/*",
        why: "it is what jobs get without asking, so every relying party accepts it",
    }],
    lifetime_secs: 900,
    single_use: SingleUse::Always,
    tenant: &["/repository_owner_id"],
    pins: &[&["/repository_owner_id"], &["/repository_id"]],
    require: &[Require {
        pointer: "/event_name",
        // Both run trusted code with the trusted branch's claims, set off by anybody.
        demand: Demand::NoneOf(&["pull_request_target", "workflow_run"]),
    }],
    ..CUSTOM
};

pub(super) const GITHUB_ACTIONS_ENTERPRISE: Preset = Preset {
    name: "github-actions-enterprise",
    platform: "GitHub Actions, an enterprise's own issuer",
    issuer: &["https://token.actions.githubusercontent.com/{enterprise}"],
    vars: &[var("enterprise", Form::Name)],
    // The same keys sign for the shared issuer, so the exact `iss` is the boundary.
    keys: Keys::Url("https://token.actions.githubusercontent.com/.well-known/jwks"),
    tenant: &[],
    ..GITHUB_ACTIONS
};

pub(super) const GITHUB_ACTIONS_GHE: Preset = Preset {
    name: "github-actions-ghe",
    platform: "GitHub Actions on GHE.com",
    issuer: &["https://token.actions.{subdomain}.ghe.com"],
    hosts: &["token.actions.*.ghe.com"],
    vars: &[var("subdomain", Form::Name)],
    tenant: &[],
    ..GITHUB_ACTIONS
};

pub(super) const GITHUB_ACTIONS_GHES: Preset = Preset {
    name: "github-actions-ghes",
    platform: "GitHub Actions on GitHub Enterprise Server",
    issuer: &["https://{host}/_services/token"],
    hosts: &[],
    vars: &[var("host", Form::Host)],
    tenant: &[],
    ..GITHUB_ACTIONS
};

/// Paths can be taken over when a group is renamed; numbers cannot. Instances share numbers, but
/// each has its own `iss`.
pub(super) const GITLAB: Preset = Preset {
    name: "gitlab",
    platform: "GitLab CI/CD, gitlab.com or self-managed",
    issuer: &["https://{host}"],
    hosts: &["gitlab.com"],
    vars: &[Var { name: "host", form: Form::Host, default: Some("gitlab.com") }],
    keys: Keys::Url("{issuer}/oauth/discovery/keys"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 3_600,
    single_use: SingleUse::Always,
    tenant: &["/namespace_id"],
    pins: &[&["/namespace_id"], &["/project_id"]],
    ..CUSTOM
};

pub(super) const CIRCLECI: Preset = Preset {
    name: "circleci",
    platform: "CircleCI, an organization's issuer",
    issuer: &["https://oidc.circleci.com/org/{org}"],
    hosts: &["oidc.circleci.com"],
    vars: &[var("org", Form::Uuid)],
    keys: Keys::Url("{issuer}/.well-known/jwks-pub.json"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 3_600,
    single_use: SingleUse::Never,
    pins: &[
        &["/oidc.circleci.com~1org-id"],
        &["/oidc.circleci.com~1project-id"],
        &["/oidc.circleci.com~1pipeline-definition-id"],
    ],
    refused_claims: &[Refused {
        what: "/sub",
        why: "it names the person who set the pipeline off, so it differs from run to run",
    }],
    require: &[Require {
        pointer: "/oidc.circleci.com~1ssh-rerun",
        // A rerun with SSH gives a person a shell beside the token.
        demand: Demand::Flag(false),
    }],
    ..CUSTOM
};

pub(super) const CIRCLECI_SHARED: Preset = Preset {
    name: "circleci-shared",
    platform: "CircleCI, the issuer shared by all organizations",
    issuer: &["https://oidc.circleci.com"],
    vars: &[],
    tenant: &["/oidc.circleci.com~1org-id"],
    ..CIRCLECI
};

pub(super) const BUILDKITE: Preset = Preset {
    name: "buildkite",
    platform: "Buildkite",
    issuer: &["https://agent.buildkite.com"],
    hosts: &["agent.buildkite.com"],
    keys: Keys::Url("{issuer}/.well-known/jwks"),
    algorithms: &[Algorithm::RS256],
    refused_audiences: &[Refused {
        what: "https://buildkite.com/*",
        why: "it is what agents get without asking, so every relying party accepts it",
    }],
    lifetime_secs: 900,
    tenant: &["/organization_id"],
    pins: &[&["/organization_id"], &["/pipeline_id"]],
    refused_claims: &[Refused {
        what: "/sub",
        why: "it holds the commit and differs from build to build",
    }],
    ..CUSTOM
};

pub(super) const BITBUCKET: Preset = Preset {
    name: "bitbucket",
    platform: "Bitbucket Pipelines",
    issuer: &[
        "https://api.bitbucket.org/2.0/workspaces/{workspace}/pipelines-config/identity/oidc",
    ],
    hosts: &["api.bitbucket.org"],
    vars: &[var("workspace", Form::Name)],
    keys: Keys::Url("{issuer}/keys.json"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 3_600,
    single_use: SingleUse::Never,
    // The issuer holds the workspace's name, which can be given up and taken again.
    pins: &[&["/workspaceUuid"], &["/repositoryUuid"]],
    refused_claims: &[Refused {
        what: "/sub",
        why: "it holds the step and differs from run to run",
    }],
    ..CUSTOM
};

pub(super) const HCP_TERRAFORM: Preset = Preset {
    name: "hcp-terraform",
    platform: "HCP Terraform and Terraform Enterprise",
    issuer: &["https://{host}"],
    hosts: &["app.terraform.io"],
    vars: &[Var { name: "host", form: Form::Host, default: Some("app.terraform.io") }],
    keys: Keys::Url("{issuer}/.well-known/jwks"),
    algorithms: &[Algorithm::RS256],
    lifetime_secs: 86_400,
    single_use: SingleUse::Always,
    tenant: &["/terraform_organization_id"],
    // The phase, because plans run for pull requests of strangers.
    pins: &[
        &["/terraform_organization_id"],
        &["/terraform_workspace_id"],
        &["/terraform_run_phase"],
    ],
    ..CUSTOM
};

pub(super) const SPACELIFT: Preset = Preset {
    name: "spacelift",
    platform: "Spacelift",
    issuer: &["https://{account}.app.spacelift.io"],
    hosts: &["*.app.spacelift.io"],
    vars: &[var("account", Form::Name)],
    algorithms: &[Algorithm::RS256],
    // One token serves a whole run.
    lifetime_secs: 86_400,
    single_use: SingleUse::Never,
    pins: &[&["/spaceId"], &["/callerId"]],
    ..CUSTOM
};

pub(super) const AZURE_DEVOPS: Preset = Preset {
    name: "azure-devops",
    platform: "Azure DevOps",
    issuer: &["https://vstoken.dev.azure.com/{org}"],
    hosts: &["vstoken.dev.azure.com"],
    vars: &[var("org", Form::Uuid)],
    algorithms: &[Algorithm::RS256],
    audience: Audience::Fixed("api://AzureADTokenExchange"),
    lifetime_secs: 900,
    single_use: SingleUse::Always,
    pins: &[&["/org_id"], &["/prj_id"], &["/def_id"]],
    ..CUSTOM
};
