//! URLs that name issuers and that keys are fetched from.
//!
//! They come from the operator, but a fetch made for them leaves from inside the operator's
//! network: anything but a public name at the usual port is refused (OpenID Connect Discovery §7,
//! RFC 8414 §6; RFC 9700 §4.14 on the damage).

/// Whether plain `http` to loopback is allowed (`danger_allow_http_loopback`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loopback {
    Allowed,
    Refused,
}

/// A URL taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub(super) https: bool,
    pub(super) host: &'a str,
    pub(super) port: Option<&'a str>,
    /// From the first `/` on; empty for a bare origin.
    pub(super) path: &'a str,
}

impl<'a> Url<'a> {
    /// Reads a URL that may name an issuer.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the rest of a sentence that begins with the URL.
    pub(super) fn issuer(text: &'a str, loopback: Loopback) -> Result<Self, &'static str> {
        let url = Self::split(text)?;
        if url.is_loopback() {
            return match loopback {
                Loopback::Allowed => Ok(url),
                Loopback::Refused => Err("must not be a loopback address; a zone on loopback may \
                                          allow it with `danger_allow_http_loopback`"),
            };
        }
        if !url.https {
            return Err("must start with `https://`");
        }
        check_public(url.host)?;
        Ok(url)
    }

    /// Reads a URL that is fetched.
    ///
    /// # Errors
    ///
    /// As [`Url::issuer`].
    pub(super) fn fetched(text: &'a str, loopback: Loopback) -> Result<Self, &'static str> {
        let url = Self::issuer(text, loopback)?;
        if url.port.is_some_and(|port| port != "443") && !url.is_loopback() {
            return Err("must not name a port: keys are fetched at port 443 only");
        }
        if [".internal", ".local"].iter().any(|private| url.host.ends_with(private)) {
            return Err("must not name a host of a private network");
        }
        Ok(url)
    }

    /// Whether the host is this very machine.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.host, "127.0.0.1" | "[::1]" | "localhost")
    }

    fn split(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES {
            return Err("must have at most 255 bytes");
        }
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("must start with `https://`"),
        };
        if rest.contains(['?', '#']) {
            return Err("must have no query and no fragment");
        }
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("must have no user name");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..)) || port.starts_with('0'))
        {
            return Err("must have a port from 1 to 65535, or none");
        }
        check_host(host)?;
        check_path(path)?;
        Ok(Self { https, host, port, path })
    }
}

/// Checks a host: a DNS name in lower case, or a loopback address.
fn check_host(host: &str) -> Result<(), &'static str> {
    if !host.is_ascii() {
        return Err("must have an ASCII host: write a foreign name in its `xn--` form");
    }
    if host == "[::1]" {
        return Ok(());
    }
    if host.starts_with('[') {
        return Err("must not have an IP address as its host");
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("must have its host in lower case");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(label) { Ok(()) } else { Err("must have a DNS name as its host") }
}

/// Checks that a host is not an address in disguise, nor a name for this machine alone.
fn check_public(host: &str) -> Result<(), &'static str> {
    let last = host.rsplit('.').next().unwrap_or_default();
    // Resolvers read `127.1` and `0x7f000001` as addresses: a host that ends in a number is one.
    let hex =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || last.bytes().all(|byte| byte.is_ascii_digit()) || host.starts_with('[') {
        return Err("must not have an IP address as its host");
    }
    if !host.contains('.') || last == "localhost" {
        return Err("must have a public DNS name as its host");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(plain) {
        return Err("may have only letters, digits and `-._~/` in its path");
    }
    if ["..", "//", "~~"].iter().any(|pair| path.contains(pair)) {
        return Err("must not have `..`, `//` or `~~` in its path");
    }
    if path.split('/').any(|segment| segment.len() > SEGMENT_BYTES) {
        return Err("must not have a segment of more than 150 bytes in its path");
    }
    Ok(())
}

/// Bytes of a URL, and of one segment of its path: what the strictest of our peers accept.
const URL_BYTES: usize = 255;
const SEGMENT_BYTES: usize = 150;

#[cfg(test)]
mod tests {
    use super::{Loopback, Url};

    #[test]
    fn issuers_that_are_accepted() {
        for text in [
            "https://token.actions.githubusercontent.com",
            "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
            "https://k8s.example.com:6443",
            "https://xn--bcher-kva.example/a~b",
        ] {
            assert!(Url::issuer(text, Loopback::Refused).is_ok(), "{text}");
        }
    }

    #[test]
    fn issuers_that_are_refused() {
        let segment = format!("https://a.example/{}", "a".repeat(151));
        let long = format!("https://a.example/{}", "abcdefg/".repeat(30));
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "http://a.example",
            "HTTPS://a.example",
            "https://",
            "https:///path",
            "https://u@a.example",
            "https://u:p@a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://bücher.example",
            "https://A.example",
            "https://a..example",
            "https://-a.example",
            "https://a_b.example",
            "https://localhost",
            "https://a.localhost",
            "https://intranet",
            "https://127.0.0.1",
            "https://127.1",
            "https://10.0.0.1",
            "https://1.0x7f",
            "https://[::1]",
            "https://[fe80::1]",
            "https://a.example:0",
            "https://a.example:",
            "https://a.example:65536",
            "https://a.example/a/../b",
            "https://a.example//b",
            "https://a.example/%2e",
            "https://a.example/a b",
            "https://a.example/~~x",
            "https://a.example\\@b.example",
            &segment,
            &long,
        ] {
            assert!(Url::issuer(text, Loopback::Refused).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_needs_its_switch_and_is_all_that_http_may_reach() {
        for text in ["http://127.0.0.1:8080/keys", "http://[::1]:1", "http://localhost/k"] {
            assert!(Url::fetched(text, Loopback::Refused).is_err(), "{text}");
            assert!(Url::fetched(text, Loopback::Allowed).is_ok(), "{text}");
        }
        for text in ["http://a.example", "http://127.0.0.2", "http://localhost.example"] {
            assert!(Url::fetched(text, Loopback::Allowed).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_fetched_at_the_usual_port_only() {
        assert!(Url::fetched("https://a.example:8443/k", Loopback::Refused).is_err());
        assert!(Url::fetched("https://a.example:443/k", Loopback::Refused).is_ok());
    }
}
