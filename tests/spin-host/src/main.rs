//! `writ-spin-host`: serves what a `spin.toml` says until its standard input ends.
//!
//! ```text
//! writ-spin-host --manifest spin.toml --state DIR --cache DIR
//!                [--output FILE] [--faults FILE] [--platform spin|without-database|akamai]
//! writ-spin-host --manifest spin.toml --cache DIR --compile
//! ```
//!
//! Variables come from the environment as `SPIN_VARIABLE_NAME`. Once it is ready it prints one line,
//! `listening on http://127.0.0.1:PORT`. With `--compile` it compiles the component into the cache,
//! prints its imports, and ends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use writ_spin_host::manifest::Manifest;
use writ_spin_host::runtime::{Options, Platform, Runtime, compile, imports};
use writ_spin_host::server::serve;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let (mut flags, mut only_compile) = (HashMap::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--compile" {
            only_compile = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("`{name}` has no value"))?;
        flags.insert(name, value);
    }
    let path = |name: &str| {
        let value = flags.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
        Ok::<_, String>(PathBuf::from(value))
    };
    let manifest_path = path("--manifest")?;
    // A relative cache directory would not be taken.
    let cache = std::path::absolute(path("--cache")?).map_err(|error| error.to_string())?;
    if only_compile {
        let source = Manifest::source(&manifest_path)?;
        let component = compile(&source, &cache).map_err(|error| format!("{error:?}"))?;
        for import in imports(&component) {
            println!("{import}");
        }
        return Ok(());
    }
    let manifest = Manifest::read(&manifest_path)?;
    if !manifest.source.exists() {
        return Err(format!(
            "{} is not there: build it with `tests/tools/spin build`",
            manifest.source.display()
        ));
    }
    let platform = match flags.get("--platform").map_or("spin", String::as_str) {
        "spin" => Platform::Spin,
        "without-database" => Platform::WithoutDatabase,
        "akamai" => Platform::Akamai,
        other => return Err(format!("there is no platform `{other}`")),
    };
    let runtime = Runtime::load(Options {
        manifest,
        directory: path("--state")?,
        cache,
        faults: flags.get("--faults").map(PathBuf::from),
        output: flags.get("--output").map(PathBuf::from),
        platform,
    })
    .map_err(|error| format!("{error:?}"))?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on http://{address}");
    let ended = async {
        let mut rest = [0; 256];
        let mut input = tokio::io::stdin();
        while input.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = serve(listener, runtime) => {}
        () = ended => {}
    }
    Ok(())
}
