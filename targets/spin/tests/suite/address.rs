//! K01: which URLs are fetched.

use crate::address::place;

#[test]
fn k01_only_https_by_name_is_fetched() {
    for (url, allowed) in [
        ("https://issuer.example/.well-known/jwks.json", true),
        ("https://issuer.example", true),
        ("https://issuer.example:443/keys?x=1", true),
        ("https://a-b.issuer.example./keys", true),
        ("http://issuer.example/keys", false),
        ("https://issuer.example:8443/keys", false),
        ("https://user@issuer.example/keys", false),
        ("https://127.0.0.1/keys", false),
        ("https://2130706433/keys", false),
        ("https://0x7f.1/keys", false),
        ("https://127.0x1/keys", false),
        ("https://0177.0.0.01/keys", false),
        ("https://10.1/keys", false),
        ("https://169.254.169.254/latest", false),
        ("https://[::1]/keys", false),
        ("https://[::ffff:10.0.0.1]/keys", false),
        ("https://localhost/keys", false),
        ("https://metadata.google.internal/", false),
        ("https://issuer/keys", false),
        ("https://issuer.example\\@evil.example/", false),
        ("https://issuer.example/a b", false),
        ("https:///keys", false),
        ("ftp://issuer.example/keys", false),
    ] {
        assert_eq!(place(url, false).is_ok(), allowed, "{url}");
    }
}

#[test]
fn k01_loopback_is_loopback_alone() {
    for (url, allowed) in [
        ("http://127.0.0.1:8080/keys", true),
        ("http://localhost:8080/keys", true),
        ("https://[::1]:8080/keys", true),
        ("http://127.0.0.2/keys", false),
        ("http://issuer.example/keys", false),
        ("https://issuer.example/keys", false),
        ("http://127.0.0.1@issuer.example/keys", false),
    ] {
        assert_eq!(place(url, true).is_ok(), allowed, "{url}");
    }
}
