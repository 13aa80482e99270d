//! The event lines: what requests did, one JSON object a line.
//!
//! A request hands its line to a bounded queue and goes on; a thread writes. Where the reader of the
//! output is too slow or gone, lines are dropped and counted, and the count is reported: the store
//! holds the record, the line is its copy (design §2).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use writ_core::event::Event;
use writ_process::{line, log, moment};

/// Where events go.
#[derive(Debug)]
pub struct Events {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn new(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("events".into())
            .spawn(move || run(io::BufWriter::new(output), &messages, &count))?;
        Ok(Self { queue, dropped })
    }

    /// Takes the event of a request that took `latency`. Never waits.
    pub fn write(&self, event: &Event, latency: Duration) {
        let line = line::of(event, TARGET, latency);
        if line.is_none_or(|line| self.queue.try_send(Message::Line(line)).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines dropped since the last report.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line taken so far is written, for a while. Blocks.
    pub fn flush(&self) {
        let (reply, done) = sync_channel(1);
        let began = moment::instant();
        let mut message = Message::Flush(reply);
        // Where the output hangs, waiting longer would not help.
        while began.elapsed() < FLUSH {
            match self.queue.try_send(message) {
                Ok(()) => {
                    let _ = done.recv_timeout(FLUSH);
                    return;
                }
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => return,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn run(mut output: impl Write, messages: &Receiver<Message>, dropped: &AtomicU64) {
    let mut broken = false;
    while let Ok(first) = messages.recv() {
        let mut lines = 0_u64;
        let mut waiting = None;
        let mut result = Ok(());
        for message in std::iter::once(first).chain(messages.try_iter().take(QUEUE)) {
            match message {
                Message::Line(line) => {
                    lines = lines.saturating_add(1);
                    result = result.and_then(|()| output.write_all(&line));
                }
                Message::Flush(reply) => {
                    waiting = Some(reply);
                    break;
                }
            }
        }
        result = result.and_then(|()| output.flush());
        if let Err(error) = &result {
            dropped.fetch_add(lines, Ordering::Relaxed);
            if !broken {
                log::error("event lines cannot be written", &[("error", error.to_string().into())]);
            }
        }
        broken = result.is_err();
        let lost = if broken { 0 } else { dropped.swap(0, Ordering::Relaxed) };
        if lost > 0 {
            log::warn("event lines were dropped", &[("dropped", lost.into())]);
        }
        if let Some(reply) = waiting {
            // Nobody may be waiting any more, which is no reason to fail.
            let _ = reply.send(());
        }
        // To be woken for each line costs its request more than to write it. A busy instance's
        // lines gather meanwhile.
        std::thread::sleep(GATHER);
    }
}

/// The name of this target in its lines.
const TARGET: &str = "native";
/// Lines waiting to be written: about a second of a busy instance, some 4 MiB.
const QUEUE: usize = 8_192;
/// How long lines may gather before they are written.
const GATHER: Duration = Duration::from_millis(2);
/// How long a flush waits for the output.
const FLUSH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use serde_json::Value;
    use writ_core::moment::Timestamp;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn event(client: &str) -> Event {
        Event { time: Timestamp(7), client: Some(client.into()), ..Event::default() }
    }

    #[test]
    fn s02_an_event_is_one_line_of_json_whatever_it_says() {
        let captured = Captured::default();
        let events = Events::new(captured.clone()).unwrap();
        let evil = "a\n{\"forged\":true}\r\u{1b}[31m\"";
        events.write(&event(evil), Duration::from_micros(123));
        events.flush();
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["client"], evil);
        assert_eq!(line["time"], 7);
        assert_eq!(line["latency_us"], 123);
        assert_eq!(line["target"], "native");
    }

    #[test]
    fn a_stuck_output_drops_lines_and_never_blocks() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Until the test lets go of the other end.
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, held) = channel();
        let events = Events::new(Stuck(held)).unwrap();
        // The queue, what the thread has taken from it, and the buffer before the output.
        for _ in 0..QUEUE * 3 {
            events.write(&event("a"), Duration::ZERO);
        }
        assert!(events.dropped() > 0);
        drop(release);
        events.flush();
        // What was dropped has been reported, and new lines are taken again.
        events.write(&event("a"), Duration::ZERO);
        events.flush();
        assert_eq!(events.dropped(), 0);
    }
}
