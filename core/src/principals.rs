//! Disabling, enabling and cutting off: one write that stops a user, an application or a rule (design
//! §4). What a key signed is stopped by an emergency rotation ([`crate::keys`]).
//!
//! Whoever is disabled does nothing until enabled again. A cut-off kills what was decided so far and
//! leaves the rest alone: hops bear the `seq` that they were decided under, so no clock takes part.
//! Disabling is a cut-off too, so that enabling does not bring old tokens back to life.

use serde::{Deserialize, Serialize};

use crate::active::{CutOff, Named, Snapshot};
use crate::bundle::Bundle;
use crate::host::Host;
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::publish::change;
use crate::refusal::{Failure, Reason, Refusal};

/// What becomes of somebody or something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Nothing is issued to or through it, and what was issued so far is dead.
    Disable,
    /// It may act again. What was issued before it was disabled stays dead.
    Enable,
    /// What was issued so far is dead; it may go on at once.
    CutOff,
}

/// Whom or what a measure is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Whom {
    /// A user, by its id in tokens: `user:NAMESPACE:SUBJECT`.
    User(String),
    /// An application, by its identifier.
    Application(String),
    /// A rule, by its id.
    Rule(String),
}

impl Whom {
    /// As the snapshot names it.
    #[must_use]
    pub fn named(&self) -> Named {
        match self {
            Self::User(id) => Named::user(id),
            Self::Application(id) => Named::application(id),
            Self::Rule(id) => Named::rule(id),
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Application(id) | Self::Rule(id) => id,
        }
    }

    /// Whether `bundle` has it. Who the users are, no bundle says: any may be one.
    #[must_use]
    pub fn is_in(&self, bundle: &Bundle) -> bool {
        match self {
            Self::User(_) => true,
            Self::Application(id) => bundle.applications.contains_key(id),
            Self::Rule(id) => bundle.rules.contains_key(id),
        }
    }
}

/// Takes a measure. Every instance follows within [`limits::SNAPSHOT_STALE_SECS`].
///
/// Returns the snapshot after it.
///
/// # Errors
///
/// Too many are disabled or cut off one by one, or the store does not take it.
pub async fn take<H: Host>(
    host: &H,
    zone: &str,
    measure: Measure,
    whom: &Whom,
    moment: &Moment,
) -> Result<Snapshot, Failure> {
    let named = whom.named();
    change(host, zone, moment, "measure", |snapshot| {
        forget_old(snapshot, moment.now);
        match measure {
            Measure::Disable => {
                snapshot.disabled.insert(named.clone());
                cut_off(snapshot, &named, moment.now);
            }
            Measure::Enable => {
                snapshot.disabled.remove(&named);
            }
            Measure::CutOff => cut_off(snapshot, &named, moment.now),
        }
        if snapshot.disabled.len().max(snapshot.cut_offs.len()) > limits::MEASURES {
            let most = limits::MEASURES;
            let what = format!(
                "{most} are disabled or cut off one by one already: take the rule or the application \
                 that they share"
            );
            return Err(Refusal::request(Reason::OperatorConflict, what).into());
        }
        Ok(Some(Vec::new()))
    })
    .await
}

fn cut_off(snapshot: &mut Snapshot, named: &Named, now: Timestamp) {
    // The change itself raises `seq` by one: what is decided from then on bears it.
    let seq = snapshot.seq.saturating_add(1);
    snapshot.cut_offs.insert(named.clone(), CutOff { seq, at: now });
}

/// A cut-off has nothing left to kill when every token of its time has expired.
fn forget_old(snapshot: &mut Snapshot, now: Timestamp) {
    let margin = limits::LEEWAY_SECS.saturating_add(limits::CLAIM_MARGIN_SECS);
    let longest = snapshot.longest_secs.saturating_add(margin);
    snapshot.cut_offs.retain(|_, cut_off| now.since(cut_off.at) <= longest);
}
