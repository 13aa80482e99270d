//! Clients that hang up, at every moment at which they can.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;
use writ_tests::client::parts;
use writ_tests::deployment::{Process, Site};
use writ_tests::load::{Ask, KINDS, ask};

use super::{records, warm_up};

/// How much of an exchange a client waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    /// After it has sent so many per mille of the request.
    Sending(usize),
    /// With the last byte of the request.
    Sent,
    /// The same, but it would still read: HTTP takes it for a hang-up.
    HalfClosed,
    /// A little later, before it reads.
    Waiting,
    /// After the first byte of the answer.
    Reading,
}

impl Leaves {
    fn asked_whole(self) -> bool {
        !matches!(self, Self::Sending(_))
    }
}

#[test]
fn a_client_that_hangs_up_leaves_the_whole_exchange_or_nothing() {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    warm_up(&site, &process);
    let open = descriptors(&process);

    let now = process.now();
    let whole = [Leaves::Sent, Leaves::HalfClosed, Leaves::Waiting, Leaves::Reading];
    let moments: Vec<Leaves> =
        (0..40).map(|part| Leaves::Sending(part * 25)).chain(whole.repeat(10)).collect();
    // The kinds whose subject's token is spent by it, so that the record names them.
    let calls: Vec<(Leaves, Ask)> = moments
        .iter()
        .enumerate()
        .map(|(number, moment)| (*moment, ask(&site, number % 2, now)))
        .collect();
    std::thread::scope(|scope| {
        for some in calls.chunks(calls.len().div_ceil(CLIENTS)) {
            scope.spawn(|| some.iter().for_each(|(moment, ask)| call(&process, *moment, ask)));
        }
    });

    assert_eq!(process.get("/healthz").status, 200);
    settle(&process, open);
    let stopped = process.stop();
    assert_eq!(stopped.code, Some(0), "{}", stopped.said);
    assert!(!stopped.said.contains("did not end well"), "{}", stopped.said);
    let records = records(&site);
    let tells = |event: &Value, proof: &str| {
        event["proofs"].as_array().is_some_and(|proofs| proofs.iter().any(|p| p == proof))
    };
    for (moment, ask) in &calls {
        let proof = ask.proof.as_deref().unwrap();
        let events: Vec<_> = stopped.events.iter().filter(|event| tells(event, proof)).collect();
        let expected = usize::from(moment.asked_whole());
        assert_eq!(events.len(), expected, "{moment:?}: {events:?}");
        assert_eq!(records.hops_of(proof), expected, "{moment:?}");
    }
    // What was not asked whole has none but of that, once its head was there; the time was asked
    // twice, and the health once.
    let (broken, answered): (Vec<_>, Vec<_>) =
        stopped.events.iter().partition(|event| event["reason"] == "body_incomplete");
    assert!(!broken.is_empty() && broken.iter().all(|event| event["status"] == 400), "{broken:?}");
    let whole = calls.iter().filter(|(moment, _)| moment.asked_whole()).count();
    assert_eq!(answered.len(), KINDS + whole + 3);
}

fn call(process: &Process, moment: Leaves, ask: &Ask) {
    let (head, body) = parts(&process.authority, &ask.request);
    let bytes = [head.as_slice(), body].concat();
    let mut stream = TcpStream::connect(&process.authority).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let end = match moment {
        Leaves::Sending(part) => bytes.len() * part / 1_000,
        _ => bytes.len(),
    };
    // In two pieces, so that the service has begun to read before the rest is there.
    let (first, rest) = bytes[..end].split_at(end / 2);
    stream.write_all(first).unwrap();
    std::thread::sleep(Duration::from_micros(300));
    stream.write_all(rest).unwrap();
    match moment {
        Leaves::Sending(_) | Leaves::Sent => {}
        Leaves::HalfClosed => {
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Leaves::Waiting => std::thread::sleep(Duration::from_millis(1)),
        Leaves::Reading => assert_eq!(stream.read(&mut [0]).unwrap(), 1),
    }
}

/// Waits until no more is open than there was.
fn settle(process: &Process, open: usize) {
    for _ in 0..500 {
        if descriptors(process) <= open {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(descriptors(process) <= open, "{} are open, {open} were", descriptors(process));
}

/// The open files of a process; none where the system does not list them.
fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).map_or(0, Iterator::count)
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    warm_up(&site, &process);
    let open = descriptors(&process);
    let now = process.now();
    let idle: Vec<TcpStream> = (0..200)
        .map(|number| {
            let request = ask(&site, 0, now).request;
            let (head, _) = parts(&process.authority, &request);
            let mut stream = TcpStream::connect(&process.authority).unwrap();
            stream.write_all(&head[..head.len() * (number % 3) / 2]).unwrap();
            stream
        })
        .collect();
    let answer = process.send(&ask(&site, 0, now).request);
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    drop(idle);
    settle(&process, open);
}

const CLIENTS: usize = 6;
