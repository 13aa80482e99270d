//! What this platform lends the core.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use js_sys::futures::future_to_promise;
use serde::Serialize;
use wasm_bindgen::JsValue;
use worker::{Context, Env, KvStore};
use writ_core::deployment::{Deployment, WRAPPING_KEY};
use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Host, Listing, NewKey, Outside, Page, Partition, Range, Record, Unavailable,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::keys;
use writ_core::memory::Memory;
use writ_core::moment::Timestamp;
use writ_isolate::crypto::{self, Wrapping};
use writ_isolate::{fetch, moment, pause, within};

use crate::memory;
use crate::objects::Objects;
use crate::partition::MARGIN_SECS;

/// The host of one request.
pub(crate) struct Edge {
    /// The deployment.
    pub(crate) deployment: Rc<Deployment>,
    env: Env,
    /// What has the platform wait for what follows the answer; none where no answer is waited for.
    context: Option<Rc<Context>>,
    objects: Objects,
    began: f64,
}

impl Edge {
    /// The host of a request that begins now.
    ///
    /// # Errors
    ///
    /// The deployment is not complete. What is missing has been said in the log.
    pub(crate) fn new(env: &Env, context: Option<Rc<Context>>) -> Result<Self, Unavailable> {
        let deployment = memory::deployment(env).and_then(|deployment| {
            let objects = Objects::new(env).map_err(|unavailable| vec![unavailable.0])?;
            Ok((deployment, objects))
        });
        let (deployment, objects) = deployment.map_err(|mistakes| {
            for mistake in &mistakes {
                worker::console_error!("{mistake}");
            }
            Unavailable(mistakes.join("; "))
        })?;
        Ok(Self { deployment, env: env.clone(), context, objects, began: moment::millis() })
    }

    /// Has the index delete its expired entries. It goes on by itself where there are many.
    ///
    /// # Errors
    ///
    /// A part of the index does not answer.
    pub(crate) async fn sweep(&self) -> Result<(), Unavailable> {
        let before = moment::now().plus(-MARGIN_SECS);
        self.objects.sweep(&self.deployment.zone, before).await
    }

    fn wrapping(&self) -> Result<Wrapping, Unavailable> {
        let text = memory::variable(&self.env, WRAPPING_KEY);
        Wrapping::new(&text.ok_or_else(|| Unavailable(format!("`{WRAPPING_KEY}` is not set")))?)
    }

    fn copies(&self) -> Option<KvStore> {
        self.env.kv("COPIES").ok()
    }

    /// Does what no answer waits for. It owns all that it needs: the request may be over before it.
    async fn behind(&self, work: impl Future<Output = ()> + 'static) {
        let Some(context) = &self.context else { return work.await };
        let work = future_to_promise(AssertUnwindSafe(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        }));
        // Where the platform does not take it, it goes on for as long as the request does.
        let _ = (**context).as_ref().wait_until(&work);
    }
}

impl Outside for Edge {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        fetch::fetch(&request).await
    }

    // A copy that is not written or not found costs a read of the origin, and is no fault: KV may
    // know nothing for a minute, and takes one write a second of one name.
    async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        expires: Timestamp,
    ) -> Result<(), Unavailable> {
        let left = expires.since(moment::now());
        let Some(copies) = self.copies().filter(|_| left >= KV_LEAST_SECS) else { return Ok(()) };
        let sealed = self.wrapping()?.copies().seal(zone, name, bytes);
        if let Ok(mut put) = copies.put_bytes(&copy(zone, name), &sealed) {
            if left < KV_MOST_SECS {
                put = put.expiration(expires.0.unsigned_abs());
            }
            let put = async move {
                let _ = within(KV_PUT_MILLIS, put.execute()).await;
            };
            self.behind(put).await;
        }
        Ok(())
    }

    async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let Some(copies) = self.copies() else { return Ok(None) };
        let found = within(KV_MILLIS, copies.get(&copy(zone, name)).bytes()).await;
        let Some(found) = found.and_then(Result::ok).flatten() else { return Ok(None) };
        Ok(self.wrapping()?.copies().open(zone, name, found))
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        crypto::verify(algorithm, key, message, signature).await
    }

    async fn pause(&self, millis: u32) {
        pause(millis).await;
    }

    fn memory(&self) -> &Memory {
        memory::core()
    }
}

impl Host for Edge {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        self.objects.commit(partition, batch).await
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        self.objects.read(partition, range).await
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        self.objects.list(zone, listing).await
    }

    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let key = match crypto::kept(zone, kid) {
            Some(key) => key,
            None => {
                let (algorithm, wrapped) = keys::wrapped(self, zone, kid).await?;
                self.wrapping()?.open(zone, kid, algorithm, &wrapped).await?
            }
        };
        key.sign(message).await
    }

    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        self.wrapping()?.generate(zone, algorithm).await
    }

    fn record(&self, event: &Event) {
        #[expect(clippy::cast_possible_truncation, reason = "whole microseconds of a request")]
        let latency_us = ((moment::millis() - self.began) * 1_000.0) as u64;
        // The count of a platform whose clock stands still while it computes: what was waited for.
        let line = serde_json::to_string(&Line { event, target: "worker", latency_us });
        worker::console_log!("{}", line.unwrap_or_default());
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    target: &'static str,
    latency_us: u64,
}

fn copy(zone: &str, name: &str) -> String {
    format!("{zone}/{name}")
}

/// How long a copy is waited for: the origin answers in that time.
const KV_MILLIS: u32 = 1_000;
/// How long the writing of a copy may take, which nobody waits for: less than the 30 s that the platform
/// allows after an answer.
const KV_PUT_MILLIS: u32 = 10_000;
/// KV refuses to keep anything for less.
const KV_LEAST_SECS: i64 = 60;
/// What is kept longer than this is kept for good: ten years.
const KV_MOST_SECS: i64 = 10 * 365 * 86_400;
