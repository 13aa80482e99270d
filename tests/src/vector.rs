//! The form of a vector: one case, one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// The promise that it proves, as a sentence.
    pub title: String,
    /// Where the promise comes from: a threat's id, an RFC's section, a paragraph of the design.
    pub source: String,
    /// The directory under `zones/` that it runs in.
    pub zone: String,
    /// For a refusal, the vector that differs from it in one thing and succeeds: a file's name
    /// without `.json`, in the same area unless another one precedes it with a slash.
    #[serde(default)]
    pub twin: Option<String>,
    /// Whether it needs a clock that stands still or is set: then it runs in process only.
    #[serde(default)]
    pub clock: ClockNeed,
    /// The tokens to sign before the first request, by name. See [`crate::issuer::Token`].
    #[serde(default)]
    pub tokens: BTreeMap<String, Value>,
    /// The requests, in order.
    pub requests: Vec<Step>,
    /// The area and the file's name, without `.json`.
    #[serde(skip)]
    pub name: String,
}

/// What clock a vector needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockNeed {
    /// One that runs.
    #[default]
    Running,
    /// One that the test sets.
    Exact,
}

/// One request and what must come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Seconds that pass before it.
    #[serde(default)]
    pub after: i64,
    /// `POST` where it does not say.
    #[serde(default = "post")]
    pub method: String,
    /// `/oauth/token` where it does not say.
    #[serde(default = "token_endpoint")]
    pub path: String,
    /// The query, without `?`.
    #[serde(default)]
    pub query: Option<String>,
    /// The form's fields.
    #[serde(default)]
    pub form: Map<String, Value>,
    /// Further fields in this order, for what a map cannot hold.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// The body as text, instead of a form.
    #[serde(default)]
    pub body: Option<String>,
    /// HTTP Basic with this user and password, as they are.
    #[serde(default)]
    pub basic: Option<(String, String)>,
    /// Headers; `content-type` is that of a form where it does not say, and left out if null.
    #[serde(default)]
    pub headers: Vec<(String, Option<String>)>,
    /// What must come back.
    pub expect: Expect,
}

fn post() -> String {
    "POST".to_owned()
}

fn token_endpoint() -> String {
    "/oauth/token".to_owned()
}

/// What must come back, and what must have happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The status.
    pub status: u16,
    /// The OAuth error code.
    #[serde(default)]
    pub error: Option<String>,
    /// The reason in the event.
    #[serde(default)]
    pub reason: Option<String>,
    /// The issued token's claims, all of them.
    #[serde(default)]
    pub claims: Option<Value>,
    /// Some of the issued token's claims; a null says that there is none.
    #[serde(default)]
    pub some_claims: Map<String, Value>,
    /// Members of the answer's body; a null says that there is none.
    #[serde(default)]
    pub body: Map<String, Value>,
    /// Headers of the answer; a null says that there is none.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Texts that the error's description contains.
    #[serde(default)]
    pub description: Vec<String>,
    /// Members of the event.
    #[serde(default)]
    pub event: Map<String, Value>,
    /// What the request left in the store. By default a hop where a token was issued, else nothing.
    #[serde(default)]
    pub stored: Option<Stored>,
    /// How many documents were fetched for it.
    #[serde(default)]
    pub fetches: Option<usize>,
}

/// What a request leaves in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// Not a byte.
    Nothing,
    /// The record of a denial, and no hop.
    Denial,
    /// A hop.
    Hop,
    /// Whatever it likes, but no hop.
    NoHop,
}

impl Vector {
    /// Reads every vector beneath `vectors/`, in order of their names.
    ///
    /// # Panics
    ///
    /// On a file that is no vector.
    pub fn all() -> Vec<Self> {
        let mut found = Vec::new();
        for area in entries(&directory()) {
            let area_name = area.file_name().unwrap().to_str().unwrap().to_owned();
            for path in entries(&area) {
                found.push(Self::read(&path, &area_name));
            }
        }
        assert!(!found.is_empty(), "no vectors");
        found
    }

    /// Reads one vector by its name, `area/file`.
    pub fn named(name: &str) -> Self {
        let (area, _) = name.split_once('/').expect("a name is `area/file`");
        Self::read(&directory().join(format!("{name}.json")), area)
    }

    fn read(path: &Path, area: &str) -> Self {
        let shown = path.display();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut vector: Self =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        vector.name = format!("{area}/{}", path.file_stem().unwrap().to_str().unwrap());
        vector
    }

    /// The twin's full name.
    pub fn twin_name(&self) -> Option<String> {
        let twin = self.twin.as_ref()?;
        let (area, _) = self.name.split_once('/')?;
        Some(if twin.contains('/') { twin.clone() } else { format!("{area}/{twin}") })
    }

    /// Whether the last request must fail.
    pub fn is_refusal(&self) -> bool {
        self.requests.last().is_some_and(|step| step.expect.status >= 400)
    }
}

/// The directory of this package.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn directory() -> PathBuf {
    package().join("vectors")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
