//! Calls to Durable Objects. Each has its time, after which the outcome is unknown.

use futures_util::future::try_join_all;
use js_sys::futures::JsFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, RequestInit};
use worker::worker_sys::DurableObject as Stub;
use worker::{Env, Error, ObjectNamespace, Response};
use writ_core::host::{Batch, Commit, Listing, Page, Partition, Range, Record, Unavailable};
use writ_core::limits;
use writ_core::moment::Timestamp;
use writ_isolate::{told, within};

use crate::wire::{Batched, Found, Outcome, PARTS, Row, asked, bounds, name, page, part, record};

/// The namespaces of the objects.
#[derive(Clone)]
pub(crate) struct Objects {
    partitions: ObjectNamespace,
    index: ObjectNamespace,
}

impl Objects {
    /// The objects that the Worker is bound to.
    ///
    /// # Errors
    ///
    /// A binding is missing.
    pub(crate) fn new(env: &Env) -> Result<Self, Unavailable> {
        let bound = |name| env.durable_object(name).map_err(|error| Unavailable(error.to_string()));
        Ok(Self { partitions: bound("PARTITIONS")?, index: bound("INDEX")? })
    }

    /// See [`writ_core::host::Host::commit`].
    pub(crate) async fn commit(
        &self,
        partition: &Partition,
        batch: Batch,
    ) -> Result<Commit, Unavailable> {
        batch.within_limits(partition.kind).map_err(|reason| Unavailable(reason.into()))?;
        let batched = Batched::new(partition, batch);
        match call(&self.partitions, &name(partition), "commit", &batched).await? {
            Outcome::Done => Ok(Commit::Done),
            Outcome::Refused(key) => Ok(Commit::Refused(key)),
            Outcome::Late => Err(Unavailable("the batch came too late to be written".into())),
        }
    }

    /// See [`writ_core::host::Host::read`].
    pub(crate) async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        let rows: Vec<Row> =
            call(&self.partitions, &name(partition), "read", &bounds(range)).await?;
        let records = rows.into_iter().map(record).collect::<Option<_>>();
        records.ok_or_else(|| Unavailable("the object answered with an unreadable record".into()))
    }

    /// Gives entries, as JSON, to a part of the index.
    pub(crate) async fn enter(&self, part: &str, entries: String) -> Result<(), Unavailable> {
        ask(&self.index, part, "enter", &entries).await.map(drop)
    }

    /// See [`writ_core::host::Host::list`].
    pub(crate) async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        let asked = asked(listing);
        let parts = (0..PARTS).map(|number| {
            let asked = &asked;
            async move { call(&self.index, &part(zone, number), "list", asked).await }
        });
        let found: Vec<Vec<Found>> = try_join_all(parts).await?;
        Ok(page(found, asked.4))
    }

    /// Has the index delete the entries that expired at `before` or earlier: a bounded number before it
    /// answers, and the others after that.
    pub(crate) async fn sweep(&self, zone: &str, before: Timestamp) -> Result<(), Unavailable> {
        for number in 0..PARTS {
            ask(&self.index, &part(zone, number), "sweep", &before.0.to_string()).await?;
        }
        Ok(())
    }
}

/// An object's answer.
///
/// # Errors
///
/// It has no JSON form.
pub(crate) fn answer(value: &impl Serialize) -> Result<Response, Error> {
    Response::ok(serde_json::to_string(value)?)
}

async fn call<A: DeserializeOwned>(
    namespace: &ObjectNamespace,
    name: &str,
    path: &str,
    asked: &impl Serialize,
) -> Result<A, Unavailable> {
    let fault = |error: serde_json::Error| Unavailable(format!("object `{name}`: {error}"));
    let body = serde_json::to_string(asked).map_err(fault)?;
    let answered = ask(namespace, name, path, &body).await?;
    serde_json::from_str(&answered).map_err(fault)
}

/// Asks an object. An overloaded, broken or silent one is unavailable, whatever it has done.
async fn ask(
    namespace: &ObjectNamespace,
    name: &str,
    path: &str,
    body: &str,
) -> Result<String, Unavailable> {
    let millis = match path {
        "read" => limits::READ_MILLIS,
        _ => limits::STORE_SECS.saturating_mul(1_000),
    };
    let asked = send(namespace, name, path, body);
    match within(u32::try_from(millis).unwrap_or(u32::MAX), asked).await {
        Some(Ok((200, answer))) => Ok(answer),
        Some(Ok((status, _))) => {
            Err(Unavailable(format!("object `{name}` answered {status} to `{path}`")))
        }
        Some(Err(error)) => {
            Err(Unavailable(format!("object `{name}` failed at `{path}`: {}", told(&error))))
        }
        None => Err(Unavailable(format!("object `{name}` gave no answer to `{path}` in time"))),
    }
}

async fn send(
    namespace: &ObjectNamespace,
    name: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), JsValue> {
    let stub: Stub = namespace.get_by_name(name)?.into_rpc();
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body.into());
    let request = Request::new_with_str_and_init(&format!("https://object/{path}"), &init)?;
    let response = JsFuture::from(stub.fetch_with_request(&request)?).await?;
    let response: web_sys::Response = response.unchecked_into();
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), text.as_string().unwrap_or_default()))
}
