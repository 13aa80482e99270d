//! The bundle: everything an operator writes, as one immutable document named by its SHA-256
//! (design §4).
//!
//! [`crate::zone::compile`] makes one from `zone.toml` and `policies/*.cedar`; a store holds its
//! canonical bytes; [`Bundle::from_bytes`] reads them back. What is in a bundle has been checked, by
//! the compiler or, where it came over the wire, by [`Bundle::check`]: a value of this type is not
//! validated again on the request path.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jwk::{Algorithm, PublicKey};

/// A zone as its operator wrote it, checked and complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The form of this document; 1 today.
    pub version: u32,
    /// The zone's name: its prefix in every store. `[a-z0-9-]{1,63}`.
    pub zone: String,
    /// The issuer identifier (RFC 8414 §2): a bare origin, without a trailing slash.
    pub issuer: String,
    /// The one algorithm that the zone signs with.
    pub algorithm: Algorithm,
    /// Life of an issued token in seconds, where its resource says nothing else.
    pub token_secs: i64,
    /// Longest life of a session in seconds.
    pub session_secs: i64,
    /// After so many seconds without a hop a session is over; `None` where there is no such limit. Left
    /// out then, so that bundles without it keep their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_secs: Option<i64>,
    /// How long the record of a hop or a denial is kept, in seconds; never less than its session.
    pub record_secs: i64,
    /// Plain `http` to loopback is allowed for the issuer URL and for key sets. Only ever true
    /// where the zone's own issuer is a loopback address.
    pub danger_allow_http_loopback: bool,
    /// Issuers by their row's id.
    pub issuers: BTreeMap<String, Issuer>,
    /// Rules by id.
    pub rules: BTreeMap<String, Rule>,
    /// Applications by identifier.
    pub applications: BTreeMap<String, Application>,
    /// Resources by identifier.
    pub resources: BTreeMap<String, Resource>,
    /// Tasks by name.
    pub tasks: BTreeMap<String, Task>,
    /// Tag declarations by tag name.
    pub tags: BTreeMap<String, Tag>,
    /// Declared claims, which policy may read, by name.
    pub claims: BTreeMap<String, DeclaredClaim>,
    /// Policy texts by file name, without `policies/`.
    pub policies: BTreeMap<String, String>,
}

/// Somebody whose tokens are accepted (design §1). Presets fill these in; what is here is final.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The preset it was made from, for the record.
    pub preset: Option<String>,
    /// The exact `iss` values of its tokens: one, but for Google's two spellings.
    pub issuer: Vec<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The algorithms its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The audience that is us: a token's only `aud` must be one of these.
    pub audience: Vec<String>,
    /// Accepts a token with several audiences where one is ours. AWS lets a caller ask for ten.
    pub several_audiences: bool,
    /// Longest `exp - iat` accepted, in seconds.
    pub lifetime_secs: i64,
    /// What its bearers are.
    pub subject: SubjectKind,
    /// How replay is prevented.
    pub single_use: SingleUse,
    /// The claim that names a token for single use, as a JSON Pointer: `/jti`, Azure's `/uti`.
    pub token_id: String,
    /// The `typ` header values accepted, in lower case; the empty string stands for an absent one.
    pub typ: Vec<String>,
    /// Token types of RFC 8693 §3 that this issuer's tokens may be shown as.
    pub token_types: BTreeSet<TokenType>,
    /// Whether a token without `kid` may be verified with the issuer's only key of its algorithm.
    pub kid_optional: bool,
    /// Conditions that every token must meet, whatever rule it matches.
    pub require: Vec<Condition>,
    /// For user issuers: the claim that names the application the user's token was made for, as a
    /// JSON Pointer (`/azp`, `/cid`, `/aud`).
    pub client_claim: Option<String>,
    /// For user issuers: the values of that claim, and the application each stands for. A value
    /// that is not listed stands for the application of that very identifier, if there is one.
    pub clients: BTreeMap<String, String>,
    /// For user issuers: what the ids of its people begin with, after `user:`. Rows of one issuer
    /// share it and rows of different ones do not, so that a person is one person whatever the row.
    pub namespace: String,
    /// The claim that is the bearer's stable id, as a JSON Pointer. `/sub` almost everywhere.
    pub subject_claim: String,
    /// The claim that names the device, where the operator declared one.
    pub device_claim: Option<String>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// OpenID Connect Discovery: the document's URL. Its `issuer` must equal the issuer's, and its
    /// `jwks_uri` must lie on the same host, or on the one named here.
    Discovery {
        /// The document's URL.
        url: String,
        /// The exact value that the document's `issuer` must have.
        issuer: String,
        /// A further host that `jwks_uri` may lie on.
        keys_host: Option<String>,
    },
    /// The key set's URL.
    Url(String),
    /// Keys the operator uploaded. Nothing is fetched.
    Uploaded(Vec<PublicKey>),
}

/// What an issuer's bearers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// Applications: agents, jobs, services.
    Workload,
    /// People.
    User,
}

/// How an issuer's tokens are kept from being used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SingleUse {
    /// A token is used once; one without an id is refused.
    Always,
    /// A token with an id is used once; one without is reusable.
    WhenPresent,
    /// A token may be used until it expires.
    Never,
}

/// The token types of RFC 8693 §3 that are accepted, by the last word of their URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// `urn:ietf:params:oauth:token-type:access_token`
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:id_token`
    IdToken,
    /// `urn:ietf:params:oauth:token-type:jwt`
    Jwt,
}

/// Issuer and claim conditions → who the bearer is (design §1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The issuer's row.
    pub issuer: String,
    /// Who the bearer is.
    pub bearer: Bearer,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The workload's token alone identifies the client: no other client authentication is asked
    /// for. What google-auth sends.
    pub alone: bool,
    /// The claim that is the task's id, as a JSON Pointer (`/run_id`).
    pub task_id: Option<String>,
    /// The task that bearers are on without saying so.
    pub task: Option<String>,
    /// For users: tags that differ from their defaults.
    pub tags: BTreeMap<String, String>,
}

/// Who a rule's bearer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearer {
    /// This application.
    Application(String),
    /// The person whom the issuer's subject claim names.
    User,
}

/// One comparison of a claim. Types are compared as well as values: `"20"` is not `20`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// A JSON Pointer (RFC 6901) into the claims.
    pub pointer: String,
    /// What must hold of the value there.
    pub test: Test,
}

/// What a condition asks of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Present and equal, type included. An array equals the same array in the same order.
    Equals(Value),
    /// Present and equal to one of these.
    OneOf(Vec<Value>),
    /// Absent, or equal to none of these.
    NoneOf(Vec<Value>),
    /// Absent, or equal: for claims that only some tokens of an issuer carry.
    AbsentOr(Value),
    /// Absent.
    Absent,
}

/// An agent, a CI job or a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// How it proves itself besides by a rule.
    pub credentials: Vec<Credential>,
    /// Gets tokens only that are bound to a key (`dpop_bound_access_tokens` of RFC 9449 §5.2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop: bool,
    /// Tags, complete: defaults are filled in.
    pub tags: BTreeMap<String, String>,
    /// Life of an unused refresh token in seconds; `None` where it is given none. Left out then, so that
    /// bundles without it keep their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_secs: Option<i64>,
}

/// One way in which an application proves itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// A secret: what is kept is the SHA-256 of its bytes, in hexadecimal.
    Secret {
        /// 64 lower-case hexadecimal digits.
        sha256: String,
    },
    /// A key: `private_key_jwt` (RFC 7523 §2.2) with `iss` = `sub` = the application's identifier.
    Key {
        /// Where its public keys are.
        keys: KeySource,
        /// The algorithms it may sign with.
        algorithms: Vec<Algorithm>,
        /// Accepts the token endpoint's URL as the assertion's audience, as published SDKs send it.
        legacy_audience: bool,
    },
}

/// What a token is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The scopes defined there. A resource may have none.
    pub scopes: BTreeSet<String>,
    /// The scopes of a request that names none.
    pub default_scopes: BTreeSet<String>,
    /// The application that serves it: tokens for it are that application's to exchange.
    pub owner: Option<String>,
    /// Further applications that may exchange tokens addressed to it.
    pub may_present: BTreeSet<String>,
    /// Tags, complete: defaults are filled in.
    pub tags: BTreeMap<String, String>,
    /// Life of a token for it, in seconds.
    pub token_secs: Option<i64>,
}

/// A task: its envelope, and who may claim it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The (resource, scope) pairs that no hop of its sessions may exceed, as resource → scopes.
    /// Absent where policy alone decides. An empty set of scopes stands for a resource without any.
    pub envelope: Option<BTreeMap<String, BTreeSet<String>>>,
    /// The applications that may claim it.
    pub claimants: BTreeSet<String>,
}

/// A tag's declaration (design §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// The entity types that carry it.
    pub on: BTreeSet<TagOn>,
    /// The values it may have.
    pub values: BTreeSet<String>,
    /// The value of an entity that does not say.
    pub default: String,
}

/// The entity types of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagOn {
    /// `User`
    User,
    /// `Application`
    Application,
    /// `Resource`
    Resource,
}

/// A claim that policy may read, as `context.claims.subject.NAME` or `context.claims.actor.NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredClaim {
    /// Whose token it is read from.
    pub of: ClaimOf,
    /// Where it is, as a JSON Pointer.
    pub pointer: String,
    /// Its type; a value of another type counts as absent.
    pub kind: ClaimKind,
}

/// Whose token a declared claim is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimOf {
    /// The subject's external token.
    Subject,
    /// The actor's external token.
    Actor,
}

/// The Cedar types that a claim may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// `String`
    String,
    /// `Long`
    Long,
    /// `Bool`
    Bool,
    /// `Set<String>`
    Strings,
}

impl Bundle {
    /// The canonical bytes of this document. Maps are ordered, so equal bundles have equal bytes.
    ///
    /// # Errors
    ///
    /// None in practice: every value of this type has a JSON form. The error is passed on all the
    /// same.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads canonical bytes whose name the caller has checked.
    ///
    /// # Errors
    ///
    /// Bytes that are not a bundle of this version, with what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The tags of an entity that says nothing of its own.
    #[must_use]
    pub fn default_tags(&self, on: TagOn) -> BTreeMap<String, String> {
        self.tags
            .iter()
            .filter(|(_, tag)| tag.on.contains(&on))
            .map(|(name, tag)| (name.clone(), tag.default.clone()))
            .collect()
    }

    /// The name of a bundle with these canonical bytes: their SHA-256 in hexadecimal.
    #[must_use]
    pub fn name(bytes: &[u8]) -> String {
        crate::encoding::hex(&crate::encoding::sha256(bytes))
    }
}
