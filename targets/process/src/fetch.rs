//! Requests to other servers: issuers' metadata and keys, and nothing else.
//!
//! A name is resolved once for each connection, addresses that are not public are dropped there and
//! then, and the connection goes to one of the rest, so neither a crafted URL (K01) nor a name that
//! changes its mind (K03) reaches into the operator's network. No redirect is followed (K02), no
//! proxy is used, nothing is decompressed, and time and size are capped (K04).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::time::timeout;
use writ_core::host::Unavailable;
use writ_core::http::{Inbound, Outbound};
use writ_core::limits;

use self::resolve::{Names, Resolver};

mod address;
mod resolve;

/// What makes the requests. Its clients are built at the first use: they read the system's
/// certificates, which a service that fetches nothing does not need.
#[derive(Debug)]
pub struct Fetcher {
    public: OnceLock<Result<Client, String>>,
    loopback: OnceLock<Result<Client, String>>,
    names: Names,
    patience: Duration,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self {
            public: OnceLock::new(),
            loopback: OnceLock::new(),
            names: Names::System,
            patience: Duration::from_secs(limits::FETCH_SECS),
        }
    }
}

impl Fetcher {
    /// Fetches a document, as [`writ_core::host::Outside::fetch`] says.
    ///
    /// # Errors
    ///
    /// The URL is not one that may be asked, or the server did not answer in time.
    pub async fn fetch(&self, request: &Outbound) -> Result<Inbound, Unavailable> {
        let failed = |reason: String| Unavailable(format!("fetching `{}`: {reason}", request.url));
        let reach = if request.loopback { Reach::Loopback } else { Reach::Public };
        let url = reach.url(&request.url).map_err(|reason| failed(reason.into()))?;
        let client = self.client(reach).map_err(failed)?;
        match timeout(self.patience, get(client, url)).await {
            Ok(answer) => answer.map_err(|error| failed(root_cause(&error))),
            Err(_) => Err(failed(format!("no full answer within {:?}", self.patience))),
        }
    }

    fn client(&self, reach: Reach) -> Result<&Client, String> {
        let cell = match reach {
            Reach::Public => &self.public,
            Reach::Loopback => &self.loopback,
        };
        let builder = || {
            Client::builder()
                .user_agent(concat!("writ/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .https_only(reach == Reach::Public)
                .pool_max_idle_per_host(IDLE)
                .dns_resolver(Resolver { names: self.names.clone(), reach })
        };
        let built = cell.get_or_init(|| {
            let built = match reach {
                Reach::Public => builder().build(),
                // Where the system has no certificates, plain http still goes.
                Reach::Loopback => {
                    builder().build().or_else(|_| builder().tls_certs_only([]).build())
                }
            };
            built.map_err(|error| root_cause(&error))
        });
        built.as_ref().map_err(Clone::clone)
    }
}

/// Which addresses a request may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    /// The operator set `danger_allow_http_loopback`.
    Loopback,
}

impl Reach {
    /// Parses a URL that may be asked within this reach.
    fn url(self, text: &str) -> Result<Url, &'static str> {
        let url = Url::parse(text).map_err(|_| "it is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it carries a user name or a password");
        }
        match self {
            Self::Public => {
                if url.scheme() != "https" {
                    return Err("it is not https");
                }
                if url.port_or_known_default() != Some(443) {
                    return Err("its port is not 443");
                }
                // The parser has turned every spelling of an IPv4 address (decimal, octal,
                // hexadecimal, shortened) into an address, which is not a domain.
                url.domain().ok_or("its host is an address and not a name")?;
            }
            Self::Loopback => {
                if !matches!(url.scheme(), "http" | "https") {
                    return Err("it is neither http nor https");
                }
                if !matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")) {
                    return Err("its host is none of `127.0.0.1`, `[::1]` and `localhost`");
                }
            }
        }
        Ok(url)
    }

    /// Whether a connection to the address is allowed.
    fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Public => address::is_public(ip),
            Self::Loopback => {
                [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&ip)
            }
        }
    }
}

async fn get(client: &Client, url: Url) -> Result<Inbound, reqwest::Error> {
    let mut response = client.get(url).header(ACCEPT, "application/json").send().await?;
    let status = response.status().as_u16();
    // One byte more than the limit tells the core that there was more.
    let most = limits::FETCH_BYTES.saturating_add(1);
    let mut body = Vec::new();
    while body.len() < most {
        let Some(chunk) = response.chunk().await? else { break };
        let room = most.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
    }
    Ok(Inbound { status, body })
}

/// The innermost message: the outer ones only say that sending failed, and repeat the URL.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Idle connections kept for each server: an issuer is asked every few minutes.
const IDLE: usize = 1;

#[cfg(test)]
mod tests;
