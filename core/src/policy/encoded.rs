//! The encoded form of a bundle's policies, for hosts that live for one request: reading it costs less
//! than parsing and validating the text.
//!
//! The text stays the source of truth. The form is made where a bundle is activated, once it was
//! validated, and found only by the bundle's name and the version of Cedar that made it; its bytes lie
//! beside the bundle's, under their own SHA-256, which a record of the zone's partition names. Whatever
//! is missing, of another version or does not read back means the text. It adds a way to load and changes
//! no answer, so it is a feature of the crate: it needs `protoc` to build, and one target asks for it.

use super::Policies;
use crate::bundle::Bundle;
use crate::host::{Host, Unavailable};
use crate::moment::Moment;

/// The policies of the bundle `name`, ready to decide with.
///
/// # Errors
///
/// The policies do not compile, which publishing would have refused.
pub(crate) async fn load<H: Host>(
    host: &H,
    name: &str,
    bundle: &Bundle,
) -> Result<Policies, Unavailable> {
    #[cfg(feature = "encoded")]
    if let Some(policies) = form::load(host, name, bundle).await {
        return Ok(policies);
    }
    let _ = host;
    Policies::compile(bundle).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        Unavailable(format!("bundle `{name}` does not compile: {first}"))
    })
}

/// Keeps the encoded form of a bundle that is being activated. Where that fails, requests read the text.
pub(crate) async fn keep<H: Host>(host: &H, name: &str, bundle: &Bundle, moment: &Moment) {
    #[cfg(feature = "encoded")]
    let _ = form::keep(host, name, bundle, moment).await;
    let _ = (host, name, bundle, moment);
}

#[cfg(feature = "encoded")]
mod form {
    use cedar_policy::proto::traits::Protobuf;
    use cedar_policy::{PolicySet, Schema};

    use super::{Bundle, Host, Moment, Policies};
    use crate::active::{self, partition};
    use crate::host::{Batch, Range, Record, Write};
    use crate::publish::{NEVER, store};
    use crate::strong;

    pub(super) async fn load<H: Host>(host: &H, name: &str, bundle: &Bundle) -> Option<Policies> {
        let zone = &bundle.zone;
        let wanted = record(name);
        let found = strong::read(host, &partition(zone), Range::of(&wanted)).await.ok()?;
        let pointer = found.into_iter().find(|record| record.key == wanted)?;
        let hash = String::from_utf8(pointer.value).ok()?;
        let bytes = active::stored(host, zone, &hash).await.ok()?;
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (schema, policies) = rest.split_at_checked(length)?;
        let schema = Schema::decode(schema).ok()?;
        let policies = PolicySet::decode(policies).ok()?;
        Policies::of(bundle, schema, policies.policies().cloned()).ok()
    }

    pub(super) async fn keep<H: Host>(
        host: &H,
        name: &str,
        bundle: &Bundle,
        moment: &Moment,
    ) -> Option<()> {
        let zone = &bundle.zone;
        let compiled = Policies::compile(bundle).ok()?;
        let schema = compiled.schema.encode().ok()?;
        let policies = compiled.all().encode().ok()?;
        let length = u32::try_from(schema.len()).ok()?.to_be_bytes();
        let bytes = [length.as_slice(), &schema, &policies].concat();
        let hash = Bundle::name(&bytes);
        // The bytes first: the record never names what is not there.
        store(host, zone, &hash, &bytes, moment).await.ok()?;
        let key = record(name);
        let record = Record { key, value: hash.into_bytes(), expires: NEVER, version: 0 };
        let batch = Batch {
            id: moment.id("encoded"),
            now: moment.now,
            until: None,
            expect: Vec::new(),
            write: vec![Write::Put(record)],
            index: Vec::new(),
        };
        host.commit(&partition(zone), batch).await.ok().map(drop)
    }

    /// The record that names the encoded form. The encoding is Cedar's own and tied to its version.
    fn record(name: &str) -> String {
        format!("policies/{name}/{}", cedar_policy::get_sdk_version())
    }
}
