//! What an exchange costs in workerd, roughly: the processor time of its process, all of it.
//!
//! `cargo test -p writ-tests --test worker -- --ignored --nocapture`

#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock, and computes with it"
)]

use std::time::Instant;

use serde_json::json;
use writ_core::http::Request;
use writ_tests::client::send;
use writ_tests::forms::token_request;
use writ_tests::running::Running;
use writ_tests::target::{clock, get};

/// Requests that count.
const COUNT: u32 = 1_000;
/// Requests before, so that V8 has compiled what is used.
const WARM: u32 = 1_000;

#[test]
#[ignore = "a measurement, not a test"]
fn an_exchange_in_workerd() {
    let running = Running::with("worker", "plain", &[]);
    let alive = vec![get("/healthz"); (COUNT + WARM) as usize];
    report("a request that asks nothing", &running, &alive);
    let exchanges: Vec<Request> = (0..COUNT + WARM).map(|_| once(&running)).collect();
    report("an exchange of a single-use token", &running, &exchanges);
}

fn report(what: &str, running: &Running, requests: &[Request]) {
    let (warm, counted) = requests.split_at(WARM as usize);
    for request in warm {
        assert_eq!(send(&running.instances[0], request).unwrap().status, 200);
    }
    let (cpu, began) = (consumed(), Instant::now());
    let mut took: Vec<_> = counted
        .iter()
        .map(|request| {
            let sent = Instant::now();
            assert_eq!(send(&running.instances[0], request).unwrap().status, 200);
            sent.elapsed()
        })
        .collect();
    let (cpu, wall) = (consumed() - cpu, began.elapsed());
    took.sort_unstable();
    println!(
        "{what}: {} µs of processor time in workerd; p50 {:?}, p99 {:?}, {:.0} a second, one at a time",
        cpu * 1_000 / u64::from(COUNT),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        f64::from(COUNT) / wall.as_secs_f64(),
    );
}

fn once(running: &Running) -> Request {
    let token = running.sign(json!({ "from": "jobs", "claims": { "sub": "job" } }), clock());
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("resource", "https://files.example/api"),
    ];
    token_request(&fields)
}

/// Milliseconds of processor time of workerd, which is a child of the script that is our child.
fn consumed() -> u64 {
    let processes: Vec<(u32, u32, u64)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            Some((id, fields[1].parse().ok()?, ticks * 10))
        })
        .collect();
    let children = |parents: &[u32]| -> Vec<u32> {
        let of = processes.iter().filter(|(_, parent, _)| parents.contains(parent));
        of.map(|(id, _, _)| *id).collect()
    };
    let workerd = children(&children(&[std::process::id()]));
    processes.iter().filter(|(id, _, _)| workerd.contains(id)).map(|(_, _, millis)| millis).sum()
}
