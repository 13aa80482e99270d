//! What holds after every schedule, whatever its order and its faults.

use std::collections::BTreeSet;

use serde_json::Value;
use writ_core::encoding::{hex, sha256};
use writ_core::host::Partition;
use writ_core::session::{DENIALS, DENIED, ENDED, HOP, OPENED, REVOKED};
use writ_core::status::INDEX;

use super::{Ran, Written};
use crate::client::Answer;
use crate::store::{Contents, Store};
use crate::trace::claims;

/// What a racer is after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A token, as many as ask.
    Exchange,
    /// A use of the one single-use proof.
    Redeem,
    /// The end of a session, or of a hop and what is below it.
    Stop {
        /// The session.
        session: String,
        /// The hop; none where it is the whole session.
        hop: Option<String>,
    },
    /// A use of a refresh token that was spent long ago, which stops the hop that it rests on: being
    /// refused is its acknowledgement.
    Reuse {
        /// The session.
        session: String,
        /// The hop.
        hop: String,
    },
    /// A change to the zone.
    Change,
}

/// A hop as the store has it.
struct Hop<'a> {
    written: &'a Written,
    id: &'a str,
    path: BTreeSet<String>,
}

/// A token that an answer bears.
#[must_use]
pub fn issued(answer: &Answer) -> Option<String> {
    Some(answer.json()?.get("access_token")?.as_str()?.to_owned())
}

/// Holds what became of a schedule against all that must be so.
///
/// # Errors
///
/// What is not.
pub fn check(roles: &[Role], ran: &Ran, store: &Store) -> Result<(), String> {
    let contents = store.sessions().contents();
    for (who, answer) in ran.answers.iter().enumerate() {
        let known = [200, 204, 400, 401, 404, 503].contains(&answer.status);
        if !known || (answer.status == 503 && ran.faults == 0) {
            let what = String::from_utf8_lossy(&answer.body);
            return Err(format!("racer {who} was answered {} {what}", answer.status));
        }
    }
    one_winner(roles, ran)?;
    acknowledged(roles, ran)?;
    recorded(ran, &contents)?;
    listed(ran, &contents, store)?;
    for hop in hops(ran, &contents) {
        nothing_after_a_stop(&hop, ran)?;
    }
    whole(&contents, store)
}

/// Every token names the list in which an end of its session appears, and an end is entered there.
fn listed(ran: &Ran, contents: &Contents, store: &Store) -> Result<(), String> {
    let index = store.index();
    for (who, answer) in ran.answers.iter().enumerate() {
        let Some(token) = issued(answer) else { continue };
        let claims = claims(&token);
        let session = claims["sid"].as_str().unwrap_or_default();
        let fact = |fact: &str| {
            let found =
                contents.iter().find(|((place, key), _)| place.id == session && key == fact);
            found.map(|(_, record)| record)
        };
        let opened = fact(OPENED).ok_or_else(|| format!("session `{session}` has no opening"))?;
        let opened: Value = serde_json::from_slice(&opened.value).map_err(|e| e.to_string())?;
        let uri = claims["status"]["status_list"]["uri"].as_str().unwrap_or_default();
        if !uri.ends_with(&format!("/status/{}", opened["hour"])) {
            return Err(format!(
                "racer {who}'s token names `{uri}`, its session {}",
                opened["hour"]
            ));
        }
        let entered = index.iter().any(|(place, entry)| {
            (entry.index, entry.name.as_str()) == (INDEX, &*opened["hour"].to_string())
                && (place.id.as_str(), entry.key.as_str()) == (session, ENDED)
        });
        if fact(ENDED).is_some() && !entered {
            return Err(format!("the end of session `{session}` is not entered"));
        }
    }
    Ok(())
}

/// Of all uses of one proof one succeeds, and at most one where calls fail.
fn one_winner(roles: &[Role], ran: &Ran) -> Result<(), String> {
    let redeems = |who: &usize| roles[*who] == Role::Redeem;
    let tries = (0..roles.len()).filter(redeems);
    let won: Vec<usize> = tries.clone().filter(|who| ran.answers[*who].status == 200).collect();
    if won.len() > 1 || (won.is_empty() && tries.count() > 0 && ran.faults == 0) {
        return Err(format!("of the uses of one proof these won: {won:?}"));
    }
    let opened = |written: &&Written| {
        redeems(&written.by) && written.keys.iter().any(|key| key.starts_with(HOP))
    };
    match ran.written.iter().filter(opened).count() {
        0 | 1 => Ok(()),
        many => Err(format!("one proof led to {many} hops")),
    }
}

/// What begins after a stop was acknowledged gets nothing that rests on what was stopped.
fn acknowledged(roles: &[Role], ran: &Ran) -> Result<(), String> {
    for (stopper, role) in roles.iter().enumerate() {
        let status = ran.answers[stopper].status;
        let (session, hop) = match role {
            Role::Stop { session, hop } if status / 100 == 2 => (session, hop.as_ref()),
            Role::Reuse { session, hop } if status == 400 => (session, Some(hop)),
            _ => continue,
        };
        for (who, answer) in ran.answers.iter().enumerate() {
            let Some(token) = issued(answer) else { continue };
            let claims = claims(&token);
            let rests = claims["sid"] == session.as_str()
                && hop.is_none_or(|hop| path_of(&claims).contains(hop));
            if rests && ran.began[who] > ran.answered[stopper] {
                return Err(format!(
                    "racer {who} began after racer {stopper}'s stop was acknowledged, and has a token"
                ));
            }
        }
    }
    Ok(())
}

fn path_of(claims: &Value) -> BTreeSet<String> {
    let steps = claims["path"].as_array().into_iter().flatten();
    steps.filter_map(|step| step["jti"].as_str().map(str::to_owned)).collect()
}

/// Every token that was issued has its record, written by its own request.
fn recorded(ran: &Ran, contents: &Contents) -> Result<(), String> {
    for (who, answer) in ran.answers.iter().enumerate() {
        let Some(token) = issued(answer) else { continue };
        let claims = claims(&token);
        let key = format!("{HOP}{}", claims["jti"].as_str().unwrap_or_default());
        let sid = claims["sid"].as_str().unwrap_or_default();
        let record = contents
            .iter()
            .find(|((place, name), _)| place.id == sid && *name == key)
            .map(|(_, record)| serde_json::from_slice::<Value>(&record.value).unwrap_or_default());
        let named = record.is_some_and(|record| record["token"] == hex(&sha256(token.as_bytes())));
        let wrote = |written: &Written| written.by == who && written.keys.contains(&key);
        if !named || !ran.written.iter().any(wrote) {
            return Err(format!("racer {who} has a token without its record"));
        }
    }
    Ok(())
}

/// The hops that the schedule recorded.
fn hops<'a>(ran: &'a Ran, contents: &Contents) -> Vec<Hop<'a>> {
    let hops = |written: &'a Written| {
        let ids = written.keys.iter().filter_map(|key| key.strip_prefix(HOP));
        ids.map(move |id| Hop { written, id, path: path(contents, &written.partition, id) })
    };
    ran.written.iter().flat_map(hops).collect()
}

/// A hop and all above it, by what the records say of their parents.
fn path(contents: &Contents, place: &Partition, hop: &str) -> BTreeSet<String> {
    let mut path = BTreeSet::new();
    let mut next = Some(hop.to_owned());
    while let Some(id) = next {
        let record = contents.get(&(place.clone(), format!("{HOP}{id}")));
        let event: Value = record
            .and_then(|record| serde_json::from_slice(&record.value).ok())
            .unwrap_or_default();
        path.insert(id);
        next = event["parent"].as_str().map(str::to_owned).filter(|id| !path.contains(id));
    }
    path
}

/// No hop is recorded after its session was ended or something on its path revoked.
fn nothing_after_a_stop(hop: &Hop<'_>, ran: &Ran) -> Result<(), String> {
    let stops = |key: &&String| {
        let revoked = key.strip_prefix(REVOKED).is_some_and(|id| hop.path.contains(id));
        *key == ENDED || revoked
    };
    let before = |written: &&Written| {
        written.step < hop.written.step && written.partition == hop.written.partition
    };
    let stop = ran.written.iter().filter(before).find_map(|written| {
        let key = written.keys.iter().find(stops)?;
        Some(format!("`{key}` at step {}", written.step))
    });
    match stop {
        None => Ok(()),
        Some(stop) => {
            Err(format!("hop `{}` was recorded at step {} after {stop}", hop.id, hop.written.step))
        }
    }
}

/// Nothing is half written: a hop lies in an opened session and in the index once, an opened session has
/// a hop, and denials are counted.
fn whole(contents: &Contents, store: &Store) -> Result<(), String> {
    let index = store.index();
    let places: BTreeSet<&Partition> = contents.keys().map(|(place, _)| place).collect();
    for place in places {
        let all = |prefix: &'static str| {
            let of = contents.keys().filter(move |(owner, _)| owner == place);
            of.filter(move |(_, key)| key.starts_with(prefix)).map(|(_, key)| key)
        };
        let (hops, opened) = (all(HOP).count(), all(OPENED).count());
        if (hops > 0) != (opened > 0) {
            return Err(format!("session `{}`: {hops} hops, {opened} openings", place.id));
        }
        for hop in all(HOP) {
            let entries = index.iter().filter(|(owner, entry)| {
                owner == place && entry.key == *hop && entry.index == "record"
            });
            let entries = entries.count();
            if entries != 1 {
                return Err(format!("`{hop}` of `{}` is listed {entries} times", place.id));
            }
        }
        let denied = all(DENIED).count();
        let counted = contents.get(&(place.clone(), DENIALS.to_owned()));
        let counted = counted.map_or(0, |record| record.version);
        if usize::try_from(counted) != Ok(denied) {
            return Err(format!("session `{}`: {denied} denials, {counted} counted", place.id));
        }
    }
    Ok(())
}
