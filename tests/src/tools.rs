//! What `tests/tools/clients` installs: published clients, and the interpreters that run them.

use std::path::PathBuf;
use std::process::Command;

/// Python with the packages of `tests/clients/python/requirements.txt`.
///
/// # Panics
///
/// Where they are not installed.
#[must_use]
pub fn python() -> Command {
    Command::new(installed("clients-python/bin/python", "clients-python/stamp"))
}

/// Node.
///
/// # Panics
///
/// Where the packages of `tests/clients/node/package.json` are not installed.
#[must_use]
pub fn node() -> Command {
    let _ = node_modules();
    Command::new("node")
}

/// The packages of `tests/clients/node/package.json`, to be linked beside the scripts that use them.
///
/// # Panics
///
/// Where they are not installed.
#[must_use]
pub fn node_modules() -> PathBuf {
    installed("clients-node/node_modules", "clients-node/stamp")
}

fn installed(path: &str, stamp: &str) -> PathBuf {
    let tools = root().join(".tools");
    let path = tools.join(path);
    assert!(
        path.exists() && tools.join(stamp).exists(),
        "the published clients are not installed: run `tests/tools/clients`"
    );
    path
}

/// The root of the project.
///
/// # Panics
///
/// Never: the suite lies in it.
#[must_use]
pub fn root() -> PathBuf {
    let suite = crate::vector::package();
    suite.parent().expect("the suite is a directory of the project").to_owned()
}

/// Runs a command to its end. Its output, both streams, and whether it ended well.
///
/// # Panics
///
/// Where it cannot be started.
pub fn outcome(command: &mut Command) -> (bool, String) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
