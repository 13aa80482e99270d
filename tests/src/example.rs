//! `examples/`, and its zone: where it runs, and with issuers that a test plays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use writ_core::jwk::Algorithm;

use crate::fixtures::Fixture;
use crate::issuer::Parties;
use crate::tools;
use crate::zones::{Places, Zone};

/// A file or directory of `examples/`.
#[must_use]
pub fn path(path: &str) -> PathBuf {
    tools::root().join("examples").join(path)
}

/// The example zone with nothing changed but where it and the platforms' keys are.
///
/// # Panics
///
/// Where it is not as it should be.
#[must_use]
pub fn zone(places: &Places) -> Zone {
    let directory = path("zone");
    let mut document = std::fs::read_to_string(directory.join("zone.toml")).unwrap();
    let issuer = "issuer = \"https://auth.example.com\"\n";
    let danger = places.zone.starts_with("http:");
    let here = format!("issuer = \"{}\"\ndanger_allow_http_loopback = {danger}\n", places.zone);
    replace(&mut document, issuer, &here);
    let mut parties = Parties::new();
    for (id, fixture, algorithm) in ISSUERS {
        let row = format!("[issuers.{id}]\n");
        replace(
            &mut document,
            &row,
            &format!("{row}keys = {{ url = \"{}/{id}\" }}\n", places.keys),
        );
        let mut party = Fixture::load(fixture).parties().remove(*fixture).unwrap();
        if let Some(algorithm) = algorithm {
            party.algorithms = vec![*algorithm];
        }
        parties.insert((*id).to_owned(), party);
    }
    let policies = std::fs::read_dir(directory.join("policies")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    let mut zone = Zone::new(document, policies.collect::<BTreeMap<_, _>>(), parties);
    let bundle = zone.compile().expect("the example zone");
    for (id, party) in &mut zone.parties {
        party.issuer.clone_from(&bundle.issuers[id].issuer[0]);
    }
    zone
}

fn replace(document: &mut String, this: &str, that: &str) {
    assert_eq!(document.matches(this).count(), 1, "`{this}` in the example zone");
    *document = document.replacen(this, that, 1);
}

/// The issuers of the example zone, the fixtures that show their tokens, and the algorithm that the
/// example asks for, where it does.
const ISSUERS: &[(&str, &str, Option<Algorithm>)] = &[
    ("github", "github-actions", None),
    ("vercel", "vercel-team", None),
    ("fly", "fly", None),
    ("aws", "aws-outbound", Some(Algorithm::ES384)),
    ("gcp", "gcp-cloud-run", None),
];
