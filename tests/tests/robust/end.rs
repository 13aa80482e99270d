//! A service ends: by a kill at any moment, by a signal that it obeys; or there are two of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use writ_tests::client::parts;
use writ_tests::deployment::Site;
use writ_tests::load::{Heard, Load, ask, chance, issued, once};
use writ_tests::run::read;
use writ_tests::target::published;

use super::{asks, assert_recorded, assert_replayed, records, replay, warm_up};

#[test]
fn j21_a_kill_in_mid_load_loses_no_answered_exchange() {
    let site = Site::new("plain");
    let mut all: Vec<Heard> = Vec::new();
    for _ in 0..ROUNDS {
        let process = site.serve(&[]);
        let load = Load::start(&process.authority, asks(&site, 600, process.now()), CLIENTS);
        load.wait_for(1 + chance(120));
        std::thread::sleep(Duration::from_micros(u64::try_from(chance(8_000)).unwrap()));
        process.kill();
        let heard = load.end();
        assert!(heard.iter().any(|heard| heard.answer.is_none()), "it was killed after the load");

        let process = site.serve(&[]);
        assert_recorded(&heard, &records(&site));
        replay(&heard, &process);
        let stopped = process.stop();
        assert_replayed(&stopped.events);
        all.extend(heard);
    }
    let records = records(&site);
    assert_recorded(&all, &records);
    assert!(all.iter().filter(|heard| heard.issued().is_some()).count() > ROUNDS);
}

#[test]
fn a_stop_in_mid_load_finishes_what_has_begun() {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    warm_up(&site, &process);
    let before = records(&site).hops().count();

    // A request that has begun, whose client takes its time.
    let slow = ask(&site, 0, process.now()).request;
    let (head, body) = parts(&process.authority, &slow);
    let mut stream = TcpStream::connect(&process.authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&head).unwrap();
    stream.write_all(&body[..20]).unwrap();

    let load = Load::start(&process.authority, asks(&site, 2_000, process.now()), CLIENTS);
    load.wait_for(50 + chance(50));
    let stopping = std::thread::spawn(move || process.stop());
    let heard = load.end();
    stream.write_all(&body[20..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let stopped = stopping.join().unwrap();
    assert_eq!(stopped.code, Some(0), "{}", stopped.said);
    // Whoever copies the store now needs one file.
    let log = std::fs::metadata(site.path("data/writ.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the log was not folded into the file");
    let records = records(&site);
    assert_recorded(&heard, &records);
    // Not only is every answered exchange recorded: every recorded one was answered.
    let tokens = heard.iter().filter(|heard| heard.issued().is_some()).count();
    assert_eq!(records.hops().count(), before + tokens + 1);
    let said = stopped.events.iter().filter(|event| event["outcome"] == "allow").count();
    assert_eq!(said, before + tokens + 1, "one event for each token");
}

#[test]
fn j21_of_parallel_uses_over_two_processes_exactly_one_succeeds() {
    let site = Site::new("plain");
    let processes = [site.serve(&[]), site.serve(&[])];
    for process in &processes {
        warm_up(&site, process);
    }
    for kind in [0, 1, 2, 3].repeat(5) {
        let spent = ask(&site, kind, processes[0].now());
        let barrier = Barrier::new(CLIENTS);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (process, barrier, spent) = (&processes[number % 2], &barrier, &spent);
                    scope.spawn(move || {
                        barrier.wait();
                        process.send(&spent.request)
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let tokens = answers.iter().filter_map(issued).count();
        assert_eq!(tokens, 1, "kind {kind}: {statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400, 401].contains(status)), "{statuses:?}");
    }
    records(&site);
    for process in processes {
        let stopped = process.stop();
        assert_eq!(stopped.code, Some(0), "{}", stopped.said);
        assert_replayed(&stopped.events);
    }
}

/// What one signs the other publishes the key of, and what one records the other goes on from.
#[test]
fn two_processes_share_one_data_directory() {
    let site = Site::new("plain");
    let first = site.serve(&[]);
    let second = site.serve(&[]);
    for (signing, other) in [(&first, &second), (&second, &first)] {
        let answer = signing.send(&once(&site, signing.now()).request);
        let body = answer.json().unwrap();
        let token = body["access_token"].as_str().unwrap();
        read(token, &published(&|path| other.get(path))).unwrap();
    }
    // A session goes on wherever it began.
    let opened = first.send(&ask(&site, 4, first.now()).request).json().unwrap();
    let narrowed = second.send(&narrower(opened["access_token"].as_str().unwrap()));
    assert_eq!(narrowed.status, 200, "{:?}", narrowed.json());
    first.kill();
    let answer = second.send(&once(&site, second.now()).request);
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    records(&site);
}

fn narrower(token: &str) -> writ_core::http::Request {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", token),
        ("resource", "https://files.example/api"),
    ];
    let mut request = writ_tests::forms::token_request(&fields);
    // files-api:files-secret
    let own = "Basic ZmlsZXMtYXBpOmZpbGVzLXNlY3JldA==".to_owned();
    request.headers.push(("authorization".to_owned(), own));
    request
}

const ROUNDS: usize = 5;
const CLIENTS: usize = 12;
