//! The parties' servers for runs over HTTP: key sets on loopback, and a count of who asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::issuer::{Page, Parties};

/// A web server on loopback, for as long as the process lives.
#[derive(Clone)]
pub struct Server {
    authority: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pages: Mutex<BTreeMap<String, Served>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Clone, Default)]
struct Served {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Server {
    /// Starts a server without a page.
    ///
    /// # Panics
    ///
    /// Where loopback has no port left.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let authority = listener.local_addr().expect("an address").to_string();
        let server = Self { authority, shared: Arc::default() };
        let shared = Arc::clone(&server.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        server
    }

    /// Publishes the key set of each party at `/keys/{name}`, and their other pages beside it.
    pub fn publish_parties(&self, parties: &Parties) {
        for (name, party) in parties {
            self.publish(&format!("/keys/{name}"), &party.page(name));
            for (path, page) in &party.pages {
                self.publish(&format!("/keys/{path}"), page);
            }
        }
    }

    /// The URL below which the key sets are.
    #[must_use]
    pub fn keys(&self) -> String {
        format!("http://{}/keys", self.authority)
    }

    /// Publishes a page, over an earlier one too.
    pub fn publish(&self, path: &str, page: &Page) {
        self.publish_raw(path, page.status, &[], page.bytes());
    }

    /// Publishes a page with headers.
    pub fn publish_raw(&self, path: &str, status: u16, headers: &[(&str, &str)], body: Vec<u8>) {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.shared.pages.lock().unwrap().insert(path.to_owned(), Served { status, headers, body });
    }

    /// The paths asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        shared.asked.lock().unwrap().push(path.clone());
        let page = shared.pages.lock().unwrap().get(&path).cloned();
        let page = page.unwrap_or(Served { status: 404, ..Served::default() });
        if answer(stream, &page).is_err() {
            return;
        }
        line.clear();
    }
}

fn answer(mut stream: &TcpStream, page: &Served) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", page.status, page.body.len());
    for (name, value) in &page.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("content-type: application/json\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &page.body].concat())
}
