//! The record: one event per request, on every way out (design §2).
//!
//! It says who asked, on whose behalf, for what, what was decided and by which policy. It never
//! holds a secret or a token: tokens are named by their `jti` and their SHA-256.

use serde::Serialize;

use crate::moment::Timestamp;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A token was issued.
    Allow,
    /// Both parties were verified, and the answer is no: policy, scope, resource or session.
    Deny,
    /// The request or a proof in it was not acceptable.
    Refuse,
    /// A fault of ours: store, keys or snapshot unavailable.
    Error,
    /// A document was served.
    #[default]
    Served,
}

/// The one event of a request. Fields that are not known when the request ends are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Event {
    /// When the request began.
    pub time: Timestamp,
    /// The request's id, which an error answer names too.
    pub request: String,
    /// The zone's name.
    pub zone: String,
    /// The endpoint, or `unknown`.
    pub endpoint: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The status code answered.
    pub status: u16,
    /// The OAuth error code answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// Why, by a fixed code; the caller is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Why, with the particulars: claim, expected, actual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The grant type asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<&'static str>,
    /// The authenticated client's application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// On whose behalf: a user's or an application's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Every application that acts or acted, the current actor first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The task's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The task's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The device, where a claim or a key proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The thumbprint of the key that the caller proved, and that the issued token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The resource asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The scopes asked for, or the resource's defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The policies that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The bundle in force, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// The zone's `seq` when it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The rules that the external tokens shown matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The issuer rows of the external tokens shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// SHA-256 of the signing input of each token shown, in hexadecimal, its first 16 digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The hop, which is the token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    /// The hop that was revoked, and with it all below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// The hop's parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// SHA-256 of the issued token, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When the issued token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The denial stands, but the store did not take its record.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unrecorded: bool,
}
