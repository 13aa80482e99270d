//! The process that the platform starts.

use std::process::ExitCode;

use writ_lambda::function;
use writ_lambda::settings::Settings;
use writ_process::log;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = match Settings::read(|name| std::env::var(name).ok()) {
        Ok(settings) => function::run(settings).await,
        Err(mistakes) => Err(mistakes.join("; ")),
    };
    if let Err(error) = ended {
        log::error("the function does not start", &[("error", error.into())]);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
