//! The store takes no more: it is full, another process holds it, or it is not there.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use writ_tests::client::Answer;
use writ_tests::deployment::{Process, Site};
use writ_tests::load::{Ask, Heard, Load, ask, issued, once};
use writ_tests::wire::problems;

use super::{asks, assert_recorded, records, replay, warm_up};

#[test]
fn a_full_store_issues_nothing_and_keeps_what_it_has() {
    let site = Site::new("plain");
    let process = site.serve(&["--max-data-bytes", "300000"]);
    let load = Load::start(&process.authority, asks(&site, 600, process.now()), 8);
    let (answered, refused): (Vec<Heard>, Vec<Heard>) =
        load.end().into_iter().partition(|heard| heard.issued().is_some());
    assert!(answered.len() > 20, "it was full from the beginning");
    assert!(refused.len() > 20, "it never was full");
    for heard in &refused {
        assert_unavailable(&heard.ask, heard.answer.as_ref().unwrap());
    }
    assert_recorded(&answered, &records(&site));
    // A proof that was spent is refused all the same: that needs no room.
    let spent = answered.iter().find(|heard| heard.ask.proof.is_some()).unwrap();
    let answer = process.send(&spent.ask.request);
    assert!([400, 401, 503].contains(&answer.status), "{:?}", answer.json());
    // Longer than a snapshot is used without asking the store.
    std::thread::sleep(Duration::from_secs(6));
    assert_published(&process);
    let ask = once(&site, process.now());
    assert_unavailable(&ask, &process.send(&ask.request));
    let stopped = process.stop();
    assert_eq!(stopped.code, Some(0), "{}", stopped.said);
    for event in stopped.events.iter().filter(|event| event["status"] == 503) {
        let detail = event["detail"].as_str().unwrap();
        assert!(detail.contains("--max-data-bytes"), "{event}");
        assert!(event.get("token").is_none() && event.get("hop").is_none(), "{event}");
    }

    // It starts as it is, and still publishes its keys.
    let process = site.serve(&["--max-data-bytes", "300000"]);
    assert_published(&process);
    assert_unavailable(&ask, &process.send(&ask.request));
    assert_eq!(process.stop().code, Some(0));

    let process = site.serve(&["--max-data-bytes", "30000000"]);
    replay(&answered, &process);
    // What was refused spent nothing, except where a proof is spent before the rest is refused.
    for heard in &refused {
        let answer = process.send(&heard.ask.request);
        let spent = heard.ask.beside && answer.status < 500;
        assert!(answer.status == 200 || spent, "{:?}", answer.json());
    }
    assert_recorded(&answered, &records(&site));
}

#[test]
fn a_store_that_another_process_holds_issues_nothing_until_it_lets_go() {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    warm_up(&site, &process);
    let other = Connection::open(site.path("data/writ.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let asks: Vec<Ask> = asks(&site, 8, process.now());
    let load = Load::start(&process.authority, asks, 8);
    std::thread::sleep(Duration::from_millis(5_500));
    assert_published(&process);
    let heard = load.end();
    for heard in &heard {
        assert_unavailable(&heard.ask, heard.answer.as_ref().unwrap());
    }
    other.execute_batch("ROLLBACK").unwrap();
    let next = process.send(&once(&site, process.now()).request);
    assert_eq!(next.status, 200, "{:?}", next.json());
    // What was in the writer's hands when the lock was released may have been done: it is then
    // recorded, and its proof is spent.
    let after = records(&site);
    for heard in &heard {
        let done = heard.ask.proof.as_deref().is_some_and(|proof| after.hops_of(proof) == 1);
        let answer = process.send(&heard.ask.request);
        let refused = [400, 401].contains(&answer.status);
        let right =
            if done { refused } else { answer.status == 200 || heard.ask.beside && refused };
        assert!(right, "{done}: {:?}", answer.json());
    }
    let records = records(&site);
    for proof in heard.iter().filter_map(|heard| heard.ask.proof.as_deref()) {
        assert!(records.hops_of(proof) <= 1);
    }
    assert_eq!(process.stop().code, Some(0));
}

#[test]
fn a_store_that_is_not_there_issues_nothing_until_it_is_back() {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    warm_up(&site, &process);
    let (data, elsewhere) = (site.path("data"), site.path("elsewhere"));
    fs::rename(&data, &elsewhere).unwrap();
    let refused = asks(&site, 7, process.now());
    for ask in &refused {
        assert_unavailable(ask, &process.send(&ask.request));
    }
    fs::rename(&elsewhere, &data).unwrap();
    for ask in &refused {
        let answer = process.send(&ask.request);
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let (session, hop) = issued(&answer).unwrap();
        assert!(records(&site).records.contains_key(&(session, format!("hop/{hop}"))));
    }

    fs::remove_dir_all(&data).unwrap();
    let ask = ask(&site, 0, process.now());
    assert_unavailable(&ask, &process.send(&ask.request));
    // Another store under the same name is another store.
    fs::create_dir(&data).unwrap();
    fs::write(data.join("writ.db"), "").unwrap();
    assert_unavailable(&ask, &process.send(&ask.request));
    assert_eq!(process.stop().code, Some(0));
}

fn assert_unavailable(ask: &Ask, answer: &Answer) {
    assert_eq!(answer.status, 503, "{:?}", answer.json());
    assert_eq!(problems(&ask.request, answer), Vec::<String>::new());
    let body = answer.json().unwrap();
    assert_eq!(body["error"], "temporarily_unavailable", "{body}");
    assert!(answer.header("retry-after").is_some());
    assert!(issued(answer).is_none());
}

fn assert_published(process: &Process) {
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/readyz"] {
        let answer = process.get(path);
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.json());
    }
}
