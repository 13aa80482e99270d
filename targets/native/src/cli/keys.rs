//! `writ keys`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use writ_core::bundle::Bundle;
use writ_core::jwk::PublicKey;
use writ_core::keys::{Rotated, Rotation};
use writ_core::moment::Timestamp;
use writ_core::operator::Step;

use super::remote::{Remote, To};
use super::{DataArguments, Failure, Format, ZoneArgument, open, print};
use writ_process::moment;

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

    /// Rotate the key of a deployment over HTTP, signing with this key of `writ operator new`, and
    /// not the one in `--data`
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    operator_key: Option<PathBuf>,

    /// Where the deployment answers, where that is not the zone's issuer
    #[arg(long, value_name = "URL", requires = "operator_key")]
    to: Option<String>,

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
    let Some(operator_key) = command.operator_key.clone() else {
        return run(&command.place, rotation);
    };
    let bundle = open::sound_zone(&command.place.zone.directory)?;
    let remote = Remote::new(&To { to: command.to.clone(), operator_key }, &bundle)?;
    let answer = open::runtime()?.block_on(remote.ask(&Step::rotation(rotation)))?;
    match command.place.format {
        Format::Json => print(&answer.to_string()),
        Format::Text => {
            let told: Told = serde_json::from_value(answer)?;
            print(&told.text(&bundle));
        }
    }
    Ok(ExitCode::SUCCESS)
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
        let Rotated { kid, key, snapshot } = rotated;
        let (keys, seq) = (snapshot.keys.len(), snapshot.seq);
        let told = Told { kid, from: key.from, jwk: key.public, keys, seq };
        match place.format {
            Format::Text => print(&told.text(&bundle)),
            Format::Json => print(&serde_json::to_string(&told)?),
        }
        instance.store().close().await.map_err(open::unavailable)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What became of the zone's keys: what `POST /operator/keys` answers.
#[derive(Serialize, Deserialize)]
struct Told {
    kid: String,
    from: Timestamp,
    jwk: PublicKey,
    keys: usize,
    seq: u64,
}

impl Told {
    fn text(&self, bundle: &Bundle) -> String {
        let (zone, algorithm) = (&bundle.zone, bundle.algorithm.name());
        let Self { kid, keys, .. } = self;
        let when = match self.from.since(moment::now()) {
            secs @ 1.. => format!("from {secs} s on"),
            _ => "from now on".to_owned(),
        };
        let jwk = Value::Object(self.jwk.to_jwk());
        format!(
            "zone `{zone}` signs {algorithm} with key `{kid}` {when}; it publishes {keys}\n{jwk}"
        )
    }
}
