//! Ending a session, or a hop and what is below it: one fact that every later commit and introspection of the session looks for,
//! however many hops there are. Nothing is written to the hops; of the session, its opening was read.

use serde::{Deserialize, Serialize};

use super::{ENDED, OPENED, Opened, REVOKED, contended, kept_until, partition, record};
use crate::active::Active;
use crate::host::{Batch, Commit, Expect, Host, Unavailable, Write};
use crate::moment::{Moment, Timestamp};
use crate::own::OwnToken;
use crate::refusal::{Failure, Reason, Refusal};
use crate::status;
use crate::strong;

/// Who ended a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The zone's operator.
    Operator,
    /// The application that opened it.
    Application(String),
}

/// The fact `ended`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: By,
}

/// Ends a session that was opened as `opened` says. Ending it once more changes nothing: the first end stands.
///
/// # Errors
///
/// There is no such session, or it is over by time; or the store does not say.
pub async fn end<H: Host>(
    host: &H,
    zone: &Active,
    session: &str,
    opened: &Opened,
    by: By,
    moment: &Moment,
) -> Result<(), Failure> {
    // No session outlives the fact, whatever bundle it was opened under. Nor does a reusable proof that leads
    // here by its task's id: a later bundle may have it open a longer session, and no bundle one beyond its
    // own end, which is in this hour (`grant::session`).
    let longest = zone.snapshot.longest_secs.max(zone.bundle.session_secs);
    let expires = kept_until(moment.now.plus(longest).max(status::hour_end(opened.hour)));
    let ended = record(ENDED.to_owned(), &Ended { at: moment.now, by }, expires)?;
    let batch = Batch {
        id: moment.id("end"),
        now: moment.now,
        until: None,
        expect: vec![Expect::Live { key: OPENED.to_owned(), until: moment.now }],
        index: vec![status::entry(opened.hour, &ended.key, moment.now)],
        write: vec![Write::PutIfAbsent(ended)],
    };
    let partition = partition(&zone.bundle.zone, session);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(()),
        Commit::Refused(_) => {
            let what = "there is no such session, or it is over";
            Err(Refusal::request(Reason::SessionUnknown, what).into())
        }
        Commit::Contended => Err(contended(&partition).into()),
    }
}

/// Revokes a hop and with it everything below it: no commit that relies on it succeeds any more. One
/// fact is written, however many descendants there are.
///
/// # Errors
///
/// The store does not say that it holds the fact.
pub async fn revoke<H: Host>(
    host: &H,
    zone: &Active,
    token: &OwnToken,
    moment: &Moment,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Revoked {
        at: Timestamp,
    }
    // No session outlives it, whatever bundle it was opened under.
    let ends = moment.now.plus(zone.snapshot.longest_secs.max(zone.bundle.session_secs));
    let fact =
        record(format!("{REVOKED}{}", token.jti), &Revoked { at: moment.now }, kept_until(ends))?;
    let batch = Batch {
        id: moment.id("revoke"),
        now: moment.now,
        until: None,
        expect: Vec::new(),
        index: vec![status::entry(token.status.hour(), &fact.key, moment.now)],
        write: vec![Write::PutIfAbsent(fact)],
    };
    let partition = partition(&zone.bundle.zone, &token.sid);
    match strong::commit(host, &partition, batch).await? {
        Commit::Done => Ok(()),
        // The batch has no condition, and where the fact is there already it stays: a store that
        // refuses it has not written it.
        Commit::Refused(key) => {
            Err(Unavailable(format!("the store refused the fact `{key}`")).into())
        }
        Commit::Contended => Err(contended(&partition).into()),
    }
}
