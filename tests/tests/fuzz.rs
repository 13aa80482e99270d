//! Fuzz targets: the token parser, the parser of DPoP proofs, the form decoder, the zone parser and the chain builder.
//!
//! Under `cargo test` each replays its kept corpus (`fuzz/NAME/`), mutates it and adds random
//! input, for a short while. `WRIT_FUZZ_SECS` makes each run that long; `cargo bolero test` runs
//! the same targets under a coverage-guided engine.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

use std::path::Path;
use std::time::Duration;

use bolero::check;
use writ_core::dpop::{Proof, TYP};
use writ_core::encoding::base64url;
use writ_core::form::Form;
use writ_core::jwt::Unverified;
use writ_core::own::{Act, OwnToken};
use writ_core::zone::{self, Source, Sources};
use writ_core::{limits, strict};

/// How long each target runs.
fn time() -> Duration {
    let secs = std::env::var("WRIT_FUZZ_SECS").ok().and_then(|secs| secs.parse().ok());
    Duration::from_secs(secs.unwrap_or(5))
}

/// The kept inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no corpus", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A kept input with a piece replaced by another, so that what is nearly right is tried too. The
/// first bytes choose the input, the place and how much goes.
fn mutated(kept: &[Vec<u8>], input: &[u8]) -> Vec<u8> {
    let [which, at_high, at_low, length, rest @ ..] = input else { return input.to_vec() };
    let seed = &kept[usize::from(*which) % kept.len()];
    let at = (usize::from(*at_high) * 256 + usize::from(*at_low)) % (seed.len() + 1);
    let end = (at + usize::from(*length) % 16).min(seed.len());
    [&seed[..at], rest, &seed[end..]].concat()
}

/// Feeds `target` its corpus, then random input and mutations of the corpus.
fn fuzz(name: &str, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let kept = corpus(name);
    kept.iter().for_each(|input| target(input));
    check!().with_test_time(time()).with_max_len(512).for_each(|input: &[u8]| {
        target(input);
        target(&mutated(&kept, input));
    });
}

#[test]
fn token_parser() {
    fuzz("token", |input| {
        if let Ok(text) = std::str::from_utf8(input) {
            parse_token(text);
        }
        // As header and payload, so that what lies behind the encoding is reached.
        let cut = input.first().map_or(0, |byte| usize::from(*byte) % input.len());
        let (header, payload) = input.split_at(cut);
        parse_token(&format!("{}.{}.AA", base64url(header), base64url(payload)));
        let fixed = br#"{"alg":"ES256","typ":"JWT","kid":"k"}"#;
        parse_token(&format!("{}.{}.AA", base64url(fixed), base64url(input)));
    });
}

/// Whatever is accepted is three parts of strict JSON within the limits.
fn parse_token(text: &str) {
    let Ok(token) = Unverified::parse(text) else { return };
    assert!(text.len() <= limits::TOKEN_BYTES);
    assert_eq!(text.matches('.').count(), 2);
    assert!(token.kid.as_ref().is_none_or(|kid| kid.len() <= limits::KID_BYTES));
    let header = writ_core::encoding::from_base64url(text.split('.').next().unwrap()).unwrap();
    let header = strict::object(&header).unwrap();
    assert_eq!(header["alg"], token.algorithm.name());
    assert!(!header.contains_key("crit") && !header.contains_key("jwk"));
}

/// Whatever key a proof brings, it is a public one that fits its algorithm, and nothing else leads to one.
#[test]
fn proof_parser() {
    fuzz("proof", |header| {
        let claims = br#"{"jti":"a","htm":"POST","htu":"https://a.example","iat":1}"#;
        let text = format!("{}.{}.AA", base64url(header), base64url(claims));
        let Ok((token, key)) = Unverified::parse_with_key(&text) else { return };
        let header = strict::object(header).unwrap();
        assert_eq!(header["alg"], token.algorithm.name());
        let secret = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        assert!(secret.iter().all(|name| header["jwk"].get(name).is_none()));
        assert!(["jku", "x5u", "x5c", "crit"].iter().all(|name| !header.contains_key(*name)));
        assert_eq!(key.material.thumbprint().len(), 43);
        assert_eq!(
            Proof::parse(&text).is_ok(),
            token.typ == TYP && text.len() <= limits::PROOF_BYTES
        );
        assert!(Unverified::parse(&text).is_err(), "no other slot takes it");
    });
}

#[test]
fn form_decoder() {
    fuzz("form", |input| {
        let Ok(form) = Form::parse(input) else { return };
        for name in ["grant_type", "scope", "subject_token", "resource"] {
            let first = form.text(name);
            assert!(first.is_none_or(|value| !value.is_empty()));
            assert!(form.all(name).all(|value| !value.chars().any(char::is_control)));
            if name != "resource" {
                assert!(form.all(name).count() <= 1);
            }
        }
    });
}

#[test]
fn zone_parser() {
    fuzz("zone", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let zone = Source { path: "zone.toml".into(), text: text.into() };
        match zone::compile(&Sources { zone, ..Sources::default() }) {
            Ok(bundle) => {
                let bytes = bundle.to_bytes().unwrap();
                let again = writ_core::bundle::Bundle::from_bytes(&bytes).unwrap();
                assert_eq!(again, bundle);
                assert_eq!(again.to_bytes().unwrap(), bytes);
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                let lines = text.split('\n').count();
                assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
            }
        }
    });
}

#[test]
fn chain_builder() {
    fuzz("chain", |input| {
        // Names by their first letters make a chain; nesting it and reading it back is the same.
        let actors: Vec<String> =
            input.iter().take(limits::PATH).map(|byte| format!("app{byte}")).collect();
        let nested = Act::nest(&actors);
        let mut read = Vec::new();
        let mut next = nested.as_deref();
        while let Some(act) = next {
            read.push(act.sub.clone());
            next = act.act.as_deref();
        }
        assert_eq!(read, actors);
        // Claims as they might stand in a token: what is read back is what was there.
        let Ok(object) = strict::object(input) else { return };
        let Ok(own) = serde_json::from_value::<OwnToken>(object.clone().into()) else { return };
        assert!(own.actors().len() <= limits::JSON_DEPTH);
        assert_eq!(own.holder().is_none(), own.act.is_none() && object["sub_profile"] == "user");
    });
}
