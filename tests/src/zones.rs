//! The zones that vectors run in: `zones/NAME/`, as an operator would write one, with placeholders
//! where addresses differ from target to target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use writ_core::bundle::Bundle;
use writ_core::jwk::Algorithm;
use writ_core::zone::{self, Source, Sources};

use crate::issuer::Parties;
use crate::keys;
use crate::server::Server;
use crate::template::{fill, fill_text, text};

/// Where things are on a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Places {
    /// The zone's issuer URL.
    pub zone: String,
    /// The URL below which the parties publish their key sets, without a trailing slash.
    pub keys: String,
}

impl Places {
    /// Those of a run in process, where the web is a map.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            zone: "https://writ.example".to_owned(),
            keys: "https://keys.example/keys".to_owned(),
        }
    }

    /// Those of a target that runs, whose parties have this server. The issuer is a name: the service
    /// listens elsewhere, as it does behind a proxy.
    #[must_use]
    pub fn running(server: &Server) -> Self {
        Self { zone: "http://127.0.0.1:8787".to_owned(), keys: server.keys() }
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        let value = match name {
            "zone" => self.zone.clone().into(),
            "keys" => self.keys.clone().into(),
            "loopback" => self.zone.starts_with("http:").into(),
            _ => return None,
        };
        Some(value)
    }
}

/// A zone as an operator would write it, and the parties around it.
#[derive(Clone, Debug)]
pub struct Zone {
    /// `zone.toml`.
    pub document: String,
    /// The policies, by file name.
    pub policies: BTreeMap<String, String>,
    /// Who signs.
    pub parties: Parties,
    /// The key sets that `zone.toml` wants uploaded: `keys/NAME.json` is the party NAME's.
    pub uploads: BTreeMap<String, String>,
}

impl Zone {
    /// Reads the zone called `name`.
    ///
    /// # Panics
    ///
    /// Where a file is missing or is not what it should be.
    pub fn load(name: &str, places: &Places) -> Self {
        let directory = directory().join(name);
        let document = filled(&directory.join("zone.toml"), places);
        let parties = parties(&directory.join("issuers.json"), places);
        let policies = std::fs::read_dir(directory.join("policies"))
            .unwrap_or_else(|error| panic!("policies of zone `{name}`: {error}"))
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let file = path.file_name().unwrap().to_str().unwrap().to_owned();
                (file, read(&path))
            })
            .collect();
        Self::new(document, policies, parties)
    }

    /// A zone of these files, with the key sets that it wants uploaded.
    pub fn new(document: String, policies: BTreeMap<String, String>, parties: Parties) -> Self {
        let uploads = zone::uploads(&document).into_iter().map(|file| {
            let party = Path::new(&file).file_stem().unwrap().to_str().unwrap();
            let set = parties[party].key_set(party).to_string();
            (file, set)
        });
        Self { uploads: uploads.collect(), document, policies, parties }
    }

    /// The zone with other text in its document, wherever the old one is.
    ///
    /// # Panics
    ///
    /// Where it is nowhere.
    #[must_use]
    pub fn with(mut self, old: &str, new: &str) -> Self {
        assert!(self.document.contains(old), "the zone has no `{old}`");
        self.document = self.document.replace(old, new);
        self
    }

    /// Compiles the zone.
    ///
    /// # Errors
    ///
    /// Its mistakes, one a line.
    pub fn compile(&self) -> Result<Bundle, String> {
        let source =
            |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let policies = self.policies.iter().map(|(file, text)| source(file, text));
        let sources = Sources {
            zone: source("zone.toml", &self.document),
            policies: policies.collect(),
            uploaded: self.uploads.clone(),
        };
        zone::compile(&sources).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    /// Writes the zone into a directory, as `writ` takes it.
    ///
    /// # Panics
    ///
    /// Where the directory cannot be written.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory.join("policies")).unwrap();
        std::fs::write(directory.join("zone.toml"), &self.document).unwrap();
        for (file, policy) in &self.policies {
            std::fs::write(directory.join("policies").join(file), policy).unwrap();
        }
        for (file, set) in &self.uploads {
            let path = directory.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, set).unwrap();
        }
    }
}

/// Reads the parties, filling in their own keys where they are named.
fn parties(path: &Path, places: &Places) -> Parties {
    let raw: Value = serde_json::from_str(&read(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let algorithm = |party: &str| {
        let first = raw.get(party)?.get("algorithms")?.get(0)?.as_str()?;
        Algorithm::from_name(first)
    };
    let lookup = |name: &str| places.lookup(name).or_else(|| key_value(name, &algorithm));
    serde_json::from_value(fill(&raw, &lookup))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `jwk:PARTY`, `jwks:PARTY` and `jkt:PARTY`.
pub fn key_value(name: &str, algorithm: &dyn Fn(&str) -> Option<Algorithm>) -> Option<Value> {
    let (kind, party) = name.split_once(':')?;
    let jwk = || Some(Value::Object(keys::jwk(party, algorithm(party)?)));
    match kind {
        "jwk" => jwk(),
        "jkt" => {
            Some(keys::key(party, algorithm(party)?).public(None).material.thumbprint().into())
        }
        "jwks" => Some(serde_json::json!({ "keys": [jwk()?] })),
        _ => None,
    }
}

/// A file with its placeholders filled in.
pub fn filled(path: &Path, places: &Places) -> String {
    // The whole file is never one placeholder, so this is its text.
    text(&fill_text(&read(path), &|name| places.lookup(name)))
}

/// The directory of all zones.
pub fn directory() -> PathBuf {
    crate::vector::package().join("zones")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
