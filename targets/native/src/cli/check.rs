//! `writ check`.

use std::process::ExitCode;

use serde_json::json;
use writ_core::bundle::Bundle;
use writ_core::policy::Policies;

use super::{Failure, Format, ZoneArgument, open, print};

/// Compile a zone and list every mistake in it
///
/// Exits with 0 where there is none and with 1 otherwise. Reads files only: nothing is fetched,
/// nothing is written.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    zone: ZoneArgument,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(command: &Check) -> Result<ExitCode, Failure> {
    let compiled = open::zone(&command.zone.directory)?;
    let sound = compiled.is_ok();
    match (command.format, compiled) {
        (Format::Text, Ok(bundle)) => {
            let (name, size) = name(&bundle)?;
            let (policies, unscoped) = counts(&bundle)?;
            print(&format!(
                "zone `{}` is sound: {} rules, {} applications, {} resources\n\
                 {policies} policies, {unscoped} of them for any principal and resource, which \
                 every request evaluates\n\
                 bundle {name}, {size} bytes",
                bundle.zone,
                bundle.rules.len(),
                bundle.applications.len(),
                bundle.resources.len(),
            ));
        }
        (Format::Text, Err(mistakes)) => {
            for mistake in &mistakes {
                print(&mistake.to_string());
            }
            let count = mistakes.len();
            print(&format!("{count} mistake{}", if count == 1 { "" } else { "s" }));
        }
        (Format::Json, Ok(bundle)) => {
            let (name, size) = name(&bundle)?;
            let (policies, unscoped) = counts(&bundle)?;
            let result = json!({
                "ok": true,
                "zone": bundle.zone,
                "bundle": name,
                "bytes": size,
                "policies": policies,
                "unscoped_policies": unscoped,
                "mistakes": [],
            });
            print(&result.to_string());
        }
        (Format::Json, Err(mistakes)) => {
            let mistakes: Vec<_> = mistakes
                .iter()
                .map(|mistake| {
                    json!({
                        "file": mistake.file,
                        "line": mistake.line,
                        "message": mistake.message,
                    })
                })
                .collect();
            print(&json!({ "ok": false, "mistakes": mistakes }).to_string());
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many policies there are, and how many of them no index keeps from any request.
fn counts(bundle: &Bundle) -> Result<(usize, usize), Failure> {
    let policies = Policies::compile(bundle)
        .map_err(|faults| Failure(faults.first().map(ToString::to_string).unwrap_or_default()))?;
    Ok(policies.counts())
}

fn name(bundle: &Bundle) -> Result<(String, usize), Failure> {
    let bytes = bundle.to_bytes()?;
    Ok((Bundle::name(&bytes), bytes.len()))
}
