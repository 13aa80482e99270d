//! `[applications.ID]`: agents, jobs and services, and how they prove themselves.

use std::collections::BTreeMap;

use super::header::Frame;
use super::read::Table;
use super::{issuer, keys, tag};
use crate::bundle::{Application, Credential, TagOn};
use crate::jwk::Algorithm;
use crate::limits;

/// Reads `[applications]`.
pub(super) fn read(root: &Table, frame: &Frame) -> BTreeMap<String, Application> {
    let tables = root.tables("applications", "application");
    let one = |table: &Table| {
        let rows = table.rows("credentials");
        let credentials = rows.iter().filter_map(|row| credential(row, frame)).collect();
        let tags = tag::complete(frame, table, TagOn::Application);
        let dpop = table.flag("dpop") == Some(true);
        let refresh_secs = refresh_secs(table, frame, rows.is_empty());
        table.finish();
        Application { credentials, dpop, tags, refresh_secs }
    };
    tables.iter().map(|(id, table)| (id.text.to_owned(), one(table))).collect()
}

/// A refresh token is for whoever proves itself by a secret or a key, and no session lasts longer.
fn refresh_secs(table: &Table, frame: &Frame, unproven: bool) -> Option<i64> {
    let secs = table.number("refresh_secs", &limits::REFRESH_SECS)?;
    let at = table.item("refresh_secs").map_or(table.at, |item| item.at);
    if secs > frame.session_secs {
        table.mistake(at, "`refresh_secs` must not be more than the zone's `session_secs`");
    }
    if unproven {
        let what = "`refresh_secs` is for applications with a secret or a key in `credentials`: the \
                    others have their platform's token";
        table.mistake(at, what);
    }
    Some(secs)
}

fn credential(row: &Table, frame: &Frame) -> Option<Credential> {
    let kind = row.needed("kind")?;
    let credential = match row.chosen("kind", kind, &[("secret", true), ("key", false)])? {
        true => secret(row),
        false => key(row, frame),
    };
    row.finish();
    credential
}

fn secret(row: &Table) -> Option<Credential> {
    let sha256 = row.needed("sha256")?;
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sha256.text.len() != 64 || !sha256.text.bytes().all(digit) {
        // What was written may be the secret itself, so it is not shown.
        row.mistake(sha256.at, "`sha256` must be 64 hexadecimal digits in lower case");
    }
    Some(Credential::Secret { sha256: sha256.text.to_owned() })
}

fn key(row: &Table, frame: &Frame) -> Option<Credential> {
    let algorithms = issuer::algorithms(row, &[Algorithm::ES256]);
    let legacy = row.choice("legacy_audience", &[("token_endpoint", ())]).is_some();
    if row.item("keys").is_none() {
        row.missing("keys");
    }
    let keys = keys::read(row, frame, None, &algorithms)?;
    Some(Credential::Key { keys, algorithms, legacy_audience: legacy })
}
