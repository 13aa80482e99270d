//! `writ keys new`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{DataArguments, Failure, Format, ZoneArgument, open, print};

/// Make a new signing key and put it to use
///
/// The zone signs with it from now on; a service that runs on the same data takes it up within two
/// seconds. Keys before it stay published, so tokens they signed stay valid until they expire.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    #[command(flatten)]
    zone: ZoneArgument,

    #[command(flatten)]
    data: DataArguments,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(command: &New) -> Result<ExitCode, Failure> {
    let bundle = open::sound_zone(&command.zone.directory)?;
    // No request runs here, so there are no events.
    let instance = open::instance(&command.data, std::io::sink())?;
    open::runtime()?.block_on(async {
        open::try_key(&instance, &bundle).await?;
        let (public, seq) = open::add_key(&instance, &bundle).await?;
        let kid = public.kid.clone().unwrap_or_default();
        let jwk = Value::Object(public.to_jwk());
        match command.format {
            Format::Text => {
                let (zone, algorithm) = (&bundle.zone, bundle.algorithm.name());
                print(&format!("zone `{zone}` now signs {algorithm} with key `{kid}`\n{jwk}"));
            }
            Format::Json => {
                let zone = &bundle.zone;
                print(&json!({ "zone": zone, "kid": kid, "seq": seq, "jwk": jwk }).to_string());
            }
        }
        instance.store().close().await.map_err(open::unavailable)?;
        Ok(ExitCode::SUCCESS)
    })
}
