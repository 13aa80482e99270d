//! Strong calls, made once more where the first one failed.
//!
//! What failed is more often one connection or one answer than the store: a connection that died while
//! the instance was idle, an object that is being moved. Both calls may be made twice, since a read
//! changes nothing and a batch that finds its own id is done. Once more and not oftener: a store that is
//! down is not to be asked for ever, and the caller waits.

use crate::host::{Batch, Commit, Host, Partition, Range, Record, Unavailable};

/// [`Host::read`]. A host gives one up in half the time of a strong call
/// ([`crate::limits::READ_MILLIS`]), so that two which hang take no longer than that.
pub(crate) async fn read<H: Host>(
    host: &H,
    partition: &Partition,
    range: Range<'_>,
) -> Result<Vec<Record>, Unavailable> {
    match host.read(partition, range).await {
        Err(_) => host.read(partition, range).await,
        answered => answered,
    }
}

/// [`Host::commit`].
pub(crate) async fn commit<H: Host>(
    host: &H,
    partition: &Partition,
    batch: Batch,
) -> Result<Commit, Unavailable> {
    match host.commit(partition, batch.clone()).await {
        Err(_) => host.commit(partition, batch).await,
        answered => answered,
    }
}
