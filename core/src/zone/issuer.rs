//! `[issuers.ID]`: whose tokens are accepted, and on what terms.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::header::Frame;
use super::preset::{self, Base};
use super::read::{Table, Text};
use super::url::Url;
use super::{claim, keys, names, people, pins, rule};
use crate::bundle::{Issuer, KeySource, SingleUse, SubjectKind, TokenType};
use crate::jwk::Algorithm;
use crate::limits;
use crate::presets::{Audience, Keys, Preset};

/// An issuer's row, as far as it could be read.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: Text<'a>,
    /// The `iss` values.
    pub(super) issuers: Vec<String>,
    /// The audience that is us.
    audience: Vec<String>,
    /// The preset, where it is known; [`crate::presets::CUSTOM`] where there is none.
    pub(super) preset: Option<&'static Preset>,
    /// What the bearers are.
    pub(super) subject: Option<SubjectKind>,
    /// What each `/sub` of a rule must start with.
    pub(super) subject_prefix: Option<String>,
    /// The finished issuer.
    pub(super) issuer: Option<Issuer>,
}

/// Reads `[issuers]`.
pub(super) fn read<'a>(root: &Table<'a>, frame: &Frame) -> Vec<Row<'a>> {
    let tables = root.tables("issuers", "issuer");
    let rows: Vec<_> = tables.iter().map(|(id, table)| row(*id, table, frame)).collect();
    check_overlap(root, &rows);
    people::check_namespaces(root, &rows);
    rows
}

/// The issuers of `rows`, by id.
pub(super) fn finished(rows: Vec<Row>) -> BTreeMap<String, Issuer> {
    rows.into_iter().filter_map(|row| Some((row.id.text.to_owned(), row.issuer?))).collect()
}

fn row<'a>(id: Text<'a>, table: &Table<'a>, frame: &Frame) -> Row<'a> {
    let Some(base) = preset::read(table, frame) else {
        // Which keys belong here is unknown with the preset.
        let issuer = None;
        let (issuers, audience) = (Vec::new(), Vec::new());
        return Row {
            id,
            issuers,
            audience,
            preset: None,
            subject: None,
            subject_prefix: None,
            issuer,
        };
    };
    let preset = base.preset;
    let subject = subject(table, preset);
    let audience = audience(table, frame, &base);
    let algorithms = algorithms(table, preset.algorithms);
    let issuer = Issuer {
        preset: (!preset.name.is_empty()).then(|| preset.name.to_owned()),
        issuer: base.issuers.clone(),
        keys: key_source(table, frame, &base, &algorithms),
        algorithms,
        audience: audience.clone(),
        several_audiences: table.flag("several_audiences") == Some(true),
        lifetime_secs: table
            .number("lifetime_secs", &LIFETIME_SECS)
            .unwrap_or(preset.lifetime_secs),
        subject,
        single_use: single_use(table, preset),
        token_id: pointer_or(table, "token_id", preset.token_id),
        typ: typ(table, preset),
        token_types: match table.texts("token_types") {
            Some(texts) => texts
                .into_iter()
                .filter_map(|text| table.chosen("token_types", text, &TOKEN_TYPES))
                .collect(),
            None => preset.token_types.iter().copied().collect(),
        },
        kid_optional: table.flag("kid_optional").unwrap_or(preset.kid_optional),
        require: rule::required(table, preset),
        client_claim: people::client_claim(table, preset, subject),
        clients: people::clients(table, frame, subject),
        namespace: people::namespace(table, id, subject),
        subject_claim: subject_claim(table, preset),
        device_claim: claim::pointer(table, "device_claim"),
    };
    table.finish();
    let known = !base.issuers.is_empty();
    Row {
        id,
        issuers: base.issuers,
        audience,
        preset: Some(preset),
        subject: Some(subject),
        // Without the issuer a variable is missing, and the prefix would blame the rules for it.
        subject_prefix: preset
            .subject_prefix
            .filter(|_| known)
            .map(|pattern| preset::filled(pattern, &base.vars)),
        issuer: Some(issuer),
    }
}

fn subject(table: &Table, preset: &Preset) -> SubjectKind {
    let all = [("workload", SubjectKind::Workload), ("user", SubjectKind::User)];
    match table.choice("subject", &all) {
        Some(said) if said != preset.subject && !preset.name.is_empty() => {
            let bearers = match preset.subject {
                SubjectKind::Workload => "workloads",
                SubjectKind::User => "people",
            };
            let at = table.item("subject").map_or(table.at, |item| item.at);
            table.mistake(at, format!("the bearers of preset `{}` are {bearers}", preset.name));
            preset.subject
        }
        Some(said) => said,
        None => preset.subject,
    }
}

fn audience(table: &Table, frame: &Frame, base: &Base) -> Vec<String> {
    let Some(said) = table.one_or_more("audience") else {
        if table.item("audience").is_none() {
            match base.preset.audience {
                Audience::Ours => return vec![frame.issuer.to_owned()],
                Audience::Fixed(fixed) => table.mistake(
                    table.at,
                    format!(
                        "every token has the audience `{fixed}`, which all relying parties share: \
                         accept that with `audience = \"{fixed}\"`"
                    ),
                ),
                Audience::Stated(what) => {
                    table.mistake(table.at, format!("`audience` is missing: {what}"));
                }
            }
        }
        return Vec::new();
    };
    if said.is_empty() {
        let at = table.item("audience").map_or(table.at, |item| item.at);
        table.mistake(at, "`audience` is empty: a token for anybody would be accepted");
    }
    for text in &said {
        let shown = names::shown(text.text);
        let refused = base.preset.refused_audiences.iter();
        let refused = refused.clone().find(|refused| refused.covers_audience(text.text));
        if let Some(refused) = refused {
            table.mistake(text.at, format!("audience `{shown}` is refused: {}", refused.why));
        } else if text.text.contains('*') {
            table.mistake(text.at, format!("audience `{shown}`: audiences are compared exactly"));
        } else if base.preset.subject_prefix.is_some()
            && base.issuers.iter().any(|i| i == text.text)
        {
            let why = "it is the API server's, which every pod's default token carries";
            table.mistake(text.at, format!("audience `{shown}` is refused: {why}"));
        } else if let Err(wrong) = names::check_value(text.text) {
            table.mistake(text.at, format!("audience `{shown}` {wrong}"));
        }
    }
    said.iter().map(|text| text.text.to_owned()).collect()
}

/// The algorithms that `table` says, or the defaults; never an empty list without a mistake.
pub(super) fn algorithms(table: &Table, defaults: &[Algorithm]) -> Vec<Algorithm> {
    let Some(texts) = table.texts("algorithms") else { return defaults.to_vec() };
    if texts.is_empty() {
        let at = table.item("algorithms").map_or(table.at, |item| item.at);
        table.mistake(at, "`algorithms` is empty: no token could be verified");
    }
    let all = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    texts.into_iter().filter_map(|text| table.chosen("algorithms", text, &all)).collect()
}

fn key_source(table: &Table, frame: &Frame, base: &Base, algorithms: &[Algorithm]) -> KeySource {
    let nothing = KeySource::Uploaded(Vec::new());
    let Some(issuer) = base.issuers.first() else {
        // The issuer is wrong, which has been said; `keys` may still have mistakes of its own.
        return keys::read(table, frame, Some(""), algorithms).unwrap_or(nothing);
    };
    let given = table.item("keys").is_some();
    let source = match (given, &base.preset.keys) {
        (true, _) => match keys::read(table, frame, Some(issuer), algorithms) {
            Some(source) => source,
            None => return nothing,
        },
        (false, Keys::Url(pattern)) => KeySource::Url(preset::filled(pattern, &base.vars)),
        (false, Keys::Discovery) => KeySource::Discovery {
            url: format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')),
            issuer: issuer.clone(),
            keys_host: None,
        },
        (false, Keys::Stated) => {
            table.mistake(table.at, "`keys` is missing: only the registration says where they are");
            return nothing;
        }
    };
    let in_cluster = Url::issuer(issuer, frame.loopback)
        .is_ok_and(|url| url.host.starts_with("kubernetes.default.svc"));
    let fetched = match &source {
        KeySource::Url(url) | KeySource::Discovery { url, .. } => Some(url),
        KeySource::Uploaded(_) => None,
    };
    if let Some(url) = fetched
        && in_cluster
    {
        let tried = Url::fetched(url, frame.loopback).is_ok_and(|url| url.is_loopback());
        if !tried {
            table.mistake(
                table.at,
                format!("issuer `{issuer}` is every cluster's: upload the keys of yours"),
            );
        }
    } else if let (Some(url), false) = (fetched, given)
        && let Err(wrong) = Url::fetched(url, frame.loopback)
        && Url::issuer(issuer, frame.loopback).is_ok()
    {
        table.mistake(table.at, format!("the keys' URL `{url}` {wrong}; say `keys`"));
    }
    source
}

fn single_use(table: &Table, preset: &Preset) -> SingleUse {
    let all = [
        ("always", SingleUse::Always),
        ("when_present", SingleUse::WhenPresent),
        ("never", SingleUse::Never),
    ];
    let said = table.choice("single_use", &all).unwrap_or(preset.single_use);
    if preset.single_use_mandatory && said != SingleUse::Always {
        let at = table.item("single_use").map_or(table.at, |item| item.at);
        table.mistake(at, format!("preset `{}` demands `single_use = \"always\"`", preset.name));
    }
    said
}

fn typ(table: &Table, preset: &Preset) -> Vec<String> {
    let Some(texts) = table.texts("typ") else {
        return preset.typ.iter().map(|typ| (*typ).to_owned()).collect();
    };
    if texts.is_empty() {
        let at = table.item("typ").map_or(table.at, |item| item.at);
        table.mistake(at, "`typ` is empty: write `\"\"` for tokens without one");
    }
    texts.into_iter().map(|text| text.text.to_ascii_lowercase()).collect()
}

fn subject_claim(table: &Table, preset: &Preset) -> String {
    let claim = pointer_or(table, "subject_claim", preset.subject_claim);
    if claim != preset.subject_claim && pins::is_name(&claim) {
        let at = table.item("subject_claim").map_or(table.at, |item| item.at);
        table.mistake(at, format!("`subject_claim` `{claim}` is a name, which changes hands"));
    }
    claim
}

fn pointer_or(table: &Table, key: &'static str, default: &str) -> String {
    claim::pointer(table, key).unwrap_or_else(|| default.to_owned())
}

/// Notes rows that a token cannot be told apart by: a row is found by `iss` and audience.
fn check_overlap(root: &Table, rows: &[Row]) {
    for (count, row) in (1_usize..).zip(rows) {
        for other in rows.iter().skip(count) {
            let same = row.issuers.iter().find(|issuer| other.issuers.contains(issuer));
            let both = row.audience.iter().find(|audience| other.audience.contains(audience));
            if let (Some(issuer), Some(audience)) = (same, both) {
                let (this, that) = (names::shown(other.id.text), names::shown(row.id.text));
                root.mistake(
                    other.id.at,
                    format!(
                        "issuer `{this}`: `{issuer}` with audience `{audience}` is issuer \
                         `{that}` too"
                    ),
                );
            }
        }
    }
}

const TOKEN_TYPES: [(&str, TokenType); 3] = [
    ("access_token", TokenType::AccessToken),
    ("id_token", TokenType::IdToken),
    ("jwt", TokenType::Jwt),
];

/// Shortest and longest `exp - iat` that may be accepted: two days and an hour, for Modal's tokens.
/// A Kubernetes token of one year stays out whatever its row says.
pub(super) const LIFETIME_SECS: RangeInclusive<i64> = 1..=limits::ISSUER_TOKEN_SECS;
