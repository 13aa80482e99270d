//! Tasks and their envelopes: what a session is for, and how far it reaches.
//!
//! A session has one task, which is fixed when it opens, under the envelope of that moment. Names
//! and ids come from a rule, which a platform's token proves, or from the caller, who must be listed.

use std::collections::{BTreeMap, BTreeSet};

use crate::active::Active;
use crate::ask::Ask;
use crate::bundle::Task;
use crate::encoding::{base64url, tagged_hash};
use crate::identity::External;
use crate::own::{TaskSource, TokenTask};
use crate::parties::Parties;
use crate::refusal::{Reason, Refusal};

/// A session's envelope: scopes by resource.
pub type Envelope = BTreeMap<String, BTreeSet<String>>;

/// The task of this hop: the session's, which never changes, or the one that opens it.
///
/// # Errors
///
/// A task that is not declared, that the presenter may not claim, or that is not the session's.
pub fn of(zone: &Active, ask: &Ask, parties: &Parties) -> Result<Option<TokenTask>, Refusal> {
    let refuse = |detail: String| Refusal::request(Reason::TaskRefused, detail);
    if let Some(own) = parties.own() {
        let same = |asked: &Option<String>, known: Option<&String>| {
            asked.is_none() || asked.as_ref() == known
        };
        let known = own.task.as_ref();
        if !same(&ask.task, known.map(|task| &task.name))
            || !same(&ask.task_id, known.and_then(|task| task.id.as_ref()))
        {
            return Err(refuse("the session's task is another one".to_owned()));
        }
        return Ok(own.task.clone());
    }
    let ruled = agreed(parties, "tasks", |external| external.task.as_ref())?;
    let name = match (ruled, &ask.task) {
        (Some(ruled), Some(asked)) if ruled != asked => {
            return Err(refuse(format!("the rule says `{ruled}`, the caller `{asked}`")));
        }
        (ruled, asked) => ruled.or(asked.as_ref()),
    };
    let id = self::id(ask, parties)?;
    let Some(name) = name else { return Ok(None) };
    let Some(declared) = zone.bundle.tasks.get(name) else {
        return Err(Refusal::request(Reason::TaskUnknown, format!("`{name}`")));
    };
    if ruled.is_none() && !declared.claimants.contains(&parties.presenter) {
        return Err(refuse(format!("`{}` may not claim `{name}`", parties.presenter)));
    }
    let source = match (ruled, &declared.envelope) {
        (Some(_), _) => TaskSource::Rule,
        (None, Some(_)) => TaskSource::Envelope,
        (None, None) => TaskSource::Claimed,
    };
    let envelope = declared.envelope.as_ref().map(envelope_name);
    Ok(Some(TokenTask { name: name.clone(), id, source, envelope }))
}

/// What the rules of all external tokens shown say, if they say one thing: the one that binds an
/// agent to an envelope is not outvoted by another that was shown before it.
fn agreed<'a>(
    parties: &'a Parties,
    what: &str,
    of: impl Fn(&'a External) -> Option<&'a String>,
) -> Result<Option<&'a String>, Refusal> {
    let mut said = parties.externals().filter_map(|(_, _, external)| of(external));
    let first = said.next();
    match said.find(|other| Some(*other) != first) {
        Some(other) => {
            let first = first.map(String::as_str).unwrap_or_default();
            let detail = format!("two {what} are proven, `{first}` and `{other}`");
            Err(Refusal::request(Reason::TaskRefused, detail))
        }
        None => Ok(first),
    }
}

/// The task's id: the claim that a rule names, or the caller's word; both only if they agree.
///
/// # Errors
///
/// They do not agree.
pub fn id(ask: &Ask, parties: &Parties) -> Result<Option<String>, Refusal> {
    let proven = agreed(parties, "task ids", |external| external.task_id.as_ref())?;
    match (proven, &ask.task_id) {
        (Some(proven), Some(asked)) if proven != asked => Err(Refusal::request(
            Reason::TaskRefused,
            format!("the token says `{proven}`, the caller `{asked}`"),
        )),
        (proven, asked) => Ok(proven.or(asked.as_ref()).cloned()),
    }
}

/// The name of an envelope: a token carries it, so that a bundle that widens the task later does
/// not widen the sessions that are open.
#[must_use]
pub fn envelope_name(envelope: &Envelope) -> String {
    let document = serde_json::to_vec(envelope).unwrap_or_default();
    let hash = tagged_hash("envelope", &[&document]);
    base64url(hash.get(..16).unwrap_or_default())
}

/// The part of two envelopes that both allow.
#[must_use]
pub fn intersection(one: &Envelope, other: &Envelope) -> Envelope {
    one.iter()
        .filter_map(|(resource, scopes)| {
            let allowed = other.get(resource)?;
            Some((resource.clone(), scopes.intersection(allowed).cloned().collect()))
        })
        .collect()
}

/// The envelope of a task as the bundle has it now.
#[must_use]
pub fn declared_envelope<'a>(zone: &'a Active, task: &TokenTask) -> Option<&'a Envelope> {
    let declared: Option<&Task> = zone.bundle.tasks.get(&task.name);
    declared.and_then(|declared| declared.envelope.as_ref())
}

/// The session of a client that proves itself by a secret or a key and names its task's id.
#[must_use]
pub fn session(zone: &Active, presenter: &str, task: Option<&TokenTask>, task_id: &str) -> String {
    let who = [zone.bundle.zone.as_bytes(), presenter.as_bytes()];
    let parts = [&who[..], &parts(task, task_id)].concat();
    base64url(&tagged_hash("task-session", &parts))
}

/// What tells one task from another in a session's id.
#[must_use]
pub fn parts<'a>(task: Option<&'a TokenTask>, task_id: &'a str) -> [&'a [u8]; 3] {
    let name = task.map(|task| task.name.as_str()).unwrap_or_default();
    let envelope = task.and_then(|task| task.envelope.as_deref()).unwrap_or_default();
    [name.as_bytes(), envelope.as_bytes(), task_id.as_bytes()]
}
