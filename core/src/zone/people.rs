//! What only issuers of people's tokens have: the application that a token was made for, and the
//! namespace of their people.

use std::collections::BTreeMap;

use super::header::Frame;
use super::issuer::Row;
use super::read::{Table, Text};
use super::{claim, names};
use crate::bundle::{Issuer, SubjectKind};
use crate::presets::Preset;

/// The claim that names the application the person signed in to.
pub(super) fn client_claim(table: &Table, preset: &Preset, subject: SubjectKind) -> Option<String> {
    let said = claim::pointer(table, "client_claim");
    let item = table.item("client_claim");
    match subject {
        SubjectKind::User => {
            let claim = said.or_else(|| preset.client_claim.map(str::to_owned));
            if claim.is_none() && item.is_none() {
                table.mistake(
                    table.at,
                    "`client_claim` is missing: which claim names the application that the person \
                     signed in to?",
                );
            }
            claim
        }
        SubjectKind::Workload => {
            if let Some(item) = item {
                table.mistake(item.at, "`client_claim` is for issuers whose `subject` is `user`");
            }
            None
        }
    }
}

/// The applications that the values of a user issuer's client claim stand for.
pub(super) fn clients(
    table: &Table,
    frame: &Frame,
    subject: SubjectKind,
) -> BTreeMap<String, String> {
    let Some(listed) = table.table("clients") else { return BTreeMap::new() };
    if subject == SubjectKind::Workload {
        table.mistake(listed.at, "`clients` is for issuers of people's tokens");
    }
    let mut clients = BTreeMap::new();
    for (value, item) in listed.pairs() {
        match item.text() {
            Some(application) => {
                frame.refer(table, "application", &frame.applications, application);
                clients.insert(value.text.to_owned(), application.text.to_owned());
            }
            None => listed.ill_typed(value.text, item, "the identifier of an application"),
        }
    }
    clients
}

/// What the ids of an issuer's people begin with: its own id, unless it says otherwise.
pub(super) fn namespace(table: &Table, id: Text, subject: SubjectKind) -> String {
    let said = table.text("namespace");
    let namespace = said.map_or(id, |said| said);
    if subject == SubjectKind::Workload {
        if let Some(said) = said {
            table.mistake(said.at, "`namespace` is for issuers of people's tokens");
        }
        return String::new();
    }
    if let Err(wrong) = names::check(namespace.text) {
        table.mistake(namespace.at, format!("`namespace` {wrong}"));
    }
    if namespace.text.contains(':') {
        table.mistake(namespace.at, "the namespace of people must not have a colon");
    }
    namespace.text.to_owned()
}

/// Notes rows by which one person would be two, or two would be one.
pub(super) fn check_namespaces(root: &Table, rows: &[Row]) {
    let people = |row: &Row| row.subject == Some(SubjectKind::User);
    let name = |row: &Row| row.issuer.as_ref().map(|issuer: &Issuer| issuer.namespace.clone());
    for (count, row) in (1_usize..).zip(rows).filter(|(_, row)| people(row)) {
        for other in rows.iter().skip(count).filter(|other| people(other)) {
            let same = row.issuers.iter().any(|issuer| other.issuers.contains(issuer));
            let shared = name(row) == name(other);
            if same == shared || name(row).is_none() || name(other).is_none() {
                continue;
            }
            let (this, that) = (names::shown(other.id.text), names::shown(row.id.text));
            let why = if same {
                format!("has the people of issuer `{that}`: give both the same `namespace`")
            } else {
                format!("must not share the namespace of issuer `{that}`, whose people are others")
            };
            root.mistake(other.id.at, format!("issuer `{this}` {why}"));
        }
    }
}
