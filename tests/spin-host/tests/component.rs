//! The component as it is built: what it asks of a platform, and how large it is.
#![expect(clippy::expect_used, reason = "a failed test panics")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use writ_spin_host::manifest::Manifest;
use writ_spin_host::runtime::{compile, imports};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn source() -> PathBuf {
    let source = Manifest::source(&root().join("spin.toml")).expect("a manifest");
    assert!(source.exists(), "{} is missing: tests/tools/spin build", source.display());
    source
}

/// An import that a platform does not know keeps the component from loading there, so each is a
/// decision. Of the SQLite one see docs/deploy-spin.md.
#[test]
fn the_imports_are_those_that_were_decided_on() {
    let cache = std::path::absolute(root().join(".tools/spin-cache")).expect("a path");
    let component = compile(&source(), &cache).expect("a component");
    for import in imports(&component) {
        let name = import.split('@').next().unwrap_or_default();
        assert!(ALLOWED.contains(&name), "`{import}` is not on the list");
    }
}

/// The budget of issue 3: 1.3 MB gzipped.
#[test]
fn the_component_is_within_its_budget() {
    let bytes = std::fs::read(source()).expect("a component");
    let mut gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip");
    let mut input = gzip.stdin.take().expect("a pipe");
    let raw = bytes.len();
    let writing = std::thread::spawn(move || input.write_all(&bytes));
    let packed = gzip.wait_with_output().expect("gzip").stdout.len();
    writing.join().expect("a thread").expect("a pipe");
    println!("{raw} bytes, {packed} gzipped");
    assert!(packed <= 1_300_000, "{packed} bytes gzipped");
}

/// Without versions: the standard library brings its own of WASI beside the SDK's.
const ALLOWED: [&str; 23] = [
    "fermyon:spin/key-value",
    "fermyon:spin/redis",
    "fermyon:spin/sqlite",
    "fermyon:spin/variables",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];
