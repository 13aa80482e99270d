//! A target that runs while what it calls goes wrong: each call that a file says, in the way that it says.
//! What may be in it is said beside each target's script (`tests/targets`). All that have such a file know
//! `store`, which counts the calls to the store.

use serde_json::{Value, json};
use tempfile::TempDir;
use writ_core::http::Request;

use crate::client::Answer;
use crate::forms;
use crate::running::Running;
use crate::target::clock;

/// A target with the zone `plain`, and the file that says what goes wrong.
pub struct Faulty {
    /// The target.
    pub running: Running,
    directory: TempDir,
}

impl Faulty {
    /// Starts `target` with further variables for its script. Nothing goes wrong yet.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start(target: &str, options: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let faults = directory.path().join("faults");
        let path = faults.to_str().expect("a path in UTF-8");
        let options = [&[("WRIT_FAULTS", path)], options].concat();
        Self { running: Running::with(target, "plain", &options), directory }
    }

    /// From now on this goes wrong and nothing else.
    ///
    /// # Panics
    ///
    /// Where the file cannot be written.
    pub fn spoil(&self, faults: &Value) {
        let _ = std::fs::remove_file(self.directory.path().join("faults.made"));
        std::fs::write(self.directory.path().join("faults"), faults.to_string()).expect("a file");
    }

    /// How many calls were made to the store since it was said what goes wrong.
    ///
    /// # Panics
    ///
    /// Where the target does not count them.
    #[must_use]
    pub fn made(&self) -> usize {
        let made = std::fs::read_to_string(self.directory.path().join("faults.made"));
        made.map_or(0, |made| made.parse().expect("a number"))
    }

    /// An exchange of a proof that was never shown.
    #[must_use]
    pub fn once(&self) -> Request {
        let job = json!({ "from": "jobs", "claims": { "sub": "job" } });
        forms::once(&self.running.sign(job, clock()))
    }

    /// Sends a request.
    pub fn send(&self, request: &Request) -> Answer {
        self.running.send(request)
    }

    /// The status of its answer.
    pub fn status(&self, request: &Request) -> u16 {
        self.send(request).status
    }
}
