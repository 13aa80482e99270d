//! What DynamoDB does to a store: too late, in conflict, lost, and out of order.

use writ_core::host::{Batch, Commit, Listing, Range};
use writ_core::limits;
use writ_core::moment::Timestamp;

use super::aws::{Aws, Fault};
use super::contract::{NOW, batch, session};
use super::{hop, put};

/// What was decided too long ago is not sent any more, and what is answered too late is not known.
#[tokio::test]
async fn a_batch_that_comes_too_late_is_not_done() {
    let aws = Aws::start();
    let (store, place) = (aws.store(), session("one", "late"));
    let timed = |id: &str, until: i64| Batch {
        until: Some(Timestamp(until)),
        ..batch(id, vec![], vec![put("a", id)])
    };
    let now = writ_process::moment::now().0;
    assert!(store.commit(&place, timed("late", now - 1)).await.is_err());
    assert!(store.read(&place, Range::of("")).await.unwrap().is_empty());
    assert!(store.commit(&place, timed("in time", now + 60)).await.is_ok());
    aws.faults.next([Fault::Delay(2_100)]);
    let now = writ_process::moment::now().0;
    assert!(store.commit(&place, timed("slow", now + 1)).await.is_err());
}

/// Others at work on the same items are waited out: no replay, and no 503 at once.
#[tokio::test]
async fn a_conflict_is_contention_and_is_tried_again() {
    let aws = Aws::start();
    let store = aws.store();
    for (number, fault) in
        [Fault::Conflict, Fault::Busy, Fault::Throttled, Fault::InProgress].into_iter().enumerate()
    {
        let place = session("one", &format!("conflict-{number}"));
        aws.faults.next([fault.clone(), fault.clone(), fault.clone()]);
        aws.faults.take();
        let opening = hop("1", true, 1);
        assert_eq!(store.commit(&place, opening).await.unwrap(), Commit::Done, "{fault:?}");
        assert_eq!(aws.faults.take().len(), 4, "{fault:?}");
    }
    // It has an end, within the time of one call.
    let began = tokio::time::Instant::now();
    aws.faults.always(Fault::Conflict);
    let place = session("one", "conflict-for-ever");
    assert_eq!(store.commit(&place, hop("1", true, 1)).await.unwrap(), Commit::Contended);
    assert!(began.elapsed().as_secs() < limits::STORE_SECS);
    assert!(aws.faults.take().len() > 5);
    aws.faults.stop();
    assert!(store.read(&place, Range::of("")).await.unwrap().is_empty(), "nothing is written");
    // A read waits as well.
    aws.faults.next([Fault::Throttled, Fault::Throttled]);
    assert!(store.read(&place, Range::of("snapshot")).await.unwrap().is_empty());
}

/// An answer that is lost is no replay: shown once more, the batch finds its own id.
#[tokio::test]
async fn a_lost_answer_is_no_replay() {
    let aws = Aws::start();
    let store = aws.store();
    for (name, first) in [("opened", true), ("extended", false)] {
        let place = session("one", &format!("lost-{name}"));
        if !first {
            store.commit(&place, hop("0", true, 1)).await.unwrap();
        }
        aws.faults.next([Fault::Lost]);
        assert!(store.commit(&place, hop("1", first, 2)).await.is_err(), "{name}");
        assert_eq!(store.commit(&place, hop("1", first, 2)).await.unwrap(), Commit::Done, "{name}");
        if first {
            let other = store.commit(&place, hop("2", true, 1)).await.unwrap();
            assert_eq!(other, Commit::Refused("opened".into()), "another batch is a replay");
        }
        assert_eq!(store.read(&place, Range::of("hop/1")).await.unwrap()[0].version, 1);
    }
}

/// Unknown is unavailable, and in time.
#[tokio::test]
async fn what_goes_wrong_is_unavailable() {
    let aws = Aws::start();
    let (store, place) = (aws.store(), session("one", "wrong"));
    for fault in [Fault::Refused, Fault::Broken, Fault::Lost, Fault::Delay(10_000)] {
        let began = tokio::time::Instant::now();
        aws.faults.next([fault.clone()]);
        let id = format!("{fault:?}");
        assert!(store.commit(&place, batch(&id, vec![], vec![put(&id, "")])).await.is_err());
        aws.faults.next([fault.clone()]);
        assert!(store.read(&place, Range::of("snapshot")).await.is_err(), "{fault:?}");
        assert!(began.elapsed().as_secs() < 2 * limits::STORE_SECS, "{fault:?}");
    }
    let listing =
        Listing { index: "user".into(), name: "u".into(), from: NOW, after: None, limit: 1 };
    aws.faults.always(Fault::Refused);
    assert!(store.list("one", &listing).await.is_err());
    assert!(store.publish("one", "a", b"", NOW).await.is_err());
    assert!(store.published("one", "a").await.is_err());
}
