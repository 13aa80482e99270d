//! A session as people see it: when it was opened, for whom, its hops with their parents, its denials,
//! and what was revoked or ended. Read from its partition, page by page; nothing here decides.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::end::Ended;
use super::{DENIALS, DENIED, ENDED, HOP, Opened, REVOKED, openings, partition};
use crate::host::{Host, Partition, Range, Record, Unavailable};
use crate::limits;
use crate::moment::Timestamp;
use crate::strong;

/// The facts that say how a session stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its opening, for as long as the store has it.
    pub opened: Option<Opened>,
    /// When it ends by itself, or did.
    pub ends: Option<Timestamp>,
    /// When it was or will be idle for too long, where it has such a limit.
    pub idles: Option<Timestamp>,
    /// Its end, if it was ended.
    pub ended: Option<Ended>,
}

impl Standing {
    /// `active`, `ended` by somebody, or `expired` by itself.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        let idle = self.idles.is_some_and(|idles| now >= idles);
        match (&self.ended, self.ends) {
            (Some(_), _) => "ended",
            (None, Some(ends)) if now < ends && !idle => "active",
            (None, _) => "expired",
        }
    }

    /// Whether the application opened the session.
    #[must_use]
    pub fn is_opened_by(&self, application: &str) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.application == application)
    }
}

/// Reads how a session stands at `now`: two records.
///
/// # Errors
///
/// The store does not say, or what it holds cannot be read.
pub async fn standing<H: Host>(
    host: &H,
    zone: &str,
    session: &str,
    now: Timestamp,
) -> Result<Standing, Unavailable> {
    let place = partition(zone, session);
    let (opened, active) = openings(host, &place).await?;
    let ended = one(host, &place, ENDED).await?;
    let (opened, expires) = match opened {
        Some(record) => (Some(parse::<Opened>(&record)?), Some(record.expires)),
        None => (None, None),
    };
    let ends = opened.as_ref().and_then(|opened| opened.ends).or(expires);
    // Where the record of the last hop is gone, it has been idle since before it was swept.
    let limited = opened.as_ref().filter(|opened| opened.idle.is_some());
    let idles = limited.map(|opened| active.unwrap_or(opened.at));
    // A task's session can be opened anew when the end of an earlier one counts no more. Instants that
    // two instances wrote down say nothing of that: their clocks differ.
    let ended = ended.filter(|record| record.expires > now);
    let ended = ended.map(|record| parse::<Ended>(&record)).transpose()?;
    Ok(Standing { opened, ends, idles, ended })
}

/// The record of one hop, as the event that it is, if it has not expired at `now`.
///
/// # Errors
///
/// The store does not say, or what it holds cannot be read.
pub async fn hop<H: Host>(
    host: &H,
    zone: &str,
    session: &str,
    key: &str,
    now: Timestamp,
) -> Result<Option<Value>, Unavailable> {
    let found = one(host, &partition(zone, session), key).await?;
    found.filter(|record| record.expires > now).map(|record| parse(&record)).transpose()
}

/// One page of a session's records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The hops, as recorded.
    pub hops: Vec<Value>,
    /// The denials, as recorded.
    pub denied: Vec<Value>,
    /// The hops that were revoked, and when.
    pub revoked: Vec<(String, Value)>,
    /// How many denials there were, recorded one by one or not.
    pub denials: u64,
    /// The key that the next page begins after, where there may be more.
    pub next: Option<String>,
}

/// Reads a page of what has not expired at `now`.
///
/// # Errors
///
/// The store does not say, or what it holds cannot be read.
pub async fn page<H: Host>(
    host: &H,
    zone: &str,
    session: &str,
    after: Option<String>,
    now: Timestamp,
) -> Result<Page, Unavailable> {
    let place = partition(zone, session);
    let mut page = Page { next: after, ..Page::default() };
    for _ in 0..limits::SESSION_READS {
        let range = Range { prefix: "", after: page.next.as_deref() };
        let records = strong::read(host, &place, range).await?;
        let more = records.len() >= limits::BATCH_RECORDS;
        page.next = records.last().filter(|_| more).map(|record| record.key.clone());
        for record in records.iter().filter(|record| record.expires > now) {
            page.take(record)?;
        }
        if !more {
            break;
        }
    }
    Ok(page)
}

impl Page {
    fn take(&mut self, record: &Record) -> Result<(), Unavailable> {
        if record.key.starts_with(HOP) {
            self.hops.push(parse(record)?);
        } else if record.key.starts_with(DENIED) {
            self.denied.push(parse(record)?);
        } else if let Some(hop) = record.key.strip_prefix(REVOKED) {
            let fact: Value = parse(record)?;
            self.revoked.push((hop.to_owned(), fact.get("at").cloned().unwrap_or_default()));
        } else if record.key == DENIALS {
            self.denials = record.version;
        }
        Ok(())
    }
}

/// What of a recorded event is shown.
#[must_use]
pub fn shown(event: &Value, fields: &[&str]) -> Value {
    let field = |name: &&str| Some(((*name).to_owned(), event.get(*name)?.clone()));
    fields.iter().filter_map(field).collect::<Map<String, Value>>().into()
}

/// Whether the application is on the chain of a recorded event, or made its request.
#[must_use]
pub fn concerns(event: &Value, application: &str) -> bool {
    let mut chain = event.get("chain").and_then(Value::as_array).into_iter().flatten();
    chain.any(|id| id == application) || event.get("client") == Some(&json!(application))
}

async fn one<H: Host>(
    host: &H,
    place: &Partition,
    key: &str,
) -> Result<Option<Record>, Unavailable> {
    let found = strong::read(host, place, Range::of(key)).await?;
    Ok(found.into_iter().find(|record| record.key == key))
}

fn parse<T: for<'de> Deserialize<'de>>(record: &Record) -> Result<T, Unavailable> {
    serde_json::from_slice(&record.value)
        .map_err(|error| Unavailable(format!("record `{}` of a session: {error}", record.key)))
}
