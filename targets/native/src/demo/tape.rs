//! The service's event lines, as they are written: for what the record knows and the caller is not
//! told.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Reads the events.
pub(crate) struct Tape(mpsc::Receiver<Value>);

/// Takes the event lines.
pub(crate) struct Recorder {
    line: Vec<u8>,
    events: mpsc::Sender<Value>,
}

/// Both ends.
pub(crate) fn tape() -> (Recorder, Tape) {
    let (events, tape) = mpsc::channel(EVENTS);
    (Recorder { line: Vec::new(), events }, Tape(tape))
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            if let Ok(event) = serde_json::from_slice(&self.line) {
                // Where nobody reads as fast, the latest are lost: the store has them all.
                let _ = self.events.try_send(event);
            }
            self.line.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tape {
    /// The event of a request that was answered; others are passed over.
    pub(crate) async fn find(&mut self, request: &str) -> Option<Value> {
        let found = async {
            while let Some(event) = self.0.recv().await {
                if event.get("request").and_then(Value::as_str) == Some(request) {
                    return Some(event);
                }
            }
            None
        };
        timeout(PATIENCE, found).await.ok().flatten()
    }

    /// The next event there is.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        self.0.recv().await
    }
}

/// Events that wait to be read.
const EVENTS: usize = 256;
/// How long an answered request's event may take.
const PATIENCE: Duration = Duration::from_secs(5);
