//! The size of what is deployed.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use writ_tests::tools::root;

/// The size of an artefact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bytes {
    /// As it is.
    pub(crate) raw: u64,
    /// By `gzip -9`.
    pub(crate) gzipped: u64,
}

/// The size of what a row's target deploys, where it is one artefact of ours.
#[must_use]
pub(crate) fn of(row: &str) -> Option<Bytes> {
    let files: &[&str] = match row {
        "native" => &["target/release/writ"],
        "worker" => &["target/worker/index.js", "target/worker/index_bg.wasm"],
        "spin" | "spin-redis" => &["target/wasm32-wasip2/spin/writ_spin.wasm"],
        "lambda" => &["target/release/writ-lambda"],
        _ => return None,
    };
    let sizes = files.iter().map(|file| size(&root().join(file)));
    sizes.reduce(|sum, next| {
        let (sum, next) = (sum?, next?);
        Some(Bytes { raw: sum.raw + next.raw, gzipped: sum.gzipped + next.gzipped })
    })?
}

fn size(path: &Path) -> Option<Bytes> {
    let raw = path.metadata().ok()?.len();
    let gzip = Command::new("gzip").args(["-9", "-c"]).arg(path).stderr(Stdio::null()).output();
    let gzipped = u64::try_from(gzip.ok()?.stdout.len()).ok()?;
    Some(Bytes { raw, gzipped })
}
