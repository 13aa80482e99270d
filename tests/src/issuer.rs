//! Parties that sign: platforms, identity providers, clients with a key, and forgers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use writ_core::encoding::{base64url, sha256};
use writ_core::jwk::Algorithm;

use crate::fixtures::Fixture;
use crate::spoil::{Signed, Spoil};
use crate::{der, keys};

/// The parties of a zone, by name: `issuers.json` beside its `zone.toml`.
pub type Parties = BTreeMap<String, Party>;

/// Somebody who signs, and the key set that they publish.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Party {
    /// What their tokens say in `iss`.
    pub issuer: String,
    /// The algorithms they have keys for. The first one is used where a token does not say.
    pub algorithms: Vec<Algorithm>,
    /// Members that each of their JWKs has instead of its own; null removes one.
    pub jwk: Map<String, Value>,
    /// The same for the JWK of one algorithm.
    pub jwk_of: BTreeMap<Algorithm, Map<String, Value>>,
    /// Further members of their key set, as they are.
    pub more_keys: Vec<Value>,
    /// What their server answers instead of a key set.
    pub page: Option<Page>,
    /// Further pages that their server has, by path.
    pub pages: BTreeMap<String, Page>,
}

/// A page of a party's server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Its status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its body: text as it is, anything else as JSON.
    pub body: Value,
}

fn ok() -> u16 {
    200
}

impl Page {
    /// The bytes of the body.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.body {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }
}

impl Party {
    /// The key set that the party called `name` publishes.
    pub fn key_set(&self, name: &str) -> Value {
        let own = self.algorithms.iter().map(|algorithm| {
            let mut jwk = keys::jwk(name, *algorithm);
            patch(&mut jwk, &self.jwk);
            patch(&mut jwk, self.jwk_of.get(algorithm).unwrap_or(&Map::new()));
            Value::Object(jwk)
        });
        let keys: Vec<Value> = own.chain(self.more_keys.iter().cloned()).collect();
        json!({ "keys": keys })
    }

    /// The answer at the party's key set URL.
    pub fn page(&self, name: &str) -> Page {
        let all = || Page { status: 200, body: self.key_set(name) };
        self.page.clone().unwrap_or_else(all)
    }
}

/// A token to sign. What is not said is as in a good token of the party.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Whose token it says it is.
    pub from: String,
    /// The fixture whose claims and header it has.
    pub fixture: Option<String>,
    /// Whose key signs, where it is another's.
    pub signer: Option<String>,
    /// The algorithm of the key that signs.
    pub algorithm: Option<Algorithm>,
    /// It is a DPoP proof of the key of [`Token::from`], for the token endpoint.
    pub dpop: bool,
    /// Members that the key in a DPoP proof has instead of its own; null removes one.
    pub jwk: Map<String, Value>,
    /// Signs with HMAC-SHA256 and the signer's public key in this form as the secret (J02).
    pub mac: Option<KeyForm>,
    /// Header members beside or instead of `alg`, `kid` and `typ`; null removes one.
    pub header: Map<String, Value>,
    /// The header as text, instead of all that.
    pub header_text: Option<String>,
    /// Claims beside or instead of the usual ones.
    pub claims: Map<String, Value>,
    /// Usual claims that are left out.
    pub without: Vec<String>,
    /// The payload as text, instead of all that.
    pub payload: Option<String>,
    /// Adds a claim with arrays in each other, so that the payload is this many levels deep.
    pub levels: Option<usize>,
    /// Adds a claim with this many elements.
    pub elements: Option<usize>,
    /// Adds white space until the whole token has this many bytes.
    pub bytes: Option<usize>,
    /// What is wrong with it besides.
    pub spoil: Vec<Spoil>,
}

/// The forms of a public key that somebody may take for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the forms'")]
pub enum KeyForm {
    Pem,
    Der,
    Jwk,
    /// The JWK's members that its thumbprint is made of (RFC 7638).
    Thumbprint,
}

/// What a good token says when its description leaves it open.
pub struct Usual {
    /// The claims.
    pub claims: Map<String, Value>,
    /// When it is issued.
    pub now: i64,
    /// Whom it is for.
    pub audience: String,
}

impl Usual {
    /// What a good token for `audience` says: five minutes, and an id that no other token has.
    #[must_use]
    pub fn at(now: i64, audience: &str) -> Self {
        let claims = [
            ("aud", json!(audience)),
            ("iat", json!(now)),
            ("exp", json!(now + 300)),
            ("jti", json!(crate::template::unique("token"))),
        ];
        let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { claims, now, audience: audience.to_owned() }
    }
}

impl Token {
    /// Signs the token.
    ///
    /// # Panics
    ///
    /// Where a party is unknown or the description contradicts itself.
    pub fn sign(&self, parties: &Parties, usual: &Usual) -> String {
        let signer = self.signer.as_deref().unwrap_or(&self.from);
        let party = parties.get(signer).unwrap_or_else(|| panic!("no party `{signer}`"));
        let algorithm = self
            .algorithm
            .or_else(|| party.algorithms.first().copied())
            .expect("an algorithm to sign with");
        let mut header = self.header(signer, algorithm, party);
        let mut payload = self.payload(parties, usual);
        if let Some(bytes) = self.bytes {
            self.fill(&mut header, &mut payload, bytes, signer, algorithm);
        }
        self.compact(header, payload, signer, algorithm)
    }

    fn header(&self, signer: &str, algorithm: Algorithm, party: &Party) -> Vec<u8> {
        if let Some(text) = &self.header_text {
            return text.clone().into_bytes();
        }
        let alg = if self.mac.is_some() { "HS256" } else { algorithm.name() };
        let mut header = Map::new();
        header.insert("alg".into(), alg.into());
        if self.dpop {
            let mut jwk = keys::key(&self.from, algorithm).public(None).to_jwk();
            patch(&mut jwk, &self.jwk);
            header.insert("jwk".into(), jwk.into());
            header.insert("typ".into(), "dpop+jwt".into());
            patch(&mut header, &self.header);
            return Value::Object(header).to_string().into_bytes();
        }
        if party.jwk.get("kid").is_none_or(|kid| !kid.is_null()) {
            let kid = party.jwk.get("kid").cloned();
            header.insert("kid".into(), kid.unwrap_or_else(|| keys::kid(signer, algorithm).into()));
        }
        header.insert("typ".into(), "JWT".into());
        if let Some(fixture) = &self.fixture {
            let mut own = Fixture::load(fixture).header;
            own.retain(|name, _| !matches!(name.as_str(), "alg" | "kid"));
            if !own.contains_key("typ") {
                header.remove("typ");
            }
            header.extend(own);
        }
        patch(&mut header, &self.header);
        Value::Object(header).to_string().into_bytes()
    }

    fn payload(&self, parties: &Parties, usual: &Usual) -> Vec<u8> {
        if let Some(text) = &self.payload {
            return text.clone().into_bytes();
        }
        let mut claims = match &self.fixture {
            _ if self.dpop => proof_claims(usual),
            None => usual.claims.clone(),
            Some(name) => fixture_claims(name, usual),
        };
        if let Some(party) = parties.get(&self.from).filter(|_| !self.dpop) {
            claims.insert("iss".into(), party.issuer.clone().into());
        }
        claims.extend(self.claims.clone());
        claims.retain(|name, _| !self.without.contains(name));
        if let Some(elements) = self.elements {
            claims.insert("many".into(), json!(vec![1; elements]));
        }
        let mut payload = Value::Object(claims).to_string().into_bytes();
        if let Some(levels) = self.levels {
            // The object of claims is the first level. As text, since a value this deep would
            // overflow the stack of whoever drops it.
            let arrays = format!(",\"deep\":{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            payload.splice(payload.len() - 1..payload.len() - 1, arrays.into_bytes());
        }
        self.spoil.iter().for_each(|spoil| spoil.payload(&mut payload));
        payload
    }

    /// Adds spaces, which JSON ignores, to the payload, and a few to the header where base64url
    /// has no text of the length that is missing.
    fn fill(
        &self,
        header: &mut Vec<u8>,
        payload: &mut Vec<u8>,
        bytes: usize,
        signer: &str,
        algorithm: Algorithm,
    ) {
        for _ in 0..3 {
            let mut longer = payload.clone();
            loop {
                let length = self.compact(header.clone(), longer.clone(), signer, algorithm).len();
                if length == bytes {
                    *payload = longer;
                    return;
                }
                if length > bytes {
                    break;
                }
                longer.resize(longer.len() + ((bytes - length) * 3 / 4).max(1), b' ');
            }
            header.push(b' ');
        }
        panic!("no token of {bytes} bytes");
    }

    fn compact(
        &self,
        header: Vec<u8>,
        payload: Vec<u8>,
        signer: &str,
        algorithm: Algorithm,
    ) -> String {
        let mut signed = Signed { header: base64url(&header), payload: base64url(&payload) };
        self.spoil.iter().for_each(|spoil| spoil.before(&mut signed));
        let message = format!("{}.{}", signed.header, signed.payload);
        let mut signature = match self.mac {
            Some(form) => hmac(&secret(form, signer, algorithm), message.as_bytes()),
            None => keys::key(signer, algorithm).sign(message.as_bytes()).expect("a signature"),
        };
        self.spoil.iter().for_each(|spoil| spoil.signature(&mut signature));
        let mut signature = base64url(&signature);
        self.spoil.iter().for_each(|spoil| spoil.after(&mut signed, &mut signature));
        let token = format!("{}.{}.{signature}", signed.header, signed.payload);
        self.spoil.iter().fold(token, |token, spoil| spoil.whole(token))
    }
}

/// What a good DPoP proof says (RFC 9449 §4.2).
fn proof_claims(usual: &Usual) -> Map<String, Value> {
    let mut claims = usual.claims.clone();
    claims.retain(|name, _| matches!(name.as_str(), "iat" | "jti"));
    claims.insert("htm".into(), "POST".into());
    claims.insert("htu".into(), format!("{}/oauth/token", usual.audience).into());
    claims
}

/// A fixture's claims, with an id of its own where the platform gives one.
fn fixture_claims(name: &str, usual: &Usual) -> Map<String, Value> {
    let mut claims = Fixture::load(name).claims_at(usual.now, &usual.audience);
    if let (Some(id), Some(unique)) = (claims.get_mut("jti"), usual.claims.get("jti")) {
        *id = unique.clone();
    }
    claims
}

/// Puts `changes` over `members`; null removes.
fn patch(members: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

fn secret(form: KeyForm, signer: &str, algorithm: Algorithm) -> Vec<u8> {
    let public = keys::key(signer, algorithm).public(None);
    match form {
        KeyForm::Pem => der::pem(&public.material).into_bytes(),
        KeyForm::Der => der::public_key(&public.material),
        KeyForm::Jwk => Value::Object(keys::jwk(signer, algorithm)).to_string().into_bytes(),
        KeyForm::Thumbprint => {
            let mut jwk = public.to_jwk();
            jwk.retain(|name, _| !matches!(name.as_str(), "alg" | "use" | "kid"));
            Value::Object(jwk).to_string().into_bytes()
        }
    }
}

/// HMAC-SHA256 (RFC 2104), which only forgers use here.
fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if secret.len() > 64 { sha256(secret).to_vec() } else { secret.to_vec() };
    block.resize(64, 0);
    let with = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let inner = sha256(&[with(0x36), message.to_vec()].concat());
    sha256(&[with(0x5c), inner.to_vec()].concat()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties() -> Parties {
        let party = Party {
            issuer: "https://ci.example".into(),
            algorithms: vec![Algorithm::ES256],
            ..Party::default()
        };
        [("ci".to_owned(), party)].into()
    }

    fn token(text: &str) -> String {
        let token: Token = serde_json::from_str(text).unwrap();
        token.sign(&parties(), &Usual::at(100, "https://writ.example"))
    }

    #[test]
    fn makes_tokens_of_an_exact_size() {
        for bytes in 600..612 {
            let token = token(&format!(r#"{{"from": "ci", "bytes": {bytes}}}"#));
            assert_eq!(token.len(), bytes);
        }
    }

    #[test]
    fn macs_as_rfc_4231_does() {
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            writ_core::encoding::hex(&mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_good_token_verifies_and_a_spoilt_one_does_not() {
        let key = keys::key("ci", Algorithm::ES256).public(None);
        let verifies = |token: &str| {
            let (message, signature) = token.rsplit_once('.').unwrap();
            let signature = writ_core::encoding::from_base64url(signature).unwrap();
            keys::verify(Algorithm::ES256, &key, message.as_bytes(), &signature)
        };
        assert!(verifies(&token(r#"{"from": "ci"}"#)));
        assert!(!verifies(&token(r#"{"from": "ci", "spoil": ["altered-payload"]}"#)));
        assert!(!verifies(&token(r#"{"from": "ci", "mac": "pem"}"#)));
    }
}
