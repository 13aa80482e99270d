//! HTTP/1.1 by hand, over loopback: a suite that must send what no well-behaved client sends
//! cannot use one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, whoever gave it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header names in lower case and their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The only value of the header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "the header `{name}` is there twice");
        first
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl From<writ_core::http::Response> for Answer {
    fn from(response: writ_core::http::Response) -> Self {
        let headers = response.headers.into_iter();
        Self {
            status: response.status,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).collect(),
            body: response.body,
        }
    }
}

/// Sends a request to `authority` and reads the answer.
///
/// # Errors
///
/// The connection's.
pub fn send(authority: &str, request: &writ_core::http::Request) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    let (head, body) = parts(authority, request);
    stream.write_all(&head)?;
    // A server that refuses a long body may answer before it has read it all.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let mut part = vec![0; 16 * 1024];
    // Not every server closes the connection after its answer, whatever it was asked.
    while !is_whole(&bytes, request.method == "HEAD") {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) => return parse(&bytes).ok_or(error),
        }
    }
    parse(&bytes).ok_or_else(|| std::io::Error::other("no HTTP answer"))
}

/// Whether the bytes are an answer to its end, as far as its head says where that is.
fn is_whole(bytes: &[u8], head_only: bool) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = &bytes[end + 4..];
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    if head_only || status == "204" || status == "304" {
        return true;
    }
    if field("transfer-encoding:").as_deref() == Some("chunked") {
        return unchunk(body).is_some();
    }
    let length = field("content-length:").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// The head and the body of a request, as [`send`] sends them.
pub fn parts<'request>(
    authority: &str,
    request: &'request writ_core::http::Request,
) -> (Vec<u8>, &'request [u8]) {
    let target = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method);
    if request.header("host").next().is_none() {
        head.push_str(&format!("host: {authority}\r\n"));
    }
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !request.body.is_empty() || request.method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    head.push_str("connection: close\r\n\r\n");
    (head.into_bytes(), &request.body)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Answer { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return (rest.len() >= end + 4).then_some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

/// The instant of an HTTP `Date` (RFC 9110 §5.6.7) in seconds since 1970.
pub fn http_date(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let number = |index: usize| words.get(index)?.parse::<i64>().ok();
    let (day, year) = (number(1)?, number(3)?);
    let (hour, minute, second) = (number(4)?, number(5)?, number(6)?);
    let month = i64::try_from(MONTHS.find(words.get(2)?)? / 3 + 1).ok()?;
    // Days by the civil calendar, with the year beginning in March.
    let years = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * years + years / 4 - years / 100 + years / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    }

    #[test]
    fn reads_chunks() {
        let answer = parse(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        );
        assert_eq!(answer.unwrap().body, b"abcd");
    }
}
