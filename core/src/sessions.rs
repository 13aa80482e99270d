//! The sessions of a zone over HTTP: listed, shown, ended.
//!
//! The operator sees and ends all of them, by requests signed as [`crate::operator`] says. An
//! application sees those that it opened, and of others what it took part in; it ends those that it
//! opened, when their task is completed. What is not the caller's is answered like what is not there.

use serde_json::{Value, json};

use crate::active::Active;
use crate::ask;
use crate::deployment::Deployment;
use crate::encoding::{base64url, from_base64url};
use crate::event::Event;
use crate::form::Form;
use crate::handle;
use crate::host::{Host, Listed, Listing, Unavailable};
use crate::http::Request;
use crate::limits;
use crate::moment::{Moment, Timestamp};
use crate::operator;
use crate::refusal::{Failure, Reason, Refusal};
use crate::session::end::{By, end};
use crate::session::tree::{self, Standing};
use crate::session::{self, HOP};

/// The endpoints of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/sessions`: a page of the list.
    All,
    /// `/sessions/{sid}`: one.
    One(String),
    /// `/sessions/{sid}/complete`: its task is completed.
    Complete(String),
}

impl Place {
    /// The endpoint of a path without its leading slash.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        let Some(rest) = path.strip_prefix("sessions/") else {
            return (path == "sessions").then_some(Self::All);
        };
        let is_id = |id: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !id.is_empty() && id.len() <= limits::NAME_BYTES && id.bytes().all(letter)
        };
        match rest.split_once('/') {
            None if is_id(rest) => Some(Self::One(rest.to_owned())),
            Some((id, "complete")) if is_id(id) => Some(Self::Complete(id.to_owned())),
            _ => None,
        }
    }

    /// What the event calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::All => "sessions",
            Self::One(_) => "session",
            Self::Complete(_) => "session_complete",
        }
    }

    /// The methods that it answers to.
    #[must_use]
    pub const fn methods(&self) -> &'static str {
        match self {
            Self::All => "GET, POST, OPTIONS",
            Self::One(_) => "GET, POST, DELETE, OPTIONS",
            Self::Complete(_) => "POST, OPTIONS",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Caller {
    Operator,
    Application(String),
}

/// Answers a request: a document, or nothing where a session was ended.
///
/// # Errors
///
/// The caller does not prove itself, asks for what makes no sense or is not its own; or the store does
/// not say.
pub async fn answer<H: Host>(
    host: &H,
    deployment: &Deployment,
    zone: &Active,
    place: &Place,
    request: &Request,
    moment: &Moment,
    event: &mut Event,
) -> Result<Option<Value>, Failure> {
    if request.body.len() > limits::BODY_BYTES {
        return Err(Refusal::request(Reason::BodyTooLarge, "").into());
    }
    // A request without a body says what it wants in the query; a form says it, and proves its client.
    let posted = request.method == "POST";
    let form = match &request.query {
        _ if posted => handle::read_form(request)?,
        query => Form::parse(query.as_deref().unwrap_or_default().as_bytes())?,
    };
    let caller = if !posted && is_signed(request) {
        operator::authenticate(host, deployment, request, moment).await?;
        Caller::Operator
    } else {
        // Nothing in a query proves anything: credentials there end up in logs.
        let nothing = Form::parse(b"")?;
        let proof = if posted { &form } else { &nothing };
        application(host, zone, request, proof, moment, event).await?
    };
    let known: &[&str] = match place {
        Place::All => &["user", "application", "resource", "since", "limit", "after"],
        Place::One(_) if request.method != "DELETE" => &["after", "hop"],
        Place::One(_) | Place::Complete(_) => &[],
    };
    let credentials: &[&str] = if posted { &CREDENTIALS } else { &[] };
    form.only(&[known, credentials].concat())?;
    match (place, request.method.as_str()) {
        (Place::All, _) => list(host, zone, &caller, &form, moment.now).await.map(Some),
        (Place::One(id), "GET" | "POST") => {
            show(host, zone, &caller, id, &form, moment.now, event).await.map(Some)
        }
        (Place::One(id) | Place::Complete(id), _) => {
            event.endpoint = "session_end";
            stop(host, zone, caller, id, moment, event).await.map(|()| None)
        }
    }
}

/// The parameters of a form that prove a client.
const CREDENTIALS: [&str; 4] =
    ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

fn is_signed(request: &Request) -> bool {
    let scheme = |header: &str| header.split(' ').next().map(str::to_ascii_lowercase);
    request.header("authorization").any(|header| scheme(header).as_deref() == Some("bearer"))
}

async fn application<H: Host>(
    host: &H,
    zone: &Active,
    request: &Request,
    form: &Form,
    moment: &Moment,
    event: &mut Event,
) -> Result<Caller, Failure> {
    let client =
        ask::authenticated_once(host, zone, request, form, "sessions", moment, event).await?;
    Ok(Caller::Application(client.application))
}

fn bad(what: impl Into<String>) -> Refusal {
    Refusal::request(Reason::ParameterBad, what)
}

/// A page of the list, from the index: seconds behind at most. A session is on each page on which one of
/// its hops is, once.
async fn list<H: Host>(
    host: &H,
    zone: &Active,
    caller: &Caller,
    form: &Form,
    now: Timestamp,
) -> Result<Value, Failure> {
    let name = &zone.bundle.zone;
    let listing = listing(caller, form, name)?;
    let page = host.list(name, &listing).await?;
    let mut sessions: Vec<Value> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for entry in page.entries.iter().filter(|entry| entry.key.starts_with(HOP)) {
        if seen.contains(&entry.session.as_str()) {
            continue;
        }
        seen.push(&entry.session);
        let standing = tree::standing(host, name, &entry.session, now).await?;
        if let Some(session) = line(host, name, caller, entry, &standing, now).await? {
            sessions.push(session);
        }
    }
    let next = page.next.map(|next| base64url(next.as_bytes()));
    Ok(json!({ "sessions": sessions, "next": next }))
}

fn listing(caller: &Caller, form: &Form, zone: &str) -> Result<Listing, Refusal> {
    let filters: Vec<(&str, &str)> = ["user", "application", "resource"]
        .into_iter()
        .filter_map(|name| Some((name, form.text(name)?)))
        .collect();
    let (index, name) = match (caller, filters.as_slice()) {
        (Caller::Operator, []) => ("record", zone),
        (Caller::Operator, [(index, name)]) => (*index, *name),
        (Caller::Operator, _) => {
            return Err(bad("`user`, `application` and `resource` exclude each other"));
        }
        (Caller::Application(id), []) => ("application", id.as_str()),
        (Caller::Application(_), _) => {
            return Err(bad("an application lists its own sessions, all of them"));
        }
    };
    let number = |name: &'static str| -> Result<Option<i64>, Refusal> {
        let parse = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let refuse = || bad(format!("`{name}` is no number"));
        form.text(name).map(|text| parse(text).ok_or_else(refuse)).transpose()
    };
    let limit =
        number("limit")?.map_or(Some(limits::SESSIONS), |limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=limits::SESSIONS).contains(limit));
    let after = form.text("after").map(|text| {
        let cursor = from_base64url(text).and_then(|bytes| String::from_utf8(bytes).ok());
        cursor.filter(|cursor| Listed::from_cursor(cursor).is_some())
    });
    let after = after.map(|after| after.ok_or_else(|| bad("`after` is no `next` of a page")));
    Ok(Listing {
        index: index.to_owned(),
        name: name.to_owned(),
        from: Timestamp(number("since")?.unwrap_or(0)),
        after: after.transpose()?,
        limit: limit.ok_or_else(|| bad(format!("`limit` is from 1 to {}", limits::SESSIONS)))?,
    })
}

/// One session of a list, if it is the caller's to see there.
async fn line<H: Host>(
    host: &H,
    zone: &str,
    caller: &Caller,
    entry: &Listed,
    standing: &Standing,
    now: Timestamp,
) -> Result<Option<Value>, Unavailable> {
    let (hop, first) = if standing.opened.is_some() {
        (None, None)
    } else {
        // Its opening is swept when it is over; its hops tell who was there.
        let hop = tree::hop(host, zone, &entry.session, &entry.key, now).await?;
        let Some(hop) = hop else { return Ok(None) };
        let chain = hop.get("chain").and_then(Value::as_array);
        let first = chain.and_then(|chain| chain.last()).cloned();
        (Some(tree::shown(&hop, &HOP_FIELDS)), first)
    };
    let own = |id: &str| standing.is_opened_by(id) || first == Some(json!(id));
    if matches!(caller, Caller::Application(id) if !own(id)) {
        return Ok(None);
    }
    Ok(Some(json!({
        "session": entry.session,
        "at": entry.at,
        "state": standing.state(now),
        "opened": standing.opened,
        "ended": standing.ended,
        "hop": hop,
    })))
}

/// A session's tree: its hops name their parents.
async fn show<H: Host>(
    host: &H,
    zone: &Active,
    caller: &Caller,
    id: &str,
    form: &Form,
    now: Timestamp,
    event: &mut Event,
) -> Result<Value, Failure> {
    let name = &zone.bundle.zone;
    let Position { after, mut hop } = Position::parse(form)?;
    let later = after.is_some();
    let standing = tree::standing(host, name, id, now).await?;
    let mut page = tree::page(host, name, id, after, now).await?;
    let known = standing.opened.is_some() || !page.hops.is_empty() || later;
    if !known {
        return Err(Refusal::request(Reason::SessionUnknown, "").into());
    }
    let mut denial: &[&str] = &DENIAL_FIELDS;
    if let Caller::Application(application) = caller {
        // The reason of a denial is for the operator alone, as it is when it is answered.
        denial = PUBLIC_DENIAL_FIELDS;
        if !standing.is_opened_by(application) {
            page.hops.retain(|hop| tree::concerns(hop, application));
            page.denied.retain(|denied| denied.get("client") == Some(&json!(application)));
            page.denials = 0;
            hop = own_hop(host, name, id, application, &page, hop, now).await?;
        }
    }
    event.session = Some(id.to_owned());
    let every = |events: &[Value], fields: &[&str]| -> Vec<Value> {
        events.iter().map(|event| tree::shown(event, fields)).collect()
    };
    let revoked = page.revoked.iter().map(|(hop, at)| json!({ "hop": hop, "at": at }));
    Ok(json!({
        "session": id,
        "state": standing.state(now),
        "opened": standing.opened,
        "ended": standing.ended,
        "hops": every(&page.hops, &HOP_FIELDS),
        "denied": every(&page.denied, denial),
        "denials": page.denials,
        "revoked": revoked.collect::<Vec<_>>(),
        "next": page.next.map(|after| Position { after: Some(after), hop }.next()),
    }))
}

/// Where in a session's records a page begins, and a hop that the caller says is its own: a page may hold
/// none of them.
struct Position {
    after: Option<String>,
    hop: Option<String>,
}

impl Position {
    /// What a request names. Its `after` has the hop of the page before.
    fn parse(form: &Form) -> Result<Self, Refusal> {
        let text = form.text("after").map(|text| {
            let text = from_base64url(text).and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| bad("`after` is no `next` of a page"))
        });
        let text = text.transpose()?;
        let mut names = text.iter().flat_map(|text| text.splitn(2, ' ')).map(str::to_owned);
        let (after, kept) = (names.next(), names.next());
        let hop = form.text("hop").map(str::to_owned).or(kept);
        if hop.as_deref().is_some_and(|hop| !ask::is_name(hop)) {
            return Err(bad("`hop` is no token's `jti`"));
        }
        Ok(Self { after, hop })
    }

    /// The `next` of a page, from which [`Position::parse`] reads this.
    fn next(&self) -> String {
        let names = [self.after.as_deref(), self.hop.as_deref()];
        base64url(names.into_iter().flatten().collect::<Vec<_>>().join(" ").as_bytes())
    }
}

/// A hop that `application` took part in, which is why it may see the session: one of the page, or else the
/// one that it names. Its word counts for nothing; what is recorded of that hop does.
async fn own_hop<H: Host>(
    host: &H,
    zone: &str,
    session: &str,
    application: &str,
    page: &tree::Page,
    named: Option<String>,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let found = page.hops.first().and_then(|hop| hop.get("hop")).and_then(Value::as_str);
    if let Some(found) = found {
        return Ok(Some(found.to_owned()));
    }
    if let Some(named) = named {
        let hop = tree::hop(host, zone, session, &format!("{HOP}{named}"), now).await?;
        if hop.is_some_and(|hop| tree::concerns(&hop, application)) {
            return Ok(Some(named));
        }
    }
    let what = format!("`{application}` neither opened it nor is on its chain");
    Err(Refusal::request(Reason::SessionForeign, what).into())
}

/// What is shown of a hop; [`Event`] says what each is.
const HOP_FIELDS: [&str; 17] = [
    "hop", "parent", "time", "expires", "subject", "actor", "client", "chain", "task", "task_id",
    "device", "jkt", "resource", "scopes", "policies", "bundle", "seq",
];

/// What is shown of a denial.
const DENIAL_FIELDS: [&str; 12] = [
    "reason", "detail", "request", "time", "error", "subject", "actor", "client", "resource",
    "scopes", "policies", "bundle",
];

/// The same, without what a caller is not told.
const PUBLIC_DENIAL_FIELDS: &[&str] = DENIAL_FIELDS.split_at(2).1;

/// Ends a session: the operator any, an application one that it opened.
async fn stop<H: Host>(
    host: &H,
    zone: &Active,
    caller: Caller,
    id: &str,
    moment: &Moment,
    event: &mut Event,
) -> Result<(), Failure> {
    let (opened, _) = session::opened(host, zone, id)
        .await?
        .ok_or_else(|| Refusal::request(Reason::SessionUnknown, "there is no such session"))?;
    let by = match caller {
        Caller::Operator => By::Operator,
        Caller::Application(application) if opened.application == application => {
            By::Application(application)
        }
        Caller::Application(_) => {
            return Err(Refusal::request(Reason::SessionForeign, "").into());
        }
    };
    end(host, zone, id, &opened, by, moment).await?;
    event.session = Some(id.to_owned());
    Ok(())
}
