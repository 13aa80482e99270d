//! A door of which the address is known before the service behind it is started.
//!
//! Published clients insist that a service is where its issuer says, so the zone must name the
//! address; and a service names its port only when it listens. What comes in here is passed on byte
//! by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread::spawn;

/// An address on loopback, for as long as the process lives.
pub struct Front {
    url: String,
    behind: Arc<OnceLock<String>>,
}

impl Front {
    /// Takes an address. Whoever connects before [`Front::lead_to`] is turned away.
    ///
    /// # Panics
    ///
    /// Where loopback has no port left.
    #[must_use]
    pub fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let front = Self { url, behind: Arc::default() };
        let behind = Arc::clone(&front.behind);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(authority) = behind.get()
                    && let Ok(service) = TcpStream::connect(authority)
                {
                    join(stream, service);
                }
            }
        });
        front
    }

    /// The address as a URL without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Passes everything on to `authority` from now on.
    ///
    /// # Panics
    ///
    /// The second time.
    pub fn lead_to(&self, authority: &str) {
        self.behind.set(authority.to_owned()).expect("it leads nowhere yet");
    }
}

fn join(client: TcpStream, service: TcpStream) {
    let both = || Some((client.try_clone().ok()?, service.try_clone().ok()?));
    if let Some((from, to)) = both() {
        spawn(move || pass(from, to));
        spawn(move || pass(service, client));
    }
}

/// Passes bytes on at once until their source ends, and then ends the way out.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes)
        && read > 0
        && to.write_all(&bytes[..read]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Write);
}
