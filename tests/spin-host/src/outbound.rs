//! Where the component may connect to, and plain HTTP to there. There is no TLS in this host: the
//! suite's issuers are on loopback.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Uri;
use tokio::net::TcpStream;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The hosts of `allowed_outbound_hosts`, as Spin compares them.
#[derive(Clone, Debug)]
pub struct Allowed(pub Vec<String>);

impl Allowed {
    /// Whether an address is among them. The port is part of the comparison; an entry without one
    /// means its scheme's.
    #[must_use]
    pub fn has(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let port = port.or_else(|| usual(scheme));
        self.0.iter().any(|entry| {
            let Some((entry_scheme, rest)) = entry.split_once("://") else { return false };
            let (entry_host, entry_port) = match rest.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                _ => (rest, None),
            };
            let host_fits = match entry_host.strip_prefix('*') {
                Some(suffix) => host.ends_with(suffix),
                None => host == entry_host,
            };
            let port_fits = match entry_port {
                Some("*") => true,
                Some(number) => number.parse().ok() == port,
                None => port == usual(entry_scheme),
            };
            (entry_scheme == "*" || entry_scheme == scheme) && host_fits && port_fits
        })
    }
}

fn usual(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        _ => None,
    }
}

type Sent = (hyper::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Allowed {
    fn send_request(
        &mut self,
        request: hyper::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let uri = request.uri().clone();
        let scheme = uri.scheme_str().unwrap_or("https").to_owned();
        let allowed = self.has(&scheme, uri.host().unwrap_or_default(), uri.port_u16());
        Box::new(async move {
            if !allowed {
                return Err(Error::HttpRequestDenied);
            }
            if scheme != "http" {
                return Err(Error::TlsProtocolError);
            }
            send(request, &uri, options).await
        })
    }
}

async fn send(
    mut request: hyper::Request<WasiBody>,
    uri: &Uri,
    options: Option<RequestOptions>,
) -> Result<Sent, Error> {
    let options = options.unwrap_or_default();
    let patience = |time: Option<Duration>| time.unwrap_or(Duration::from_secs(60));
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let connect = TcpStream::connect(&address);
    let stream = tokio::time::timeout(patience(options.connect_timeout), connect).await;
    let stream = stream.map_err(|_| Error::ConnectionTimeout)?.map_err(Error::Connect)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Error::Hyper)?;
    // Runs on its own, so that the answer's body comes though nobody polls the connection.
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let answer = sender.send_request(request);
    let answer = tokio::time::timeout(patience(options.first_byte_timeout), answer).await;
    let answer = answer.map_err(|_| Error::HttpResponseTimeout)?.map_err(Error::Hyper)?;
    let answer = answer.map(|body| body.map_err(Error::Hyper).boxed_unsync());
    let done = async move {
        let _ = connection.await;
        Ok(())
    };
    Ok((answer, Box::new(done)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_as_spin_does() {
        let allowed = Allowed(
            ["https://*:*", "http://127.0.0.1:*", "redis://cache.example", "http://*.a.test:80"]
                .map(str::to_owned)
                .into(),
        );
        for (scheme, host, port, expected) in [
            ("https", "issuer.example", None, true),
            ("https", "issuer.example", Some(8443), true),
            ("http", "issuer.example", None, false),
            ("http", "127.0.0.1", Some(4711), true),
            ("http", "127.0.0.2", Some(4711), false),
            ("redis", "cache.example", None, true),
            ("redis", "cache.example", Some(6380), false),
            ("http", "x.a.test", None, true),
            ("http", "a.test", None, false),
        ] {
            assert_eq!(allowed.has(scheme, host, port), expected, "{scheme} {host} {port:?}");
        }
    }
}
