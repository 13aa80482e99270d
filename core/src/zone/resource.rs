//! `[resources."URI"]`: what tokens are for.

use std::collections::{BTreeMap, BTreeSet};

use super::header::Frame;
use super::names;
use super::read::{Table, Text};
use super::tag;
use crate::bundle::{Resource, TagOn};
use crate::limits;

/// Reads `[resources]`.
pub(super) fn read(root: &Table, frame: &Frame) -> BTreeMap<String, Resource> {
    let tables = root.tables("resources", "resource");
    tables.iter().map(|(id, table)| (id.text.to_owned(), resource(*id, table, frame))).collect()
}

fn resource(id: Text, table: &Table, frame: &Frame) -> Resource {
    if let Err(wrong) = check_uri(id.text) {
        table.mistake(id.at, format!("its identifier {wrong}"));
    }
    let scopes = scopes(table, "scopes");
    let defaults = table.texts("default_scopes").unwrap_or_default();
    for scope in &defaults {
        if !scopes.contains(scope.text) {
            let hint = names::hint(scope.text, scopes.iter().map(String::as_str));
            let shown = names::shown(scope.text);
            table.mistake(scope.at, format!("default scope `{shown}` is not in `scopes`{hint}"));
        }
    }
    if defaults.len() > limits::SCOPES {
        let at = table.item("default_scopes").map_or(table.at, |item| item.at);
        table.mistake(at, format!("a request may have at most {} scopes", limits::SCOPES));
    }
    let bytes =
        defaults.iter().fold(defaults.len(), |sum, scope| sum.saturating_add(scope.text.len()));
    if bytes > limits::SCOPE_BYTES {
        let at = table.item("default_scopes").map_or(table.at, |item| item.at);
        table.mistake(at, format!("may have at most {} bytes together", limits::SCOPE_BYTES));
    }
    let refer = |text: &Text| frame.refer(table, "application", &frame.applications, *text);
    let owner = table.text("owner").inspect(refer);
    let may_present = table.texts("may_present").unwrap_or_default();
    may_present.iter().for_each(refer);
    let resource = Resource {
        default_scopes: owned(&defaults),
        scopes,
        owner: owner.map(|owner| owner.text.to_owned()),
        may_present: owned(&may_present),
        tags: tag::complete(frame, table, TagOn::Resource),
        token_secs: table.number("token_secs", &limits::TOKEN_SECS),
    };
    table.finish();
    resource
}

fn scopes(table: &Table, key: &'static str) -> BTreeSet<String> {
    let texts = table.texts(key).unwrap_or_default();
    for scope in &texts {
        // RFC 6749 §3.3, scope-token.
        let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let length = (1..=limits::NAME_BYTES).contains(&scope.text.len());
        if !length || !scope.text.chars().all(plain) {
            let shown = names::shown(scope.text);
            let message = format!("scope `{shown}` must be visible ASCII without `\"` and `\\`");
            table.mistake(scope.at, message);
        }
    }
    owned(&texts)
}

/// Checks a resource's identifier: an absolute URI without a fragment (RFC 8707 §2).
pub(super) fn check_uri(text: &str) -> Result<(), String> {
    let absolute =
        "must be an absolute URI, such as `https://api.example.com` or `urn:example:api`";
    let Some((scheme, rest)) = text.split_once(':') else { return Err(absolute.to_owned()) };
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte);
    let starts = scheme.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || !scheme.bytes().all(plain) || rest.is_empty() {
        return Err(absolute.to_owned());
    }
    if text.contains('#') {
        return Err("must not have a fragment".to_owned());
    }
    if text.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
        return Err("must be a URI, which has no quotes, brackets or backslashes".to_owned());
    }
    if scheme == "user" {
        return Err("must not start with `user:`, as users do".to_owned());
    }
    if !matches!(scheme, "http" | "https") {
        return Ok(());
    }
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?']).next());
    match authority {
        None | Some("") => Err(absolute.to_owned()),
        Some(authority) if authority.contains('@') => Err("must have no user name".to_owned()),
        Some(authority) if authority.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Err("must have its host in lower case".to_owned())
        }
        Some(_) => Ok(()),
    }
}

fn owned(texts: &[Text]) -> BTreeSet<String> {
    texts.iter().map(|text| text.text.to_owned()).collect()
}
