//! Bodies that come in, of requests and of answers: their size and their time are capped.

use wasi::clocks::monotonic_clock::subscribe_duration;
use wasi::http::types::IncomingBody;
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::StreamError;
use writ_core::Unread;

/// Reads a body to its end, or one byte more than `limit`: that tells the core that there was more.
///
/// # Errors
///
/// It broke off, or the clock was first.
pub(crate) fn read(
    incoming: &IncomingBody,
    limit: usize,
    clock: &Pollable,
) -> Result<Vec<u8>, Unread> {
    let stream = incoming.stream().map_err(|()| Unread::Broken)?;
    let most = limit.saturating_add(1);
    let mut body = Vec::new();
    while body.len() < most {
        let room = most.saturating_sub(body.len());
        if !first(&stream.subscribe(), clock) {
            return Err(Unread::Late);
        }
        match stream.read(u64::try_from(room).unwrap_or(u64::MAX)) {
            Ok(bytes) => body.extend(bytes.into_iter().take(room)),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(Unread::Broken),
        }
    }
    Ok(body)
}

/// Waits until `ready`; false where the clock is first.
pub(crate) fn first(ready: &Pollable, clock: &Pollable) -> bool {
    poll(&[ready, clock]).contains(&0)
}

/// A clock that is ready after so many seconds.
pub(crate) fn clock(secs: u64) -> Pollable {
    subscribe_duration(secs.saturating_mul(1_000_000_000))
}
