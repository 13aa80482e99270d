//! The in-process host: a [`Store`] in memory, a web that is a map, keys that were generated a
//! moment ago, events that can be read. Everything can be made to fail ([`Faults`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use writ_core::event::Event;
use writ_core::host::{
    Batch, Commit, Host, Listing, NewKey, Outside, Page, Partition, Range, Record, Unavailable,
};
use writ_core::http::{Inbound, Outbound};
use writ_core::jwk::{Algorithm, PublicKey};
use writ_core::limits;
use writ_core::moment::Timestamp;

use crate::faults::{Call, Effect, Faults};
use crate::keys::PrivateKey;
use crate::store::Store;

/// Published copies, by zone and name.
pub type Copies = Mutex<BTreeMap<(String, String), Vec<u8>>>;

/// Private keys, by zone and `kid`: as if each instance opened what the store has sealed.
type Keys = Mutex<BTreeMap<(String, String), Arc<PrivateKey>>>;

/// A host in memory.
#[derive(Default)]
pub struct Memory {
    /// The store, which other hosts may share.
    pub store: Arc<Store>,
    /// The web that [`Outside::fetch`] sees.
    pub web: Arc<Web>,
    /// What goes wrong.
    pub faults: Faults,
    /// The published copies, which other hosts may share: those that a KV holds near them.
    pub copies: Arc<Copies>,
    keys: Arc<Keys>,
    events: Mutex<Vec<Event>>,
    remembered: writ_core::memory::Memory,
}

impl Memory {
    /// A further instance of the same deployment: same store, web and keys, nothing remembered.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            web: Arc::clone(&self.web),
            copies: Arc::clone(&self.copies),
            keys: Arc::clone(&self.keys),
            ..Self::default()
        }
    }

    /// The same deployment once more and from now on apart: a copy of its store, no published copies,
    /// nothing remembered.
    #[must_use]
    pub fn apart(&self) -> Self {
        let store = Arc::new(self.store.copy());
        Self { store, copies: Arc::default(), ..self.sibling() }
    }

    /// Lends the host a zone's private key.
    pub fn keep_key(&self, zone: &str, kid: &str, key: Arc<PrivateKey>) {
        self.keys.lock().unwrap().insert((zone.to_owned(), kid.to_owned()), key);
    }

    /// The events so far, and forgets them.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

impl Outside for Memory {
    async fn fetch(&self, request: Outbound) -> Result<Inbound, Unavailable> {
        if self.faults.strike(Call::Fetch).is_some() {
            return Err(fault("fetch"));
        }
        self.web.get(&request)
    }

    async fn publish(
        &self,
        zone: &str,
        name: &str,
        bytes: &[u8],
        _expires: Timestamp,
    ) -> Result<(), Unavailable> {
        if self.faults.strike(Call::Publish).is_some() {
            return Err(fault("publish"));
        }
        self.copies.lock().unwrap().insert((zone.to_owned(), name.to_owned()), bytes.to_vec());
        Ok(())
    }

    async fn published(&self, zone: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        match self.faults.strike(Call::Published) {
            None => {
                let name = (zone.to_owned(), name.to_owned());
                Ok(self.copies.lock().unwrap().get(&name).cloned())
            }
            Some(_) => Err(fault("published")),
        }
    }

    async fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Unavailable> {
        match self.faults.strike(Call::Verify) {
            None => Ok(crate::keys::verify(algorithm, key, message, signature)),
            Some(_) => Err(fault("verify")),
        }
    }

    async fn pause(&self, _millis: u32) {
        let mut paused = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn memory(&self) -> &writ_core::memory::Memory {
        &self.remembered
    }
}

impl Host for Memory {
    async fn commit(&self, partition: &Partition, batch: Batch) -> Result<Commit, Unavailable> {
        match self.faults.strike(Call::Commit) {
            None => self.store.commit(partition, batch),
            Some(Effect::Unavailable) => Err(fault("commit")),
            Some(Effect::Lost) => {
                self.store.commit(partition, batch)?;
                Err(fault("the commit's answer"))
            }
            Some(Effect::Contended) => Ok(Commit::Contended),
            Some(Effect::Refused(key)) => Ok(Commit::Refused(key)),
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        range: Range<'_>,
    ) -> Result<Vec<Record>, Unavailable> {
        match self.faults.strike(Call::Read) {
            None => Ok(self.store.read(partition, range)),
            Some(_) => Err(fault("read")),
        }
    }

    async fn list(&self, zone: &str, listing: &Listing) -> Result<Page, Unavailable> {
        match self.faults.strike(Call::List) {
            None => Ok(self.store.list(zone, listing)),
            Some(_) => Err(fault("list")),
        }
    }

    async fn sign(&self, zone: &str, kid: &str, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        if self.faults.strike(Call::Sign).is_some() {
            return Err(fault("sign"));
        }
        let name = (zone.to_owned(), kid.to_owned());
        let key = self.keys.lock().unwrap().get(&name).cloned();
        key.ok_or_else(|| Unavailable(format!("zone `{zone}` has no key `{kid}`")))
            .map(|key| key.sign(message).expect("a key of ours signs"))
    }

    async fn generate(&self, zone: &str, algorithm: Algorithm) -> Result<NewKey, Unavailable> {
        if self.faults.strike(Call::Generate).is_some() {
            return Err(fault("generate"));
        }
        let key = PrivateKey::generate(algorithm).expect("a key");
        let kid = key.public(None).material.thumbprint();
        let public = key.public(Some(&kid));
        self.keep_key(zone, &kid, Arc::new(key));
        Ok(NewKey { public, wrapped: b"wrapped".to_vec() })
    }

    fn record(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
}

fn fault(what: &str) -> Unavailable {
    Unavailable(format!("{what} failed on order"))
}

/// The web: what each URL answers, and which were asked for.
#[derive(Debug, Default)]
pub struct Web {
    pages: Mutex<BTreeMap<String, Inbound>>,
    asked: Mutex<Vec<Outbound>>,
}

impl Web {
    /// Publishes a page, over an earlier one too.
    pub fn publish(&self, url: &str, status: u16, body: impl Into<Vec<u8>>) {
        let page = Inbound { status, body: body.into() };
        self.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    /// Takes a page down: its server does not answer any more.
    pub fn withdraw(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Outbound> {
        self.asked.lock().unwrap().clone()
    }

    fn get(&self, request: &Outbound) -> Result<Inbound, Unavailable> {
        self.asked.lock().unwrap().push(request.clone());
        let page = self.pages.lock().unwrap().get(&request.url).cloned();
        let mut page = page.ok_or_else(|| Unavailable("no server answers there".to_owned()))?;
        // As a host would, stop one byte past the limit.
        page.body.truncate(limits::FETCH_BYTES + 1);
        Ok(page)
    }
}
