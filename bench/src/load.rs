//! The clients: requests that were made beforehand, sent over connections that stay open, by threads
//! that do nothing else.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use writ_process::moment::instant;

use crate::processes;

/// Requests as they go over the wire, without what names the server.
pub(crate) struct Requests {
    path: &'static str,
    bodies: Vec<String>,
    next: AtomicUsize,
}

/// How long clients go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// They stop then…
    pub(crate) time: Duration,
    /// … or after so many answers.
    pub(crate) answers: usize,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The time each exchange took, in ascending order.
    pub(crate) times: Vec<Duration>,
    /// Requests that got no token.
    pub(crate) failed: usize,
    /// What the first of them got.
    pub(crate) failure: Option<String>,
    /// How long it took in all.
    pub(crate) wall: Duration,
    /// The processor time that the clients took themselves.
    pub(crate) own: Duration,
}

impl Requests {
    /// These forms, posted to `path`, again from the first one after the last.
    pub(crate) fn new(path: &'static str, bodies: Vec<String>) -> Self {
        Self { path, bodies, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> &str {
        &self.bodies[self.next.fetch_add(1, Ordering::Relaxed) % self.bodies.len()]
    }

    /// Makes one exchange over a connection of its own.
    ///
    /// # Errors
    ///
    /// What came instead of a token.
    pub(crate) fn once(&self, authority: &str) -> Result<Duration, String> {
        let mut client = Client::connect(authority).map_err(|error| error.to_string())?;
        let began = instant();
        client.exchange(self)?;
        Ok(began.elapsed())
    }

    /// Has so many clients exchange, each one request at a time.
    pub(crate) fn send(&self, authority: &str, clients: usize, until: Until) -> Heard {
        let answered = AtomicUsize::new(0);
        let (began, own) = (instant(), processes::own());
        let client = || {
            let mut heard = Heard::default();
            let mut client = Client::connect(authority);
            while began.elapsed() < until.time
                && answered.fetch_add(1, Ordering::Relaxed) < until.answers
            {
                let started = instant();
                let outcome = match &mut client {
                    Ok(client) => client.exchange(self),
                    Err(error) => Err(error.to_string()),
                };
                match outcome {
                    Ok(()) => heard.times.push(started.elapsed()),
                    Err(error) => {
                        heard.failed += 1;
                        heard.failure.get_or_insert(error);
                        client = Client::connect(authority);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
            heard
        };
        let each: Vec<Heard> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a client")).collect()
        });
        let mut all =
            Heard { wall: began.elapsed(), own: processes::own() - own, ..Heard::default() };
        for heard in each {
            all.times.extend(heard.times);
            all.failed += heard.failed;
            all.failure = all.failure.or(heard.failure);
        }
        all.times.sort_unstable();
        all
    }
}

impl Heard {
    /// The time that this part of all exchanges did not exceed.
    #[must_use]
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a list"
        )]
        let index = (last as f64 * part).round() as usize;
        self.times.get(index).copied().unwrap_or_default()
    }
}

/// A connection.
struct Client {
    stream: BufReader<TcpStream>,
    authority: String,
}

impl Client {
    fn connect(authority: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), authority: authority.to_owned() })
    }

    fn exchange(&mut self, requests: &Requests) -> Result<(), String> {
        let (status, body) =
            self.post(requests.path, requests.next()).map_err(|error| error.to_string())?;
        if status == 200 && find(&body, b"\"access_token\"") {
            return Ok(());
        }
        Err(format!("{status} {}", String::from_utf8_lossy(&body)))
    }

    fn post(&mut self, path: &str, form: &str) -> io::Result<(u16, Vec<u8>)> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            self.authority,
            form.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        let (mut length, mut chunked, mut close) = (None, false, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(("transfer-encoding", value)) => chunked = value == "chunked",
                Some(("connection", value)) => close = value == "close",
                Some(_) => {}
                None => break,
            }
        }
        let body = match length {
            Some(length) => self.bytes(length)?,
            None if chunked => self.chunks()?,
            None => return Err(io::Error::other("an answer without a length")),
        };
        if close {
            *self = Self::connect(&self.authority)?;
        }
        Ok((status, body))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            body.extend(self.bytes(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn find(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// A first exchange may compile ten thousand policies.
const PATIENCE: Duration = Duration::from_secs(60);
