//! The few placeholders of vectors and zones.
//!
//! A text that is one placeholder and nothing else becomes the placeholder's value, of whatever
//! type; within a longer text a placeholder becomes its text.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{{zone}}` | the zone's issuer URL |
//! | `{{keys}}` | the URL below which the parties of the zone publish their key sets |
//! | `{{now}}`, `{{now+5}}`, `{{now-5}}` | that instant, in seconds |
//! | `{{token:NAME}}` | the signed token of that name |
//! | `{{issued:N}}` | the access token that the N-th request got |
//! | `{{refresh:N}}` | the refresh token that the N-th request got |
//! | `{{unique:NAME}}` | a text that no other run has |
//! | `{{jwk:PARTY}}`, `{{jwks:PARTY}}` | a party's first public key, or its key set |
//! | `{{jkt:PARTY}}` | the thumbprint of a party's first public key |
//! | `{{sha256:TEXT}}` | the hexadecimal SHA-256 of the text |
//! | `{{repeat:N:TEXT}}` | the text, N times |

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

/// Finds the value of a placeholder.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// Fills every placeholder of a JSON value.
pub fn fill(value: &Value, lookup: &Lookup<'_>) -> Value {
    match value {
        Value::String(text) => fill_text(text, lookup),
        Value::Array(values) => values.iter().map(|value| fill(value, lookup)).collect(),
        Value::Object(members) => {
            let filled: Map<String, Value> = members
                .iter()
                .map(|(name, value)| (text(&fill_text(name, lookup)), fill(value, lookup)))
                .collect();
            Value::Object(filled)
        }
        other => other.clone(),
    }
}

/// Fills every placeholder of a text.
///
/// # Panics
///
/// On a placeholder that nobody knows.
pub fn fill_text(template: &str, lookup: &Lookup<'_>) -> Value {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("a placeholder ends");
        let value = general(name)
            .or_else(|| lookup(name))
            .unwrap_or_else(|| panic!("nobody knows the placeholder `{name}`"));
        if before.is_empty() && after.is_empty() && filled.is_empty() {
            return value;
        }
        filled.push_str(before);
        filled.push_str(&text(&value));
        rest = after;
    }
    filled.push_str(rest);
    Value::String(filled)
}

/// The offset of a `now` placeholder in seconds.
pub fn offset(name: &str) -> Option<i64> {
    let offset = name.strip_prefix("now")?;
    if offset.is_empty() { Some(0) } else { offset.parse().ok() }
}

fn general(name: &str) -> Option<Value> {
    let (kind, rest) = name.split_once(':')?;
    match kind {
        "sha256" => {
            Some(writ_core::encoding::hex(&writ_core::encoding::sha256(rest.as_bytes())).into())
        }
        "repeat" => {
            let (count, text) = rest.split_once(':')?;
            Some(text.repeat(count.parse().ok()?).into())
        }
        _ => None,
    }
}

/// A text that nobody else has: not another call, not another run against the same server.
#[must_use]
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Where a process's memory lies is chance enough to tell two runs apart.
    let place = std::ptr::from_ref(&COUNT) as usize;
    format!("{name}-{}-{place:x}-{count}", std::process::id())
}

/// A value as text: strings as they are, anything else as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lone_placeholder_keeps_its_type() {
        let lookup = |name: &str| offset(name).map(|secs| json!(100 + secs));
        let value = json!({ "exp": "{{now+5}}", "text": "at {{now}}", "r": ["{{repeat:3:ab}}"] });
        assert_eq!(fill(&value, &lookup), json!({ "exp": 105, "text": "at 100", "r": ["ababab"] }));
    }
}
