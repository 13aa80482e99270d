//! Compiles what an operator writes, `zone.toml` and `policies/*.cedar`, to a [`Bundle`].
//!
//! Everything that can be wrong with a zone is said here, all of it in one run and each with its
//! line (design §4), so that the request path never has to doubt its configuration. Nothing is
//! read and nothing is fetched: the files come as text, and what is unsafe is refused by what it
//! says. The format is `docs/zone.md`.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::DeTable;

use crate::bundle::Bundle;
use crate::limits;
use crate::policy::{Fault, Policies};

mod application;
mod check;
mod claim;
mod header;
mod issuer;
mod keys;
mod names;
mod people;
mod pins;
mod policy;
mod preset;
mod read;
mod resource;
mod rule;
mod tag;
mod task;
#[cfg(test)]
mod tests;
mod url;

pub use header::{is_issuer as check_issuer, is_name as check_name};
pub(crate) use names::hidden;
use read::{Report, Table};

/// A file: what mistakes call it, and its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// Everything that a zone is compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `zone.toml`.
    pub zone: Source,
    /// The policies. A path is the file's name within `policies/`.
    pub policies: Vec<Source>,
    /// The key sets that [`uploads`] names, by that name.
    pub uploaded: BTreeMap<String, String>,
}

/// Something wrong with a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file's path, as it was given.
    pub file: String,
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Compiles a zone.
///
/// # Errors
///
/// Every mistake in it, by file and line.
pub fn compile(files: &Sources) -> Result<Bundle, Vec<Mistake>> {
    let report = Report::new(&files.zone.path, &files.zone.text);
    let (document, errors) = DeTable::parse_recoverable(&files.zone.text);
    let policies = policy::read(&report, &files.policies);
    if !errors.is_empty() {
        // What a broken file seems to say would only be guessed at.
        errors.iter().for_each(|error| report.add_syntax(error));
        return Err(report.into_mistakes());
    }
    let root = Table::root(&report, document.get_ref());
    let mut bundle = read_bundle(&root, files);
    bundle.policies = policies;
    if report.is_empty() {
        check_size(&bundle, &report);
    }
    if !report.is_empty() {
        return Err(report.into_mistakes());
    }
    check_policies(&bundle)?;
    Ok(bundle)
}

/// The names of the key sets that a `zone.toml` wants uploaded (`keys = { file = "…" }`), as it
/// writes them. A file that is not TOML names none.
#[must_use]
pub fn uploads(zone_toml: &str) -> Vec<String> {
    let Ok(document) = DeTable::parse(zone_toml) else { return Vec::new() };
    let mut names = Vec::new();
    keys::files(document.get_ref(), &mut names);
    names.sort();
    names.dedup();
    // A name that could lead out of the zone's directory is `compile`'s to complain about.
    names.retain(|name| keys::check_file(name).is_ok());
    names
}

/// Everything but the policies. Where something is wrong, what stands in its place is never used.
fn read_bundle(root: &Table, files: &Sources) -> Bundle {
    let header = header::read(root);
    let frame = header::Frame {
        report: root.report,
        issuer: &header.issuer,
        loopback: header.loopback,
        session_secs: header.session_secs,
        uploaded: &files.uploaded,
        tags: tag::declared(root),
        issuers: header::ids(root, "issuers"),
        applications: header::ids(root, "applications"),
        resources: header::ids(root, "resources"),
        tasks: header::ids(root, "tasks"),
    };
    frame.check_ids();
    let rows = issuer::read(root, &frame);
    let applications = application::read(root, &frame);
    let resources = resource::read(root, &frame);
    let tasks = task::read(root, &frame, &resources);
    let rules = rule::read(root, &frame, &rows);
    let claims = claim::declared(root);
    root.finish();
    frame.check_parties(&rows);
    Bundle {
        version: 1,
        zone: header.name,
        issuer: header.issuer.clone(),
        algorithm: header.algorithm,
        token_secs: header.token_secs,
        session_secs: header.session_secs,
        idle_secs: header.idle_secs,
        record_secs: header.record_secs,
        danger_allow_http_loopback: header.loopback == url::Loopback::Allowed,
        issuers: issuer::finished(rows),
        rules,
        applications,
        resources,
        tasks,
        tags: frame.tags,
        claims,
        policies: BTreeMap::new(),
    }
}

fn check_size(bundle: &Bundle, report: &Report) {
    let bytes = bundle.to_bytes().map_or(usize::MAX, |bytes| bytes.len());
    if bytes > limits::BUNDLE_BYTES {
        let most = limits::BUNDLE_BYTES;
        report.add_line(1, format!("the zone compiles to {bytes} bytes, and at most {most} fit"));
    }
}

/// Validates the policies strictly, against the schema that the rest of the bundle makes.
fn check_policies(bundle: &Bundle) -> Result<(), Vec<Mistake>> {
    Policies::compile(bundle).map(|_| ()).map_err(|faults| {
        let mistake = |fault: Fault| Mistake {
            file: format!("policies/{}", fault.file),
            line: fault.line,
            message: fault.message,
        };
        faults.into_iter().map(mistake).collect()
    })
}
