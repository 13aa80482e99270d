//! The platforms whose identity tokens we know, as data: a new platform is a row in one of the
//! files beneath, a sample in `tests/fixtures` and a row of `docs/federation.md` (style rule 8).
//!
//! A row is a set of defaults and demands that `zone::compile` applies when a bundle is made. The
//! request path never sees a preset: what is in a bundle is final.

use crate::bundle::{Condition, SingleUse, SubjectKind, Test, TokenType};
use crate::jwk::Algorithm;

mod assertion;
mod ci;
mod cloud;
mod hosting;
mod kubernetes;
mod people;

/// One platform's tokens: what is known of them, and what a rule about them must say.
#[derive(Debug)]
pub struct Preset {
    /// What `preset = "…"` says.
    pub name: &'static str,
    /// The platform, for people.
    pub platform: &'static str,
    /// The `iss` values, with `{variables}`.
    pub issuer: &'static [&'static str],
    /// The hosts that only this preset may speak for: a custom issuer there would go without its
    /// demands. A `*` stands for one or more labels.
    pub hosts: &'static [&'static str],
    /// The variables of the patterns, each a key of the issuer's table.
    pub vars: &'static [Var],
    /// Where the keys are.
    pub keys: Keys,
    /// The algorithms that the platform signs with.
    pub algorithms: &'static [Algorithm],
    /// What the audience is where the operator does not say.
    pub audience: Audience,
    /// Audiences that other parties accept too, so that a token stolen there would pass here.
    pub refused_audiences: &'static [Refused],
    /// Longest `exp - iat`, in seconds.
    pub lifetime_secs: i64,
    /// How replay is prevented.
    pub single_use: SingleUse,
    /// The profile demands single use: an operator cannot relax it.
    pub single_use_mandatory: bool,
    /// The claim that names a token, as a JSON Pointer.
    pub token_id: &'static str,
    /// The `typ` header values, in lower case; the empty string stands for an absent one.
    pub typ: &'static [&'static str],
    /// The token types that the tokens may be shown as.
    pub token_types: &'static [TokenType],
    /// Whether tokens may come without `kid`.
    pub kid_optional: bool,
    /// Where every customer has the same `iss`: the claims that tell them apart, of which each
    /// rule must compare one. Empty where the issuer is the customer's own.
    pub tenant: &'static [&'static str],
    /// Groups of claims that never change hands. A rule must compare one claim of every group; one
    /// that ends in `/` stands for anything beneath.
    pub pins: &'static [&'static [&'static str]],
    /// What each `/sub` that a rule compares must start with, with `{variables}`.
    pub subject_prefix: Option<&'static str>,
    /// Claims that a rule must not compare, by JSON Pointer, with everything beneath them.
    pub refused_claims: &'static [Refused],
    /// Conditions on every token.
    pub require: &'static [Require],
    /// What the bearers are.
    pub subject: SubjectKind,
    /// The claim that is the bearer's stable id.
    pub subject_claim: &'static str,
    /// For people: the claim that names the application they signed in to.
    pub client_claim: Option<&'static str>,
}

/// A variable of a preset.
#[derive(Debug)]
pub struct Var {
    /// Its key in the issuer's table.
    pub name: &'static str,
    /// What it looks like.
    pub form: Form,
    /// Its value where the operator gives none.
    pub default: Option<&'static str>,
}

/// What a variable looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One segment of a path, or one or more labels of a host: letters, digits, `.`, `_`, `-`.
    Name,
    /// A DNS name.
    Host,
    /// A UUID in lower case.
    Uuid,
    /// An issuer URL.
    Url,
}

/// Where a preset's keys are.
#[derive(Debug)]
pub enum Keys {
    /// OpenID Connect Discovery beneath the issuer.
    Discovery,
    /// A key set's URL, with `{variables}` and `{issuer}`.
    Url(&'static str),
    /// Only the operator can say.
    Stated,
}

/// What the audience is where the operator does not say.
#[derive(Debug)]
pub enum Audience {
    /// The zone's issuer: jobs ask their platform for it.
    Ours,
    /// The platform writes this one into every token, so every relying party shares it. The
    /// operator must write it too, as a sign of having read that.
    Fixed(&'static str),
    /// The operator must say; this is what it is.
    Stated(&'static str),
}

/// Something refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// An audience (one that ends in `*` stands for every ending) or a JSON Pointer.
    pub what: &'static str,
    /// Why, to follow a colon.
    pub why: &'static str,
}

/// A condition on every token of a preset.
#[derive(Debug)]
pub struct Require {
    /// The claim, as a JSON Pointer.
    pub pointer: &'static str,
    /// What must hold of it.
    pub demand: Demand,
}

/// The tests that presets make.
#[derive(Debug)]
pub enum Demand {
    /// Present and this text.
    Text(&'static str),
    /// Present and this truth value.
    Flag(bool),
    /// Absent, or none of these.
    NoneOf(&'static [&'static str]),
    /// Absent, or this text.
    AbsentOr(&'static str),
    /// Absent.
    Absent,
}

/// Every preset.
#[must_use]
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// The preset with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Preset> {
    presets().iter().find(|preset| preset.name == name)
}

/// The presets that alone may speak for `host`.
pub fn at_host(host: &str) -> impl Iterator<Item = &'static Preset> {
    let speaks = move |own: &str| match own.split_once('*') {
        Some((start, end)) => {
            let rest = host.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            rest.is_some_and(|labels| !labels.is_empty())
        }
        None => host == own,
    };
    presets().iter().filter(move |preset| preset.hosts.iter().any(|own| speaks(own)))
}

impl Refused {
    /// Whether an audience is the one refused.
    #[must_use]
    pub fn covers_audience(&self, audience: &str) -> bool {
        match self.what.strip_suffix('*') {
            Some(start) => audience.starts_with(start),
            None => audience == self.what,
        }
    }

    /// Whether a JSON Pointer is the one refused, or lies beneath it.
    #[must_use]
    pub fn covers_pointer(&self, pointer: &str) -> bool {
        pointer.strip_prefix(self.what).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Require {
    /// The condition as bundles hold it.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let test = match self.demand {
            Demand::Text(text) => Test::Equals(text.into()),
            Demand::Flag(flag) => Test::Equals(flag.into()),
            Demand::NoneOf(texts) => {
                Test::NoneOf(texts.iter().map(|text| (*text).into()).collect())
            }
            Demand::AbsentOr(text) => Test::AbsentOr(text.into()),
            Demand::Absent => Test::Absent,
        };
        Condition { pointer: self.pointer.to_owned(), test }
    }
}

/// An issuer without a preset: what its table does not say is here, and what rows build upon.
pub const CUSTOM: Preset = Preset {
    name: "",
    platform: "",
    issuer: &[],
    hosts: &[],
    vars: &[],
    keys: Keys::Discovery,
    algorithms: &[Algorithm::RS256, Algorithm::ES256],
    audience: Audience::Ours,
    refused_audiences: &[],
    lifetime_secs: 3_600,
    single_use: SingleUse::WhenPresent,
    single_use_mandatory: false,
    token_id: "/jti",
    typ: &["", "jwt"],
    token_types: &[TokenType::IdToken, TokenType::Jwt],
    kid_optional: false,
    tenant: &[],
    pins: &[],
    subject_prefix: None,
    refused_claims: &[],
    require: &[],
    subject: SubjectKind::Workload,
    subject_claim: "/sub",
    client_claim: None,
};

/// A variable that must be given.
const fn var(name: &'static str, form: Form) -> Var {
    Var { name, form, default: None }
}

static PRESETS: [Preset; 38] = [
    ci::GITHUB_ACTIONS,
    ci::GITHUB_ACTIONS_ENTERPRISE,
    ci::GITHUB_ACTIONS_GHE,
    ci::GITHUB_ACTIONS_GHES,
    ci::GITLAB,
    ci::CIRCLECI,
    ci::CIRCLECI_SHARED,
    ci::BUILDKITE,
    ci::BITBUCKET,
    ci::HCP_TERRAFORM,
    ci::SPACELIFT,
    ci::AZURE_DEVOPS,
    hosting::VERCEL,
    hosting::VERCEL_GLOBAL,
    hosting::FLY,
    hosting::MODAL,
    hosting::DENO_DEPLOY,
    hosting::CURSOR,
    cloud::AWS_OUTBOUND,
    cloud::GOOGLE_SA,
    cloud::AZURE_V1,
    cloud::AZURE_V2,
    kubernetes::KUBERNETES,
    kubernetes::EKS,
    kubernetes::GKE,
    kubernetes::AKS,
    kubernetes::SPIFFE,
    people::GOOGLE,
    people::OKTA,
    people::OKTA_ORG,
    people::ENTRA,
    people::AUTH0,
    people::AUTH0_M2M,
    people::COGNITO,
    people::CLOUDFLARE_ACCESS,
    people::CLOUDFLARE_ACCESS_SERVICE,
    assertion::ID_JAG,
    assertion::WAG,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Form, Keys, presets};

    #[test]
    fn names_are_unique_and_patterns_use_declared_variables() {
        let mut names = BTreeSet::new();
        for preset in presets() {
            assert!(names.insert(preset.name), "{} twice", preset.name);
            let keys = if let Keys::Url(url) = preset.keys { url } else { "" };
            for pattern in preset.issuer.iter().chain([&keys]).chain(&preset.subject_prefix) {
                for name in pattern.split('{').skip(1).filter_map(|part| part.split('}').next()) {
                    let known = name == "issuer" || preset.vars.iter().any(|var| var.name == name);
                    assert!(known, "{}: {{{name}}} is not declared", preset.name);
                }
            }
        }
    }

    #[test]
    fn every_shared_issuer_is_guarded_against_custom_rows() {
        for preset in presets() {
            let operators =
                preset.vars.iter().any(|var| matches!(var.form, Form::Url | Form::Host));
            assert!(operators || !preset.hosts.is_empty(), "{} guards no host", preset.name);
        }
    }
}
