//! Proofs of a key's possession (DPoP, RFC 9449): what a client shows beside a request, so that the token
//! it gets is bound to its key, or to use one that is.
//!
//! A proof names nobody. It says that its sender has the private key of the public key in it, for one
//! method, one URL and about a minute, and nothing that it carries besides is believed. That it is used
//! once is for its verifier to record: at the token endpoint, the hop does ([`Proven::hop`]).

use serde_json::Value;

use crate::encoding::{base64url, sha256, tagged_hash};
use crate::host::Outside;
use crate::identity::{self, Fault};
use crate::jwk::PublicKey;
use crate::jwt::{self, Claims, Unverified, Verdict};
use crate::limits;
use crate::moment::Timestamp;
use crate::refusal::{Failure, Reason, Refusal, Slot};

/// The header's `typ` (RFC 9449 §4.2).
pub const TYP: &str = "dpop+jwt";

/// A proof taken apart, of which nothing is known to be true.
pub struct Proof<'a> {
    token: Unverified<'a>,
    key: PublicKey,
}

/// A key that the sender of a request has. Only [`Proof::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    jkt: String,
    jti: String,
    issued: Timestamp,
}

/// What a proof must be made for.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The method of the request, in its own letters.
    pub method: &'a str,
    /// The URL of the request. Its query and fragment do not count.
    pub url: &'a str,
    /// The access token that is shown with it, where one is: at a resource, never at the token endpoint.
    pub access_token: Option<&'a str>,
}

impl<'a> Proof<'a> {
    /// Takes the value of the `DPoP` header apart. Costs no signature.
    ///
    /// # Errors
    ///
    /// It is no JWT of the form that RFC 9449 §4.2 wants, or its key is none that we use: another kind,
    /// a wrong size, or a private one.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > limits::PROOF_BYTES {
            return Err(refuse((Reason::TokenTooLarge, String::new())));
        }
        let (token, key) = Unverified::parse_with_key(text)
            .map_err(|fault| identity::unreadable(Slot::Dpop, fault))?;
        if token.typ != TYP {
            let typ = crate::form::printable(&token.typ);
            return Err(refuse((Reason::TypeWrong, format!("the header's `typ` is `{typ}`"))));
        }
        Ok(Self { token, key })
    }

    /// The thumbprint of the key that it brings: what it will prove, if it proves anything.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.key.material.thumbprint()
    }

    /// Verifies it for one use at `now` (RFC 9449 §4.3), at most [`limits::PROOF_SECS`] and the leeway
    /// after it was made.
    ///
    /// # Errors
    ///
    /// It proves nothing, or for another use; or the host cannot verify signatures now.
    pub async fn verify<O: Outside>(
        self,
        host: &O,
        made_for: Use<'_>,
        now: Timestamp,
    ) -> Result<Proven, Failure> {
        let jkt = self.thumbprint();
        let claims = match jwt::verify(host, self.token, &self.key).await? {
            Verdict::Verified(claims) => claims,
            Verdict::Forged => return Err(refuse((Reason::SignatureWrong, String::new())).into()),
            Verdict::Malformed(what) => return Err(refuse((Reason::TimeMalformed, what)).into()),
        };
        check_use(&claims, made_for).map_err(refuse)?;
        let issued = check_time(&claims, now).map_err(refuse)?;
        let jti = claims.text("jti").filter(|jti| (1..=limits::NAME_BYTES).contains(&jti.len()));
        let jti = jti.ok_or_else(|| {
            refuse((Reason::TokenIdMissing, "`jti` is missing, empty or too long".to_owned()))
        })?;
        Ok(Proven { jkt, jti: jti.to_owned(), issued })
    }
}

impl Proven {
    /// The key's thumbprint (RFC 7638, with SHA-256), as `cnf.jkt` has it.
    #[must_use]
    pub fn jkt(&self) -> &str {
        &self.jkt
    }

    /// The proof's id, unique for its key: at most [`limits::NAME_BYTES`] of any characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.jti
    }

    /// When the proof was made, by its maker's clock. Whoever records its use keeps the record until
    /// [`limits::PROOF_SECS`] and the leeway after this.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// The id of the hop that the proof is used for in `session`. It follows from key, proof and session, so
    /// that the record of the hop is that of the use, and the proof's second use finds it there.
    #[must_use]
    pub fn hop(&self, session: &str) -> String {
        let parts = [session, &self.jkt, &self.jti].map(str::as_bytes);
        let hash = tagged_hash("dpop-hop", &parts);
        base64url(hash.get(..16).unwrap_or_default())
    }
}

/// Whether a token bound to the key `bound` may be used by who shows a proof of the key `shown`.
///
/// # Errors
///
/// Reason and particulars.
pub fn check_key(bound: &str, shown: Option<&str>) -> Result<(), Fault> {
    let what = match shown {
        Some(shown) if shown == bound => return Ok(()),
        Some(_) => "the proof is of another key than the token's",
        None => "there is no proof of the token's key",
    };
    Err((Reason::SenderConstrained, what.to_owned()))
}

/// As [`check_key`] for the `cnf` of somebody else's token (RFC 7800 §3.1). One that binds in another
/// way, or in a further one, binds to something that is not proven.
///
/// # Errors
///
/// Reason and particulars.
pub fn check_confirmation(claims: &Claims, shown: Option<&str>) -> Result<(), Fault> {
    let Some(cnf) = claims.get("cnf") else { return Ok(()) };
    let only = cnf.as_object().filter(|members| members.len() == 1);
    match only.and_then(|members| members.get("jkt")).and_then(Value::as_str) {
        Some(bound) => check_key(bound, shown),
        None => Err((Reason::SenderConstrained, "`cnf` is more or other than a `jkt`".to_owned())),
    }
}

fn refuse((reason, detail): Fault) -> Refusal {
    Refusal::proof(Slot::Dpop, reason, detail)
}

/// RFC 9449 §4.3, checks 8, 9 and 12.
fn check_use(claims: &Claims, made_for: Use<'_>) -> Result<(), Fault> {
    let wrong =
        |name: &str| Err((Reason::ProofMisplaced, format!("`{name}` is not the request's")));
    if claims.text("htm") != Some(made_for.method) {
        return wrong("htm");
    }
    if !claims.text("htu").is_some_and(|htu| is_same(htu, made_for.url)) {
        return wrong("htu");
    }
    match made_for.access_token {
        Some(token) if claims.text("ath") != Some(&*base64url(&sha256(token.as_bytes()))) => {
            wrong("ath")
        }
        _ => Ok(()),
    }
}

/// RFC 9449 §4.3, check 11. A proof has no `exp`; one that has it all the same is not used past it.
fn check_time(claims: &Claims, now: Timestamp) -> Result<Timestamp, Fault> {
    let issued = identity::needed_time(claims, "iat")?;
    if issued > now.plus(limits::LEEWAY_SECS) {
        return Err((Reason::IssuedInFuture, format!("in {} s", issued.since(now))));
    }
    let ends = issued.plus(limits::PROOF_SECS);
    let ends = identity::time(claims, "exp")?.map_or(ends, |expires| expires.min(ends));
    if now > ends.plus(limits::LEEWAY_SECS) {
        return Err((Reason::Expired, format!("{} s ago", now.since(ends))));
    }
    match identity::time(claims, "nbf")? {
        Some(begins) if begins > now.plus(limits::LEEWAY_SECS) => {
            Err((Reason::NotYetValid, format!("for {} s", begins.since(now))))
        }
        _ => Ok(issued),
    }
}

/// Whether two URLs are one without query and fragment: scheme and host in whatever case, the scheme's
/// own port written or not (RFC 9449 §4.3; RFC 3986 §6.2.2.1, §6.2.3). Paths are compared byte by byte.
fn is_same(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// Scheme, authority and path; `None` of what is no `http` or `https` URL.
fn parts(url: &str) -> Option<(String, String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(port).unwrap_or(&authority).to_owned();
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_the_same_in_another_case_with_its_port_and_with_a_query() {
        let url = "https://auth.example/oauth/token";
        for same in [
            "https://auth.example/oauth/token",
            "HTTPS://Auth.Example/oauth/token",
            "https://auth.example:443/oauth/token",
            "https://auth.example/oauth/token?a=b",
            "https://auth.example/oauth/token#f",
            "https://auth.example/oauth/token?a#b?c",
        ] {
            assert!(is_same(same, url), "{same}");
        }
        for other in [
            "",
            "auth.example/oauth/token",
            "/oauth/token",
            "http://auth.example/oauth/token",
            "https://auth.example:80/oauth/token",
            "https://auth.example:8443/oauth/token",
            "https://auth.example.evil/oauth/token",
            "https://evil/auth.example/oauth/token",
            "https://auth.example@evil/oauth/token",
            "https://evil@auth.example/oauth/token",
            "https://auth.example/oauth/Token",
            "https://auth.example/oauth/token/",
            "https://auth.example//oauth/token",
            "https://auth.example/oauth/../oauth/token",
            "https://auth.example/oauth%2Ftoken",
            " https://auth.example/oauth/token",
            "https://auth.example?/oauth/token",
            "https://auth.example#/oauth/token",
            "ftp://auth.example/oauth/token",
        ] {
            assert!(!is_same(other, url), "{other}");
        }
        assert!(is_same("http://LOCALHOST:80", "http://localhost/"));
        assert!(is_same("http://[::1]:8080/a", "http://[::1]:8080/a?"));
        assert!(!is_same("nonsense", "nonsense"), "what is no URL is the same as nothing");
    }

    #[test]
    fn x10_a_bound_token_is_its_keys_alone() {
        assert!(check_key("a", Some("a")).is_ok());
        for shown in [None, Some("b"), Some("A"), Some("")] {
            assert_eq!(check_key("a", shown).unwrap_err().0, Reason::SenderConstrained);
        }
    }

    #[test]
    fn a_proof_makes_another_hop_of_each_session_key_and_id() {
        let proven = |jkt: &str, jti: &str| Proven {
            jkt: jkt.to_owned(),
            jti: jti.to_owned(),
            issued: Timestamp(0),
        };
        let hop = proven("k", "1").hop("s");
        assert_eq!(hop, proven("k", "1").hop("s"));
        assert_eq!(hop.len(), 22);
        for other in
            [proven("k", "1").hop("t"), proven("k1", "").hop("s"), proven("", "k1").hop("s")]
        {
            assert_ne!(hop, other);
        }
    }
}
