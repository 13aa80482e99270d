//! Which URLs may be fetched (design §3): issuers' metadata and keys, over HTTPS, by name.
//!
//! For hosts whose platform resolves names and never shows an address: a name that leads into the
//! operator's network is for the platform to stop (docs/deploy-workers.md, docs/deploy-spin.md). What is
//! written as an address is refused here, and so is whatever a platform's own parser could read otherwise.

/// A URL taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Whether it is HTTPS.
    pub secure: bool,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
}

/// Takes a URL apart that may be asked.
///
/// # Errors
///
/// Why it may not.
pub fn place(url: &str, loopback: bool) -> Result<Place<'_>, &'static str> {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) if loopback => (false, rest),
        _ => return Err("it is not https"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or("it is not a URL")?;
    let path = path.split('#').next().unwrap_or_default();
    if !path.is_empty() && !path.starts_with('/') {
        return Err("its path does not begin with `/`");
    }
    if authority.contains(['@', '\\']) || url.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("it is not a plain URL");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if loopback {
        if !matches!(host, "127.0.0.1" | "[::1]" | "localhost") {
            return Err("its host is none of `127.0.0.1`, `[::1]` and `localhost`");
        }
    } else {
        if !matches!(port, None | Some("443")) {
            return Err("its port is not 443");
        }
        if !is_name(host) {
            return Err("its host is an address and not a name");
        }
    }
    Ok(Place { secure, authority, path: if path.is_empty() { "/" } else { path } })
}

/// Whether a host is a public name. Every spelling of an IPv4 address (decimal, octal, hexadecimal,
/// shortened) ends in a number, which no public name does; an IPv6 address has brackets.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    let labels = host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    let number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    labels && !number && !HERE.contains(&last)
}

/// Last labels of names that lead to the machine that asks, wherever it is asked (RFC 6761 §6.3), or into
/// its own network.
const HERE: [&str; 7] = [
    "internal",
    "ip6-localhost",
    "ip6-loopback",
    "local",
    "localdomain",
    "localhost",
    "localhost6",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k01_only_https_by_name_is_fetched() {
        for (url, allowed) in [
            ("https://issuer.example/.well-known/jwks.json", true),
            ("https://issuer.example", true),
            ("https://issuer.example:443/keys?x=1", true),
            ("https://a-b.issuer.example./keys", true),
            ("https://localhost.example/keys", true),
            ("https://notlocalhost.example/keys", true),
            ("http://issuer.example/keys", false),
            ("https://issuer.example:8443/keys", false),
            ("https://user@issuer.example/keys", false),
            ("https://127.0.0.1/keys", false),
            ("https://127.0.0.1./keys", false),
            ("https://127.1/keys", false),
            ("https://2130706433/keys", false),
            ("https://0x7f.1/keys", false),
            ("https://127.0x1/keys", false),
            ("https://0177.0.0.01/keys", false),
            ("https://10.1/keys", false),
            ("https://169.254.169.254/latest", false),
            ("https://[::1]/keys", false),
            ("https://[::ffff:10.0.0.1]/keys", false),
            ("https://localhost/keys", false),
            ("https://LOCALHOST./keys", false),
            ("https://localhost../keys", false),
            ("https://a.localhost./keys", false),
            ("https://localhost.localdomain/keys", false),
            ("https://ip6-localhost./keys", false),
            ("https://a.ip6-localhost/keys", false),
            ("https://l%6fcalhost./keys", false),
            ("https://a.localhost%2e/keys", false),
            ("https://localhost\u{3002}/keys", false),
            ("https://./keys", false),
            ("https://metadata.google.internal/", false),
            ("https://issuer/keys", false),
            ("https://issuer.example\\@evil.example/", false),
            ("https://issuer.example/a b", false),
            ("https://issuer.example\t/a", false),
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
}
