//! Comparing what came back with what a vector expects: whole documents, with placeholders for
//! what no vector can know.
//!
//! `{{any}}` stands for anything that is there, `{{id}}` for an identifier that Writ made up, and
//! `{{now+N}}` for that instant, give or take the tolerance of the target.

use serde_json::Value;

use crate::template::offset;

/// What an instant may differ by, and which one it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The target's time when the request was sent.
    pub now: i64,
    /// The seconds that an instant may be later: none in process.
    pub tolerance: i64,
}

/// Every difference between the two, each with its place.
pub fn differences(expected: &Value, actual: &Value, clock: Clock) -> Vec<String> {
    let mut found = Vec::new();
    compare("", expected, actual, clock, &mut found);
    found
}

fn compare(place: &str, expected: &Value, actual: &Value, clock: Clock, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::String(text), _) if text.starts_with("{{") => {
            if !matches_placeholder(text, actual, clock) {
                found.push(format!("at `{place}`: expected {text}, found {actual}"));
            }
        }
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, value) in expected {
                match actual.get(name) {
                    Some(other) => {
                        compare(&format!("{place}/{name}"), value, other, clock, found);
                    }
                    None => found.push(format!("at `{place}`: `{name}` is missing")),
                }
            }
            for (name, value) in actual.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                found.push(format!("at `{place}`: `{name}` is there, as {value}"));
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (value, other)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{place}/{index}"), value, other, clock, found);
            }
        }
        _ if expected == actual => {}
        _ => found.push(format!("at `{place}`: expected {expected}, found {actual}")),
    }
}

fn matches_placeholder(text: &str, actual: &Value, clock: Clock) -> bool {
    let name = text.trim_start_matches('{').trim_end_matches('}');
    match name {
        "any" => true,
        // 16 random bytes or a hash, as base64url.
        "id" => actual.as_str().is_some_and(|id| {
            let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (22..=43).contains(&id.len()) && id.bytes().all(digit)
        }),
        _ => offset(name).is_some_and(|secs| {
            let late = actual.as_i64().map(|at| at - clock.now - secs);
            late.is_some_and(|late| (0..=clock.tolerance).contains(&late))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_every_difference() {
        let clock = Clock { now: 100, tolerance: 0 };
        let expected = json!({ "a": 1, "b": "{{any}}", "c": [1, 2], "exp": "{{now+5}}" });
        let same = json!({ "a": 1, "b": null, "c": [1, 2], "exp": 105 });
        assert!(differences(&expected, &same, clock).is_empty());
        let other = json!({ "a": "1", "c": [1], "exp": 104, "d": 0 });
        assert_eq!(differences(&expected, &other, clock).len(), 5);
    }
}
