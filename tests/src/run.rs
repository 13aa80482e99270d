//! Running a vector against a target.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};
use writ_core::encoding::from_base64url;
use writ_core::http::Request;
use writ_core::jwk::PublicKey;

use crate::client::Answer;
use crate::compare::{Clock, differences};
use crate::forms;
use crate::issuer::{Parties, Token, Usual};
use crate::target::{Session, Target};
use crate::template::{fill, fill_text, offset, text, unique};
use crate::vector::{Expect, Step, Stored, Vector};
use crate::zones::{Places, key_value};

/// Runs a vector and says everything that is not as it must be.
pub fn check(vector: &Vector, target: &Target) -> Vec<String> {
    let session = target.open(&vector.zone);
    let mut run = Run::new(vector, &session);
    let mut found = Vec::new();
    for (index, step) in vector.requests.iter().enumerate() {
        let problems = run.step(step);
        found.extend(
            problems.into_iter().map(|problem| format!("request {}: {problem}", index + 1)),
        );
    }
    found
}

struct Run<'a> {
    session: &'a Session,
    parties: &'a Parties,
    places: &'a Places,
    begin: i64,
    now: i64,
    tokens: BTreeMap<String, String>,
    issued: Vec<Value>,
    unique: RefCell<BTreeMap<String, String>>,
}

impl<'a> Run<'a> {
    fn new(vector: &Vector, session: &'a Session) -> Self {
        let begin = session.now();
        let mut run = Self {
            session,
            parties: session.parties(),
            places: session.places(),
            begin,
            now: begin,
            tokens: BTreeMap::new(),
            issued: Vec::new(),
            unique: RefCell::default(),
        };
        let usual = |run: &Self| Usual::at(run.begin, &run.places.zone);
        for (name, description) in &vector.tokens {
            let description = fill(description, &|name| run.lookup(name));
            let token: Token = serde_json::from_value(description)
                .unwrap_or_else(|error| panic!("{}: token `{name}`: {error}", vector.name));
            let signed = token.sign(run.parties, &usual(&run));
            run.tokens.insert(name.clone(), signed);
        }
        run
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        if let Some(offset) = offset(name) {
            return Some((self.begin + offset).into());
        }
        match name.split_once(':') {
            None if name == "zone" => Some(self.places.zone.clone().into()),
            None if name == "keys" => Some(self.places.keys.clone().into()),
            Some(("token", name)) => self.tokens.get(name).cloned().map(Value::from),
            Some(("issued", number)) => {
                let index = number.parse::<usize>().ok()?.checked_sub(1)?;
                self.issued.get(index)?.get("access_token").cloned()
            }
            Some(("refresh", number)) => {
                let index = number.parse::<usize>().ok()?.checked_sub(1)?;
                self.issued.get(index)?.get("refresh_token").cloned()
            }
            Some(("unique", name)) => {
                let mut known = self.unique.borrow_mut();
                let text = known.entry(name.to_owned()).or_insert_with(|| unique(name));
                Some(text.clone().into())
            }
            _ => {
                let first = |party: &str| self.parties.get(party)?.algorithms.first().copied();
                key_value(name, &first)
            }
        }
    }

    fn step(&mut self, step: &Step) -> Vec<String> {
        self.now += step.after;
        let request = self.request(step);
        let before = self.session.before();
        let answer = self.session.send(&request, self.now);
        let mut found = Vec::new();
        if answer.status != step.expect.status {
            found.push(format!("status {}, expected {}", answer.status, step.expect.status));
        }
        if step.path == "/oauth/token" {
            found.extend(crate::wire::problems(&request, &answer));
        }
        found.extend(self.body_problems(&step.expect, &answer));
        found.extend(header_problems(&step.expect, &answer));
        let seen = self.session.after(before);
        if answer.status == 200 && step.path == "/oauth/token" {
            found.extend(self.token_problems(&step.expect, &answer));
        }
        found.extend(event_problems(&step.expect, seen.events.as_deref()));
        found.extend(stored_problems(&step.expect, seen.stored.as_ref()));
        if let (Some(expected), Some(actual)) = (step.expect.fetches, seen.fetches)
            && expected != actual
        {
            found.push(format!("{actual} documents fetched, expected {expected}"));
        }
        if !found.is_empty() {
            found.push(summary(&answer, seen.events.as_deref().unwrap_or_default()));
        }
        self.issued.push(answer.json().unwrap_or_default());
        found
    }

    fn request(&self, step: &Step) -> Request {
        let lookup = |name: &str| self.lookup(name);
        let filled = |template: &str| text(&fill_text(template, &lookup));
        let mut fields: Vec<(String, String)> = step
            .form
            .iter()
            .map(|(name, value)| (name.clone(), text(&fill(value, &lookup))))
            .collect();
        fields.extend(step.fields.iter().map(|(name, value)| (filled(name), filled(value))));
        let body = match &step.body {
            Some(body) => filled(body),
            None => forms::encode(&fields),
        };
        let mut headers = Vec::new();
        if !step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type".to_owned(), forms::TYPE.to_owned()));
        }
        if let Some((user, password)) = &step.basic {
            let pair = format!("{}:{}", filled(user), filled(password));
            let value = format!("Basic {}", Base64::encode_string(pair.as_bytes()));
            headers.push(("authorization".to_owned(), value));
        }
        headers.extend(
            step.headers
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), filled(value.as_deref()?)))),
        );
        Request {
            method: step.method.clone(),
            path: step.path.clone(),
            query: step.query.as_deref().map(filled),
            headers,
            body: body.into_bytes(),
        }
    }

    fn clock(&self) -> Clock {
        Clock { now: self.begin, tolerance: self.session.tolerance() }
    }

    fn body_problems(&self, expect: &Expect, answer: &Answer) -> Vec<String> {
        let mut found = Vec::new();
        let body = answer.json().unwrap_or_default();
        let error = body.get("error").and_then(Value::as_str);
        if let Some(expected) = &expect.error
            && error != Some(expected)
        {
            found.push(format!("error {error:?}, expected `{expected}`"));
        }
        let description = body.get("error_description").and_then(Value::as_str).unwrap_or_default();
        for part in expect.description.iter().filter(|part| !description.contains(part.as_str())) {
            found.push(format!("the description `{description}` does not say `{part}`"));
        }
        found.extend(self.some(&expect.body, &body, "body"));
        found
    }

    /// Compares the members named, and only those.
    fn some(&self, expected: &Map<String, Value>, actual: &Value, what: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (name, expected) in expected {
            match (expected, actual.get(name)) {
                (Value::Null, Some(actual)) => {
                    found.push(format!("{what}: `{name}` is there, as {actual}"));
                }
                (Value::Null, None) => {}
                (_, None) => found.push(format!("{what}: `{name}` is missing")),
                (_, Some(actual)) => {
                    let expected = self.expected(expected);
                    let problems = differences(&expected, actual, self.clock());
                    found.extend(problems.into_iter().map(|p| format!("{what} `{name}`: {p}")));
                }
            }
        }
        found
    }

    /// Fills in what is known; what is compared loosely stays for the comparison.
    fn expected(&self, value: &Value) -> Value {
        let loose = |name: &str| name == "any" || name == "id" || offset(name).is_some();
        fill(value, &|name| {
            if loose(name) { Some(json!(format!("{{{{{name}}}}}"))) } else { self.lookup(name) }
        })
    }

    /// The issued token: its header, its signature under the zone's published keys, its claims.
    fn token_problems(&self, expect: &Expect, answer: &Answer) -> Vec<String> {
        let body = answer.json().unwrap_or_default();
        let token = body.get("access_token").and_then(Value::as_str).unwrap_or_default();
        let (header, claims) = match read(token, &self.session.published_keys()) {
            Ok(read) => read,
            Err(problem) => return vec![problem],
        };
        let mut found = Vec::new();
        if header.get("typ") != Some(&json!("at+jwt")) {
            found.push("the token's `typ` is not `at+jwt`".to_owned());
        }
        if let Some(expected) = &expect.claims {
            let problems = differences(&self.expected(expected), &claims, self.clock());
            found.extend(problems.into_iter().map(|problem| format!("claims {problem}")));
        }
        found.extend(self.some(&expect.some_claims, &claims, "claims"));
        let whole = |name: &str| claims.get(name).and_then(Value::as_i64);
        let life = whole("exp").zip(whole("iat")).map(|(exp, iat)| exp - iat);
        if life != body.get("expires_in").and_then(Value::as_i64) {
            found.push(format!("`expires_in` is not the token's life of {life:?} s"));
        }
        if claims.get("scope") != body.get("scope") {
            found.push("`scope` in the answer is not that in the token".to_owned());
        }
        found
    }
}

/// What was answered and why, for whoever reads a failure; never the token.
fn summary(answer: &Answer, events: &[Value]) -> String {
    let body = answer.json().unwrap_or_default();
    let said = body.get("error_description").unwrap_or(&Value::Null);
    let why = events.iter().map(|event| format!("{} {}", event["reason"], event["detail"]));
    let why: Vec<String> = why.collect();
    format!("answered {} {} {said}; recorded {}", answer.status, body["error"], why.join(", "))
}

/// Takes an issued token apart and verifies it as a resource server would.
pub fn read(token: &str, keys: &[PublicKey]) -> Result<(Value, Value), String> {
    let (message, signature) = token.rsplit_once('.').ok_or("the token is no JWT")?;
    let (header, claims) = message.split_once('.').ok_or("the token is no JWT")?;
    let part =
        |text: &str| -> Option<Value> { serde_json::from_slice(&from_base64url(text)?).ok() };
    let header = part(header).ok_or("the token's header is no JSON")?;
    let claims = part(claims).ok_or("the token's payload is no JSON")?;
    let kid = header.get("kid").and_then(Value::as_str);
    let key = keys
        .iter()
        .find(|key| kid.is_some() && key.kid.as_deref() == kid)
        .ok_or("the token's `kid` is not in the published key set")?;
    let algorithm = key.algorithm.ok_or("the published key has no `alg`")?;
    if header.get("alg") != Some(&json!(algorithm.name())) {
        return Err("the token's `alg` is not its key's".to_owned());
    }
    let signature = from_base64url(signature).ok_or("the signature is no base64url")?;
    if !crate::keys::verify(algorithm, key, message.as_bytes(), &signature) {
        return Err("the token's signature does not verify".to_owned());
    }
    Ok((header, claims))
}

fn header_problems(expect: &Expect, answer: &Answer) -> Vec<String> {
    let wrong = |(name, expected): (&String, &Option<String>)| {
        let actual = answer.header(name);
        (actual != expected.as_deref())
            .then(|| format!("header `{name}` is {actual:?}, expected {expected:?}"))
    };
    expect.headers.iter().filter_map(wrong).collect()
}

/// One event for each request, and in it what the vector says.
fn event_problems(expect: &Expect, events: Option<&[Value]>) -> Vec<String> {
    let Some(events) = events else { return Vec::new() };
    let [event] = events else {
        return vec![format!("{} events for one request", events.len())];
    };
    let mut found = Vec::new();
    let mut compare = |name: &str, expected: &Value| {
        let actual = event.get(name).unwrap_or(&Value::Null);
        if actual != expected {
            found.push(format!("the event's `{name}` is {actual}, expected {expected}"));
        }
    };
    compare("status", &json!(expect.status));
    if let Some(reason) = &expect.reason {
        compare("reason", &json!(reason));
    }
    for (name, expected) in &expect.event {
        compare(name, expected);
    }
    if expect.status >= 400 && event.get("reason").is_none_or(Value::is_null) && expect.status < 500
    {
        found.push("the event has no reason".to_owned());
    }
    found
}

fn stored_problems(expect: &Expect, written: Option<&BTreeSet<String>>) -> Vec<String> {
    let Some(written) = written else { return Vec::new() };
    let hops = written.iter().filter(|key| key.starts_with("hop")).count();
    let denials = written.iter().filter(|key| key.starts_with("denied")).count();
    let default = if expect.status == 200 { Stored::Hop } else { Stored::Nothing };
    let holds = match expect.stored.unwrap_or(default) {
        Stored::Nothing => written.is_empty(),
        Stored::Denial => denials == 1 && hops == 0,
        Stored::Hop => hops == 1,
        Stored::NoHop => hops == 0,
    };
    if holds { Vec::new() } else { vec![format!("written to the store: {written:?}")] }
}
