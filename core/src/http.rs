//! HTTP as the core sees it: plain values that a target converts from and to its platform's types.

/// A request to Writ.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// The path without its query, still percent-encoded.
    pub path: String,
    /// The query without its `?`, where there is one.
    pub query: Option<String>,
    /// Header names in any case and their values, in the order sent. A value that is not visible
    /// ASCII is replaced by the empty string by the target.
    pub headers: Vec<(String, String)>,
    /// The body, at most [`crate::limits::BODY_BYTES`] and one byte more: a target stops reading
    /// there, and the core refuses.
    pub body: Vec<u8>,
}

impl Request {
    /// Every value of the header `name`, which is compared without case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// An answer of Writ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case and their values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the header `name`, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// A request that the core asks its host to make. Always `GET`: the core only reads metadata and
/// keys from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// An absolute URL. `https`, or `http` where [`Outbound::loopback`] says so.
    pub url: String,
    /// Whether the operator set `danger_allow_http_loopback`: then, and only then, the host may
    /// connect to a loopback address, and only to one.
    pub loopback: bool,
}

/// The answer to an [`Outbound`] request.
///
/// The host follows no redirect, connects to public addresses only (or to loopback ones only, as
/// [`Outbound::loopback`] says), and reads at most [`crate::limits::FETCH_BYTES`] and one byte more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}
