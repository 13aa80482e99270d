//! What several commands begin with: the zone's files, and the store with its keys.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use writ_core::active;
use writ_core::bundle::Bundle;
use writ_core::host::Host;
use writ_core::keys::{self, Rotated, Rotation};
use writ_core::moment::Moment;
use writ_core::zone::{self, Mistake, Source, Sources};
use writ_process::crypto::VARIABLE;
use writ_process::moment;

use super::{DataArguments, Failure, shown};
use crate::events::Events;
use crate::host::{Instance, Native};
use crate::store::{Store, StoreOptions};
use crate::wrapping::{self, Absent};

/// Reads and compiles a zone. The inner error is every mistake in it.
pub(super) fn zone(directory: &Path) -> Result<Result<Bundle, Vec<Mistake>>, Failure> {
    sources(directory).map(|sources| zone::compile(&sources))
}

/// As [`zone`], where the command cannot go on with mistakes: it says the first, and how many.
pub(super) fn sound_zone(directory: &Path) -> Result<Bundle, Failure> {
    zone(directory)?.map_err(|mistakes| {
        let first = mistakes.first().map(Mistake::to_string).unwrap_or_default();
        let further = match mistakes.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let directory = shown(directory);
        Failure(format!("{first}{further}; `writ check --zone {directory}` lists every mistake"))
    })
}

fn sources(directory: &Path) -> Result<Sources, Failure> {
    let path = directory.join("zone.toml");
    let text = text(&path)?.ok_or_else(|| {
        Failure(format!(
            "there is no {}: name the directory that holds `zone.toml` with `--zone`",
            shown(&path)
        ))
    })?;
    let mut uploaded = BTreeMap::new();
    for name in zone::uploads(&text) {
        let path = directory.join(&name);
        // Where it is missing, the compiler says so with the line that names it.
        if let Some(text) = self::text(&path)? {
            uploaded.insert(name, text);
        }
    }
    let policies = policies(&directory.join("policies"))?;
    let zone = Source { path: path.display().to_string(), text };
    Ok(Sources { zone, policies, uploaded })
}

/// A file's text, where there is a file.
fn text(path: &Path) -> Result<Option<String>, Failure> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let sound = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = sound.filter(|byte| **byte == b'\n').count().saturating_add(1);
        Failure(format!("{}:{line}: the file must be text in UTF-8", shown(path)))
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("{} cannot be read: {error}", shown(path)))
}

/// The policy files by name, in the order of their names.
fn policies(directory: &Path) -> Result<Vec<Source>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(directory, &error)),
    };
    let mut policies = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            // Without it the zone would be another: what is missing may be what forbids.
            let missing = || unreadable(&path, &ErrorKind::NotFound.into());
            let text = text(&path)?.ok_or_else(missing)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            policies.push(Source { path: name, text });
        }
    }
    policies.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(policies)
}

/// Opens the store and what opens its keys.
pub(super) fn instance(
    data: &DataArguments,
    events: impl std::io::Write + Send + 'static,
) -> Result<Arc<Instance>, Failure> {
    let directory = &data.directory;
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => {
            let directory = shown(directory);
            return Err(Failure(format!(
                "the data directory {directory} cannot be created ({error}): name another with \
                 `--data`"
            )));
        }
    }
    let store = Store::open(&StoreOptions {
        path: directory.join("writ.db"),
        max_bytes: data.max_data_bytes,
    })?;
    let variable = match std::env::var(VARIABLE) {
        Ok(text) => Some(text),
        Err(std::env::VarError::NotPresent) => None,
        Err(error @ std::env::VarError::NotUnicode(_)) => {
            return Err(Failure(format!("{VARIABLE}: {error}")));
        }
    };
    let absent = if store.fresh() { Absent::Create } else { Absent::Refuse };
    let wrapping = wrapping::load(directory, variable.as_deref(), absent)?;
    let events = Events::new(events)?;
    Ok(Instance::new(store, wrapping, events))
}

/// A moment for a change to the zone.
pub(super) fn draw() -> Result<Moment, Failure> {
    moment::draw().map_err(|error| Failure(format!("the system gives no random bytes: {error}")))
}

/// Checks that the zone's signing keys open, before anything is changed: with a wrong wrapping key
/// a new signing key would lock the operator out of the old ones.
pub(super) async fn try_keys(instance: &Arc<Instance>, zone: &str) -> Result<(), Failure> {
    let host = Native::new(Arc::clone(instance));
    let (snapshot, _) = active::snapshot(&host, zone).await.map_err(unavailable)?;
    for kid in snapshot.keys.keys() {
        host.sign(zone, kid, b"writ").await.map_err(unavailable)?;
    }
    Ok(())
}

/// Makes a new signing key for the zone.
pub(super) async fn rotate(
    instance: &Arc<Instance>,
    bundle: &Bundle,
    rotation: Rotation,
) -> Result<Rotated, Failure> {
    let host = Native::new(Arc::clone(instance));
    keys::rotate(&host, &bundle.zone, bundle.algorithm, rotation, &draw()?)
        .await
        .map_err(unavailable)
}

/// The operator is told why the store or the keys failed; a caller never is.
pub(super) fn unavailable(error: impl Into<writ_core::refusal::Failure>) -> Failure {
    match error.into() {
        writ_core::refusal::Failure::Refused(refusal) => Failure(refusal.detail),
        writ_core::refusal::Failure::Unavailable(unavailable) => Failure(unavailable.0),
    }
}

/// The runtime of a command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure(format!("the runtime cannot be started: {error}")))
}
