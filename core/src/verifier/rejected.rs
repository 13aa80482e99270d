//! Why a caller is not let in, and what it is answered: a code, never the reason (RFC 6750 §3, RFC 9449
//! §7.1).

use serde_json::json;

use crate::host::Unavailable;
use crate::http::Response;
use crate::jwk::Algorithm;

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// There is one token, and it is a JWT of the type of access tokens.
    Token,
    /// The zone issued it, as it says.
    Issuer,
    /// The zone publishes the key that it names.
    Key,
    /// That key made its signature.
    Signature,
    /// It is for this resource.
    Audience,
    /// It has the claims of an access token.
    Claims,
    /// It is its time.
    Lifetime,
    /// It is shown by who holds the key that it is bound to, where it is bound to one.
    Binding,
    /// Its session was not ended, as far as a list says.
    Status,
    /// It has the scope that was demanded.
    Scope,
}

impl Check {
    /// Every check of a token, in order. [`Check::Scope`] is the resource's.
    pub const ALL: [Self; 9] = [
        Self::Token,
        Self::Issuer,
        Self::Key,
        Self::Signature,
        Self::Audience,
        Self::Claims,
        Self::Lifetime,
        Self::Binding,
        Self::Status,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::Lifetime => "lifetime",
            Self::Binding => "binding",
            Self::Status => "status",
            Self::Scope => "scope",
        }
    }
}

/// How a token is shown (RFC 6750 §2.1, RFC 9449 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schemes'")]
pub enum Scheme {
    Bearer,
    DPoP,
}

impl Scheme {
    /// The scheme's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no token.
    Missing,
    /// There are several `Authorization` headers.
    Repeated,
    /// It is no JWT, or one with a header that is refused.
    Malformed,
    /// It is another kind of JWT.
    TypeWrong,
    /// Somebody else issued it.
    IssuerWrong,
    /// The zone publishes no such key for its algorithm.
    KeyUnknown,
    /// The key did not make the signature.
    SignatureWrong,
    /// It is for another resource.
    AudienceWrong,
    /// A claim is missing or is no such claim.
    ClaimsMalformed,
    /// Its life is over.
    Expired,
    /// Its life has not begun.
    NotYetValid,
    /// It is bound to a key, and was shown as a bearer token.
    Bound,
    /// It is bound to no key, and was shown as if it were.
    Unbound,
    /// The proof of the key is missing, or there are several.
    ProofMissing,
    /// The proof is no good for this request, token and key.
    ProofWrong,
    /// The proof was shown before.
    ProofReplayed,
    /// It names no entry of a status list of its issuer's, or one that the list does not have.
    StatusMalformed,
    /// Its list says that it, or a session that shares its entry, is dead. A resource that can ask
    /// introspection may learn which.
    Revoked,
    /// It does not have the scope that was demanded.
    ScopeMissing,
}

impl Reason {
    /// The check that failed.
    #[must_use]
    pub const fn check(self) -> Check {
        match self {
            Self::Missing | Self::Repeated | Self::Malformed | Self::TypeWrong => Check::Token,
            Self::IssuerWrong => Check::Issuer,
            Self::KeyUnknown => Check::Key,
            Self::SignatureWrong => Check::Signature,
            Self::AudienceWrong => Check::Audience,
            Self::ClaimsMalformed => Check::Claims,
            Self::Expired | Self::NotYetValid => Check::Lifetime,
            Self::Bound
            | Self::Unbound
            | Self::ProofMissing
            | Self::ProofWrong
            | Self::ProofReplayed => Check::Binding,
            Self::StatusMalformed | Self::Revoked => Check::Status,
            Self::ScopeMissing => Check::Scope,
        }
    }

    /// Its name in logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Malformed => "malformed",
            Self::TypeWrong => "type_wrong",
            Self::IssuerWrong => "issuer_wrong",
            Self::KeyUnknown => "key_unknown",
            Self::SignatureWrong => "signature_wrong",
            Self::AudienceWrong => "audience_wrong",
            Self::ClaimsMalformed => "claims_malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Bound => "bound",
            Self::Unbound => "unbound",
            Self::ProofMissing => "proof_missing",
            Self::ProofWrong => "proof_wrong",
            Self::ProofReplayed => "proof_replayed",
            Self::StatusMalformed => "status_malformed",
            Self::Revoked => "revoked",
            Self::ScopeMissing => "scope_missing",
        }
    }

    /// Status and error code of the answer. Who shows nothing learns no code (RFC 6750 §3.1).
    const fn wire(self) -> (u16, Option<&'static str>) {
        match self {
            Self::Missing => (401, None),
            Self::Repeated => (400, Some("invalid_request")),
            Self::ScopeMissing => (403, Some("insufficient_scope")),
            Self::ProofMissing | Self::ProofWrong | Self::ProofReplayed => {
                (401, Some("invalid_dpop_proof"))
            }
            Self::Malformed
            | Self::TypeWrong
            | Self::IssuerWrong
            | Self::KeyUnknown
            | Self::SignatureWrong
            | Self::AudienceWrong
            | Self::ClaimsMalformed
            | Self::Expired
            | Self::NotYetValid
            | Self::Bound
            | Self::Unbound
            | Self::StatusMalformed
            | Self::Revoked => (401, Some("invalid_token")),
        }
    }

    pub(super) fn with(self, detail: impl Into<String>) -> Fault {
        Fault::Refused(self, detail.into())
    }
}

/// What went wrong, before it is known how to answer it.
pub(super) enum Fault {
    Refused(Reason, String),
    Unknown(Check, Unavailable),
}

impl Fault {
    /// What is answered to a token that was shown with `scheme` at the resource `realm`.
    pub(super) fn answer(self, scheme: Scheme, realm: &str) -> Rejected {
        match self {
            Self::Unknown(check, unavailable) => Rejected::Unknown(check, unavailable),
            Self::Refused(reason, detail) => {
                let scheme = match reason {
                    // How it would have been right.
                    Reason::Bound => Scheme::DPoP,
                    Reason::Unbound => Scheme::Bearer,
                    _ => scheme,
                };
                let realm = realm.to_owned();
                Rejected::Refused(Refused { reason, detail, scope: None, scheme, realm })
            }
        }
    }
}

/// The caller of a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is the caller's fault.
    Refused(Refused),
    /// Whether it is to be let in cannot be told now: the zone does not answer at this check.
    Unknown(Check, Unavailable),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Why, for the resource's log.
    pub reason: Reason,
    /// What exactly, for the resource's log: in lower case, visible ASCII where it quotes the token.
    pub detail: String,
    /// The scope that was demanded.
    pub scope: Option<String>,
    scheme: Scheme,
    realm: String,
}

impl Refused {
    /// The value of `WWW-Authenticate` that the refusal is answered with.
    #[must_use]
    pub fn challenge(&self) -> String {
        let realm = quoted("realm", &self.realm);
        let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
        let (scheme, algorithms) = (self.scheme.name(), quoted("algs", &names.join(" ")));
        let mut challenge = match self.reason.wire().1 {
            // Either will do: what a token is bound to is between the caller and the zone.
            None => return format!("Bearer {realm}, DPoP {realm}, {algorithms}"),
            Some(error) => format!("{scheme} {realm}, {}", quoted("error", error)),
        };
        let scope = self.scope.as_deref().map(|scope| quoted("scope", scope));
        let algorithms = (self.scheme == Scheme::DPoP).then_some(algorithms);
        for parameter in [scope, algorithms].into_iter().flatten() {
            challenge.push_str(", ");
            challenge.push_str(&parameter);
        }
        challenge
    }
}

impl Rejected {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.reason.wire().0,
            Self::Unknown(..) => 503,
        }
    }

    /// The whole answer: status, `WWW-Authenticate` or `Retry-After`, and the error code as JSON.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut headers = vec![
            ("cache-control", "no-store".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let error = match self {
            Self::Refused(refused) => {
                headers.push(("www-authenticate", refused.challenge()));
                refused.reason.wire().1.unwrap_or("unauthorized")
            }
            Self::Unknown(..) => {
                headers.push(("retry-after", "1".to_owned()));
                "temporarily_unavailable"
            }
        };
        let body = json!({ "error": error }).to_string().into_bytes();
        Response { status: self.status(), headers, body }
    }

    /// Why, in a line for the resource's log. It holds no token.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Refused(refused) => format!("{}: {}", refused.reason.code(), refused.detail),
            Self::Unknown(check, unavailable) => {
                format!("{} cannot be checked: {}", check.name(), unavailable.0)
            }
        }
    }
}

/// A parameter of a challenge (RFC 9110 §11.2), without what would end its quotes or the header.
fn quoted(name: &str, value: &str) -> String {
    let plain = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    let value: String = value.chars().filter(plain).collect();
    format!("{name}=\"{value}\"")
}
