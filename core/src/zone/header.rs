//! `[zone]`, and what every other table needs to know of the zone.

use std::collections::BTreeMap;

use super::issuer::Row;
use super::names::{self, Declared};
use super::read::{self, Report, Table, Text};
use super::url::{Loopback, Url};
use crate::bundle::Tag;
use crate::jwk::Algorithm;
use crate::limits;

/// What `[zone]` says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) algorithm: Algorithm,
    pub(super) token_secs: i64,
    pub(super) session_secs: i64,
    pub(super) idle_secs: Option<i64>,
    pub(super) record_secs: i64,
    pub(super) loopback: Loopback,
}

/// The zone that a table lies in.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) report: &'a Report,
    pub(super) issuer: &'a str,
    pub(super) loopback: Loopback,
    pub(super) session_secs: i64,
    pub(super) uploaded: &'a BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, Tag>,
    pub(super) issuers: Declared<'a>,
    pub(super) applications: Declared<'a>,
    pub(super) resources: Declared<'a>,
    pub(super) tasks: Declared<'a>,
}

/// Reads `[zone]`.
pub(super) fn read(root: &Table) -> Header {
    let Some(zone) = root.table("zone") else {
        if root.item("zone").is_none() {
            root.missing("[zone]");
        }
        return Header {
            name: String::new(),
            issuer: String::new(),
            algorithm: Algorithm::ES256,
            token_secs: TOKEN_SECS,
            session_secs: SESSION_SECS,
            idle_secs: None,
            record_secs: RECORD_SECS,
            loopback: Loopback::Refused,
        };
    };
    let name = zone.needed("name").inspect(|name| check_name(&zone, *name));
    let issuer = zone.needed("issuer");
    let danger = zone.flag("danger_allow_http_loopback") == Some(true);
    let loopback = issuer.map_or(Loopback::Refused, |issuer| check_issuer(&zone, issuer, danger));
    let token_secs = zone.number("token_secs", &limits::TOKEN_SECS).unwrap_or(TOKEN_SECS);
    let session_secs = zone.number("session_secs", &limits::SESSION_SECS).unwrap_or(SESSION_SECS);
    if token_secs > session_secs {
        zone.mistake(zone.at, "`token_secs` must not be more than `session_secs`");
    }
    let idle_secs = zone.number("idle_secs", &limits::IDLE_SECS);
    if idle_secs.is_some_and(|secs| secs > session_secs) {
        let at = zone.item("idle_secs").map_or(zone.at, |item| item.at);
        zone.mistake(at, "`idle_secs` must not be more than `session_secs`");
    }
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    let header = Header {
        name: name.map_or_else(String::new, |name| name.text.to_owned()),
        issuer: issuer.map_or_else(String::new, |issuer| issuer.text.to_owned()),
        algorithm: zone.choice("algorithm", &algorithms).unwrap_or(Algorithm::ES256),
        token_secs,
        session_secs,
        idle_secs,
        record_secs: zone.number("record_secs", &limits::RECORD_SECS).unwrap_or(RECORD_SECS),
        loopback,
    };
    zone.finish();
    header
}

fn check_name(zone: &Table, name: Text) {
    if let Err(wrong) = is_name(name.text) {
        zone.mistake(name.at, format!("`name` {wrong}"));
    }
}

/// Checks the name of a zone.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence that begins with what it is.
pub fn is_name(text: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(plain);
    if fits { Ok(()) } else { Err("must be 1 to 63 of `a` to `z`, `0` to `9` and `-`") }
}

/// Checks the issuer of a deployment; whether it may be a loopback address is its bundle's to say.
///
/// # Errors
///
/// As [`is_name`].
pub fn is_issuer(text: &str) -> Result<(), &'static str> {
    let url = Url::issuer(text, Loopback::Allowed)?;
    if url.path.is_empty() { Ok(()) } else { Err(NOT_BARE) }
}

const NOT_BARE: &str = "must be a bare origin, without a path or slash";

/// Checks the zone's own issuer, and says whether loopback is allowed.
fn check_issuer(zone: &Table, issuer: Text, danger: bool) -> Loopback {
    let text = names::shown(issuer.text);
    let url = Url::issuer(issuer.text, Loopback::Allowed);
    let home = url.is_ok_and(|url| url.is_loopback());
    let wrong = match url {
        Err(wrong) => Some(wrong),
        Ok(url) if !url.path.is_empty() => Some(NOT_BARE),
        Ok(_) if home && !danger => Some(
            "must not be a loopback address; a zone for trying out may allow it with \
             `danger_allow_http_loopback`",
        ),
        Ok(_) => None,
    };
    if let Some(wrong) = wrong {
        zone.mistake(issuer.at, format!("`issuer` `{text}` {wrong}"));
    }
    match (danger, home) {
        (true, true) => Loopback::Allowed,
        (true, false) => {
            let at = zone.item("danger_allow_http_loopback").map_or(zone.at, |item| item.at);
            zone.mistake(
                at,
                "`danger_allow_http_loopback` is only for a zone whose own issuer is `127.0.0.1`, \
                 `[::1]` or `localhost`",
            );
            Loopback::Refused
        }
        (false, _) => Loopback::Refused,
    }
}

/// The ids declared under `key`, read ahead so that what refers to them can be checked in passing.
pub(super) fn ids<'a>(root: &Table<'a>, key: &'static str) -> Declared<'a> {
    let entries = root.item(key).and_then(|item| item.value.as_table());
    entries.into_iter().flat_map(read::pairs).map(|(id, _)| (id.text, id.at)).collect()
}

impl Frame<'_> {
    /// Notes where `text`, found in `table`, refers to what is not there.
    pub(super) fn refer(&self, table: &Table, word: &str, all: &Declared, text: Text) {
        if !all.contains_key(text.text) {
            let hint = names::hint(text.text, all.keys().copied());
            let name = names::shown(text.text);
            table.mistake(text.at, format!("there is no {word} `{name}`{hint}"));
        }
    }

    /// Checks what ids are made of, and that no two of a kind read alike.
    pub(super) fn check_ids(&self) {
        let kinds = [
            ("issuer", &self.issuers),
            ("application", &self.applications),
            ("resource", &self.resources),
            ("task", &self.tasks),
        ];
        for (word, ids) in kinds {
            for (id, at) in ids {
                if let Err(wrong) = names::check(id) {
                    self.report.add(*at, format!("{word} `{}` {wrong}", names::shown(id)));
                }
            }
            // Applications and resources are both named in requests: they are compared together.
            if word != "resource" && word != "application" {
                names::check_alike(self.report, word, texts(ids));
            }
        }
        let both = texts(&self.applications).chain(texts(&self.resources));
        names::check_alike(self.report, "identifier", both);
    }

    /// Checks that no application can be mistaken for somebody else.
    pub(super) fn check_parties(&self, rows: &[Row]) {
        for (id, at) in &self.applications {
            let name = names::shown(id);
            let wrong = |why: &str| self.report.add(*at, format!("application `{name}` {why}"));
            if id.starts_with("user:") {
                wrong("must not start with `user:`, as users do");
            }
            let issuers = rows.iter().flat_map(|row| &row.issuers);
            if *id == self.issuer || issuers.clone().any(|issuer| issuer == id) {
                wrong("must not be an issuer's URL");
            }
            if let Some(at) = self.resources.get(id) {
                let message =
                    format!("resource `{name}` must not have an application's identifier");
                self.report.add(*at, message);
            }
        }
    }
}

fn texts<'a>(ids: &'a Declared<'a>) -> impl Iterator<Item = Text<'a>> {
    ids.iter().map(|(id, at)| Text { text: id, at: *at })
}

/// Lives where the zone does not say: minutes for a token, half a day for a session.
const TOKEN_SECS: i64 = 300;
const SESSION_SECS: i64 = 43_200;
/// A week.
const RECORD_SECS: i64 = 604_800;
