//! The operator's commands.
//!
//! A command that fails says one sentence on stderr, with what to do, and exits with 1. A command
//! line that makes no sense exits with 2.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

mod check;
mod demo;
#[cfg(test)]
mod documents;
mod keys;
mod open;
mod operator;
mod principals;
mod remote;
mod serve;
mod sessions;
mod verify;

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

/// Runs a command line.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Exits with 2 and a usage message where it makes no sense, with 0 after `--help`.
    let cli = Cli::parse_from(arguments);
    let result = match cli.command {
        Command::Demo(command) => demo::run(&command),
        Command::Serve(command) => serve::run(&command),
        Command::Check(command) => check::run(&command),
        Command::Publish(command) => remote::publish(&command),
        Command::Sessions { command: SessionsCommand::List(command) } => sessions::list(&command),
        Command::Sessions { command: SessionsCommand::Show(command) } => sessions::show(&command),
        Command::Sessions { command: SessionsCommand::End(command) } => sessions::end(&command),
        Command::Disable(command) => principals::disable(&command),
        Command::Enable(command) => principals::enable(&command),
        Command::CutOff(command) => principals::cut_off(&command),
        Command::Verify(command) => Ok(verify::run(&command)),
        Command::Operator { command: OperatorCommand::New(command) } => operator::new(&command),
        Command::Keys { command: KeysCommand::New(command) } => keys::new(&command),
        Command::Keys { command: KeysCommand::Rotate(command) } => keys::rotate(&command),
    };
    match result {
        Ok(code) => code,
        Err(Failure(message)) => {
            let _ = writeln!(std::io::stderr().lock(), "writ: {message}");
            ExitCode::FAILURE
        }
    }
}

/// An authorization service for agents, pipelines and services.
///
/// A caller shows who it is, on whose behalf it acts and what it needs; Writ verifies each proof,
/// asks your Cedar policies and issues one short-lived token, or says why not.
#[derive(Debug, Parser)]
#[command(name = "writ", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Check(check::Check),
    Publish(remote::Publish),
    /// See what was done on whose behalf, and end it
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    Disable(principals::Disable),
    Enable(principals::Enable),
    CutOff(principals::CutOff),
    Verify(verify::Verify),
    /// Manage the key that changes a deployment over HTTP
    Operator {
        #[command(subcommand)]
        command: OperatorCommand,
    },
    /// Manage the zone's signing keys
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    List(sessions::List),
    Show(sessions::Show),
    End(sessions::End),
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    New(operator::New),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    New(keys::New),
    Rotate(keys::Rotate),
}

/// How a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The sentence that a failed command says.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Where a zone lies.
#[derive(Debug, clap::Args)]
struct ZoneArgument {
    /// Directory with `zone.toml` and `policies/*.cedar`
    #[arg(id = "zone", long, value_name = "DIR")]
    directory: PathBuf,
}

/// Where the store lies.
#[derive(Debug, clap::Args)]
struct DataArguments {
    /// Directory of the store; created where it is absent
    ///
    /// It holds `writ.db` with the record, sessions and sealed keys, and `wrapping.key`, which opens
    /// the keys. Keep a copy of `wrapping.key` apart from copies of `writ.db`, or set
    /// WRIT_WRAPPING_KEY (32 bytes in base64url) and keep it nowhere here.
    #[arg(id = "data", long, value_name = "DIR", default_value = "./writ-data")]
    directory: PathBuf,

    /// The most bytes that the store may take; beyond, requests are answered 503
    #[arg(long, value_name = "N")]
    max_data_bytes: Option<u64>,
}

/// Writes a command's result to stdout. Where nobody reads it, nobody misses it.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The directory's name for messages.
fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
