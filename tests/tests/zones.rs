//! The zones that vectors run in are zones that an operator could publish.

use writ_tests::zones::{Places, Zone, directory};

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
        }
    }
}
