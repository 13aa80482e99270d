//! How a request fails, by whose fault it is.
//!
//! A [`Refusal`] is the caller's: a closed set of reasons for the record, each mapped by one table
//! to an OAuth error code and a sentence that tells an attacker no more than the code. An
//! [`Unavailable`] is ours: 503, no detail. The reason goes to the event, never to the wire.

use crate::event::Outcome;
use crate::host::Unavailable;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller's fault, or a decision against it.
    Refused(Refusal),
    /// Ours.
    Unavailable(Unavailable),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// The caller's fault, or a decision against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, for the record.
    pub reason: Reason,
    /// Where the token or proof at fault was shown; it decides the error code.
    pub slot: Slot,
    /// The particulars, for the record: claim, expected, actual. Never a secret, never a token.
    pub detail: String,
}

impl Refusal {
    /// A refusal of the request itself.
    #[must_use]
    pub fn request(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, slot: Slot::Request, detail: detail.into() }
    }

    /// A refusal of what was shown in `slot`.
    #[must_use]
    pub fn proof(slot: Slot, reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, slot, detail: detail.into() }
    }
}

/// Where a token or proof was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nowhere: the request is at fault.
    Request,
    /// Client authentication.
    Client,
    /// `subject_token`
    Subject,
    /// `actor_token`
    Actor,
    /// `assertion` of the `jwt-bearer` grant.
    Assertion,
    /// `refresh_token`
    Refresh,
    /// The `DPoP` header (RFC 9449 §4).
    Dpop,
}

/// What the caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The status code.
    pub status: u16,
    /// The OAuth error code.
    pub error: &'static str,
    /// The `error_description`, which may be followed by public particulars.
    pub sentence: &'static str,
    /// What the event calls it.
    pub outcome: Outcome,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a request is refused: one code each, for the record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code in the record.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// No such path.
    NotFound = "not_found",
    /// The path has no such method.
    Method = "method",
    /// The body is not `application/x-www-form-urlencoded`.
    ContentType = "content_type",
    /// The body is longer than the limit.
    BodyTooLarge = "body_too_large",
    /// The form cannot be decoded.
    FormMalformed = "form_malformed",
    /// A parameter is repeated that may not be.
    ParameterRepeated = "parameter_repeated",
    /// A required parameter is missing or empty.
    ParameterMissing = "parameter_missing",
    /// A parameter is present but not acceptable (X08).
    ParameterBad = "parameter_bad",
    /// `grant_type` is none of ours.
    GrantTypeUnsupported = "grant_type_unsupported",
    /// A token type that is not accepted, or cannot be issued.
    TokenTypeUnsupported = "token_type_unsupported",
    /// The task is not declared.
    TaskUnknown = "task_unknown",
    /// The caller may not claim the task, or the session has another one.
    TaskRefused = "task_refused",

    /// No client authentication where one is needed.
    ClientUnauthenticated = "client_unauthenticated",
    /// Two methods of client authentication in one request.
    ClientMethods = "client_methods",
    /// No application has this identifier, or it has no such credential.
    ClientUnknown = "client_unknown",
    /// The secret is wrong.
    SecretWrong = "secret_wrong",
    /// The `client_id` parameter names another application than the proof.
    ClientIdDiffers = "client_id_differs",

    /// The token cannot be read.
    TokenMalformed = "token_malformed",
    /// The token is too long.
    TokenTooLarge = "token_too_large",
    /// An algorithm that is not accepted from this issuer.
    AlgorithmRefused = "algorithm_refused",
    /// A header parameter that is refused.
    HeaderRefused = "header_refused",
    /// The header's `typ`, or the claims' shape, is not that of this slot.
    TypeWrong = "type_wrong",
    /// Nobody registered this issuer.
    IssuerUnknown = "issuer_unknown",
    /// The issuer's key set has no such key.
    KeyUnknown = "key_unknown",
    /// The zone has no such key, as far as this instance knows.
    OwnKeyUnknown = "own_key_unknown",
    /// A token of ours was decided under a later state of the zone than this instance knows.
    ZoneOlder = "zone_older",
    /// The signature does not verify.
    SignatureWrong = "signature_wrong",
    /// The audience is not us alone.
    AudienceWrong = "audience_wrong",
    /// A time claim is missing or no whole number.
    TimeMalformed = "time_malformed",
    /// Past its end.
    Expired = "expired",
    /// Before its beginning.
    NotYetValid = "not_yet_valid",
    /// Issued in the future.
    IssuedInFuture = "issued_in_future",
    /// A longer life than the issuer's row accepts.
    LifetimeTooLong = "lifetime_too_long",
    /// A token id is demanded and missing.
    TokenIdMissing = "token_id_missing",
    /// The subject claim is missing, too long, or has control characters.
    SubjectRefused = "subject_refused",
    /// A condition of the issuer's row does not hold.
    ConditionFailed = "condition_failed",
    /// No rule matches.
    RuleMissing = "rule_missing",
    /// More than one rule matches.
    RuleAmbiguous = "rule_ambiguous",
    /// The token is bound to a key (`cnf`), and there is no proof of that very key (X10).
    SenderConstrained = "sender_constrained",
    /// A DPoP proof is needed and missing.
    ProofMissing = "proof_missing",
    /// The DPoP proof is for another method, URL or access token.
    ProofMisplaced = "proof_misplaced",
    /// The assertion's `iss` and `sub` are not the client.
    AssertionSubject = "assertion_subject",
    /// The principal, rule or key is disabled, or was cut off after the token was issued.
    CutOff = "cut_off",

    /// A single-use token is used again.
    Replayed = "replayed",
    /// The session was ended.
    SessionEnded = "session_ended",
    /// The session is over by time, or too near its end for the token asked for.
    SessionOver = "session_over",
    /// No hop was added to the session for longer than it may be idle.
    SessionIdle = "session_idle",
    /// A credential on the path was revoked.
    HopRevoked = "hop_revoked",
    /// The bundle does not allow the application to refresh, or no longer.
    RefreshRefused = "refresh_refused",
    /// A refresh token is used that was spent, which ends its family.
    RefreshReused = "refresh_reused",
    /// There is no such session, or it is over.
    SessionUnknown = "session_unknown",
    /// The session is not the caller's to see or to end.
    SessionForeign = "session_foreign",

    /// The presenter is not one that the subject token names (X02).
    PresenterRefused = "presenter_refused",
    /// Client and actor are different applications.
    ActorDiffers = "actor_differs",
    /// Subject and actor belong to different sessions (X21).
    SessionDiffers = "session_differs",
    /// The actor is on the chain already (X05).
    ChainCircular = "chain_circular",
    /// The path is at its longest (X06).
    PathTooLong = "path_too_long",

    /// No target, or several.
    TargetMissing = "target_missing",
    /// Not registered, or a form we do not accept.
    TargetUnknown = "target_unknown",
    /// A session token is asked for with a token that is for a resource.
    SessionTokenRefused = "session_token_refused",
    /// The resource is outside the session's envelope.
    TargetOutsideEnvelope = "target_outside_envelope",
    /// Not a list of scopes, or too long a one.
    ScopeMalformed = "scope_malformed",
    /// A scope that the resource does not define.
    ScopeUnknown = "scope_unknown",
    /// No scope asked for, and the resource has no default.
    ScopeMissing = "scope_missing",
    /// A scope beyond the subject token's (X01).
    ScopeBeyondParent = "scope_beyond_parent",
    /// A scope outside the session's envelope.
    ScopeOutsideEnvelope = "scope_outside_envelope",

    /// The request is not the operator's, or was shown before.
    OperatorRefused = "operator_refused",
    /// What the operator wants to activate is no bundle of this deployment.
    OperatorBundle = "operator_bundle",
    /// The zone as it is does not allow what the operator asks for.
    OperatorConflict = "operator_conflict",
    /// What the operator wants to store is too large.
    OperatorTooLarge = "operator_too_large",
    /// The active bundle has nobody and nothing of this name.
    OperatorUnknown = "operator_unknown",

    /// A policy forbids it.
    PolicyForbids = "policy_forbids",
    /// No policy permits it to the subject.
    NoPermitSubject = "no_permit_subject",
    /// No policy permits it to the actor.
    NoPermitActor = "no_permit_actor",
    /// A policy erred, and an error is a denial (P01).
    PolicyError = "policy_error",
}

impl Reason {
    /// Whether the particulars are for the caller too: an operator who was recognised is told what is
    /// wrong.
    #[must_use]
    pub const fn is_told(self) -> bool {
        matches!(
            self,
            Self::OperatorBundle
                | Self::OperatorConflict
                | Self::OperatorTooLarge
                | Self::OperatorUnknown
        )
    }
}

impl Refusal {
    /// The one table from reason to answer (design §6).
    #[must_use]
    pub const fn wire(&self) -> Wire {
        use Reason as R;
        match self.reason {
            R::NotFound | R::SessionUnknown | R::SessionForeign => {
                refused(404, "not_found", "there is nothing here")
            }
            R::Method => refused(405, "invalid_request", "the method is not allowed here"),
            R::OperatorRefused => {
                refused(401, "invalid_token", "this is not the operator's request")
            }
            R::OperatorBundle => refused(400, "invalid_request", "the bundle cannot be activated"),
            R::OperatorConflict => refused(409, "conflict", "the zone as it is does not allow it"),
            R::OperatorTooLarge => refused(413, "invalid_request", "it is too large"),
            R::OperatorUnknown => {
                refused(404, "unknown_principal", "the active bundle has no such name")
            }
            R::ContentType => {
                refused(400, "invalid_request", "the body is not application/x-www-form-urlencoded")
            }
            R::BodyTooLarge => refused(413, "invalid_request", "the body is too large"),
            R::FormMalformed => refused(400, "invalid_request", "the form is malformed"),
            R::ParameterRepeated => refused(400, "invalid_request", "a parameter is repeated"),
            R::ParameterMissing => refused(400, "invalid_request", "a parameter is missing"),
            R::ParameterBad => refused(400, "invalid_request", "a parameter is not acceptable"),
            R::GrantTypeUnsupported => {
                refused(400, "unsupported_grant_type", "the grant type is not supported")
            }
            R::TokenTypeUnsupported => {
                refused(400, "invalid_request", "the token type is not supported")
            }
            R::TaskUnknown | R::TaskRefused => {
                refused(400, "invalid_request", "the task cannot be claimed")
            }
            R::ClientMethods => {
                refused(400, "invalid_request", "more than one client authentication method")
            }
            R::ProofMissing => refused(400, "invalid_dpop_proof", "a DPoP proof is needed"),
            R::PresenterRefused
            | R::ActorDiffers
            | R::SessionDiffers
            | R::ChainCircular
            | R::PathTooLong => denied(self.slot, "the token is not the caller's to exchange"),
            R::SessionEnded
            | R::SessionOver
            | R::SessionIdle
            | R::HopRevoked
            | R::RefreshRefused
            | R::RefreshReused => by_slot(self.slot, Outcome::Deny),
            R::ScopeMalformed => refused(400, "invalid_scope", "the scope is malformed"),
            R::SessionTokenRefused => {
                decided("invalid_target", "a session token comes of a proof or a session token")
            }
            R::TargetMissing => {
                refused(400, "invalid_target", "name one target with resource or audience")
            }
            R::TargetUnknown | R::TargetOutsideEnvelope => {
                decided("invalid_target", "the target is not available")
            }
            R::ScopeUnknown | R::ScopeBeyondParent | R::ScopeOutsideEnvelope => {
                decided("invalid_scope", "a scope is not available")
            }
            R::ScopeMissing => decided("invalid_scope", "name at least one scope"),
            R::PolicyForbids | R::NoPermitSubject | R::NoPermitActor | R::PolicyError => {
                decided("access_denied", "denied by policy")
            }
            R::ClientUnauthenticated
            | R::ClientUnknown
            | R::SecretWrong
            | R::ClientIdDiffers
            | R::TokenMalformed
            | R::TokenTooLarge
            | R::AlgorithmRefused
            | R::HeaderRefused
            | R::TypeWrong
            | R::IssuerUnknown
            | R::KeyUnknown
            | R::OwnKeyUnknown
            | R::ZoneOlder
            | R::SignatureWrong
            | R::AudienceWrong
            | R::TimeMalformed
            | R::Expired
            | R::NotYetValid
            | R::IssuedInFuture
            | R::LifetimeTooLong
            | R::TokenIdMissing
            | R::SubjectRefused
            | R::ConditionFailed
            | R::RuleMissing
            | R::RuleAmbiguous
            | R::SenderConstrained
            | R::ProofMisplaced
            | R::AssertionSubject
            | R::CutOff
            | R::Replayed => by_slot(self.slot, Outcome::Refuse),
        }
    }
}

const fn refused(status: u16, error: &'static str, sentence: &'static str) -> Wire {
    Wire { status, error, sentence, outcome: Outcome::Refuse }
}

const fn decided(error: &'static str, sentence: &'static str) -> Wire {
    Wire { status: 400, error, sentence, outcome: Outcome::Deny }
}

const fn denied(slot: Slot, sentence: &'static str) -> Wire {
    Wire { sentence, ..by_slot(slot, Outcome::Deny) }
}

/// A token or proof bad in any way: RFC 8693 §2.2.2, RFC 7521 §4.1, RFC 6749 §5.2.
const fn by_slot(slot: Slot, outcome: Outcome) -> Wire {
    let (status, error, sentence) = match slot {
        Slot::Request => (400, "invalid_request", "the request is not acceptable"),
        Slot::Client => (401, "invalid_client", "client authentication failed"),
        Slot::Subject => (400, "invalid_request", "the subject token is not acceptable"),
        Slot::Actor => (400, "invalid_request", "the actor token is not acceptable"),
        Slot::Assertion => (400, "invalid_grant", "the assertion is not acceptable"),
        Slot::Refresh => (400, "invalid_grant", "the refresh token is not acceptable"),
        // RFC 9449 §5.
        Slot::Dpop => (400, "invalid_dpop_proof", "the DPoP proof is not acceptable"),
    };
    Wire { status, error, sentence, outcome }
}
