//! What is true of every bundle, said once more of one that came over the wire.
//!
//! [`super::compile`] refuses what is unsafe where its author can read why. A bundle that is activated
//! over HTTP may have been made by anything, so what the request path relies on is checked of the
//! document itself. What presets demand of rules is not: that is advice to authors, it changes from
//! version to version, and an earlier bundle must stay one.

use std::collections::{BTreeMap, BTreeSet};

use super::url::{Loopback, Url};
use super::{claim, header, issuer, names, pins, policy, resource};
use crate::bundle::{
    Application, Bearer, Bundle, Condition, Credential, Issuer, KeySource, Resource, Rule,
    SubjectKind, TagOn, Task, Test,
};
use crate::jwk::{Algorithm, PublicKey};
use crate::limits;

impl Bundle {
    /// Checks what is true of every bundle that [`super::compile`] makes, but for its policies, which
    /// [`crate::policy::Policies::compile`] judges.
    ///
    /// # Errors
    ///
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), String> {
        let loopback = header(self)?;
        ids(self)?;
        for (name, tag) in &self.tags {
            let sound = !tag.on.is_empty() && tag.values.contains(&tag.default);
            ensure(sound, || format!("tag `{name}`: its default is none of its values"))?;
            for value in &tag.values {
                within(format!("tag `{name}`: value"), names::check_value(value))?;
            }
        }
        for (name, claim) in &self.claims {
            within(format!("claim `{name}`"), claim::check_pointer(&claim.pointer))?;
        }
        for (id, issuer) in &self.issuers {
            within(format!("issuer `{id}`"), row(self, issuer, loopback))?;
        }
        rows(self)?;
        for (id, rule) in &self.rules {
            within(format!("rule `{id}`"), matching(self, id, rule))?;
        }
        for (id, application) in &self.applications {
            within(format!("application `{id}`"), party(self, id, application, loopback))?;
        }
        for (id, resource) in &self.resources {
            within(format!("resource `{id}`"), target(self, id, resource))?;
        }
        for (name, task) in &self.tasks {
            within(format!("task `{name}`"), work(self, task))?;
        }
        for (name, text) in &self.policies {
            within(format!("policy file `{name}`"), policy::check_name(name))?;
            ensure(text.len() <= limits::POLICY_BYTES, || format!("`{name}` is too long"))?;
        }
        ensure(self.policies.len() <= limits::POLICIES, || "too many policy files".to_owned())
    }
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

fn within<T, E: std::fmt::Display>(place: String, checked: Result<T, E>) -> Result<T, String> {
    checked.map_err(|wrong| format!("{place} {wrong}"))
}

fn header(bundle: &Bundle) -> Result<Loopback, String> {
    ensure(bundle.version == 1, || format!("version {} is unknown", bundle.version))?;
    within("`zone`".to_owned(), header::is_name(&bundle.zone))?;
    within("`issuer`".to_owned(), header::is_issuer(&bundle.issuer))?;
    let home = Url::issuer(&bundle.issuer, Loopback::Allowed).is_ok_and(|url| url.is_loopback());
    ensure(home == bundle.danger_allow_http_loopback, || {
        "`danger_allow_http_loopback` and a loopback `issuer` belong together".to_owned()
    })?;
    let lives = [
        ("token_secs", bundle.token_secs, limits::TOKEN_SECS),
        ("session_secs", bundle.session_secs, limits::SESSION_SECS),
        ("record_secs", bundle.record_secs, limits::RECORD_SECS),
    ];
    for (name, secs, range) in lives {
        ensure(range.contains(&secs), || {
            format!("`{name}` must be from {} to {}, not {secs}", range.start(), range.end())
        })?;
    }
    ensure(bundle.token_secs <= bundle.session_secs, || {
        "`token_secs` must not be more than `session_secs`".to_owned()
    })?;
    let idle = |secs: i64| limits::IDLE_SECS.contains(&secs) && secs <= bundle.session_secs;
    ensure(bundle.idle_secs.is_none_or(idle), || "`idle_secs` is out of range".to_owned())?;
    Ok(if home { Loopback::Allowed } else { Loopback::Refused })
}

/// What ids are made of, and that no two of a kind read alike.
fn ids(bundle: &Bundle) -> Result<(), String> {
    let issuers: Vec<&str> = bundle.issuers.keys().map(String::as_str).collect();
    let rules: Vec<&str> = bundle.rules.keys().map(String::as_str).collect();
    let tasks: Vec<&str> = bundle.tasks.keys().map(String::as_str).collect();
    // Applications and resources are both named in requests: they are compared together.
    let named = bundle.applications.keys().chain(bundle.resources.keys());
    let named: Vec<&str> = named.map(String::as_str).collect();
    let tags: Vec<&str> = bundle.tags.keys().map(String::as_str).collect();
    for (word, ids) in
        [("issuer", &issuers), ("rule", &rules), ("task", &tasks), ("identifier", &named)]
    {
        for id in ids {
            within(format!("{word} `{}`", names::shown(id)), names::check(id))?;
        }
    }
    for name in tags.iter().copied().chain(bundle.claims.keys().map(String::as_str)) {
        within(format!("`{}`", names::shown(name)), names::check_attribute(name))?;
    }
    for ids in [issuers, rules, tasks, named, tags] {
        if let Some((this, that)) = names::alike(ids) {
            return Err(format!("`{this}` reads like `{that}`"));
        }
    }
    Ok(())
}

fn row(bundle: &Bundle, row: &Issuer, loopback: Loopback) -> Result<(), String> {
    ensure(!row.issuer.is_empty(), || "has no `iss`".to_owned())?;
    for iss in &row.issuer {
        ensure(*iss != bundle.issuer, || "is the zone itself".to_owned())?;
        // Google spells its own with and without the scheme.
        let spelt = row.issuer.contains(&format!("https://{iss}"));
        if !spelt {
            within(format!("`{iss}`"), Url::issuer(iss, loopback))?;
        }
    }
    keys(&row.keys, &row.issuer, &row.algorithms, loopback)?;
    ensure(!row.audience.is_empty(), || {
        "has no audience: a token for anybody would be accepted".to_owned()
    })?;
    for audience in &row.audience {
        within("audience".to_owned(), names::check_value(audience))?;
        ensure(!audience.contains('*'), || "audiences are compared exactly".to_owned())?;
    }
    ensure(issuer::LIFETIME_SECS.contains(&row.lifetime_secs), || {
        format!("`lifetime_secs` {} is out of range", row.lifetime_secs)
    })?;
    let pointers = [Some(&row.token_id), Some(&row.subject_claim)].into_iter().flatten();
    for pointer in pointers.chain(&row.client_claim).chain(&row.device_claim) {
        within(format!("`{pointer}`"), claim::check_pointer(pointer))?;
    }
    ensure(!row.typ.is_empty(), || "accepts no `typ`".to_owned())?;
    ensure(!row.token_types.is_empty(), || "accepts no token type".to_owned())?;
    row.require.iter().try_for_each(condition)?;
    match row.subject {
        SubjectKind::User => {
            ensure(row.client_claim.is_some(), || "has no `client_claim`".to_owned())?;
            within("`namespace`".to_owned(), names::check(&row.namespace))?;
            ensure(!row.namespace.contains(':'), || "`namespace` has a colon".to_owned())?;
            row.clients.values().try_for_each(|application| known(bundle, application))
        }
        SubjectKind::Workload => {
            let none = row.client_claim.is_none() && row.clients.is_empty();
            ensure(none && row.namespace.is_empty(), || {
                "has clients or a namespace, which are for people".to_owned()
            })
        }
    }
}

/// What rows are to each other: a token has one row, and a person one id.
fn rows(bundle: &Bundle) -> Result<(), String> {
    for (count, (id, row)) in (1_usize..).zip(&bundle.issuers) {
        for (other, later) in bundle.issuers.iter().skip(count) {
            let same = row.issuer.iter().any(|iss| later.issuer.contains(iss));
            let both = row.audience.iter().any(|audience| later.audience.contains(audience));
            ensure(!(same && both), || format!("issuers `{id}` and `{other}` take one token"))?;
            let people = |row: &Issuer| row.subject == SubjectKind::User;
            let shared = row.namespace == later.namespace;
            ensure(!people(row) || !people(later) || same == shared, || {
                format!("issuers `{id}` and `{other}`: one person would be two, or two one")
            })?;
        }
    }
    Ok(())
}

/// Where keys are. `issuers` are those whose discovery document may be asked.
fn keys(
    source: &KeySource,
    issuers: &[String],
    algorithms: &[Algorithm],
    loopback: Loopback,
) -> Result<(), String> {
    ensure(!algorithms.is_empty(), || "has no algorithm".to_owned())?;
    let url = match source {
        KeySource::Uploaded(keys) => return uploaded(keys),
        KeySource::Url(url) => url,
        KeySource::Discovery { url, issuer, keys_host } => {
            ensure(issuers.contains(issuer), || "discovers another issuer's keys".to_owned())?;
            if let Some(host) = keys_host {
                let named = format!("https://{host}");
                let named = within("`keys_host`".to_owned(), Url::fetched(&named, loopback))?;
                ensure(named.host == host.as_str(), || "`keys_host` is no host".to_owned())?;
            }
            url
        }
    };
    within(format!("`{url}`"), Url::fetched(url, loopback)).map(|_| ())
}

fn uploaded(keys: &[PublicKey]) -> Result<(), String> {
    ensure(keys.len() <= limits::KEYS, || "has too many keys".to_owned())?;
    let kids: Vec<&String> = keys.iter().filter_map(|key| key.kid.as_ref()).collect();
    let different: BTreeSet<&String> = kids.iter().copied().collect();
    ensure(different.len() == kids.len(), || "has two keys of one `kid`".to_owned())
}

fn condition(condition: &Condition) -> Result<(), String> {
    let pointer = &condition.pointer;
    within(format!("`{pointer}`"), claim::check_pointer(pointer))?;
    let empty = match &condition.test {
        Test::OneOf(values) | Test::NoneOf(values) => values.is_empty(),
        Test::Equals(_) | Test::AbsentOr(_) | Test::Absent => false,
    };
    ensure(!empty, || format!("`{pointer}` is compared with an empty list"))
}

fn matching(bundle: &Bundle, id: &str, rule: &Rule) -> Result<(), String> {
    let row = bundle.issuers.get(&rule.issuer);
    let row = row.ok_or_else(|| format!("there is no issuer `{}`", rule.issuer))?;
    rule.conditions.iter().try_for_each(condition)?;
    let compared = rule.conditions.iter().any(|condition| pins::is_comparison(&condition.test));
    ensure(compared, || "compares no claim: every token of the issuer would match".to_owned())?;
    match (&rule.bearer, row.subject) {
        (Bearer::Application(application), SubjectKind::Workload) => {
            known(bundle, application)?;
            ensure(rule.tags.is_empty(), || "has tags, which are for people".to_owned())?;
        }
        (Bearer::User, SubjectKind::User) => {
            ensure(!rule.alone, || "is `alone`, which is for applications".to_owned())?;
            tags(bundle, &rule.tags, TagOn::User)?;
        }
        _ => return Err("is for other bearers than the issuer's".to_owned()),
    }
    let task = rule.task.as_ref();
    ensure(task.is_none_or(|task| bundle.tasks.contains_key(task)), || {
        "names a task that there is not".to_owned()
    })?;
    if let Some(pointer) = &rule.task_id {
        within(format!("`{pointer}`"), claim::check_pointer(pointer))?;
    }
    let mut others = bundle.rules.iter().filter(|(other, _)| *other != id);
    let twin = others
        .find(|(_, other)| other.issuer == rule.issuer && other.conditions == rule.conditions);
    twin.map_or(Ok(()), |(twin, _)| Err(format!("matches the same tokens as rule `{twin}`")))
}

fn party(
    bundle: &Bundle,
    id: &str,
    application: &Application,
    loopback: Loopback,
) -> Result<(), String> {
    ensure(!id.starts_with("user:"), || "must not start with `user:`, as users do".to_owned())?;
    let mut issuers = bundle.issuers.values().flat_map(|row| &row.issuer);
    ensure(id != bundle.issuer && !issuers.any(|iss| iss == id), || {
        "must not be an issuer's URL".to_owned()
    })?;
    ensure(!bundle.resources.contains_key(id), || "is a resource too".to_owned())?;
    complete(bundle, &application.tags, TagOn::Application)?;
    let proven = !application.credentials.is_empty();
    ensure(
        application.refresh_secs.is_none_or(|secs| {
            proven && limits::REFRESH_SECS.contains(&secs) && secs <= bundle.session_secs
        }),
        || "`refresh_secs` is out of range, or for nobody".to_owned(),
    )?;
    application.credentials.iter().try_for_each(|credential| match credential {
        Credential::Secret { sha256 } => {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            ensure(sha256.len() == 64 && sha256.bytes().all(digit), || {
                "`sha256` must be 64 hexadecimal digits in lower case".to_owned()
            })
        }
        Credential::Key { keys: source, algorithms, .. } => keys(source, &[], algorithms, loopback),
    })
}

fn target(bundle: &Bundle, id: &str, resource: &Resource) -> Result<(), String> {
    within("its identifier".to_owned(), resource::check_uri(id))?;
    let mut scopes = resource.scopes.iter();
    ensure(scopes.all(|scope| crate::ask::is_scope(scope) && crate::ask::is_name(scope)), || {
        "has a scope that is none".to_owned()
    })?;
    let defaults = &resource.default_scopes;
    let bytes = defaults.iter().fold(defaults.len(), |sum, scope| sum.saturating_add(scope.len()));
    let fit = defaults.len() <= limits::SCOPES && bytes <= limits::SCOPE_BYTES;
    ensure(fit && defaults.is_subset(&resource.scopes), || {
        "has default scopes that are too many or not its own".to_owned()
    })?;
    resource.owner.iter().try_for_each(|application| known(bundle, application))?;
    resource.may_present.iter().try_for_each(|application| known(bundle, application))?;
    let life = resource.token_secs.is_none_or(|secs| limits::TOKEN_SECS.contains(&secs));
    ensure(life, || "`token_secs` is out of range".to_owned())?;
    complete(bundle, &resource.tags, TagOn::Resource)
}

fn work(bundle: &Bundle, task: &Task) -> Result<(), String> {
    task.claimants.iter().try_for_each(|application| known(bundle, application))?;
    let Some(envelope) = &task.envelope else { return Ok(()) };
    let mut pairs: usize = 0;
    for (id, scopes) in envelope {
        let resource = bundle.resources.get(id);
        let resource = resource.ok_or_else(|| format!("there is no resource `{id}`"))?;
        ensure(scopes.is_subset(&resource.scopes), || format!("`{id}` has no such scope"))?;
        ensure(!scopes.is_empty() || resource.scopes.is_empty(), || {
            format!("no scope of resource `{id}` is named")
        })?;
        pairs = pairs.saturating_add(scopes.len().max(1));
    }
    let bytes = serde_json::to_vec(envelope).map_or(usize::MAX, |bytes| bytes.len());
    let fits = pairs <= limits::ENVELOPE && bytes <= limits::ENVELOPE_BYTES;
    ensure(fits, || "has too large an envelope".to_owned())
}

fn known(bundle: &Bundle, application: &str) -> Result<(), String> {
    ensure(bundle.applications.contains_key(application), || {
        format!("there is no application `{}`", names::shown(application))
    })
}

/// Every tag that the entity says is declared for its kind, with that value.
fn tags(bundle: &Bundle, said: &BTreeMap<String, String>, on: TagOn) -> Result<(), String> {
    said.iter().try_for_each(|(name, value)| {
        let tag = bundle.tags.get(name).filter(|tag| tag.on.contains(&on));
        ensure(tag.is_some_and(|tag| tag.values.contains(value)), || {
            format!("has a tag that is not declared so: `{}`", names::shown(name))
        })
    })
}

/// As [`tags`], and none is missing.
fn complete(bundle: &Bundle, said: &BTreeMap<String, String>, on: TagOn) -> Result<(), String> {
    tags(bundle, said, on)?;
    let wanted = bundle.tags.values().filter(|tag| tag.on.contains(&on)).count();
    ensure(said.len() == wanted, || "does not have every tag".to_owned())
}
