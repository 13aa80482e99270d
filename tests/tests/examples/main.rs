//! The examples of `examples/`, each run as it stands there: against the zone of `examples/zone`, a
//! running service (`WRIT_TARGET` names the target), and an emulation of its platform's token endpoint,
//! which mints what the platform documents and refuses what the platform would.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

mod aws;
mod fly;
mod gcp;
mod github;
mod scene;
mod vercel;

use writ_tests::example;

/// What an example's guide tells the reader to add is what its test ran with, word for word.
#[test]
fn the_zone_has_the_rules_that_the_guides_show() {
    let plain = |text: &str| {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.collect::<Vec<&str>>().join("\n") + "\n"
    };
    let zone = std::fs::read_to_string(example::path("zone/zone.toml")).unwrap();
    let zone = plain(&zone);
    for example in ["github-actions", "vercel", "fly", "aws", "gcp"] {
        let guide = std::fs::read_to_string(example::path(example).join("README.md")).unwrap();
        let (_, rest) = guide.split_once("```toml\n").expect("a snippet of the zone");
        let (snippet, _) = rest.split_once("```").expect("its end");
        let tables = plain(snippet).replace("\n[", "\n\0[");
        for table in tables.split('\0') {
            assert!(zone.contains(table), "{example}: the zone does not say\n{table}");
        }
    }
}
