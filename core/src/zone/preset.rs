//! Applies a preset to an issuer's table: its variables, and the patterns they go into.

use std::collections::BTreeMap;

use super::header::Frame;
use super::names;
use super::read::{Item, Table, Text};
use super::url::Url;
use crate::presets::{self, Form, Preset, Var};

/// An issuer's table with what its preset makes of it.
#[derive(Debug)]
pub(super) struct Base {
    /// The preset, or [`presets::CUSTOM`].
    pub(super) preset: &'static Preset,
    /// The `iss` values; none where they could not be made out.
    pub(super) issuers: Vec<String>,
    /// The variables.
    pub(super) vars: BTreeMap<&'static str, String>,
}

/// Reads `preset`, its variables, and `issuer` where there is no preset. `None` where the preset is
/// not known, and with it nothing about the table.
pub(super) fn read(table: &Table, frame: &Frame) -> Option<Base> {
    let given = table.item("preset").is_some();
    let Some(name) = table.text("preset") else {
        return if given { None } else { Some(custom(table, frame)) };
    };
    let Some(preset) = presets::named(name.text) else {
        let hint = names::hint(name.text, presets::presets().iter().map(|preset| preset.name));
        let name_shown = names::shown(name.text);
        table.mistake(name.at, format!("there is no preset `{name_shown}`{hint}"));
        return None;
    };
    if let Some(item) = table.item("issuer") {
        table.mistake(item.at, format!("`issuer` follows from preset `{}`", preset.name));
    }
    let mut vars = BTreeMap::new();
    for var in preset.vars {
        let value = match table.item(var.name) {
            Some(_) => table.text(var.name).filter(|value| is_var(table, frame, var, *value)),
            None => None,
        };
        match (value.map(|value| value.text), table.item(var.name), var.default) {
            (Some(value), _, _) | (None, None, Some(value)) => {
                vars.insert(var.name, value.to_owned());
            }
            (None, None, None) => {
                table.mistake(table.at, format!("preset `{}` needs `{}`", preset.name, var.name));
            }
            // It is there and wrong, which has been said.
            (None, Some(_), _) => {}
        }
    }
    if vars.len() != preset.vars.len() {
        return Some(Base { preset, issuers: Vec::new(), vars });
    }
    let issuers: Vec<_> = preset.issuer.iter().map(|pattern| filled(pattern, &vars)).collect();
    if let Some(issuer) = issuers.first() {
        let at = preset.vars.iter().find_map(|var| table.item(var.name)).map(|item| item.at);
        check_issuer(table, frame, preset, Text { text: issuer, at: at.unwrap_or(table.at) });
        vars.insert("issuer", issuer.clone());
    }
    Some(Base { preset, issuers, vars })
}

/// A pattern with its variables put in.
pub(super) fn filled(pattern: &str, vars: &BTreeMap<&'static str, String>) -> String {
    vars.iter()
        .fold(pattern.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn custom(table: &Table, frame: &Frame) -> Base {
    let preset = &presets::CUSTOM;
    let issuer = table.item("issuer").and_then(Item::text);
    if let (None, None) = (issuer, table.item("issuer")) {
        table.mistake(table.at, "neither `preset` nor `issuer` is there");
    }
    let issuer = issuer.or_else(|| table.text("issuer"));
    if let Some(issuer) = issuer {
        check_issuer(table, frame, preset, issuer);
    }
    let issuers: Vec<_> = issuer.iter().map(|issuer| issuer.text.to_owned()).collect();
    let vars = issuers.iter().map(|issuer| ("issuer", issuer.clone())).collect();
    Base { preset, issuers, vars }
}

fn check_issuer(table: &Table, frame: &Frame, preset: &Preset, issuer: Text) {
    let shown = names::shown(issuer.text);
    let url = match Url::issuer(issuer.text, frame.loopback) {
        Ok(url) => url,
        Err(wrong) => return table.mistake(issuer.at, format!("issuer `{shown}` {wrong}")),
    };
    if issuer.text.trim_end_matches('/') == frame.issuer.trim_end_matches('/') {
        table.mistake(issuer.at, "its issuer is the zone's own, whose tokens need no row");
    }
    // Otherwise a row could leave out what the platform's preset demands of rules.
    let owners: Vec<_> = presets::at_host(url.host).map(|owner| owner.name).collect();
    if !owners.is_empty() && !owners.contains(&preset.name) {
        let owners = names::listed(owners, "or");
        table.mistake(issuer.at, format!("issuers at `{}` go by preset {owners}", url.host));
    }
}

/// Whether a variable's value is what it must be; a mistake where it is not.
fn is_var(table: &Table, frame: &Frame, var: &Var, value: Text) -> bool {
    let (name, shown) = (var.name, names::shown(value.text));
    let everybody = ["common", "organizations", "consumers", "{tenantid}", CONSUMERS];
    if name == "tenant" && everybody.contains(&value.text) {
        let message =
            format!("`tenant` `{shown}` stands for other people's tenants: name your own");
        table.mistake(value.at, message);
        return false;
    }
    let wrong = match var.form {
        Form::Name if is_name(value.text) => None,
        Form::Name => Some("must be 1 to 128 letters, digits, `.`, `_` and `-`"),
        Form::Host => match Url::fetched(&format!("https://{}", value.text), frame.loopback) {
            Ok(url) if url.host == value.text => None,
            Ok(_) => Some("must be a DNS name"),
            Err(wrong) => Some(wrong),
        },
        Form::Uuid if is_uuid(value.text) => None,
        Form::Uuid => Some("must be a UUID in lower case"),
        // Checked as the issuer that it is.
        Form::Url => None,
    };
    if let Some(wrong) = wrong {
        table.mistake(value.at, format!("`{name}` `{shown}` {wrong}"));
    }
    wrong.is_none()
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain) && !text.contains("..")
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(digit)
}

/// The tenant of everybody's personal Microsoft account.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
