//! The component as it is built: what it asks of a platform, and how large it is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use writ_tests::faulty::Faulty;

use crate::service::alive;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An import that a platform does not know keeps the component from loading there, so each is a
/// decision. Of the SQLite one see docs/deploy-spin.md.
#[test]
fn the_imports_are_those_that_were_decided_on() {
    let imports = imports(&root().join("spin.toml"));
    assert!(imports.iter().any(|import| import == SQLITE), "{imports:?}");
    assert_allowed(&imports);
}

/// As docs/deploy-spin.md has it built and deployed for Akamai Functions: with no import of SQLite's, which
/// that platform does not know, so that it would not load the component.
#[test]
fn the_component_for_akamai_imports_the_same_but_sqlite_and_serves() {
    let guide = std::fs::read_to_string(root().join("docs/deploy-spin.md")).unwrap();
    let (_, after) = guide.split_once("1. Build without SQLite: `").unwrap();
    let command = after.split('`').next().unwrap();
    let script = std::fs::read_to_string(root().join("tests/tools/spin")).unwrap();
    assert!(script.contains(&format!("    {command}\n")), "the tests build another one");
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(manifest.path(), akamai()).unwrap();
    let imports = imports(manifest.path());
    assert!(!imports.iter().any(|import| import == SQLITE), "{imports:?}");
    assert_allowed(&imports);

    let platform = ("WRIT_PLATFORM", "akamai");
    let manifest = ("WRIT_MANIFEST", manifest.path().to_str().unwrap());
    let service = Faulty::start("spin", &[("WRIT_STORE", "redis"), platform, manifest]);
    assert_eq!(service.status(&service.once()), 200);
    let (status, log) = alive(&[platform, manifest, ("WRIT_ISSUER", "http://127.0.0.1:8787")]);
    assert_eq!(status, "503", "{log}");
    assert!(
        log.contains("built without SQLite: name a Redis in the variable `redis_url`"),
        "{log}"
    );
}

/// spin.toml with the guide's changes for Akamai Functions, and the component where its build was kept.
fn akamai() -> String {
    let mut manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let component = root().join("target/wasm32-wasip2/spin/writ_spin_akamai.wasm");
    assert!(component.exists(), "the component is missing: tests/tools/spin build");
    for (this, that) in [
        ("target/wasm32-wasip2/spin/writ_spin.wasm", component.to_str().unwrap()),
        ("sqlite_databases = [\"default\"]\n", ""),
    ] {
        assert_eq!(manifest.matches(this).count(), 1, "{this}");
        manifest = manifest.replace(this, that);
    }
    manifest
}

/// What the component of a manifest imports, without versions: the standard library brings its own of WASI
/// beside the SDK's.
fn imports(manifest: &Path) -> Vec<String> {
    let host = root().join("target/debug/writ-spin-host");
    let output = Command::new(host)
        .arg("--manifest")
        .arg(manifest)
        .args(["--cache", ".tools/spin-cache", "--compile"])
        .current_dir(root())
        .output()
        .expect("the host is missing: tests/tools/spin build");
    let imports = String::from_utf8(output.stdout).unwrap();
    assert!(imports.lines().count() > 10, "{}", String::from_utf8_lossy(&output.stderr));
    imports.lines().map(|import| import.split('@').next().unwrap().to_owned()).collect()
}

fn assert_allowed(imports: &[String]) {
    for import in imports {
        assert!(ALLOWED.contains(&import.as_str()), "`{import}` is not on the list");
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

const SQLITE: &str = "fermyon:spin/sqlite";

const ALLOWED: [&str; 23] = [
    "fermyon:spin/key-value",
    "fermyon:spin/redis",
    SQLITE,
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
