//! How things look: colours, line breaks, and values that are shortened for people.

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use writ_core::moment::Timestamp;

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const COMMAND: Style = AnsiColor::Cyan.on_default();

/// Columns of a line.
pub(super) const WIDTH: usize = 100;

/// Text in a style.
pub(super) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Breaks text into lines of at most `width` columns, between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let wanted = columns(line).saturating_add(columns(word)).saturating_add(1);
        if !line.is_empty() && wanted > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Without what could steer a terminal: some of it is the caller's.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// A sentence in which ids and hashes are cut down to what tells them apart.
pub(super) fn shorten(text: &str) -> String {
    let in_id = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let mut short = String::new();
    let mut id = String::new();
    for letter in text.chars().map(Some).chain([None]) {
        match letter {
            Some(letter) if in_id(letter) => id.push(letter),
            other => {
                short.push_str(&shorten_id(&id));
                id.clear();
                short.extend(other);
            }
        }
    }
    short
}

fn shorten_id(id: &str) -> String {
    let drawn =
        id.len() >= 22 && id.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if drawn { format!("{}…", id.chars().take(10).collect::<String>()) } else { id.to_owned() }
}

/// The claims of a token, the ones that matter first and highlighted.
pub(super) fn token(claims: &Value, now: Timestamp, width: usize) -> Vec<String> {
    let empty = serde_json::Map::new();
    let claims = claims.as_object().unwrap_or(&empty);
    let rest = claims.keys().map(String::as_str).filter(|name| !ORDER.contains(name));
    let names: Vec<_> =
        ORDER.into_iter().filter(|name| claims.contains_key(*name)).chain(rest).collect();
    let last = names.last().copied();
    let mut lines = vec!["{".to_owned()];
    for name in names {
        let value = claims.get(name).unwrap_or(&Value::Null);
        let comma = if last == Some(name) { "" } else { "," };
        let style = if MATTER.contains(&name) { STRONG } else { FAINT };
        let mut text = claim(name, value, width.saturating_sub(3));
        if let Some(end) = text.last_mut() {
            end.push_str(comma);
        }
        lines.extend(text.iter().enumerate().map(|(index, line)| {
            let note = if index == 0 { note(name, value, now) } else { String::new() };
            format!("  {}{}", paint(style, line), paint(FAINT, &note))
        }));
    }
    lines.push("}".to_owned());
    lines
}

/// One claim as JSON: on a line, or an element a line where that is too long.
fn claim(name: &str, value: &Value, width: usize) -> Vec<String> {
    let line = format!("\"{name}\": {}", inline(value));
    match value {
        Value::Array(elements) if columns(&line) > width => {
            let last = elements.len().saturating_sub(1);
            let mut lines = vec![format!("\"{name}\": [")];
            lines.extend(elements.iter().enumerate().map(|(index, element)| {
                format!("  {}{}", inline(element), if index == last { "" } else { "," })
            }));
            lines.push("]".to_owned());
            lines
        }
        _ => vec![line],
    }
}

/// A value as JSON on one line, with room between its parts and ids cut short.
fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| format!("\"{name}\": {}", inline(value));
            // `sub` before `act`, as they are read.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
            format!("{{ {} }}", joined(members.into_iter().map(member).collect()))
        }
        Value::Array(elements) => format!("[{}]", joined(elements.iter().map(inline).collect())),
        Value::String(text) => Value::String(shorten(text)).to_string(),
        other => other.to_string(),
    }
}

/// What a number means.
fn note(name: &str, value: &Value, now: Timestamp) -> String {
    match (name, value.as_i64()) {
        ("exp", Some(at)) => format!("  // in {} s", Timestamp(at).since(now)),
        _ => String::new(),
    }
}

/// The claims in the order in which they explain a token.
const ORDER: [&str; 13] = [
    "sub",
    "act",
    "aud",
    "scope",
    "task",
    "exp",
    "sid",
    "jti",
    "client_id",
    "path",
    "iss",
    "sub_profile",
    "iat",
];
/// The claims that say what a token is.
const MATTER: [&str; 5] = ["sub", "act", "aud", "scope", "task"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_cut_short_and_words_are_not() {
        assert_eq!(
            shorten("session `h4zZ0Qk3vTnJ9yWc1aBdEf`, over"),
            "session `h4zZ0Qk3vT…`, over"
        );
        for word in ["permit/anybody-reads-what-is-public", "https://agents.example.com/health"] {
            assert_eq!(shorten(word), word);
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa bb", 5), ["aaaaaaaa", "bb"]);
    }

    #[test]
    fn a_token_reads_from_what_matters_and_stays_json() {
        let claims = json!({ "aud": "r", "iat": 1, "sub": "s", "act": { "act": { "sub": "b" }, "sub": "a" } });
        let lines = token(&claims, Timestamp(0), 80);
        let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        let act = "\"act\": { \"sub\": \"a\", \"act\": { \"sub\": \"b\" } },";
        assert_eq!(
            plain,
            format!("{{\n  \"sub\": \"s\",\n  {act}\n  \"aud\": \"r\",\n  \"iat\": 1\n}}")
        );
        assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), claims);
    }
}
