//! Names: which characters an id may have, when two read alike, and what a misspelt key meant.
//!
//! An operator reads ids in policies, in records and in requests, so an id that looks like another
//! one is an attack. Ids are visible ASCII (the `client_id` of RFC 6749 A.1 without its space);
//! that leaves the look-alikes within ASCII, which are refused in pairs.

use std::collections::BTreeMap;

use super::read::{At, Report, Text};
use crate::limits;

/// Checks an id. `word` says what is named.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence that begins with the id.
pub(super) fn check(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > limits::NAME_BYTES {
        return Err(format!("must have from 1 to {} bytes", limits::NAME_BYTES));
    }
    if let Some(c) = id.chars().find(|c| !c.is_ascii_graphic()) {
        let what = if hidden(c) || c == ' ' { "cannot be seen" } else { "is not ASCII" };
        return Err(format!("must be visible ASCII, and `U+{:04X}` {what}", u32::from(c)));
    }
    Ok(())
}

/// Checks a name that policies use as an attribute: a Cedar identifier.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_attribute(name: &str) -> Result<(), String> {
    check(name)?;
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !start || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("must be letters, digits and `_`, and not start with a digit".to_owned());
    }
    if RESERVED.contains(&name) || name.starts_with("__cedar") {
        return Err("is a word of the policy language".to_owned());
    }
    Ok(())
}

/// Checks text that people write and policies compare: anything but what cannot be seen.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_value(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > limits::NAME_BYTES {
        return Err(format!("must have from 1 to {} bytes", limits::NAME_BYTES));
    }
    match text.chars().find(|c| hidden(*c)) {
        Some(c) => Err(format!("must be visible, and `U+{:04X}` cannot be seen", u32::from(c))),
        None => Ok(()),
    }
}

/// Whether a character shows nothing or changes how others are shown: controls, and of Unicode's
/// format characters and fillers all that exist.
pub(crate) fn hidden(c: char) -> bool {
    c.is_control() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
}

/// A name as a message shows it: what cannot be seen is spelt out.
pub(super) fn shown(name: &str) -> String {
    let show = |c: char| match hidden(c) {
        true => format!("U+{:04X}", u32::from(c)),
        false => c.to_string(),
    };
    name.chars().take(limits::NAME_BYTES).map(show).collect()
}

/// Notes every two of `ids` that read alike. `word` says what they name.
pub(super) fn check_alike<'a>(
    report: &Report,
    word: &str,
    ids: impl IntoIterator<Item = Text<'a>>,
) {
    let mut seen: BTreeMap<String, Text> = BTreeMap::new();
    for id in ids {
        // Two relations and not their closure, which would make `mail` and `mall` one.
        for skeleton in [folded(id.text), drawn(id.text)] {
            match seen.get(&skeleton) {
                Some(other) if other.text != id.text => {
                    let (this, other) = (shown(id.text), shown(other.text));
                    report.add(id.at, format!("{word} `{this}` reads like `{other}`"));
                    break;
                }
                _ => {
                    seen.insert(skeleton, id);
                }
            }
        }
    }
}

/// Two of `ids` that read alike, where there are any.
pub(super) fn alike<'a>(ids: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for id in ids {
        for skeleton in [folded(id), drawn(id)] {
            if let Some(other) = seen.insert(skeleton, id).filter(|other| *other != id) {
                return Some((id, other));
            }
        }
    }
    None
}

/// The name without letter case.
fn folded(name: &str) -> String {
    format!("folded {}", name.replace('-', "_").to_ascii_lowercase())
}

/// The name as a hurried eye sees it.
fn drawn(name: &str) -> String {
    let seen = |c: char| match c {
        '0' | 'O' => 'o',
        '1' | 'I' | '|' => 'l',
        '-' => '_',
        c => c,
    };
    format!("drawn {}", name.chars().map(seen).collect::<String>())
}

/// A closing question with the name that was probably meant, or nothing.
pub(super) fn hint<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    if name.len() > HINT_BYTES {
        return String::new();
    }
    let near = all.into_iter().map(|known| (distance(name, known), known)).min();
    // A third of the letters wrong is another word.
    let most = name.len().div_ceil(3).min(3);
    match near {
        Some((far, known)) if far <= most && known != name => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

/// Names as a sentence lists them, in backticks.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let mut names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.pop() {
        Some(end) if names.is_empty() => end,
        Some(end) => format!("{} {last} {end}", names.join(", ")),
        None => String::new(),
    }
}

/// How many letters must be changed, added or left out to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut diagonal = done;
        let mut left = done.saturating_add(1);
        let mut next = vec![left];
        for (other, above) in to.chars().zip(row.iter().copied().skip(1)) {
            let changed = diagonal.saturating_add(usize::from(letter != other));
            left = changed.min(left.min(above).saturating_add(1));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Where ids are declared, for what refers to them.
pub(super) type Declared<'a> = BTreeMap<&'a str, At>;

/// Bytes of a misspelt key that is worth a guess: the longest key has under 30.
const HINT_BYTES: usize = 64;

const RESERVED: [&str; 9] = ["true", "false", "if", "then", "else", "in", "like", "has", "is"];

const HIDDEN: [(u32, u32); 24] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x13430, 0x1345F),
    (0x1BCA0, 0x1D17A),
    (0xE0000, 0xE0FFF),
];

#[cfg(test)]
mod tests {
    use super::{check, check_value, distance, hint};

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("audiense", "audience"), 1);
        assert_eq!(distance("flaw", "lawn"), 2);
    }

    #[test]
    fn hints_only_where_near() {
        assert_eq!(hint("audiense", ["issuer", "audience"]), "; did you mean `audience`?");
        assert_eq!(hint("zzz", ["issuer", "audience"]), "");
    }

    #[test]
    fn ids_are_visible_ascii_of_bounded_length() {
        assert!(check(&"a".repeat(256)).is_ok());
        for id in ["", "a b", "a\u{7}", "a\u{202e}b", "a\u{200b}b", "\u{430}gent", &"a".repeat(257)]
        {
            assert!(check(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn values_may_be_foreign_but_not_hidden() {
        assert!(check_value("Prüfung & Büro").is_ok());
        assert!(check_value("a\u{2066}b").is_err());
    }
}
