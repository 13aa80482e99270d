//! Denials of verified parties, recorded beside the hops they might have become, in bounded number.

use super::{DENIALS, DENIED, partition, record};
use crate::active::Active;
use crate::encoding::{base64url, tagged_hash};
use crate::event::Event;
use crate::host::{self, Batch, Commit, Expect, Host, Record, Write};
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::strong;

/// Records a denial of verified parties, in the session that the hop would have entered. It spends
/// and opens nothing. Returns whether the store took it.
pub async fn deny<H: Host>(
    host: &H,
    zone: &Active,
    session: &str,
    event: &Event,
    moment: &Moment,
) -> bool {
    let kept = moment.now.plus(zone.bundle.record_secs.max(zone.bundle.session_secs));
    let Ok(denied) = record(format!("{DENIED}{}", event.request), event, kept) else {
        return false;
    };
    let count = Record { key: DENIALS.to_owned(), value: Vec::new(), expires: kept, version: 0 };
    let entry = host::Entry {
        index: "record",
        name: zone.bundle.zone.clone(),
        at: moment.now,
        key: denied.key.clone(),
        expires: kept,
    };
    let partition = partition(&zone.bundle.zone, session);
    let batch = Batch {
        id: moment.id("denial"),
        now: moment.now,
        until: None,
        expect: vec![Expect::Below { key: DENIALS.to_owned(), version: limits::DENIALS }],
        write: vec![Write::Put(denied), Write::Put(count.clone())],
        index: vec![entry],
    };
    match strong::commit(host, &partition, batch).await {
        Ok(Commit::Done) => true,
        Ok(Commit::Refused(_)) => {
            let batch = Batch {
                id: moment.id("denial-counted"),
                now: moment.now,
                until: None,
                expect: Vec::new(),
                write: vec![Write::Put(count)],
                index: Vec::new(),
            };
            matches!(host.commit(&partition, batch).await, Ok(Commit::Done))
        }
        Ok(Commit::Contended) | Err(_) => false,
    }
}

/// Where the denials of a client are recorded that belong to no session yet: one place a day, so
/// that it cannot fill the store with them.
#[must_use]
pub fn denials(zone: &Active, presenter: &str, now: Timestamp) -> String {
    let day = now.0.div_euclid(limits::DENIAL_SECS).to_be_bytes();
    let parts = [zone.bundle.zone.as_bytes(), presenter.as_bytes(), &day];
    base64url(&tagged_hash("denials", &parts))
}
