//! Servers that answer by a function: the platforms' token endpoints, and the APIs that tokens are
//! for. On loopback, or on a socket as Fly.io has one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::spawn;

use serde_json::Value;
use writ_core::form;
use writ_core::http::Request;

/// What a server answers.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, as JSON where it begins as an object does.
    pub body: String,
}

impl Reply {
    /// A document.
    #[must_use]
    pub fn ok(body: impl ToString) -> Self {
        Self { status: 200, body: body.to_string() }
    }

    /// A refusal. It says why: the scripts' output is what a failed test shows.
    #[must_use]
    pub fn refusal(status: u16, why: &str) -> Self {
        let body = serde_json::json!({ "error": "refused", "error_description": why });
        Self { status, body: body.to_string() }
    }
}

/// Answers on loopback for as long as the process lives. Returns the URL, without a path.
///
/// # Panics
///
/// Where loopback has no port left.
pub fn listen(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            spawn(move || serve(stream, &*answer));
        }
    });
    url
}

/// Answers on a socket in the file system.
///
/// # Panics
///
/// Where there cannot be one.
pub fn listen_at(path: &Path, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
    let listener = UnixListener::bind(path).expect("a socket");
    spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
}

/// Answers one request and ends the connection.
fn serve(stream: impl Read + Write, answer: &impl Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read(&mut reader) else { return };
    let reply = answer(&request);
    let media = if reply.body.starts_with('{') { "application/json" } else { "text/plain" };
    let head = format!(
        "HTTP/1.1 {} -\r\ncontent-type: {media}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.status,
        reply.body.len()
    );
    let _ = reader.get_mut().write_all(&[head.as_bytes(), reply.body.as_bytes()].concat());
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let path = path.to_owned();
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, query, headers, body: Vec::new() };
    let length = header(&request, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    request.body = body;
    Some(request)
}

/// The only value of a header.
#[must_use]
pub fn header<'request>(request: &'request Request, name: &'request str) -> Option<&'request str> {
    let mut found = request.header(name);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// The only value of a parameter, in a query or a form.
#[must_use]
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    let pairs = form.split(|byte| *byte == b'&').filter_map(|pair| {
        let middle = pair.iter().position(|byte| *byte == b'=')?;
        Some((form::decode(&pair[..middle])?, form::decode(&pair[middle + 1..])?))
    });
    let mut found = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// The body as JSON.
#[must_use]
pub fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}
