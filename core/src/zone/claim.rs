//! `[claims]`, and JSON Pointers into the claims of tokens.

use std::collections::BTreeMap;

use super::names;
use super::read::{Table, Text};
use crate::bundle::{ClaimKind, ClaimOf, DeclaredClaim};
use crate::limits;

/// Reads `[claims]`.
pub(super) fn declared(root: &Table) -> BTreeMap<String, DeclaredClaim> {
    let tables = root.tables("claims", "claim");
    let one = |(name, table): &(Text, Table)| {
        if let Err(wrong) = names::check_attribute(name.text) {
            table.mistake(name.at, format!("the name {wrong}"));
        }
        let of = needed_choice(table, "of", &OF);
        let pointer = table.needed("pointer").map(|pointer| checked(table, "pointer", pointer));
        let kind = needed_choice(table, "type", &KINDS);
        table.finish();
        Some((name.text.to_owned(), DeclaredClaim { of: of?, pointer: pointer?, kind: kind? }))
    };
    tables.iter().filter_map(one).collect()
}

/// The JSON Pointer under `key`.
pub(super) fn pointer(table: &Table, key: &'static str) -> Option<String> {
    table.text(key).map(|text| checked(table, key, text))
}

/// Checks a JSON Pointer (RFC 6901 §3) to a claim.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence that begins with the pointer.
pub(super) fn check_pointer(text: &str) -> Result<(), String> {
    // The empty pointer is the whole claim set, which no operator means.
    if !text.starts_with('/') {
        return Err(format!("must be a JSON Pointer and start with `/`: `/{}`", escaped(text)));
    }
    if text.len() > limits::NAME_BYTES {
        return Err(format!("must have at most {} bytes", limits::NAME_BYTES));
    }
    if let Some(c) = text.chars().find(|c| names::hidden(*c)) {
        return Err(format!("must be visible, and `U+{:04X}` cannot be seen", u32::from(c)));
    }
    let escapes = text.split('~').skip(1);
    if escapes.clone().any(|rest| !rest.starts_with(['0', '1'])) {
        return Err("must write `~` as `~0`, and `/` within a name as `~1`".to_owned());
    }
    Ok(())
}

fn checked(table: &Table, key: &str, text: Text) -> String {
    if let Err(wrong) = check_pointer(text.text) {
        table.mistake(text.at, format!("`{key}` `{}` {wrong}", names::shown(text.text)));
    }
    text.text.to_owned()
}

fn needed_choice<T: Copy>(table: &Table, key: &'static str, all: &[(&str, T)]) -> Option<T> {
    let text = table.needed(key)?;
    table.chosen(key, text, all)
}

fn escaped(name: &str) -> String {
    names::shown(name).replace('~', "~0").replace('/', "~1")
}

const OF: [(&str, ClaimOf); 2] = [("subject", ClaimOf::Subject), ("actor", ClaimOf::Actor)];

const KINDS: [(&str, ClaimKind); 4] = [
    ("string", ClaimKind::String),
    ("long", ClaimKind::Long),
    ("bool", ClaimKind::Bool),
    ("strings", ClaimKind::Strings),
];

#[cfg(test)]
mod tests {
    use super::check_pointer;

    #[test]
    fn pointers() {
        for text in ["/sub", "/a/b", "/oidc.circleci.com~1org-id", "/a~0b", "/"] {
            assert!(check_pointer(text).is_ok(), "{text}");
        }
        for text in ["", "sub", "#/sub", "/a~b", "/a~", "/a~2", "/a\u{200b}", &"/a".repeat(200)] {
            assert!(check_pointer(text).is_err(), "{text}");
        }
    }
}
