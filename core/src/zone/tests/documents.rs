//! `docs/zone.md` and `docs/federation.md`: what they show compiles, and no preset is left out.

use std::fs;
use std::path::Path;

use super::{compiled, sources};
use crate::presets::presets;
use crate::zone::compile;

#[test]
fn the_reference_compiles() {
    let zone = snippets(&document("zone.md"));
    assert!(zone.starts_with("[zone]"), "{zone}");
    compile(&sources(&zone)).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
}

#[test]
fn the_federation_guide_compiles() {
    compiled(&snippets(&document("federation.md")));
}

#[test]
fn every_preset_has_a_row_with_its_variables_and_issuer() {
    let text = document("federation.md");
    for preset in presets() {
        let start = format!("| `{}` |", preset.name);
        let row = text.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("{} has no row", preset.name));
        assert!(row.contains(preset.issuer[0]), "{}: another issuer", preset.name);
        assert_eq!(row.contains("(shared)"), !preset.tenant.is_empty(), "{}", preset.name);
        for var in preset.vars {
            assert!(row.contains(&format!("`{}`", var.name)), "{}: {}", preset.name, var.name);
        }
    }
}

#[test]
fn every_key_of_the_format_is_in_the_reference() {
    let text = document("zone.md");
    for key in KEYS.split_whitespace() {
        assert!(text.contains(&format!("`{key}")), "`{key}` is missing");
    }
}

/// The TOML of a document, one block after the other.
fn snippets(text: &str) -> String {
    let blocks = text.split("```toml\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).collect()
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(path).expect(name)
}

const KEYS: &str = "name issuer algorithm token_secs session_secs record_secs danger_allow_http_loopback \
    preset audience several_audiences keys algorithms lifetime_secs single_use token_id typ \
    token_types kid_optional subject subject_claim client_claim clients namespace device_claim require application \
    user claims alone task_id task tags credentials sha256 legacy_audience dpop scopes default_scopes \
    owner may_present envelope claimants on values default of pointer type refresh_secs idle_secs";
