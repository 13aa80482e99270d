//! Which URLs may be fetched (design §3): issuers' metadata and keys, over HTTPS, by name.
//!
//! A guest sees no addresses, so a name that leads into the operator's network is for the platform to
//! stop (docs/deploy-spin.md). What is written as an address is refused here.

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
    labels && !number && !matches!(last, "localhost" | "local" | "internal")
}
