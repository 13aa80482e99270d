//! How things look: colours, line breaks, and values that are shortened for people.

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};

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
    if drawn { format!("{}…", id.chars().take(7).collect::<String>()) } else { id.to_owned() }
}

/// The claims of a token as JSON: those that matter first, each on its line and highlighted, the
/// others packed.
pub(super) fn token(claims: &Value, width: usize) -> Vec<String> {
    let empty = Map::new();
    let claims = claims.as_object().unwrap_or(&empty);
    let rest = claims.keys().map(String::as_str).filter(|name| !ORDER.contains(name));
    let known = ORDER.into_iter().filter(|name| claims.contains_key(*name));
    let names: Vec<_> = known.chain(rest).collect();
    let width = width.saturating_sub(3);
    let mut lines: Vec<(Style, String)> = Vec::new();
    for name in &names {
        let value = claims.get(*name).unwrap_or(&Value::Null);
        let style = if MATTER.contains(name) { STRONG } else { FAINT };
        let mut text = claim(name, value, width);
        if names.last() != Some(name)
            && let Some(end) = text.last_mut()
        {
            end.push(',');
        }
        match (text.as_slice(), lines.last_mut()) {
            ([one], Some((FAINT, line)))
                if style == FAINT && columns(line).saturating_add(columns(one)) < width =>
            {
                line.push(' ');
                line.push_str(one);
            }
            _ => lines.extend(text.into_iter().map(|line| (style, line))),
        }
    }
    let inner = lines.iter().map(|(style, line)| format!("  {}", paint(*style, line)));
    ["{".to_owned()].into_iter().chain(inner).chain(["}".to_owned()]).collect()
}

/// One claim as JSON: on a line, or where that is too long an object's members packed and an array's
/// elements each on its own.
fn claim(name: &str, value: &Value, width: usize) -> Vec<String> {
    let line = format!("\"{name}\": {}", inline(value));
    match value {
        _ if columns(&line) <= width => vec![line],
        Value::Array(elements) => {
            let mut lines = vec![format!("\"{name}\": [")];
            for element in elements {
                match element {
                    Value::Object(members) => lines.extend(packed("  ", members, width)),
                    other => lines.push(format!("  {}", inline(other))),
                }
                if let Some(line) = lines.last_mut() {
                    line.push(',');
                }
            }
            if let Some(line) = lines.last_mut() {
                line.pop();
            }
            lines.push("]".to_owned());
            lines
        }
        Value::Object(members) => packed(&format!("\"{name}\": "), members, width),
        _ => vec![line],
    }
}

/// An object after `lead`, as many members on a line as fit, further lines indented.
fn packed(lead: &str, members: &Map<String, Value>, width: usize) -> Vec<String> {
    let indent = " ".repeat(lead.len().saturating_sub(lead.trim_start().len()).saturating_add(2));
    let mut lines = vec![format!("{lead}{{")];
    for part in in_order(members) {
        match lines.last_mut() {
            Some(line)
                if columns(line).saturating_add(columns(&part)).saturating_add(4) < width =>
            {
                line.push_str(&format!(" {part},"));
            }
            _ => lines.push(format!("{indent}{part},")),
        }
    }
    if let Some(line) = lines.last_mut() {
        line.pop();
        line.push_str(" }");
    }
    lines
}

/// A value as JSON on one line, with room between its parts and ids cut short.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(members) => format!("{{ {} }}", in_order(members).join(", ")),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => Value::String(shorten(text)).to_string(),
        other => other.to_string(),
    }
}

/// An object's members, `sub` before `act` as they are read.
fn in_order(members: &Map<String, Value>) -> Vec<String> {
    let mut members: Vec<_> = members.iter().collect();
    let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    members.sort_by_key(|(name, _)| rank(name));
    members.iter().map(|(name, value)| format!("\"{name}\": {}", inline(value))).collect()
}

/// The claims in the order in which they explain a token.
const ORDER: [&str; 16] = [
    "sub",
    "act",
    "aud",
    "scope",
    "task",
    "iss",
    "client_id",
    "sub_profile",
    "iat",
    "exp",
    "sid",
    "jti",
    "seq",
    "name",
    "id",
    "path",
];
/// The claims that say what a token is.
const MATTER: [&str; 5] = ["sub", "act", "aud", "scope", "task"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_cut_short_and_words_are_not() {
        assert_eq!(shorten("session `h4zZ0Qk3vTnJ9yWc1aBdEf`, over"), "session `h4zZ0Qk…`, over");
        for word in ["permit/anybody-reads-what-is-public", "https://agents.example.com/health"] {
            assert_eq!(shorten(word), word);
        }
    }

    #[test]
    fn what_is_too_long_for_a_line_is_broken_and_stays_json() {
        let claims =
            json!({ "path": [{ "seq": 1, "jti": "a" }, { "jti": "b" }], "task": { "id": "t" } });
        let lines = token(&claims, 24);
        let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        assert!(plain.lines().all(|line| columns(line) <= 30), "{plain}");
        assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), claims);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa bb", 5), ["aaaaaaaa", "bb"]);
    }

    #[test]
    fn a_token_reads_from_what_matters_and_stays_json() {
        let claims = json!({ "aud": "r", "iat": 1, "x": true, "sub": "s", "act": { "act": { "sub": "b" }, "sub": "a" } });
        let lines = token(&claims, 80);
        let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        let act = "\"act\": { \"sub\": \"a\", \"act\": { \"sub\": \"b\" } },";
        let rest = "\"iat\": 1, \"x\": true";
        let whole = format!("{{\n  \"sub\": \"s\",\n  {act}\n  \"aud\": \"r\",\n  {rest}\n}}");
        assert_eq!(plain, whole);
        assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), claims);
    }
}
