//! The zones that vectors run in are zones that an operator could publish.

use std::path::Path;

use writ_core::zone::{Source, Sources, compile, uploads};
use writ_tests::vector::package;
use writ_tests::zones::{Places, Zone, directory};

/// The example that operators begin with.
#[test]
fn the_example_zone_holds_what_is_true_of_every_bundle() {
    let directory = package().parent().unwrap().join("examples/zone");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let source = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Source { path: name.to_owned(), text: read(path) }
    };
    let policies = std::fs::read_dir(directory.join("policies")).unwrap();
    let zone = source(&directory.join("zone.toml"));
    let uploaded = uploads(&zone.text).into_iter();
    let sources = Sources {
        uploaded: uploaded.map(|name| (name.clone(), read(&directory.join(name)))).collect(),
        policies: policies.map(|entry| source(&entry.unwrap().path())).collect(),
        zone,
    };
    assert_eq!(compile(&sources).unwrap().check(), Ok(()));
}

#[test]
fn every_zone_compiles_in_process_and_on_loopback() {
    let loopback = Places {
        zone: "http://127.0.0.1:8787".to_owned(),
        keys: "http://127.0.0.1:8788/keys".to_owned(),
    };
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for places in [Places::in_process(), loopback.clone()] {
            let compiled = Zone::load(&name, &places).compile();
            assert!(compiled.is_ok(), "zone `{name}`:\n{}", compiled.unwrap_err());
            let checked = compiled.unwrap().check();
            assert_eq!(checked, Ok(()), "zone `{name}`");
        }
    }
}
