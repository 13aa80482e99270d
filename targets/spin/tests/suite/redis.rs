//! The script of the Redis store, on a real server: the contract of every strong store.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::FutureExt;
use tempfile::TempDir;
use writ_core::host::{
    Batch, Commit, Entry, Expect, Listing, Page, Partition, Range, Record, Unavailable, Write,
};
use writ_core::moment::Timestamp;

use crate::contract::{self, NOW, Strong, batch, record, session};
use crate::redis::{self, Answer, Durable, Send};

/// A server of its own for each test.
struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Server {
    fn start(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/bin/redis-server");
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|_| panic!("redis-server is missing: tests/tools/spin install"));
        let server = Self { process, port, directory };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(RefCell::new(BufReader::new(stream)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const DOCUMENT: &str = include_str!("../../../../docs/storage.md");

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

struct Connection(RefCell<BufReader<TcpStream>>);

impl Send for Connection {
    fn send(&self, command: &str, arguments: Vec<Vec<u8>>) -> Result<Vec<Answer>, String> {
        let mut line = format!("*{}\r\n", arguments.len() + 1).into_bytes();
        for part in std::iter::once(command.as_bytes().to_vec()).chain(arguments) {
            line.extend(format!("${}\r\n", part.len()).into_bytes());
            line.extend(part);
            line.extend(b"\r\n");
        }
        let mut stream = self.0.borrow_mut();
        stream.get_mut().write_all(&line).unwrap();
        let (mut answer, mut left) = (Vec::new(), 1);
        while left > 0 {
            left -= 1;
            let mut head = String::new();
            stream.read_line(&mut head).unwrap();
            let (kind, rest) = head.trim_end().split_at(1);
            match (kind, rest.parse::<i64>()) {
                ("+", _) => answer.push(Answer::Status(rest.to_owned())),
                ("-", _) => return Err(rest.to_owned()),
                (":", Ok(number)) => answer.push(Answer::Number(number)),
                ("$" | "*", Ok(-1)) => answer.push(Answer::Nil),
                ("*", Ok(count)) => left += count,
                ("$", Ok(length)) => {
                    let mut bytes = vec![0; usize::try_from(length).unwrap() + 2];
                    stream.read_exact(&mut bytes).unwrap();
                    bytes.truncate(bytes.len() - 2);
                    answer.push(Answer::Bytes(bytes));
                }
                _ => panic!("`{head}` is no answer"),
            }
        }
        Ok(answer)
    }
}

impl Strong for Connection {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        redis::commit(self, Durable::Asked, partition, &batch)
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        redis::read(self, partition, range)
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        redis::list(self, zone, listing)
    }
}

#[test]
fn keeps_the_contract() {
    let server = Server::start(&DURABLE);
    let connection = server.connect();
    contract::holds(&connection, "first").now_or_never().unwrap();
    contract::holds(&connection, "second").now_or_never().unwrap();
}

#[test]
fn j21_of_many_threads_one_claims() {
    let server = Server::start(&DURABLE);
    for round in 0..20 {
        let place = session("one", &format!("claimed-{round}"));
        let outcomes: Vec<Commit> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (connection, place) = (server.connect(), place.clone());
                    scope.spawn(move || {
                        let id = format!("b{number}");
                        let expect = vec![Expect::Absent("a".into())];
                        let claim = batch(&id, expect, vec![Write::Put(record("a", &id))]);
                        redis::commit(&connection, Durable::Asked, &place, &claim).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let done = outcomes.iter().filter(|outcome| **outcome == Commit::Done).count();
        let refused = outcomes.iter().filter(|outcome| **outcome == Commit::Refused("a".into()));
        assert_eq!((done, refused.count()), (1, 7), "round {round}: {outcomes:?}");
    }
}

#[test]
fn a_batch_that_comes_too_late_is_not_written() {
    let server = Server::start(&DURABLE);
    let connection = server.connect();
    let place = session("one", "late");
    let timed = |until: i64| Batch {
        until: Some(Timestamp(until)),
        ..batch("b", vec![], vec![Write::Put(record("a", "1"))])
    };
    let late = redis::commit(&connection, Durable::Asked, &place, &timed(1)).unwrap_err();
    assert!(late.0.contains("too late"), "{late:?}");
    assert!(redis::read(&connection, &place, Range::of("")).unwrap().is_empty());
    let in_time = redis::commit(&connection, Durable::Asked, &place, &timed(NOW.0));
    assert_eq!(in_time, Ok(Commit::Done));
}

/// A server that may lose or drop what it acknowledged is refused, and the refusal says what to set.
#[test]
fn a_server_that_forgets_is_refused() {
    for (settings, wanted) in [
        (&["--appendonly", "no"][..], "CONFIG SET appendonly yes"),
        (&["--appendonly", "yes", "--appendfsync", "everysec"], "CONFIG SET appendfsync always"),
        (
            &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--maxmemory-policy",
                "allkeys-lru",
            ],
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--no-appendfsync-on-rewrite",
                "yes",
            ],
            "CONFIG SET no-appendfsync-on-rewrite no",
        ),
        (
            &["--appendonly", "yes", "--appendfsync", "always", "--rename-command", "CONFIG", ""],
            "`no-appendfsync-on-rewrite` is `no`, and set the variable `redis_durable` to `asserted`",
        ),
    ] {
        let server = Server::start(settings);
        let connection = server.connect();
        let (place, write) = (session("one", "p"), vec![Write::Put(record("a", "1"))]);
        let write = batch("b", vec![], write);
        let error = redis::commit(&connection, Durable::Asked, &place, &write).unwrap_err();
        assert!(error.0.contains(wanted), "{error:?}");
        assert!(redis::read(&connection, &place, Range::of("")).unwrap().is_empty());
        let asserted = redis::commit(&connection, Durable::Asserted, &place, &write);
        assert_eq!(asserted, Ok(Commit::Done), "the operator's word counts");
    }
}

/// Expiry is housekeeping: an hour after the last record, never sooner, and never for what stays.
#[test]
fn a_key_expires_an_hour_after_its_last_record() {
    let server = Server::start(&DURABLE);
    let connection = server.connect();
    let left = |key: &str| match connection.send("PTTL", vec![key.into()]).unwrap().as_slice() {
        [Answer::Number(left)] => *left / 1_000,
        other => panic!("{other:?}"),
    };
    let clock = match connection.send("TIME", vec![]).unwrap().first() {
        Some(Answer::Bytes(secs)) => String::from_utf8_lossy(secs).parse::<i64>().unwrap(),
        other => panic!("{other:?}"),
    };
    let place = session("one", "kept");
    let write = |id: &str, expires: i64| {
        let put = Write::Put(Record { expires: Timestamp(expires), ..record(id, "1") });
        let index = vec![Entry {
            index: "user",
            name: "alice".into(),
            at: NOW,
            key: id.into(),
            expires: Timestamp(expires.min(clock + 500)),
        }];
        let written = Batch { index, now: Timestamp(clock), ..batch(id, vec![], vec![put]) };
        let done = redis::commit(&connection, Durable::Asked, &place, &written);
        assert_eq!(done, Ok(Commit::Done));
    };
    let kept = "writ:{one}:session:kept";
    let order = "writ:{one}:keys:session:kept";
    let close = |found: i64, wanted: i64| assert!((found - wanted).abs() <= 2, "{found} {wanted}");
    write("past", clock - 10_000);
    close(left(kept), 3_600);
    close(left(order), 3_600);
    write("long", clock + 1_000);
    close(left(kept), 4_600);
    close(left("writ:{one}:index:user:alice"), 4_100);
    close(left(order), 4_600);
    write("short", clock + 10);
    close(left(kept), 4_600);
    write("ever", i64::MAX);
    assert_eq!((left(kept), left(order)), (0, 0), "-1: it stays");
    write("again", clock + 10);
    assert_eq!(left(kept), 0);
    let kept = redis::read(&connection, &place, Range::of("ever")).unwrap();
    assert_eq!(kept.first().unwrap().expires, Timestamp(i64::MAX), "exactly, though Lua rounds");
    for key in connection.send("KEYS", vec![b"*".to_vec()]).unwrap() {
        let Answer::Bytes(key) = key else { panic!("{key:?}") };
        let key = String::from_utf8(key).unwrap().replace("{one}", "{ZONE}").replace("kept", "ID");
        let key = key.replace("user:alice", "INDEX:NAME");
        assert!(DOCUMENT.contains(&format!("`{key}`")), "docs/storage.md has no `{key}`");
    }
}

/// What a read costs is of what it answers, however many records the partition has.
#[test]
fn a_read_looks_at_nothing_but_what_it_answers() {
    let server = Server::start(&DURABLE);
    let connection = server.connect();
    let place = session("one", "long");
    for number in 0..200 {
        let key = format!("hop/{number:03}");
        let batch = batch(&key.clone(), vec![], vec![Write::Put(record(&key, "1"))]);
        assert_eq!(redis::commit(&connection, Durable::Asked, &place, &batch), Ok(Commit::Done));
    }
    let forget = batch("f", vec![], vec![Write::Forget("hop/101".into())]);
    assert_eq!(redis::commit(&connection, Durable::Asked, &place, &forget), Ok(Commit::Done));
    connection.send("CONFIG", vec![b"RESETSTAT".to_vec()]).unwrap();
    let found = redis::read(&connection, &place, Range::of("hop/10")).unwrap();
    let keys: Vec<_> = found.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(keys.len(), 9, "{keys:?}");
    assert!(keys.is_sorted() && !keys.contains(&"hop/101"), "{keys:?}");
    let statistics = connection.send("INFO", vec![b"commandstats".to_vec()]).unwrap();
    let Some(Answer::Bytes(statistics)) = statistics.first() else { panic!("{statistics:?}") };
    let statistics = String::from_utf8_lossy(statistics);
    assert!(statistics.contains("cmdstat_hget:calls=9,"), "{statistics}");
    assert!(!statistics.contains("cmdstat_hkeys"), "{statistics}");
}

/// What was acknowledged is there after the process was killed.
#[test]
fn a_killed_server_loses_nothing() {
    let mut server = Server::start(&DURABLE);
    let place = session("one", "killed");
    let written = batch("b", vec![], vec![Write::Put(record("a", "1"))]);
    let done = redis::commit(&server.connect(), Durable::Asked, &place, &written);
    assert_eq!(done, Ok(Commit::Done));
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/bin/redis-server");
    server.process = Command::new(program)
        .args(["--port", &server.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(server.directory.path())
        .args(DURABLE)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..400 {
        // It listens before it has read what it kept, and says so.
        if TcpStream::connect(("127.0.0.1", server.port)).is_ok()
            && let Ok(kept) = redis::read(&server.connect(), &place, Range::of(""))
        {
            assert_eq!(kept.len(), 1);
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come back");
}
