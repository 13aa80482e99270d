//! What workerd itself takes for what an exchange cannot do without there: `bench/floor`.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use writ_tests::tools::root;

/// Microseconds of workerd's processor time for a request to a Worker of a few lines.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Floor {
    /// That does nothing.
    pub(crate) nothing: f64,
    /// That commits two records to an object that is there.
    pub(crate) there: f64,
    /// That commits two records to an object that is made for it, as each new session's is.
    pub(crate) made: f64,
}

/// Measures it; nothing where that fails, and then why is on standard error.
#[must_use]
pub(crate) fn measured() -> Option<Floor> {
    let ran = Command::new(root().join("bench/floor")).stderr(Stdio::inherit()).output().ok()?;
    serde_json::from_slice(&ran.stdout).ok()
}
