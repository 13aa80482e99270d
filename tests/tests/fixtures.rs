//! Every platform's sample token, in every slot it belongs in, and spoilt in every way that
//! `docs/federation.md` promises to refuse. Prints the matrix; an empty cell is a failure.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use writ_core::jwk::Algorithm;
use writ_tests::fixtures::Fixture;
use writ_tests::issuer::{KeyForm, Token};
use writ_tests::platform::{Platform, Slot};
use writ_tests::spoil::Spoil;
use writ_tests::world::BEGINNING;

/// The fixtures that must be refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("aws-sigv4", "token_malformed"),
    ("github-actions-pr-target", "condition_failed"),
    ("kubernetes-default-1y", "lifetime_too_long"),
];

/// A way to spoil a token: its name, the reason that the event must give, and the doing.
struct Spoiling {
    name: &'static str,
    reason: &'static str,
    /// Nothing may be fetched for it.
    unfetched: bool,
    spoil: fn(&Platform, &mut Token),
}

const fn spoiling(
    name: &'static str,
    reason: &'static str,
    spoil: fn(&Platform, &mut Token),
) -> Spoiling {
    Spoiling { name, reason, unfetched: false, spoil }
}

const fn unfetched(
    name: &'static str,
    reason: &'static str,
    spoil: fn(&Platform, &mut Token),
) -> Spoiling {
    Spoiling { name, reason, unfetched: true, spoil }
}

fn set(token: &mut Token, claim: &str, value: impl Into<Value>) {
    token.claims.insert(claim.to_owned(), value.into());
}

/// Spoilings 1, 2, 5, 6 and 9 of federation.md §5, which go for every platform.
const SPOILINGS: &[Spoiling] = &[
    unfetched("1 unregistered", "issuer_unknown", |_, token| {
        set(token, "iss", "https://unregistered.example");
    }),
    unfetched("1 slash", "issuer_unknown", |platform, token| {
        let issuer = &platform.fixture.issuer;
        let other = issuer.strip_suffix('/').map_or_else(|| format!("{issuer}/"), str::to_owned);
        set(token, "iss", other);
    }),
    unfetched("1 case", "issuer_unknown", |platform, token| {
        set(token, "iss", platform.fixture.issuer.replacen("https", "Https", 1));
    }),
    unfetched("2 second", "audience_wrong", |platform, token| {
        set(token, "aud", json!([platform.audience, "https://other.example"]));
    }),
    unfetched("2 vendor's", "audience_wrong", |platform, token| {
        set(token, "aud", platform.vendor_audience());
    }),
    unfetched("2 shorter", "audience_wrong", |platform, token| {
        let mut audience = platform.audience.clone();
        audience.pop();
        set(token, "aud", audience);
    }),
    unfetched("2 longer", "audience_wrong", |platform, token| {
        set(token, "aud", format!("{}x", platform.audience));
    }),
    unfetched("5 none", "algorithm_refused", |_, token| {
        token.header.insert("alg".to_owned(), json!("none"));
        token.spoil.push(Spoil::NoSignature);
    }),
    unfetched("5 hmac", "algorithm_refused", |_, token| token.mac = Some(KeyForm::Pem)),
    spoiling("5 other key", "signature_wrong", |platform, token| {
        // The attacker's key is of the other family, and the header says it is not.
        token.signer = Some("attacker".to_owned());
        token.header.insert("alg".to_owned(), json!(platform.fixture.alg));
        token.header.insert("kid".to_owned(), platform.fixture.header["kid"].clone());
    }),
    spoiling("5 kid", "key_unknown", |_, token| {
        token.header.insert("kid".to_owned(), json!("unknown"));
    }),
    unfetched("5 jku", "header_refused", |_, token| {
        token.header.insert("jku".to_owned(), json!("https://attacker.example/keys"));
    }),
    unfetched("5 jwk", "header_refused", |_, token| {
        let jwk = writ_tests::keys::jwk("attacker", Algorithm::ES256);
        token.header.insert("jwk".to_owned(), Value::Object(jwk));
    }),
    spoiling("6 expired", "expired", |_, token| {
        move_to(token, BEGINNING - 91, BEGINNING - 31);
    }),
    spoiling("6 future", "issued_in_future", |_, token| {
        move_to(token, BEGINNING + 31, BEGINNING + 60);
    }),
    spoiling("6 too long", "lifetime_too_long", |platform, token| {
        move_to(token, BEGINNING, BEGINNING + platform.lifetime_secs + 1);
    }),
    spoiling("6 no exp", "time_malformed", |_, token| token.without.push("exp".to_owned())),
    spoiling("6 no iat", "time_malformed", |_, token| token.without.push("iat".to_owned())),
    spoiling("6 exp text", "time_malformed", |_, token| {
        set(token, "exp", (BEGINNING + 60).to_string());
    }),
    spoiling("6 exp 1.5", "time_malformed", |_, token| {
        set(token, "exp", f64::from(1_800_000_060) + 0.5);
    }),
    spoiling("6 exp 2^63", "time_malformed", |_, token| set(token, "exp", 1_u64 << 63)),
    unfetched("9 duplicate", "token_malformed", |platform, token| {
        let claims = platform.claims(token);
        let text = serde_json::to_string(&claims).unwrap();
        token.payload = Some(text.replacen('{', "{\"iss\":\"https://other.example\",", 1));
    }),
    unfetched("9 not UTF-8", "token_malformed", |_, token| token.spoil.push(Spoil::PayloadNotUtf8)),
    unfetched("9 too deep", "token_malformed", |_, token| token.levels = Some(33)),
    unfetched("9 too long", "token_too_large", |_, token| token.bytes = Some(16 * 1024 + 1)),
];

fn move_to(token: &mut Token, issued: i64, expires: i64) {
    set(token, "iat", issued);
    set(token, "exp", expires);
    token.without.push("nbf".to_owned());
}

#[test]
fn every_fixture_is_there() {
    let all = Fixture::all();
    assert_eq!(all.len(), 42);
    for (name, _) in REFUSED {
        assert!(all.iter().any(|fixture| fixture.name == *name), "{name}");
    }
}

#[test]
fn three_fixtures_are_refused() {
    for (name, reason) in REFUSED {
        let (platform, texts) = if *name == "aws-sigv4" {
            // No JWT: what the three dialects would send in a token's place.
            let claims = Fixture::load(name).claims;
            let url = claims["presigned_get"]["url"].as_str().unwrap().to_owned();
            let eks = format!("k8s-aws-v1.{}", writ_core::encoding::base64url(url.as_bytes()));
            let texts = vec![eks, url, claims["signed_post"].to_string()];
            (Platform::new("github-actions"), texts)
        } else {
            let platform = Platform::new(name);
            let text = platform.sign(&platform.fixture.token());
            (platform, vec![text])
        };
        for text in texts {
            let seen = platform.show(platform.slot(), &text);
            assert_eq!(seen.status, 400, "{name}");
            assert_eq!(seen.reason.as_deref(), Some(*reason), "{name}");
            assert!(seen.written.is_empty(), "{name}: {:?}", seen.written);
        }
    }
}

#[test]
fn thirty_nine_fixtures_are_accepted_in_every_slot() {
    let mut failures = Vec::new();
    let mut accepted = 0;
    for fixture in accepted_fixtures() {
        let platform = Platform::new(&fixture);
        for slot in platform.slots() {
            let token = platform.sign(&platform.fixture.token());
            failures.extend(acceptance_problem(&platform, slot, &token));
        }
        accepted += 1;
    }
    assert_eq!(accepted, 39);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn acceptance_problem(platform: &Platform, slot: Slot, token: &str) -> Option<String> {
    let seen = platform.show(slot, token);
    let name = &platform.fixture.name;
    if seen.status != 200 {
        return Some(format!("{name} as {slot:?}: {:?} {:?}", seen.reason, seen.detail));
    }
    platform.assert_nothing_upstream(&seen);
    None
}

/// An application of the tenant gets an access token of its own with everything that a person's has,
/// but the sign-in: it must not enter as a person.
#[test]
fn an_entra_application_is_no_person() {
    let platform = Platform::new("entra-user");
    for claim in [("azpacr", "2"), ("appidacr", "1"), ("idtyp", "app")] {
        let mut token = platform.fixture.token();
        set(&mut token, claim.0, claim.1);
        let seen = platform.show(Slot::Subject, &platform.sign(&token));
        assert_eq!(seen.reason.as_deref(), Some("condition_failed"), "{}: {seen}", claim.0);
        assert_eq!(seen.status, 400);
    }
}

/// Spoiling 12: what a token says besides who its bearer is enters no token of ours.
#[test]
fn x04_upstream_claims_enter_no_token() {
    let mut failures = Vec::new();
    for fixture in accepted_fixtures() {
        let platform = Platform::new(&fixture);
        let mut token = platform.fixture.token();
        for (name, value) in [
            ("scope", json!("admin write")),
            ("act", json!({ "sub": "root" })),
            ("roles", json!(["admin"])),
            ("may_act", json!({ "sub": "root" })),
            ("sid", json!("root")),
            ("client_id", json!("root")),
        ] {
            // An ID-JAG is bound to its client by this very claim.
            if name != "client_id" || fixture != "id-jag" {
                set(&mut token, name, value);
            }
        }
        let token = platform.sign(&token);
        failures.extend(acceptance_problem(&platform, platform.slot(), &token));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_matrix_has_no_empty_cell() {
    let mut matrix: Matrix = BTreeMap::new();
    let mut failures = Vec::new();
    for fixture in accepted_fixtures() {
        let platform = Platform::new(&fixture);
        let mut said = BTreeSet::new();
        let mut cells: Vec<(&str, Result<String, String>)> = SPOILINGS
            .iter()
            .map(|spoiling| (spoiling.name, refusal(&platform, spoiling, &mut said)))
            .collect();
        cells.push(("5 kid twice", unknown_kid_twice(&fixture)));
        cells.push(("7 replay", replay(&fixture)));
        let row = matrix.entry(fixture.clone()).or_default();
        for (column, cell) in cells {
            match cell {
                Ok(cell) => drop(row.insert(column, cell)),
                Err(problem) => failures.push(format!("{fixture}, {column}: {problem}")),
            }
        }
        if said.len() != 1 {
            failures.push(format!("{fixture}: the caller can tell refusals apart: {said:?}"));
        }
    }
    print(&matrix);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(matrix.len(), 39);
    for (fixture, row) in &matrix {
        assert_eq!(row.len(), SPOILINGS.len() + 2, "{fixture} has an empty cell");
    }
}

/// Fixtures by spoilings, each cell the event's reason.
type Matrix = BTreeMap<String, BTreeMap<&'static str, String>>;

fn refusal(
    platform: &Platform,
    spoiling: &Spoiling,
    said: &mut BTreeSet<String>,
) -> Result<String, String> {
    let mut token = platform.fixture.token();
    (spoiling.spoil)(platform, &mut token);
    let seen = platform.show(platform.slot(), &platform.sign(&token));
    let error =
        if platform.slot() == Slot::Assertion { "invalid_grant" } else { "invalid_request" };
    let holds = (seen.status, seen.error.as_str()) == (400, error)
        && seen.reason.as_deref() == Some(spoiling.reason)
        && seen.written.is_empty()
        && (!spoiling.unfetched || seen.fetched.is_empty());
    if !holds {
        return Err(seen.to_string());
    }
    said.insert(seen.said);
    Ok(spoiling.reason.to_owned())
}

/// Tokens with key ids that nobody knows: nothing is fetched twice.
fn unknown_kid_twice(fixture: &str) -> Result<String, String> {
    let platform = Platform::new(fixture);
    let mut fetched = BTreeSet::new();
    for kid in ["unknown", "unknown too", "unknown as well"] {
        let mut token = platform.fixture.token();
        token.header.insert("kid".to_owned(), json!(kid));
        let seen = platform.show(platform.slot(), &platform.sign(&token));
        let again = !seen.fetched.iter().all(|url| fetched.insert(url.clone()));
        if seen.reason.as_deref() != Some("key_unknown") || again {
            return Err(seen.to_string());
        }
    }
    Ok("key_unknown".to_owned())
}

/// The same token twice: refused where it may be used once, accepted where the platform hands the
/// same one out again.
fn replay(fixture: &str) -> Result<String, String> {
    let platform = Platform::new(fixture);
    let token = platform.sign(&platform.fixture.token());
    let first = platform.show(platform.slot(), &token);
    let second = platform.show(platform.slot(), &token);
    match (first.status, second.status, second.reason.as_deref()) {
        (200, 400, Some("replayed")) if platform.used_once => Ok("replayed".to_owned()),
        (200, 200, None) if !platform.used_once => Ok("(reusable)".to_owned()),
        _ => Err(format!("first {first}, then {second}")),
    }
}

fn print(matrix: &Matrix) {
    let columns: Vec<&str> = matrix.values().flat_map(|row| row.keys().copied()).collect();
    let columns: BTreeSet<&str> = columns.into_iter().collect();
    let line = |cells: Vec<String>| println!("| {} |", cells.join(" | "));
    line(
        std::iter::once("fixture".to_owned())
            .chain(columns.iter().map(|c| (*c).to_owned()))
            .collect(),
    );
    for (fixture, row) in matrix {
        let cells = columns.iter().map(|column| row.get(column).cloned().unwrap_or_default());
        line(std::iter::once(fixture.clone()).chain(cells).collect());
    }
}

fn accepted_fixtures() -> impl Iterator<Item = String> {
    let refused = |name: &str| REFUSED.iter().any(|(refused, _)| *refused == name);
    Fixture::all().into_iter().map(|fixture| fixture.name).filter(move |name| !refused(name))
}

/// An Entra v1 token at the v2 registration: same tenant, same keys, another issuer.
#[test]
fn j17_azure_v1_token_at_the_v2_registration() {
    let platform = Platform::new("azure-app-v2");
    let mut token = platform.fixture.token();
    token.fixture = Some("azure-mi-v1".to_owned());
    set(&mut token, "iss", Fixture::load("azure-mi-v1").issuer);
    let seen = platform.show(Slot::Subject, &platform.sign(&token));
    assert_eq!(seen.reason.as_deref(), Some("issuer_unknown"));
}
