//! `writ keys`.

use std::process::ExitCode;

use serde_json::{Value, json};
use writ_core::jwk::Algorithm;
use writ_core::keys::{Rotated, Rotation};

use super::{DataArguments, Failure, Format, ZoneArgument, open, print};
use crate::moment;

/// Make a new signing key and sign with it at once
///
/// For a zone that has none. Verifiers that keep a copy of the key set refuse what it signs until they
/// fetch the set again: for a zone in use, `writ keys rotate` publishes the new key first.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    #[command(flatten)]
    place: Place,
}

/// Replace the signing key, without anybody noticing
///
/// Makes a key and publishes it; it signs ten minutes later, when every verifier's copy of the key
/// set has it. The old key stays published until the last token that it signed has expired. A
/// service that runs on the same data takes all of it up within two seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    place: Place,

    /// The old keys are in wrong hands: drop them now, and sign with the new one now
    ///
    /// Every token of the zone is refused here within five seconds, and by verifiers when their copy
    /// of the key set is renewed, which published clients do every five minutes. Callers start over.
    #[arg(long)]
    emergency: bool,
}

#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    zone: ZoneArgument,

    #[command(flatten)]
    data: DataArguments,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn new(command: &New) -> Result<ExitCode, Failure> {
    run(&command.place, Rotation::AtOnce)
}

pub(super) fn rotate(command: &Rotate) -> Result<ExitCode, Failure> {
    let rotation = if command.emergency { Rotation::Emergency } else { Rotation::Planned };
    run(&command.place, rotation)
}

fn run(place: &Place, rotation: Rotation) -> Result<ExitCode, Failure> {
    let bundle = open::sound_zone(&place.zone.directory)?;
    // No request runs here, so there are no events.
    let instance = open::instance(&place.data, std::io::sink())?;
    open::runtime()?.block_on(async {
        // In an emergency the old keys may be lost altogether.
        if rotation != Rotation::Emergency {
            open::try_keys(&instance, &bundle.zone).await?;
        }
        let rotated = open::rotate(&instance, &bundle, rotation).await?;
        print(&told(place.format, &bundle.zone, bundle.algorithm, &rotated));
        instance.store().close().await.map_err(open::unavailable)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What became of the zone's keys, in the format asked for.
pub(super) fn told(format: Format, zone: &str, algorithm: Algorithm, rotated: &Rotated) -> String {
    let Rotated { kid, key, snapshot } = rotated;
    let jwk = Value::Object(key.public.to_jwk());
    match format {
        Format::Text => {
            let algorithm = algorithm.name();
            let secs = key.from.since(moment::now());
            let when = if secs > 0 { format!("in {secs} s") } else { "from now on".to_owned() };
            let keys = snapshot.keys.len();
            format!(
                "zone `{zone}` signs {algorithm} with key `{kid}` {when}; keys published: \
                 {keys}\n{jwk}"
            )
        }
        Format::Json => json!({
            "zone": zone,
            "kid": kid,
            "from": key.from,
            "seq": snapshot.seq,
            "jwk": jwk,
        })
        .to_string(),
    }
}
