//! Zones that must not be published (K01, K10, design §4).

use writ_tests::zones::{Places, Zone};

/// The plain zone with one text replaced by another.
fn with(old: &str, new: &str) -> Result<(), String> {
    let mut zone = Zone::load("plain", &Places::in_process());
    assert!(zone.document.contains(old), "{old}");
    zone.document = zone.document.replacen(old, new, 1);
    zone.compile().map(drop)
}

fn assert_refused(old: &str, new: &str) {
    let compiled = with(old, new);
    assert!(compiled.is_err(), "accepted: {new}");
    let mistakes = compiled.err().unwrap_or_default();
    assert!(mistakes.lines().all(|line| line.starts_with("zone.toml:")), "{mistakes}");
}

const KEYS: &str = "https://keys.example/keys/ci";

#[test]
fn k01_keys_are_fetched_from_public_https_names_only() {
    assert!(with(KEYS, "https://keys.example.com/ci").is_ok());
    let mut accepted = Vec::new();
    for host in [
        "10.0.0.1",
        "127.0.0.1",
        "127.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "[::1]",
        "[fc00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "8.8.8.8",
        "localhost",
        "localhost.",
        "keys.localhost",
        "metadata.google.internal",
        "keys.internal",
        "keys.local",
        "keys.example.com.",
        "keys",
        "user@keys.example.com",
        "keys.example.com:8443",
        "ключи.example.com",
        "keys..example.com",
    ] {
        accepted.extend(with(KEYS, &format!("https://{host}/ci")).is_ok().then_some(host));
    }
    for url in [
        "http://keys.example.com/ci",
        "ftp://keys.example.com/ci",
        "file:///etc/passwd",
        "https:///ci",
        "https://keys.example.com/../ci",
        "https://keys.example.com//ci",
        "https://keys.example.com/ci#x",
        "HTTPS://keys.example.com/ci",
        "https://KEYS.example.com/ci",
        "https://keys.example.com/c i",
        "javascript:alert(1)",
        "",
    ] {
        accepted.extend(with(KEYS, url).is_ok().then_some(url));
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
}

#[test]
fn k10_an_issuer_is_one_and_has_an_audience() {
    const ISSUER: &str = "issuer = \"https://ci.example\"";
    for issuer in [
        "*",
        "https://*",
        "https://*.example",
        "https://ci.example/*",
        "",
        "https://CI.example",
        "https://ci.example#x",
        "https://ci.example?x",
        "https://user@ci.example",
        "ci.example",
        "https://writ.example",
    ] {
        assert_refused(ISSUER, &format!("issuer = \"{issuer}\""));
    }
    for audience in ["\"\"", "[]", "[\"\"]", "1", "\"*\""] {
        assert_refused(ISSUER, &format!("{ISSUER}\naudience = {audience}"));
    }
}

#[test]
fn k10_a_rule_compares_something() {
    const RULE: &str = "claims = { \"/sub\" = \"builder\" }";
    for claims in ["", "claims = {}", "claims = { \"/sub\" = { none_of = [\"x\"] } }"] {
        assert_refused(RULE, claims);
    }
    assert_refused(RULE, "claims = { \"sub\" = \"builder\" }");
}

/// A shared issuer's rule names the tenant, and what never changes hands (federation §1b).
#[test]
fn k09_a_platforms_rule_pins_immutable_ids() {
    let platforms = |old: &str, new: &str| {
        let mut zone = Zone::load("platforms", &Places::in_process());
        assert!(zone.document.contains(old), "{old}");
        zone.document = zone.document.replacen(old, new, 1);
        zone.compile()
    };
    assert!(platforms("\"/ref\" = \"refs/heads/main\"", "").is_ok());
    for (old, new) in [
        ("\"/repository_owner_id\" = \"65\"", "\"/repository_owner\" = \"octo-org\""),
        ("\"/repository_id\" = \"74\"", "\"/repository\" = \"octo-org/octo-repo\""),
        ("\"/namespace_id\" = \"72\", ", ""),
        ("\"/owner_id\" = \"team_A1b2C3d4E5f6G7h8I9j0K1l2\"", "\"/owner\" = \"marc\""),
        (
            "\"/organization_id\" = \"f02d6a6f-7a0e-481d-9d6d-89b427aec48d\"",
            "\"/organization_slug\" = \"acme-inc\"",
        ),
    ] {
        assert!(platforms(old, new).is_err(), "accepted: {new}");
    }
}

#[test]
fn a18_no_application_can_pass_for_a_user_or_an_issuer() {
    const APPLICATION: &str = "[applications.builder]";
    for id in
        ["user:idp:alice", "https://ci.example", "https://writ.example", "", "a b", "аssistant"]
    {
        assert_refused(APPLICATION, &format!("[applications.builder]\n[applications.\"{id}\"]"));
    }
    for alike in ["Assistant", "assistanт", "files_api", "fi1es-api"] {
        assert_refused(APPLICATION, &format!("[applications.builder]\n[applications.\"{alike}\"]"));
    }
}

#[test]
fn a_user_issuer_names_its_clients_claim() {
    assert_refused("client_claim = \"/azp\"\ndevice_claim", "device_claim");
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let mut zone = Zone::load("plain", &Places::in_process());
    zone.document = zone.document.replace("lifetime_secs = 600", "lifetime = 600");
    let mistakes = zone.compile().unwrap_err();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
    assert!(mistakes.lines().all(|line| line.contains("`lifetime`")), "{mistakes}");
}

#[test]
fn s10_loopback_over_http_is_for_zones_on_loopback_only() {
    let public = Places {
        zone: "https://writ.example".to_owned(),
        keys: "http://127.0.0.1:8/keys".to_owned(),
    };
    let mut zone = Zone::load("plain", &public);
    zone.document = zone
        .document
        .replace("danger_allow_http_loopback = false", "danger_allow_http_loopback = true");
    assert!(zone.compile().is_err());
}
