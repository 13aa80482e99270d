//! The `writ` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    writ::cli::run()
}
