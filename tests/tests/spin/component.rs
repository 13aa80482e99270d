//! The component as it is built: what it asks of a platform, and how large it is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An import that a platform does not know keeps the component from loading there, so each is a
/// decision. Of the SQLite one see docs/deploy-spin.md.
#[test]
fn the_imports_are_those_that_were_decided_on() {
    let host = root().join("target/debug/writ-spin-host");
    let output = Command::new(host)
        .args(["--manifest", "spin.toml", "--cache", ".tools/spin-cache", "--compile"])
        .current_dir(root())
        .output()
        .expect("the host is missing: tests/tools/spin build");
    let imports = String::from_utf8(output.stdout).unwrap();
    assert!(imports.lines().count() > 10, "{}", String::from_utf8_lossy(&output.stderr));
    for import in imports.lines() {
        let name = import.split('@').next().unwrap();
        assert!(ALLOWED.contains(&name), "`{import}` is not on the list");
    }
}

/// The budget of issue 3: 1.3 MB gzipped.
#[test]
fn the_component_is_within_its_budget() {
    let source = root().join("target/wasm32-wasip2/spin/writ_spin.wasm");
    let bytes = std::fs::read(source).expect("the component is missing: tests/tools/spin build");
    let mut gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let raw = bytes.len();
    let writing = std::thread::spawn(move || input.write_all(&bytes));
    let packed = gzip.wait_with_output().unwrap().stdout.len();
    writing.join().unwrap().unwrap();
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
