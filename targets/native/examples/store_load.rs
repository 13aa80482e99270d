//! Measures the store: `cargo run --release -p writ --example store_load -- DIRECTORY`.
//!
//! Each batch is like an exchange's: five conditions, a hop of 600 bytes, two more facts and three
//! index entries, in a new session with a random id. Prints commits a second and the CPU time of the
//! whole process for each commit, for growing numbers of callers.
#![expect(clippy::print_stdout, clippy::arithmetic_side_effects, reason = "a measurement prints")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use writ::store::{Store, StoreOptions};
use writ_core::encoding::{base64url, sha256};
use writ_core::host::{Batch, Entry, Expect, Kind, Partition, Record, Write};
use writ_core::moment::Timestamp;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("name a directory")?.into();
    let store = Arc::new(Store::open(&StoreOptions {
        path: directory.join("store-load.db"),
        max_bytes: None,
    })?);
    for (base, callers) in
        [(1_900_000_000, 1), (1_900_000_010, 8), (1_900_000_020, 64), (1_900_000_030, 256)]
    {
        let before = cpu()?;
        let began = tokio::time::Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..callers {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let mut done = 0_u64;
                while began.elapsed() < Duration::from_secs(3) {
                    let now = Timestamp(base).plus(began.elapsed().as_secs().cast_signed());
                    let id = base64url(&sha256(format!("{callers} {caller} {done}").as_bytes()));
                    let partition =
                        Partition { zone: "prod".into(), kind: Kind::Session, id: id.clone() };
                    store.commit(&partition, exchange(&id, now)).await.map_err(|error| error.0)?;
                    done += 1;
                }
                Ok::<u64, String>(done)
            });
        }
        let mut total = 0;
        for done in tasks.join_all().await {
            total += done?;
        }
        let after = cpu()?;
        let user = (after.0 - before.0) / total.max(1);
        let system = (after.1 - before.1) / total.max(1);
        println!(
            "{callers:>4} callers: {:>6} commits/s, {user:>4} + {system} µs CPU each (user + system)",
            total / 3
        );
    }
    store.close().await.map_err(|error| error.0)?;
    Ok(())
}

fn exchange(id: &str, now: Timestamp) -> Batch {
    let expires = now.plus(3_600);
    let put = |key: &str, bytes| {
        Write::Put(Record { key: key.into(), value: vec![b'v'; bytes], expires, version: 0 })
    };
    let entry = |index, name: &str| Entry {
        index,
        name: name.into(),
        at: now,
        key: "hop/0123456789abcdefghijkl".into(),
        expires,
    };
    // Users and applications come back; sessions do not.
    let first = id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let absent = |key: &str| Expect::Absent(key.into());
    Batch {
        id: id.into(),
        now,
        until: None,
        expect: vec![
            absent("opened"),
            absent("ended"),
            absent("revoked/0123456789abcdefghijkl"),
            Expect::LiveOrAbsent { key: "spent".into(), until: now },
            Expect::Below { key: "denials".into(), version: 256 },
        ],
        write: vec![put("opened", 200), put("hop/0123456789abcdefghijkl", 600), put("spent", 40)],
        index: vec![
            entry("user", &format!("https://login.example|user-{:04}", first % 5_000)),
            entry("application", &format!("https://agents.example/{:02}", first % 20)),
            entry("record", "prod"),
        ],
    }
}

/// CPU time of this process so far, user and system, in microseconds.
fn cpu() -> Result<(u64, u64), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("stat has another form")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u64, Box<dyn Error>> {
        // In the kernel's hundredths of a second.
        Ok(fields.next().ok_or("stat is too short")?.parse::<u64>()? * 10_000)
    };
    Ok((next()?, next()?))
}
